//! Clients that watch, through the watch of the client library that outlives its nodes. What they
//! are told is judged with everything else.
//!
//! The library hides that it goes from node to node and puts answers together that came in
//! pieces, so each watch is one stream here: whatever nodes do, it must be told whole revisions, in
//! order, each once, and none may be missing.
//!
//! Invariant: what is recorded is what the library told; where it does not say at which revision a
//! node made a watch, the one before the first that will be told stands for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use hstore_check::history::{ClientId, Event, WatchId, Wish, Word};
use hstore_client::{Batch, Change, Client, Error, KeyRange, KeyValue, Watch};
use hstore_core::id::Revision;
use hstore_core::record::{Meta, Record};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::book::Book;
use super::load::{KEYS, LEASED, PREFIXES};
use super::people::Gate;

/// How long a watch looks for a node before it gives up; longer than any storm leaves no majority.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a watch lasts.
const LASTS_MS: std::ops::Range<u64> = 2_000..30_000;
/// How far in the past and in the future watches begin, in revisions.
const PAST_MAX: i64 = 400;
const FUTURE_MAX: i64 = 200;
/// How long a slow one waits before it reads on, at most.
const SLOW_MS_MAX: u64 = 300;
/// How long it may take after everything until a watch is told everything.
const HEARD_OUT: Duration = Duration::from_secs(30);

/// The last write of every key, once they are made.
pub(super) type Last = Option<Arc<Vec<(Bytes, Revision)>>>;

/// Watches until it is told what the last writes are, and has heard of those.
pub(super) async fn run(
    number: u64,
    seed: u64,
    gate: Gate,
    book: Arc<Book>,
    mut last: watch::Receiver<Last>,
) -> Result<()> {
    let client = gate.crew()?;
    client.start_at(number as usize);
    let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
    while last.borrow().is_none() {
        let wish = wish(&mut rng);
        let start = start(&mut rng, book.newest());
        let id = book.watch(ClientId(number), wish.clone(), start);
        let listener = Listener {
            id,
            wish,
            next: start,
            slow_ms: if rng.random_range(0..4) == 0 {
                SLOW_MS_MAX
            } else {
                0
            },
            until: Instant::now() + Duration::from_millis(rng.random_range(LASTS_MS)),
        };
        listener.listen(&client, &book, &mut rng, &mut last).await?;
    }
    Ok(())
}

fn wish(rng: &mut StdRng) -> Wish {
    let keys = match rng.random_range(0..6) {
        0 => KeyRange::all(),
        1 => KeyRange::One(Bytes::from_static(
            KEYS[rng.random_range(0..KEYS.len())].as_bytes(),
        )),
        2 => KeyRange::One(Bytes::from_static(
            LEASED[rng.random_range(0..LEASED.len())].as_bytes(),
        )),
        _ => KeyRange::prefix(&Bytes::from_static(
            PREFIXES[rng.random_range(0..PREFIXES.len())].as_bytes(),
        )),
    };
    Wish {
        prev_kv: rng.random_range(0..2) == 0,
        no_delete: rng.random_range(0..6) == 0,
        ..Wish::of(keys)
    }
}

/// Where a watch begins; 0 is now.
fn start(rng: &mut StdRng, newest: Revision) -> Revision {
    match rng.random_range(0..10) {
        0..4 => Revision((newest.0 - rng.random_range(0..PAST_MAX)).max(1)),
        4..6 => Revision(newest.0 + rng.random_range(2..FUTURE_MAX)),
        _ => Revision(0),
    }
}

/// One watch.
struct Listener {
    id: WatchId,
    wish: Wish,
    /// The first revision that was not told.
    next: Revision,
    slow_ms: u64,
    until: Instant,
}

impl Listener {
    async fn listen(
        mut self,
        client: &Client,
        book: &Book,
        rng: &mut StdRng,
        last: &mut watch::Receiver<Last>,
    ) -> Result<()> {
        let mut options = client.watch(self.wish.keys.clone()).from(self.next);
        if self.wish.prev_kv {
            options = options.previous();
        }
        if self.wish.no_delete {
            options = options.without_deletions();
        }
        let mut watch = options.begin().patient_for(PATIENCE);
        let first = match watch.ready().await {
            Ok(first) => first,
            Err(error) => return self.ended(book, &error),
        };
        self.next = first;
        let revision = Revision(first.0 - 1);
        book.told(self.id, |at| Word::Created { at, revision });
        loop {
            let made = last.borrow_and_update().clone();
            if let Some(made) = made {
                return self.hear_out(book, &mut watch, &made).await;
            }
            if self.slow_ms > 0 {
                sleep(Duration::from_millis(rng.random_range(0..self.slow_ms))).await;
            }
            // The library's calls may be dropped: nothing is lost by that.
            tokio::select! {
                batch = watch.next() => match batch {
                    Ok(batch) => self.hear(book, batch),
                    Err(error) => return self.ended(book, &error),
                },
                changed = last.changed() => changed?,
                () = tokio::time::sleep_until(self.until) => return Ok(()),
            }
        }
    }

    fn hear(&mut self, book: &Book, batch: Batch) {
        let revision = batch.revision;
        self.next = self.next.max(revision.next());
        let events = batch.changes.into_iter().map(event).collect();
        book.told(self.id, |at| Word::Events {
            at,
            revision,
            events,
            more: false,
        });
    }

    /// Listens until the last write of every key that it wants was told.
    async fn hear_out(
        &mut self,
        book: &Book,
        watch: &mut Watch,
        made: &[(Bytes, Revision)],
    ) -> Result<()> {
        let wanted = made.iter().filter(|(key, _)| self.wish.keys.contains(key));
        let upto = wanted.map(|(_, revision)| *revision).max();
        let deadline = Instant::now() + HEARD_OUT;
        while let Some(upto) = upto
            && self.next <= upto
        {
            match timeout_at(deadline, watch.next()).await {
                Ok(Ok(batch)) => self.hear(book, batch),
                Ok(Err(error)) => return self.ended(book, &error),
                Err(_late) => bail!(
                    "watches_hear_all: watch {} is at {} and was not told {upto} within {HEARD_OUT:?}",
                    self.id,
                    self.next
                ),
            }
        }
        // What would come now would be too much.
        if let Ok(Ok(batch)) = timeout(Duration::from_millis(200), watch.next()).await {
            self.hear(book, batch);
        }
        Ok(())
    }

    /// The library gave the watch up.
    fn ended(&self, book: &Book, error: &Error) -> Result<()> {
        match error {
            Error::Compacted { compacted } => {
                let (revision, compacted) = (*compacted, *compacted);
                book.told(self.id, |at| Word::Canceled {
                    at,
                    revision,
                    compacted,
                    denied: false,
                });
                Ok(())
            }
            // Nobody could be reached for longer than it waits, or the cluster was overloaded.
            Error::Unreachable { .. } | Error::Timeout { .. } | Error::Refused { .. } => Ok(()),
            error => bail!("watch {} ended: {error}", self.id),
        }
    }
}

fn event(change: Change) -> Event {
    let deleted = change.deleted;
    let mut record = record(change.pair);
    if deleted {
        record.meta.version = 0;
    }
    Event {
        record,
        previous: change.previous.map(self::record),
    }
}

fn record(pair: KeyValue) -> Record {
    Record {
        key: pair.key,
        value: pair.value,
        meta: Meta {
            create_revision: pair.create_revision,
            mod_revision: pair.mod_revision,
            sub: 0,
            version: pair.version,
            lease: pair.lease,
        },
    }
}
