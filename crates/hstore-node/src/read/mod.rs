//! Linearizable reads: how far the store has to be before a read may look at it.
//!
//! Reads that wait share one round: while a round is on its way, those that come later form the
//! next one.
//!
//! Invariants: (1) the index that a round brings serves only reads that were there when it began
//! (etcd issue 20418 is what happens otherwise); (2) a round is confirmed by a quorum, never by a
//! lease; (3) rounds are bounded by the number of reads that may wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::LogIndex;
use hstore_core::planted::{self, Bug};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::error::NodeError;
use crate::peer::{Caller, decode, encode};
use crate::raft::wire::IndexWire;
use crate::raft::{Applied, Changes, Consensus, kind};
use crate::status::Role;

/// The pause after a round that brought nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// How long one round may take before the next one is tried.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// The most reads that join a round at once; the others join the next.
const JOINED_MAX: usize = 4096;

/// Who waits for a read index.
type Waiter = oneshot::Sender<LogIndex>;

/// The door to the rounds. Clones are the same door.
#[derive(Clone)]
pub(crate) struct Reads {
    places: Arc<Semaphore>,
    places_max: usize,
    /// Reads of this node, which wait until the store has come far enough.
    here: mpsc::Sender<Waiter>,
    /// Reads of peers, which get the index alone.
    indexes: mpsc::Sender<Waiter>,
}

impl Reads {
    /// How many reads wait.
    pub(crate) fn waiting(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    /// Waits until the store may be read linearizably.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<(), NodeError> {
        self.wait(&self.here, deadline).await.map(|_index| ())
    }

    /// The read index, for a peer; only a leader has one.
    pub(crate) async fn index(&self, deadline: Instant) -> Result<LogIndex, NodeError> {
        match self.wait(&self.indexes, deadline).await {
            Err(NodeError::ShuttingDown) => Err(NodeError::NoQuorum),
            result => result,
        }
    }

    async fn wait(
        &self,
        line: &mpsc::Sender<Waiter>,
        deadline: Instant,
    ) -> Result<LogIndex, NodeError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(NodeError::Overloaded);
        };
        let (waiter, wait) = oneshot::channel();
        if line.send(waiter).await.is_err() {
            return Err(NodeError::ShuttingDown);
        }
        match timeout_at(deadline, wait).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(_closed)) => Err(NodeError::ShuttingDown),
            Err(_elapsed) => Err(NodeError::Timeout),
        }
    }
}

/// Holds rounds, one after the other.
pub(crate) struct Rounds {
    consensus: Consensus,
    applied: watch::Receiver<Applied>,
    changes: Changes,
    caller: Caller,
    here: mpsc::Receiver<Waiter>,
    indexes: mpsc::Receiver<Waiter>,
    released: mpsc::Sender<(LogIndex, Vec<Waiter>)>,
}

/// Releases reads when the store has come far enough.
pub(crate) struct Releases {
    applied: watch::Receiver<Applied>,
    arrivals: mpsc::Receiver<(LogIndex, Vec<Waiter>)>,
}

/// The rounds of a node and the door to them.
pub(crate) fn rounds(
    reads_max: usize,
    consensus: Consensus,
    caller: Caller,
) -> (Reads, Rounds, Releases) {
    let (here_tx, here) = mpsc::channel(reads_max.max(1));
    let (indexes_tx, indexes) = mpsc::channel(reads_max.max(1));
    // A round more than fits waits in the sender: then rounds wait for the store.
    let (released, arrivals) = mpsc::channel(64);
    let releases = Releases {
        applied: consensus.applied(),
        arrivals,
    };
    let rounds = Rounds {
        applied: consensus.applied(),
        changes: consensus.changes(),
        consensus,
        caller,
        here,
        indexes,
        released,
    };
    let reads = Reads {
        places: Arc::new(Semaphore::new(reads_max)),
        places_max: reads_max,
        here: here_tx,
        indexes: indexes_tx,
    };
    (reads, rounds, releases)
}

