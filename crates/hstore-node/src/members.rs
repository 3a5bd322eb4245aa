//! Who is in the cluster, and how that changes: the leader's steps, each of which may be done
//! again.
//!
//! A node comes in three steps: it receives the log as a learner, it catches up, it gets a vote.
//! Whoever drives a change asks the leader for one step after the other, so an interrupted change
//! is resumed by driving it again, through whichever node.

use std::collections::BTreeSet;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::membership::{Member, Membership};
use hstore_core::settings::NodeType;
use tokio::time::{Instant, timeout};

use crate::error::NodeError;
use crate::peer::{Directory, Refused};
use crate::raft::{ChangeError, Consensus};
use crate::status::{JoinProgress, Role, Standing};

/// A learner that is at most so many entries behind has caught up.
const CAUGHT_UP_ENTRIES: u64 = 128;

/// How long one step may take; a change that has no quorum is given up by then.
const STEP_MAX: Duration = Duration::from_secs(5);

/// Why a step was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepError {
    /// The same step may succeed in a moment, here or at another leader.
    Again,
    /// It will not be done.
    Refused(NodeError),
}

impl StepError {
    /// The step as a peer that asked for it hears it.
    pub(crate) fn into_refusal(self) -> Refused {
        match self {
            StepError::Again => Refused {
                code: ErrorCode::NoQuorum,
                reason: "the step cannot be done right now".to_owned(),
            },
            StepError::Refused(error) => Refused {
                code: error.code(),
                reason: error.to_string(),
            },
        }
    }

    /// What a leader's refusal means to whoever asked it.
    pub(crate) fn of_refusal(refused: Refused) -> StepError {
        match refused.code {
            ErrorCode::NoQuorum | ErrorCode::ShuttingDown | ErrorCode::Timeout => StepError::Again,
            code => StepError::Refused(NodeError::Refused {
                code,
                reason: refused.reason,
            }),
        }
    }
}

/// The steps of a leader.
#[derive(Clone)]
pub(crate) struct Members {
    consensus: Consensus,
    directory: Directory,
}

impl Members {
    pub(crate) fn new(consensus: Consensus, directory: Directory) -> Members {
        Members {
            consensus,
            directory,
        }
    }

    /// The membership to change, if this node leads and no change is under way.
    fn settled(&self) -> Result<Membership, StepError> {
        let standing = self.consensus.standing();
        if standing.role != Role::Leader || !standing.quorum || standing.membership.is_joint() {
            return Err(StepError::Again);
        }
        Ok(standing.membership)
    }

    /// Brings a node one step further.
    pub(crate) async fn advance(
        &self,
        node: NodeId,
        member: Member,
    ) -> Result<JoinProgress, StepError> {
        let membership = self.settled()?;
        let member = self.named(node, member);
        self.check_name(&membership, node, &member)?;
        let Some(known) = membership.members.get(&node) else {
            self.check_allocated(node)?;
            step(self.consensus.add_learner(&membership, node, member)).await?;
            return Ok(JoinProgress::Learner);
        };
        if known.incarnation != member.incarnation {
            return Err(StepError::Refused(NodeError::Invalid(
                "this id belongs to another data folder",
            )));
        }
        if *known != member {
            step(self.consensus.move_member(&membership, node, member)).await?;
            return Ok(JoinProgress::Learner);
        }
        if membership.is_voter(node) {
            self.retire_namesakes(&membership, node, &member).await?;
            return Ok(JoinProgress::Voter);
        }
        match self.consensus.behind(node) {
            Some(_) if self.is_ready(node) && self.stays_learner(node) => Ok(JoinProgress::Waits),
            Some(behind) if self.is_ready(node) => {
                self.give_vote(&membership, node, &member).await?;
                // The step after this one sees that it is a voter.
                Ok(JoinProgress::CatchingUp { behind })
            }
            Some(behind) => Ok(JoinProgress::CatchingUp { behind }),
            None => Ok(JoinProgress::CatchingUp {
                behind: self.consensus.last_index().0,
            }),
        }
    }

