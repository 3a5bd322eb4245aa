//! Consensus. Everything that names openraft lives in this folder; the rest of the node speaks
//! to [`Consensus`] in the words of the core.
//!
//! Rules of openraft that are kept here (ADR 0001): a vote is durable before it is answered,
//! everything that changes the log goes through one writer, entries are completed after the sync,
//! reads are confirmed by a round of heartbeats and never by a lease.

mod changes;
mod codec;
pub(crate) mod kind;
mod lease_clock;
mod log;
mod log_writer;
mod machine;
mod network;
mod open;
mod receive_snapshot;
mod runtime;
mod send_snapshot;
mod serve;
mod snapshot;
mod succession;
#[cfg(test)]
mod suite;
mod types;
pub(crate) mod wire;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex, NodeId, Term};
use hstore_core::outcome::Outcome;
use hstore_core::settings::Settings;
use hstore_storage::store::Store;
use hstore_storage::wal::WalStats;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::ReadPolicy;
use openraft::{Instant as _, ServerState};
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use changes::ChangeError;
pub use codec::proposals_of;
pub(crate) use lease_clock::LeaseClock;
pub(crate) use machine::Applied;
pub(crate) use open::Opening;
pub(crate) use runtime::Runtime;
pub(crate) use snapshot::snapshot_code;
pub(crate) use succession::Succession;

use crate::follow::Timeline;
use crate::status::{Role, Standing};
use log::Log;
use machine::Machine;
use receive_snapshot::Inbox;
use snapshot::Shelf;
use types::{TypeConfig, Vote, log_id_of, membership_of, raft_log_id};

/// openraft over our state machine.
type OpenRaft = openraft::Raft<TypeConfig, Machine>;

/// What became of a batch that was not applied for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It is in no log and never will be.
    NotProposed,
    /// It may be in a log, and may be applied now or later.
    Unknown,
}

/// Times that decisions hang on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) election_max: Duration,
}

/// One replica's part in consensus. Clones are the same replica.
#[derive(Clone)]
pub(crate) struct Consensus {
    raft: OpenRaft,
    node: NodeId,
    log: Log,
    shelf: Shelf,
    inbox: Inbox,
    store: Arc<Store>,
    applied: watch::Receiver<Applied>,
    settings: watch::Receiver<Arc<Settings>>,
    timeline: Timeline,
    clock: LeaseClock,
    /// When a leader was last heard of.
    heard: Arc<Mutex<Option<Instant>>>,
    timing: Timing,
    /// How many changes of the membership this node is making.
    changing: Arc<AtomicUsize>,
}

/// Where the indexes of a replica are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Positions {
    pub(crate) last: Option<LogIndex>,
    pub(crate) committed: Option<LogId>,
    pub(crate) snapshot: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

