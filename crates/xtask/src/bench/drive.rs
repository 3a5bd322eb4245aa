//! Drives a load: clients share a few connections to each node, as a program with a pool would.
//!
//! A closed loop keeps so many clients busy: each asks again when it has its answer. An open loop
//! asks so often whatever the answers do, and a latency begins when the question was meant to be
//! asked, so that a server that stalls cannot hide what it kept from being asked.
//!
//! Invariants: (1) every operation of a phase is answered well or the phase is an error; (2)
//! clients and rates are spread over all nodes and connections alike, for every system.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::operation::{Client, Expects, Operation, Shape};
use super::wire::{Connection, Event, StreamId};

/// Connections to each node.
const CONNECTIONS_PER_NODE: usize = 4;

/// The longest wait for an answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// How many questions of a connection may be open; with one more the server does not keep up.
const CALLS_MAX: usize = 10_000;

/// How fast questions come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// From so many clients, each of which waits for its answer.
    Closed(usize),
    /// So many a second.
    Open(u32),
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) operation: Operation,
    pub(super) pace: Pace,
    pub(super) shape: Shape,
    pub(super) time: Duration,
}

/// What a load measured.
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) operations: u64,
    /// Latencies in microseconds.
    pub(super) latency: Histogram<u64>,
}

/// The servers of one cluster, and where every connection goes.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    pub(super) addresses: Vec<String>,
    /// What all clients cut their values from.
    pub(super) pool: Bytes,
}

impl Servers {
    /// The address of every connection, node after node and round again.
    pub(super) fn places(&self) -> impl Iterator<Item = &String> {
        let places = CONNECTIONS_PER_NODE * self.addresses.len();
        self.addresses.iter().cycle().take(places)
    }