    /// Whether a learner has caught up and answers.
    fn is_ready(&self, node: NodeId) -> bool {
        let behind = self.consensus.behind(node);
        behind.is_some_and(|behind| behind <= CAUGHT_UP_ENTRIES) && self.consensus.answers(node)
    }

    /// Whether a node gets no vote before somebody promotes it.
    fn stays_learner(&self, node: NodeId) -> bool {
        match self.consensus.settings().borrow().node_type(node) {
            Some(NodeType::Learner) => true,
            Some(NodeType::Voter) => false,
            None => self.consensus.store().notices().learners.contains(&node),
        }
    }

    /// A member under the name that the settings give it, whatever it calls itself.
    fn named(&self, node: NodeId, member: Member) -> Member {
        let settings = self.consensus.settings();
        let settings = settings.borrow();
        member.called(settings.name(node).map(AsRef::as_ref))
    }

    async fn give_vote(
        &self,
        membership: &Membership,
        node: NodeId,
        member: &Member,
    ) -> Result<(), StepError> {
        let before = namesakes(membership, node, member).map(|(id, _other)| id);
        let before: BTreeSet<NodeId> = before.collect();
        if !before.is_empty() {
            tracing::info!(%node, ?before, name = member.name, "takes the place of its old ids");
        }
        step(self.consensus.promote(membership, node, &before)).await
    }

    /// Gives a learner its vote now, or says why not.
    pub(crate) async fn promote(&self, node: NodeId) -> Result<(), StepError> {
        let membership = self.settled()?;
        let Some(member) = membership.members.get(&node) else {
            return Err(StepError::Refused(NodeError::MemberNotFound(node)));
        };
        if membership.is_voter(node) {
            return Err(StepError::Refused(NodeError::NotALearner(node)));
        }
        if !self.is_ready(node) {
            return Err(StepError::Refused(NodeError::NotReady(node)));
        }
        self.give_vote(&membership, node, member).await
    }

    /// Whether a member may get or lose its vote now; nothing to do is no reason against it.
    pub(crate) fn may_be(&self, node: NodeId, kind: NodeType) -> Result<(), StepError> {
        let membership = self.settled()?;
        if !membership.members.contains_key(&node) {
            return Err(StepError::Refused(NodeError::MemberNotFound(node)));
        }
        match (kind, membership.is_voter(node)) {
            (NodeType::Voter, true) | (NodeType::Learner, false) => Ok(()),
            (NodeType::Voter, false) if self.is_ready(node) => Ok(()),
            (NodeType::Voter, false) => Err(StepError::Refused(NodeError::NotReady(node))),
            (NodeType::Learner, true) => self.check_quorum_without(&membership, node),
        }
    }

    /// Gives a member a vote or takes it, if it has not what it is to have.
    pub(crate) async fn become_type(&self, node: NodeId, kind: NodeType) -> Result<(), StepError> {
        self.may_be(node, kind)?;
        let membership = self.settled()?;
        match (kind, membership.is_voter(node)) {
            (NodeType::Voter, true) | (NodeType::Learner, false) => Ok(()),
            (NodeType::Voter, false) => self.promote(node).await,
            (NodeType::Learner, true) if node == self.consensus.node() => {
                // Another leader does it, so that the cluster never waits for an election.
                self.hand_over(None).await?;
                Err(StepError::Again)
            }
            (NodeType::Learner, true) => step(self.consensus.demote(&membership, node)).await,
        }
    }