impl Consensus {
    /// This node.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The store below.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The times that decisions hang on.
    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    /// Follows the applied index and membership.
    pub(crate) fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.clone()
    }

    /// Follows the settings of the cluster.
    pub(crate) fn settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.settings.clone()
    }

    /// Whether consensus speaks to followers in its own rhythm, that of the start.
    pub(crate) fn beat_by_itself(&self, by_itself: bool) {
        self.raft.runtime_config().heartbeat(by_itself);
    }

    /// Speaks to the followers, if this node leads.
    pub(crate) async fn beat(&self) {
        if self.raft.server_metrics().borrow_watched().state == ServerState::Leader {
            let _stopped = self.raft.trigger().heartbeat().await;
        }
    }

    /// When entries were where.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The clock that the leases end by.
    pub(crate) fn lease_clock(&self) -> &LeaseClock {
        &self.clock
    }

    /// Whether this node, if it leads, has applied an entry of its own term, and with it all that
    /// the leaders before it stamped. It proposes nothing before.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun_by(self.applied.borrow().last)
    }

    /// Waits until [`Consensus::has_begun`]; for ever when the node has ended. Cancel safe.
    pub(crate) async fn begun(&self) {
        let mut applied = self.applied.clone();
        let begun = |applied: &Applied| self.begun_by(applied.last);
        let ended = applied.wait_for(begun).await.is_err();
        if ended {
            std::future::pending::<()>().await;
        }
    }

    fn begun_by(&self, last: Option<LogId>) -> bool {
        last.is_some_and(|last| last.leader == self.node && last.term == self.term())
    }

    /// Proposes one entry that carries these proposals; answers its index and their outcomes in order.
    ///
    /// The entry is for the leader of the newest entry that is applied here, and is refused unless
    /// that is this node and it still leads: only then is its stamp later than all before it.
    pub(crate) async fn propose(
        &self,
        proposals: Vec<Bytes>,
    ) -> Result<(LogIndex, Vec<Outcome>), Rejected> {
        let last = self.applied.borrow().last;
        let Some(led) = last.filter(|last| last.leader == self.node) else {
            return Err(Rejected::NotProposed);
        };
        let payload = codec::encode_batch(self.clock.now(), proposals);
        let (responder, wait) = openraft::impls::OneshotResponder::new_pair();
        let proposed = self
            .raft
            .write(payload)
            .responder(responder)
            .with_leader(raft_log_id(led).leader_id)
            .await;
        if proposed.is_err() {
            return Err(Rejected::Unknown);
        }
        match wait.await {
            Ok(Ok(response)) => Ok((log_id_of(&response.log_id).index, response.data)),
            // Refused before it was appended (openraft, ClientWriteError).
            Ok(Err(
                ClientWriteError::ForwardToLeader(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_),
            )) => Err(Rejected::NotProposed),
            Ok(Err(ClientWriteError::LogEntryDiscarded(_))) | Err(_) => Err(Rejected::Unknown),
        }
    }

    /// The index that a read has to wait for, confirmed by a quorum after this call began; none
    /// when this node does not lead or cannot prove it now.
    pub(crate) async fn read_index(&self) -> Option<LogIndex> {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _applied)) => Some(LogIndex(read.index())),
            Err(RaftError::APIError(
                LinearizableReadError::ForwardToLeader(_)
                | LinearizableReadError::QuorumNotEnough(_),
            )) => None,
            Err(RaftError::Fatal(fatal)) => {
                tracing::debug!("no read index: {fatal}");
                None
            }
        }
    }

    /// What this node knows of the group's state now.
    pub(crate) fn standing(&self) -> Standing {
        // What `Changes` follows is read first: whoever was woken by a change sees it.
        let server = self.raft.server_metrics().borrow_watched().clone();
        let membership = membership_of(&server.membership_config);
        let role = match server.state {
            ServerState::Leader => Role::Leader,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Learner => Role::Learner,
            ServerState::Shutdown => Role::Stopped,
        };
        let quorum = match role {
            Role::Leader => self.has_quorum(&server),
            Role::Follower | Role::Learner | Role::Candidate => {
                server.current_leader.is_some() && self.leader_was_heard()
            }
            Role::Stopped => false,
        };
        Standing {
            role,
            term: Term(server.vote.leader_id().term),
            leader: server.current_leader.map(NodeId),
            membership,
            quorum,
        }
    }

    /// Who leads, if somebody does with a quorum behind it as far as this node can tell. Cheap.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let leader = server.current_leader.map(NodeId)?;
        let fresh = if leader == self.node {
            server.state == ServerState::Leader && self.has_quorum(&server)
        } else {
            self.leader_was_heard()
        };
        fresh.then_some(leader)
    }

    /// Whether this leader is its own quorum, or one answered within the election time.
    fn has_quorum(&self, server: &RaftServerMetrics<TypeConfig>) -> bool {
        let mut voters = server.membership_config.voter_ids();
        if voters.next().is_some_and(|first| first == self.node.0) && voters.next().is_none() {
            return true;
        }
        let data = self.raft.data_metrics();
        let acked = data.borrow_watched().last_quorum_acked;
        acked.is_some_and(|acked| acked.elapsed() < self.timing.election_max)
    }

    /// The term, cheap.
    pub(crate) fn term(&self) -> Term {
        let server = self.raft.server_metrics();
        let vote = &server.borrow_watched().vote;
        Term(vote.leader_id().term)
    }

    /// A watch of its own over role, term, leader and membership.
    pub(crate) fn changes(&self) -> Changes {
        Changes {
            metrics: self.raft.server_metrics(),
        }
    }

    /// Why consensus stopped, if it has.
    pub(crate) fn stopped(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .running_state
            .as_ref()
            .err()
            .map(ToString::to_string)
    }

    /// Where the indexes are.
    pub(crate) fn positions(&self) -> Positions {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        Positions {
            // The figures of consensus come a moment late: what it has just appended may be
            // applied before they say that it is in the log.
            last: metrics.last_log_index.map(LogIndex).max(self.log.last()),
            committed: metrics.local_committed.as_ref().map(log_id_of),
            snapshot: metrics.snapshot.as_ref().map(log_id_of),
            purged: metrics.purged.as_ref().map(log_id_of),
        }
    }

    /// Figures of the log.
    pub(crate) fn log_stats(&self) -> WalStats {
        self.log.writer().stats()
    }

    /// Bytes of log entries that were appended since the start.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.log.appended_bytes()
    }

    /// The last entry that a synced snapshot file covers.
    pub(crate) fn covered(&self) -> Option<LogId> {
        self.shelf.covered()
    }

    /// Begins to build a snapshot file.
    pub(crate) async fn build_snapshot(&self) {
        // An error means that consensus has stopped; the node's fate says the rest.
        let _stopped = self.raft.trigger().snapshot().await;
    }

    /// Lets go of the log up to what the newest snapshot file covers, but for the newest entries
    /// of that, which followers that are a little behind still want.
    pub(crate) async fn purge(&self, keep_entries: u64, keep_bytes: u64) -> std::io::Result<()> {
        let Some(covered) = self.shelf.covered() else {
            return Ok(());
        };
        let keep_from = self
            .log
            .keep_from(covered.index.0, keep_entries, keep_bytes)
            .await?;
        let Some(upto) = keep_from.checked_sub(1) else {
            return Ok(());
        };
        let purged = self.log.bounds().0;
        if purged.is_some_and(|purged| purged.index.0 >= upto) || upto > covered.index.0 {
            return Ok(());
        }
        let _stopped = self.raft.trigger().purge_log(upto).await;
        Ok(())
    }

    /// Stops consensus.
    pub(crate) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!("consensus did not end well: {error}");
        }
    }

    /// Writes what waits and closes the log; after `stop`.
    pub(crate) async fn close_log(&self) {
        if let Err(error) = self.log.writer().close().await {
            tracing::warn!("the log was not closed cleanly: {error}");
        }
    }

    /// Hears a leader, before consensus acts on what it says: whoever then learns who leads finds
    /// that it was heard. One that was voted out is not heard.
    fn hear(&self, vote: &Vote) {
        if *vote >= self.raft.server_metrics().borrow_watched().vote {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    fn leader_was_heard(&self) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|heard| heard.elapsed() < self.timing.election_max)
    }
}

/// Follows role, term, leader and membership, without missing a change in between.
pub(crate) struct Changes {
    metrics: openraft::alias::WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
}

impl Changes {
    /// Waits for the next change; for ever when consensus has stopped. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.metrics.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
