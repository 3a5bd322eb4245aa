//! Changes of the membership, each guarded by the membership it was computed from.
//!
//! Invariants: (1) a change that finds another membership than it was computed from changes
//! nothing; (2) every change is one step of joint consensus or needs none; (3) doing a change
//! again that was done changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hstore_core::id::{LogIndex, NodeId};
use hstore_core::membership::{Member, Membership};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::metrics::RaftDataMetrics;
use openraft::raft::Precondition;
use openraft::{ChangeMembers, Instant as _};

use super::Consensus;
use super::types::{TypeConfig, raft_log_id};

/// Why a membership did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeError {
    /// Another change is under way, or the membership is another one by now.
    Busy,
    /// This node does not lead.
    NotLeader,
    /// Consensus has stopped, or the change may or may not come about.
    Unknown,
}

/// Counts a change for as long as it is being made, also when whoever makes it goes away.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Counted {
        count.fetch_add(1, Ordering::SeqCst);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Consensus {
    /// Founds a cluster with this node as its only member. Doing it again does nothing.
    pub(crate) async fn found(&self, member: Member) -> Result<(), String> {
        match self
            .raft
            .initialize(BTreeMap::from([(self.node.0, member)]))
            .await
        {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether anything was ever written to this node's log.
    pub(crate) async fn is_founded(&self) -> Result<bool, String> {
        let founded = self.raft.is_initialized().await;
        founded.map_err(|fatal| fatal.to_string())
    }

    /// Adds a node that receives the log and has no vote.
    pub(crate) async fn add_learner(
        &self,
        from: &Membership,
        node: NodeId,
        member: Member,
    ) -> Result<(), ChangeError> {
        let change = ChangeMembers::AddNodes(BTreeMap::from([(node.0, member)]));
        self.change(from, change, true).await
    }

    /// Gives a learner a vote, and takes it from others in the same step: the ids that the
    /// learner had before it was wiped. In two steps there would be a moment with one more voter
    /// that nobody can bring back.
    pub(crate) async fn promote(
        &self,
        from: &Membership,
        node: NodeId,
        instead_of: &BTreeSet<NodeId>,
    ) -> Result<(), ChangeError> {
        let stay = from.voters.iter().flatten();
        let stay = stay.filter(|voter| !instead_of.contains(voter));
        let voters = stay.chain([&node]).map(|voter| voter.0).collect();
        let change = ChangeMembers::ReplaceAllVoters(voters);
        self.change(from, change, false).await
    }

    /// Takes a voter its vote; it stays as a learner.
    pub(crate) async fn demote(&self, from: &Membership, node: NodeId) -> Result<(), ChangeError> {
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([node.0]));
        self.change(from, change, true).await
    }

    /// Removes a member, voter or not, altogether.
    pub(crate) async fn remove(&self, from: &Membership, node: NodeId) -> Result<(), ChangeError> {
        let nodes = BTreeSet::from([node.0]);
        let change = if from.is_voter(node) {
            ChangeMembers::RemoveVoters(nodes)
        } else {
            ChangeMembers::RemoveNodes(nodes)
        };
        self.change(from, change, false).await
    }

    /// Changes the addresses of a member.
    pub(crate) async fn move_member(
        &self,
        from: &Membership,
        node: NodeId,
        member: Member,
    ) -> Result<(), ChangeError> {
        let change = ChangeMembers::SetNodes(BTreeMap::from([(node.0, member)]));
        self.change(from, change, true).await
    }

    /// Finishes a change that was interrupted between its two steps. Whoever lost its vote by it
    /// stays as a learner, since nobody knows any more what was wanted.
    pub(crate) async fn finish_joint(&self, from: &Membership) -> Result<(), ChangeError> {
        let change = ChangeMembers::AddVoterIds(BTreeSet::new());
        self.change(from, change, true).await
    }

    async fn change(
        &self,
        from: &Membership,
        change: ChangeMembers<u64, Member>,
        retain: bool,
    ) -> Result<(), ChangeError> {
        let guard = Precondition::<TypeConfig>::LastMembershipLogId {
            last_membership_log_id: from.log_id.map(raft_log_id),
        };
        let changed = {
            let _counted = Counted::new(&self.changing);
            self.raft
                .change_membership_if(change, retain, [guard])
                .await
        };
        match changed {
            Ok(_response) => Ok(()),
            Err(RaftError::APIError(error)) => {
                tracing::info!("the membership did not change: {error}");
                Err(match error {
                    ClientWriteError::ForwardToLeader(_) => ChangeError::NotLeader,
                    ClientWriteError::PreconditionFailed(_)
                    | ClientWriteError::ChangeMembershipError(
                        ChangeMembershipError::InProgress(_)
                        | ChangeMembershipError::UncommittedLeaderLog(_)
                        | ChangeMembershipError::EmptyMembership(_)
                        | ChangeMembershipError::LearnerNotFound(_)
                        | ChangeMembershipError::UnsupportedMembershipTransition(_)
                        | ChangeMembershipError::NodeMetadataChanged(_),
                    ) => ChangeError::Busy,
                    ClientWriteError::LogEntryDiscarded(_) => ChangeError::Unknown,
                })
            }
            Err(RaftError::Fatal(_)) => Err(ChangeError::Unknown),
        }
    }

    /// Whether this node is making a change of the membership right now.
    pub(crate) fn is_changing(&self) -> bool {
        self.changing.load(Ordering::SeqCst) > 0
    }

    /// How many entries a member is behind, as this leader knows; none when it never answered.
    pub(crate) fn behind(&self, node: NodeId) -> Option<u64> {
        let data = self.raft.data_metrics();
        let data = data.borrow_watched();
        let matched = *data.replication.as_ref()?.get(&node.0)?.as_ref()?;
        Some(data.last_log?.index.saturating_sub(matched.index))
    }

    /// Whether a member answered this leader within the election time.
    pub(crate) fn answers(&self, node: NodeId) -> bool {
        if node == self.node {
            return true;
        }
        self.answers_by(&self.raft.data_metrics().borrow_watched(), node)
    }

    /// The same for who holds the metrics already: borrowing them a second time waits for a writer
    /// that waits for the first borrow to end.
    fn answers_by(&self, data: &RaftDataMetrics<TypeConfig>, node: NodeId) -> bool {
        let answered = data
            .heartbeat
            .as_ref()
            .and_then(|heartbeat| heartbeat.get(&node.0).copied())
            .flatten();
        answered.is_some_and(|at| at.elapsed() < self.timing.election_max)
    }

    /// The voter that is nearest to taking over, this node and these aside.
    pub(crate) fn best_successor(&self, but: &BTreeSet<NodeId>) -> Option<NodeId> {
        let membership = self.standing().membership;
        let data = self.raft.data_metrics();
        let data = data.borrow_watched();
        let replication = data.replication.as_ref()?;
        let voters = membership.members.keys().copied();
        voters
            .filter(|node| *node != self.node && membership.is_voter(*node))
            .filter(|node| !but.contains(node) && self.answers_by(&data, *node))
            .max_by_key(|node| {
                let matched = replication.get(&node.0).copied().flatten();
                matched.map(|log_id| log_id.index)
            })
    }

    /// Asks a voter to take over. It does so some time later or not at all.
    pub(crate) async fn hand_over(&self, to: NodeId) {
        let _stopped = self.raft.trigger().transfer_leader(to.0).await;
    }

    /// The last index of the log, 0 when it is empty.
    pub(crate) fn last_index(&self) -> LogIndex {
        self.positions().last.unwrap_or_default()
    }
}