    /// Whether an id may be kept for a member at an address: all voters answer, and enough of
    /// those that were added run, as in etcd.
    pub(crate) fn may_expect(&self, peer_address: &str, learner: bool) -> Result<(), StepError> {
        let membership = self.settled()?;
        let mut members = membership.members.iter();
        if let Some((holder, _)) = members.find(|(_, known)| known.peer_address == peer_address) {
            return Err(StepError::Refused(NodeError::AddressTaken(*holder)));
        }
        let voters: Vec<NodeId> = membership.voters.iter().flatten().copied().collect();
        let notices = self.consensus.store().notices();
        let expected = notices.expected.values().filter(|kept| !kept.learner);
        let (started, all) = (voters.len(), voters.len() + expected.count() + 1);
        // One voter alone may always have a second one.
        let alone = started == 1 && all == 2;
        if !learner && !alone && started < all / 2 + 1 {
            return Err(StepError::Refused(NodeError::TooFewStarted(
                "members that were added before did not start yet",
            )));
        }
        if !voters.iter().all(|voter| self.consensus.answers(*voter)) {
            return Err(StepError::Refused(NodeError::Unhealthy(
                "not every voter answers",
            )));
        }
        Ok(())
    }

    /// Names are unique, but a node that was wiped takes over the name that it had, whatever the
    /// cluster calls it since.
    fn check_name(
        &self,
        membership: &Membership,
        node: NodeId,
        member: &Member,
    ) -> Result<(), StepError> {
        let others = membership.members.iter().filter(|(id, _)| **id != node);
        for (&holder, other) in others {
            let is_it = is_namesake(other, member)
                && other.incarnation != member.incarnation
                && !self.consensus.answers(holder);
            let is_taken = other.name == member.name || is_namesake(other, member);
            if is_taken && !is_it {
                return Err(StepError::Refused(NodeError::NameTaken {
                    name: member.name.clone(),
                    holder,
                }));
            }
        }
        Ok(())
    }

    /// An id comes from the log, or it is made up. Those that one entry gives go beyond its index.
    fn check_allocated(&self, node: NodeId) -> Result<(), StepError> {
        if node.0 != 0 && node <= self.consensus.store().notices().newest {
            return Ok(());
        }
        if self.consensus.applied().borrow().index() < self.consensus.last_index() {
            // It may have been given by an entry that a new leader has yet to apply.
            return Err(StepError::Again);
        }
        Err(StepError::Refused(NodeError::Invalid(
            "this id was not given out by this cluster",
        )))
    }

    /// Removes the ids that a wiped node had before.
    async fn retire_namesakes(
        &self,
        membership: &Membership,
        node: NodeId,
        member: &Member,
    ) -> Result<(), StepError> {
        let Some((old, _)) = namesakes(membership, node, member).next() else {
            return Ok(());
        };
        tracing::info!(%node, %old, name = member.name, "the id of the wiped node is removed");
        step(self.consensus.remove(membership, old)).await?;
        // One membership, one change; the next step looks for more.
        Err(StepError::Again)
    }

    /// Removes a member.
    pub(crate) async fn remove(&self, node: NodeId) -> Result<(), StepError> {
        let membership = self.settled()?;
        if !membership.members.contains_key(&node) {
            return Err(StepError::Refused(NodeError::MemberNotFound(node)));
        }
        if membership.is_voter(node) {
            self.check_quorum_without(&membership, node)?;
        }
        if node == self.consensus.node() {
            // Another leader removes this node, so that the cluster never waits for an election.
            self.hand_over(None).await?;
            return Err(StepError::Again);
        }
        step(self.consensus.remove(&membership, node)).await
    }

    /// The voters that stay must have a majority that answers.
    fn check_quorum_without(&self, membership: &Membership, node: NodeId) -> Result<(), StepError> {
        let stay: Vec<NodeId> = membership
            .voters
            .iter()
            .flatten()
            .copied()
            .filter(|voter| *voter != node)
            .collect();
        if stay.is_empty() {
            return Err(StepError::Refused(NodeError::TooFewStarted(
                "the last voter of a cluster cannot lose its vote",
            )));
        }
        let answering = stay.iter().filter(|voter| self.consensus.answers(**voter));
        if answering.count() <= stay.len() / 2 {
            return Err(StepError::Refused(NodeError::Unhealthy(
                "the voters that answer would be no majority without this member",
            )));
        }
        Ok(())
    }

