//! A network in memory: seeded delays, connections that break, links that can be cut.
//!
//! A frame takes a while and never overtakes the one before it. A cut link carries nothing; when
//! it is healed within the patience of a connection, what waited goes on, as TCP would have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hstore_node::{Duplex, Hello, Node, PeerAddress, Transport, TransportError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a connection over a cut link stays open.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a link that is cut is looked at.
const LOOK: Duration = Duration::from_millis(20);

struct State {
    rng: StdRng,
    /// Who listens where.
    nodes: BTreeMap<String, Node>,
    /// The pairs of addresses between which nothing goes.
    cut: BTreeSet<(String, String)>,
    /// The pairs of addresses where every frame and every dial is refused.
    refused: BTreeSet<(String, String)>,
    delay_max: Duration,
    /// How many of a million frames break their connection.
    breaks_ppm: u32,
    /// How often each address was dialled.
    dials: BTreeMap<String, u64>,
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Net {
        Net {
            state: Arc::new(Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                nodes: BTreeMap::new(),
                cut: BTreeSet::new(),
                refused: BTreeSet::new(),
                delay_max: Duration::from_millis(4),
                breaks_ppm: 0,
                dials: BTreeMap::new(),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The way out of the node at `address`.
    pub(crate) fn transport(&self, address: &str) -> Arc<dyn Transport> {
        Arc::new(Port {
            net: self.clone(),
            address: address.to_owned(),
        })
    }

    pub(crate) fn listen(&self, address: &str, node: Node) {
        self.state().nodes.insert(address.to_owned(), node);
    }

    pub(crate) fn leave(&self, address: &str) {
        self.state().nodes.remove(address);
    }

    /// Some of a million frames break their connection from now on.
    pub(crate) fn break_connections(&self, ppm: u32) {
        self.state().breaks_ppm = ppm;
    }

    /// Cuts a node off from these others, both ways.
    pub(crate) fn cut(&self, one: &str, others: &[&str]) {
        let mut state = self.state();
        for other in others {
            state.cut.insert((one.to_owned(), (*other).to_owned()));
            state.cut.insert(((*other).to_owned(), one.to_owned()));
        }
    }

    /// Refuses every frame and every dial between two nodes, as a firewall that resets does.
    pub(crate) fn refuse(&self, one: &str, other: &str) {
        let mut state = self.state();
        state.refused.insert((one.to_owned(), other.to_owned()));
        state.refused.insert((other.to_owned(), one.to_owned()));
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.cut.clear();
        state.refused.clear();
    }

    fn is_refused(&self, from: &str, to: &str) -> bool {
        let state = self.state();
        state.refused.contains(&(from.to_owned(), to.to_owned()))
    }

    /// How often an address was dialled, with success or without.
    pub(crate) fn dials(&self, address: &str) -> u64 {
        self.state().dials.get(address).copied().unwrap_or(0)
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        let state = self.state();
        state.cut.contains(&(from.to_owned(), to.to_owned()))
    }

    fn delay(&self) -> Duration {
        let mut state = self.state();
        let max = state.delay_max;
        state.rng.random_range(Duration::from_micros(50)..max)
    }

    fn breaks(&self) -> bool {
        let mut state = self.state();
        let ppm = state.breaks_ppm;
        state.rng.random_range(0..1_000_000) < ppm
    }

    /// Carries the frames of one direction.
    fn carry(&self, from: &str, to: &str, mut rx: mpsc::Receiver<Bytes>, tx: mpsc::Sender<Bytes>) {
        let net = self.clone();
        let (from, to) = (from.to_owned(), to.to_owned());
        let (on_the_way, mut arriving) = mpsc::channel::<(Instant, Bytes)>(64);
        tokio::spawn({
            let net = net.clone();
            async move {
                while let Some(frame) = rx.recv().await {
                    let due = Instant::now() + net.delay();
                    if on_the_way.send((due, frame)).await.is_err() {
                        return;
                    }
                }
            }
        });
        tokio::spawn(async move {
            loop {
                // The far end hangs up, or a frame comes.
                let (due, frame) = tokio::select! {
                    biased;
                    () = tx.closed() => return,
                    next = arriving.recv() => match next {
                        Some(next) => next,
                        None => return,
                    },
                };
                sleep_until(due).await;
                let since = Instant::now();
                while net.is_cut(&from, &to) {
                    if since.elapsed() > PATIENCE {
                        return;
                    }
                    sleep(LOOK).await;
                }
                if net.is_refused(&from, &to) || net.breaks() || tx.send(frame).await.is_err() {
                    return;
                }
            }
        });
    }

    async fn connect(
        self,
        from: String,
        to: PeerAddress,
        hello: Hello,
    ) -> Result<Duplex, TransportError> {
        *self.state().dials.entry(to.address.clone()).or_default() += 1;
        sleep(self.delay()).await;
        if self.is_cut(&from, &to.address) {
            // Nobody answers; the caller gives up.
            sleep(PATIENCE).await;
            return Err(unreachable("no answer"));
        }
        let node = self.state().nodes.get(&to.address).cloned();
        let Some(node) = node.filter(|_node| !self.is_refused(&from, &to.address)) else {
            return Err(TransportError::NobodyListens {
                reason: "connection refused".to_owned(),
            });
        };
        let (ours, carried_out) = Duplex::pair();
        let (theirs, carried_in) = Duplex::pair();
        if let Err(refused) = node.accept(&hello, theirs) {
            return Err(TransportError::Refused {
                code: refused.code(),
                reason: refused.to_string(),
            });
        }
        self.carry(&from, &to.address, carried_out.rx, carried_in.tx);
        self.carry(&to.address, &from, carried_in.rx, carried_out.tx);
        Ok(ours)
    }
}

fn unreachable(reason: &str) -> TransportError {
    TransportError::Unreachable {
        reason: reason.to_owned(),
    }
}

struct Port {
    net: Net,
    address: String,
}

impl Transport for Port {
    fn connect(
        &self,
        to: PeerAddress,
        hello: Hello,
    ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
        self.net
            .clone()
            .connect(self.address.clone(), to, hello)
            .boxed()
    }
}