impl Rounds {
    /// Runs until the node ends.
    pub(crate) async fn run(mut self) {
        let mut here = Vec::new();
        let mut indexes = Vec::new();
        let mut former = None;
        loop {
            if here.is_empty() && indexes.is_empty() {
                tokio::select! {
                    biased;
                    _ = self.here.recv_many(&mut here, JOINED_MAX) => {}
                    _ = self.indexes.recv_many(&mut indexes, JOINED_MAX) => {}
                }
            }
            // Whoever is here now takes part; whoever comes during the round does not.
            while here.len() < JOINED_MAX
                && let Ok(waiter) = self.here.try_recv()
            {
                here.push(waiter);
            }
            while indexes.len() < JOINED_MAX
                && let Ok(waiter) = self.indexes.try_recv()
            {
                indexes.push(waiter);
            }
            here.retain(|waiter| !waiter.is_closed());
            indexes.retain(|waiter| !waiter.is_closed());
            if here.is_empty() && indexes.is_empty() {
                continue;
            }
            let mut found = self.round(!here.is_empty()).await;
            if planted::is(Bug::ReadIndexReused) {
                found = found.or(former);
                former = found;
            }
            if planted::is(Bug::ReadJoinsRoundUnderWay) {
                here.extend(std::iter::from_fn(|| self.here.try_recv().ok()));
            }
            if let Some(index) = found {
                release(indexes.drain(..), index);
                if index <= self.applied.borrow().index() {
                    // The store is there already, which it mostly is: nobody else is woken for it.
                    release(here.drain(..), index);
                } else if !here.is_empty() {
                    let group = std::mem::take(&mut here);
                    // The other end lives as long as the node.
                    let _ended = self.released.send((index, group)).await;
                }
            } else {
                // Peers took this node for the leader: they ask whoever it is now.
                if self.consensus.leader() != Some(self.consensus.node()) {
                    indexes.clear();
                }
                tokio::select! {
                    biased;
                    () = self.changes.next() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// One round: the read index as of some moment after this call began.
    async fn round(&mut self, may_ask: bool) -> Option<LogIndex> {
        if let Some(index) = self.unasked() {
            return Some(index);
        }
        let leader = self.consensus.leader()?;
        let deadline = Instant::now() + ROUND_MAX;
        if leader == self.consensus.node() {
            return timeout_at(deadline, self.consensus.read_index())
                .await
                .ok()
                .flatten();
        }
        if !may_ask {
            // Only peers wait, and they took this node for the leader: they have to ask again.
            return None;
        }
        let asked = self
            .caller
            .call(leader, kind::READ_INDEX, Bytes::new(), deadline);
        // A question to a leader that lost its place is not worth waiting for.
        let answer = tokio::select! {
            biased;
            answer = asked => answer.ok()?,
            () = lost(&self.consensus, leader) => return None,
        };
        let index: IndexWire = decode(&answer)?;
        Some(LogIndex(index.index))
    }
}

impl Rounds {
    /// The index that this node has applied, where a planted bug takes it for the read index.
    fn unasked(&self) -> Option<LogIndex> {
        if !planted::is(Bug::ReadWithoutQuorum) && !planted::is(Bug::FollowerReadsItself) {
            return None;
        }
        let leads = self.consensus.standing().role == Role::Leader;
        let is_here = leads == planted::is(Bug::ReadWithoutQuorum);
        is_here.then(|| self.consensus.applied().borrow().index())
    }
}

/// Resolves when somebody else leads, or nobody.
async fn lost(consensus: &Consensus, leader: hstore_core::id::NodeId) {
    let mut changes = consensus.changes();
    while consensus.leader() == Some(leader) {
        changes.next().await;
    }
}

impl Releases {
    /// Runs until the node ends.
    pub(crate) async fn run(mut self) {
        let mut waiting: BTreeMap<LogIndex, Vec<Waiter>> = BTreeMap::new();
        loop {
            let applied = self.applied.borrow_and_update().index();
            while let Some(group) = waiting.first_entry()
                && (*group.key() <= applied || planted::is(Bug::ReadNotWaitingForApplied))
            {
                let (index, waiters) = group.remove_entry();
                release(waiters, index);
            }
            tokio::select! {
                biased;
                arrival = self.arrivals.recv() => match arrival {
                    Some((index, waiters)) => waiting.entry(index).or_default().extend(waiters),
                    // The rounds end with the node.
                    None => std::future::pending().await,
                },
                changed = self.applied.changed(), if !waiting.is_empty() => {
                    if changed.is_err() {
                        // Consensus has stopped; the node's fate says the rest.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}

/// Lets reads go on with this index.
fn release(waiters: impl IntoIterator<Item = Waiter>, index: LogIndex) {
    for waiter in waiters {
        let _gone = waiter.send(index);
    }
}

/// The answer to a peer that asks for the read index.
pub(crate) fn index_answer(index: LogIndex) -> Bytes {
    encode(&IndexWire { index: index.0 })
}
