//! The load of watches: many watchers, writers that keep them busy, and a count of what is told.
//!
//! Invariant: every watcher hears of every write that it must hear of, or the load is an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::drive::{DEADLINE, Load, Measured, Pace, Servers};
use super::operation::{Operation, Shape, key};
use super::wire::{Connection, Event, StreamId};

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// How many clients write.
const WRITERS: usize = 16;

/// From how many watchers on each has a key of its own; fewer watch all keys.
const OWN_KEYS_FROM: u64 = 1000;

/// How often the count is looked at when the last write is done.
const LOOK: Duration = Duration::from_millis(1);

/// Writes for so long while so many watch; counted are the events that were told.
pub(super) async fn drive(
    servers: &Servers,
    watchers: u64,
    shape: Shape,
    time: Duration,
) -> Result<Measured> {
    let own = watchers >= OWN_KEYS_FROM;
    let told = Arc::new(AtomicU64::new(0));
    let mut listeners = JoinSet::new();
    let places = servers.places().count();
    for (at, address) in servers.places().enumerate() {
        let numbers = (at as u64..watchers).step_by(places);
        let requests = numbers.map(|number| request(number, own)).collect();
        let listener = Listener::open(address, requests, Arc::clone(&told)).await?;
        listeners.spawn(listener.listen());
    }
    let begin = Instant::now();
    let load = Load {
        operation: Operation::Put,
        pace: Pace::Closed(WRITERS),
        shape: Shape {
            // Every key has one watcher then.
            keys: if own { watchers } else { shape.keys },
            ..shape
        },
        time,
    };
    let written = servers.drive(load).await?;
    let expected = written.operations * if own { 1 } else { watchers };
    let late = Instant::now() + DEADLINE;
    while told.load(Ordering::Relaxed) < expected {
        if let Some(ended) = listeners.try_join_next() {
            ended??;
            bail!("a stream of watches ended");
        }
        let count = told.load(Ordering::Relaxed);
        ensure!(
            Instant::now() < late,
            "{count} of {expected} events were told"
        );
        sleep(LOOK).await;
    }
    let count = told.load(Ordering::Relaxed);
    ensure!(count == expected, "{count} events were told for {expected}");
    Ok(Measured {
        seconds: begin.elapsed().as_secs_f64(),
        operations: count,
        latency: written.latency,
    })
}

fn request(number: u64, own: bool) -> WatchRequest {
    let create = WatchCreateRequest {
        key: if own { key(number) } else { key(0) },
        range_end: if own { Bytes::new() } else { key(u64::MAX) },
        ..WatchCreateRequest::default()
    };
    WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    }
}

/// A stream of watches.
struct Listener {
    connection: Connection,
    stream: StreamId,
    told: Arc<AtomicU64>,
}

impl Listener {
    /// Opens the stream and waits until all its watches are there.
    async fn open(
        address: &str,
        requests: Vec<WatchRequest>,
        told: Arc<AtomicU64>,
    ) -> Result<Listener> {
        let mut connection = Connection::open(address).await?;
        let mut requests = requests.into_iter();
        let first = requests.next().context("every stream has a watch")?;
        let stream = connection.call(WATCH, &first.encode_to_vec(), false);
        let mut listener = Listener {
            connection,
            stream,
            told,
        };
        let mut begun = 1;
        for request in requests {
            let message = request.encode_to_vec();
            listener.connection.send(stream, &message, false);
            begun += 1;
        }
        while begun > 0 {
            begun -= listener.hear(Some(DEADLINE)).await?;
        }
        Ok(listener)
    }

    /// Counts until it is let go.
    async fn listen(mut self) -> Result<()> {
        loop {
            self.hear(None).await?;
        }
    }

    /// Hears what comes next, in time if it has to be; how many watches began.
    async fn hear(&mut self, deadline: Option<Duration>) -> Result<usize> {
        self.connection.flush().await?;
        let mut events = Vec::new();
        let receiving = self.connection.receive(&mut events);
        match deadline {
            Some(deadline) => timeout(deadline, receiving)
                .await
                .context("a watch did not begin in time")??,
            None => receiving.await?,
        }
        let mut begun = 0;
        for event in events {
            let Event::Message(_, message) = event else {
                bail!("stream {} of watches was ended by the server", self.stream);
            };
            let answer = WatchResponse::decode(message)?;
            ensure!(!answer.canceled, "a watch was canceled");
            begun += usize::from(answer.created);
            let count = answer.events.len() as u64;
            self.told.fetch_add(count, Ordering::Relaxed);
        }
        Ok(begun)
    }
}