    /// Changes what the cluster knows of a member: its addresses.
    pub(crate) async fn moved(&self, node: NodeId, member: Member) -> Result<(), StepError> {
        let membership = self.settled()?;
        let Some(known) = membership.members.get(&node) else {
            return Err(StepError::Refused(NodeError::MemberNotFound(node)));
        };
        let member = self.named(node, member);
        if known.incarnation != member.incarnation {
            return Err(StepError::Refused(NodeError::Invalid(
                "this id belongs to another data folder",
            )));
        }
        if *known == member {
            return Ok(());
        }
        self.check_name(&membership, node, &member)?;
        step(self.consensus.move_member(&membership, node, member)).await
    }

    /// Hands leadership over, and waits until somebody else leads.
    pub(crate) async fn hand_over(&self, to: Option<NodeId>) -> Result<NodeId, StepError> {
        let Standing {
            role, membership, ..
        } = self.consensus.standing();
        if role != Role::Leader {
            return Err(StepError::Again);
        }
        match to {
            Some(to) if to == self.consensus.node() => return Ok(to),
            Some(to) if !membership.members.contains_key(&to) => {
                return Err(StepError::Refused(NodeError::MemberNotFound(to)));
            }
            Some(to) if !membership.is_voter(to) => {
                return Err(StepError::Refused(NodeError::CannotLead(to)));
            }
            Some(to) if !self.consensus.answers(to) => {
                return Err(busy("the member does not answer"));
            }
            Some(to) => {
                let handed = self.hand_over_to(to).await?;
                return handed.ok_or_else(|| busy("the member does not run"));
            }
            None => {}
        }
        // A voter whose process has just ended answered a moment ago.
        let mut gone = BTreeSet::new();
        loop {
            let to = self.consensus.best_successor(&gone);
            let to = to.ok_or_else(|| busy("no other voter answers"))?;
            if let Some(leader) = self.hand_over_to(to).await? {
                return Ok(leader);
            }
            gone.insert(to);
        }
    }

    /// Asks a voter to take over; who leads then, or none if its process is gone.
    async fn hand_over_to(&self, to: NodeId) -> Result<Option<NodeId>, StepError> {
        if self.directory.is_gone(to).await {
            return Ok(None);
        }
        self.consensus.hand_over(to).await;
        let succeeded = async {
            let mut changes = self.consensus.changes();
            loop {
                match self.consensus.leader() {
                    Some(leader) if leader != self.consensus.node() => return leader,
                    _ => changes.next().await,
                }
            }
        };
        let waiting = timeout(self.consensus.timing().election_max, succeeded);
        waiting.await.map(Some).map_err(|_elapsed| StepError::Again)
    }
}

fn namesakes<'a>(
    membership: &'a Membership,
    node: NodeId,
    member: &'a Member,
) -> impl Iterator<Item = (NodeId, &'a Member)> {
    membership
        .members
        .iter()
        .map(|(id, other)| (*id, other))
        .filter(move |(id, other)| *id != node && is_namesake(other, member))
}

/// Whether a member is what another one was before it was wiped, if it was.
fn is_namesake(one: &Member, other: &Member) -> bool {
    one.own_name() == other.own_name()
}

fn busy(why: &str) -> StepError {
    StepError::Refused(NodeError::MembershipBusy(why.to_owned()))
}

/// A change within the time that a step may take.
async fn step(
    change: impl std::future::Future<Output = Result<(), ChangeError>>,
) -> Result<(), StepError> {
    match timeout(STEP_MAX, change).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ChangeError::Busy | ChangeError::NotLeader | ChangeError::Unknown)) | Err(_) => {
            Err(StepError::Again)
        }
    }
}

/// The time until a deadline, at most `max`.
pub(crate) fn at_most(deadline: Instant, max: Duration) -> Instant {
    deadline.min(Instant::now() + max)
}