    /// Writes every key once.
    pub(super) async fn fill(&self, shape: Shape) -> Result<()> {
        let mut tasks = JoinSet::new();
        let lanes = self.places().count();
        for (at, address) in self.places().enumerate() {
            let (address, pool) = (address.clone(), self.pool.clone());
            tasks.spawn(async move {
                let numbers = (at as u64..shape.keys).step_by(lanes);
                fill_some(&address, numbers, shape, pool).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Drives a load to its end.
    pub(super) async fn drive(&self, load: Load) -> Result<Measured> {
        let mut lanes = Vec::new();
        let count = self.places().count();
        for (at, address) in self.places().enumerate() {
            let clients = match load.pace {
                Pace::Closed(clients) => (at..clients).step_by(count).collect(),
                Pace::Open(_) => vec![at],
            };
            if clients.is_empty() {
                continue;
            }
            let clients = clients
                .into_iter()
                .map(|number| {
                    let pool = self.pool.clone();
                    Client::new(number as u64, load.operation, load.shape, pool)
                })
                .collect();
            lanes.push(Lane::open(address, clients).await?);
        }
        let begin = Instant::now();
        let end = begin + load.time;
        let mut tasks = JoinSet::new();
        for (at, lane) in lanes.into_iter().enumerate() {
            tasks.spawn(async move {
                match load.pace {
                    Pace::Closed(_) => lane.closed(end).await,
                    Pace::Open(rate) => {
                        let interval = Duration::from_secs_f64(count as f64 / f64::from(rate));
                        let first = begin + interval.mul_f64(at as f64 / count as f64);
                        lane.open_loop(first, interval, end).await
                    }
                }
            });
        }
        let mut latency = histogram();
        while let Some(done) = tasks.join_next().await {
            latency.add(done??)?;
        }
        Ok(Measured {
            seconds: begin.elapsed().as_secs_f64(),
            operations: latency.len(),
            latency,
        })
    }
}

/// How many keys are written at a time when they are all written.
const FILL_CALLS: usize = 32;

async fn fill_some(
    address: &str,
    mut numbers: impl Iterator<Item = u64>,
    shape: Shape,
    pool: Bytes,
) -> Result<()> {
    let client = Client::new(0, Operation::Put, shape, pool);
    let mut lane = Lane::open(address, vec![client]).await?;
    loop {
        while lane.calls.len() < FILL_CALLS {
            let Some(number) = numbers.next() else { break };
            let question = lane.clients[0].put(number);
            let path = question.path;
            let id = lane.connection.call(path, &question.message, true);
            lane.calls
                .insert(id, Call::begun(0, question.expects, Instant::now()));
        }
        if lane.calls.is_empty() {
            return Ok(());
        }
        lane.turn().await?;
        for event in std::mem::take(&mut lane.events) {
            lane.hear(event)?;
        }
    }
}

/// One connection and its clients.
struct Lane {
    connection: Connection,
    clients: Vec<Client>,
    calls: BTreeMap<StreamId, Call>,
    events: Vec<Event>,
    latency: Histogram<u64>,
}

/// A question on its way.
struct Call {
    client: usize,
    expects: Expects,
    began: Instant,
    answered: bool,
    /// Whether the call ends with its answer.
    once: bool,
}

impl Call {
    fn begun(client: usize, expects: Expects, began: Instant) -> Call {
        Call {
            client,
            expects,
            began,
            answered: false,
            once: true,
        }
    }
}

impl Lane {
    async fn open(address: &str, clients: Vec<Client>) -> Result<Lane> {
        Ok(Lane {
            connection: Connection::open(address).await?,
            clients,
            calls: BTreeMap::new(),
            events: Vec::new(),
            latency: histogram(),
        })
    }

    /// Every client asks, hears and asks again, until the end.
    async fn closed(mut self, end: Instant) -> Result<Histogram<u64>> {
        let begin = Instant::now();
        for client in 0..self.clients.len() {
            self.ask(client, begin);
        }
        while !self.calls.is_empty() {
            self.turn().await?;
            let now = Instant::now();
            for event in std::mem::take(&mut self.events) {
                let Some(client) = self.hear(event)? else {
                    continue;
                };
                if now < end {
                    self.ask(client, now);
                }
            }
            if now >= end {
                // A stream has no end of its own.
                self.calls.retain(|_, call| call.once || !call.answered);
            }
        }
        Ok(self.latency)
    }

    /// Asks so often, until the end, and waits for what is open then.
    async fn open_loop(
        mut self,
        first: Instant,
        interval: Duration,
        end: Instant,
    ) -> Result<Histogram<u64>> {
        let mut due = first;
        while due < end || !self.calls.is_empty() {
            let now = Instant::now();
            while due <= now && due < end {
                self.ask(0, due);
                due += interval;
            }
            if self.calls.len() > CALLS_MAX {
                bail!("the server does not keep up with the rate");
            }
            self.connection.flush().await?;
            tokio::select! {
                received = timeout(DEADLINE, self.connection.receive(&mut self.events)) => {
                    received.context("a question was not answered in time")??;
                }
                () = sleep_until(due.into()), if due < end => {}
            }
            for event in std::mem::take(&mut self.events) {
                self.hear(event)?;
            }
        }
        Ok(self.latency)
    }

    /// A client asks; its time began at `began`.
    fn ask(&mut self, client: usize, began: Instant) {
        let question = self.clients[client].ask();
        let open = self.calls.iter().find_map(|(id, call)| {
            (!question.once && !call.once && call.client == client).then_some(*id)
        });
        let id = if let Some(id) = open {
            self.connection.send(id, &question.message, false);
            id
        } else {
            let path = question.path;
            self.connection.call(path, &question.message, question.once)
        };
        let call = Call {
            once: question.once,
            ..Call::begun(client, question.expects, began)
        };
        self.calls.insert(id, call);
    }

    /// Sends what is to be sent, and waits for something to come.
    async fn turn(&mut self) -> Result<()> {
        self.connection.flush().await?;
        timeout(DEADLINE, self.connection.receive(&mut self.events))
            .await
            .context("a question was not answered in time")?
    }

    /// What came; the client that may ask again, if one may.
    fn hear(&mut self, event: Event) -> Result<Option<usize>> {
        match event {
            Event::Message(id, message) => {
                let Some(call) = self.calls.get_mut(&id) else {
                    return Ok(None);
                };
                if self.clients[call.client].hear(call.expects, message)? {
                    let time = call.began.elapsed().as_micros();
                    self.latency.saturating_record(time as u64);
                }
                call.answered = true;
                Ok((!call.once).then_some(call.client))
            }
            Event::Ended(id) => {
                let Some(call) = self.calls.remove(&id) else {
                    return Ok(None);
                };
                if !call.answered {
                    bail!("a question was refused: {:?} was expected", call.expects);
                }
                Ok(Some(call.client))
            }
        }
    }
}

/// A histogram of microseconds, to a minute.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds make a histogram")
}
