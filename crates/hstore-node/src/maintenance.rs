//! What operators ask of a node: members that are expected, promotion, alarms, hashes, tidying.

use std::sync::Arc;

use hstore_core::alarm::{Alarm, AlarmChange};
use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal, ReserveNode};
use hstore_core::error::ErrorCode;
use hstore_core::id::{NodeId, Revision};
use hstore_core::machine::Notices;
use hstore_core::membership::Member;
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::settings::{ChangeSettings, NodeType, SettingChange, SettingValue};
use hstore_storage::store::{HashWalk, KeyHash, StoreFault};
use tokio::time::{Instant, timeout_at};

use crate::error::NodeError;
use crate::inner::Step;
use crate::node::Node;
use crate::status::Header;

/// Bytes of records that one step of a hash takes in.
const HASH_STEP_BYTES: usize = 4 * 1024 * 1024;

/// What one step of a hash came to.
enum Hashed {
    Done(KeyHash),
    More(Box<HashWalk>),
    /// A snapshot came between.
    Again,
}

impl Node {
    /// What this node has applied of alarms and expected members.
    pub fn notices(&self) -> Arc<Notices> {
        self.inner.consensus.store().notices()
    }

    /// Whether this node is a member without a vote.
    pub fn is_learner(&self) -> bool {
        let me = self.inner.identity.node;
        let standing = self.inner.standing.borrow();
        let membership = &standing.membership;
        membership.members.contains_key(&me) && !membership.is_voter(me)
    }

    /// Raises or clears an alarm; those that the change was about.
    pub async fn change_alarm(
        &self,
        author: &Author,
        change: AlarmChange,
        deadline: Instant,
    ) -> Result<Vec<Alarm>, NodeError> {
        match self
            .decide(author, Command::Alarm(change), deadline)
            .await?
        {
            Reply::Alarms(alarms) => Ok(alarms),
            _other => Err(NodeError::Invalid("the alarm was answered otherwise")),
        }
    }

    /// Keeps an id for a member that will start at an address.
    pub async fn expect_member(
        &self,
        author: &Author,
        peer_address: String,
        learner: bool,
        deadline: Instant,
    ) -> Result<NodeId, NodeError> {
        let step = Step::MayExpect {
            peer_address: peer_address.clone(),
            learner,
        };
        self.take(&step, deadline).await?;
        let reserve = ReserveNode {
            node: None,
            peer_address,
            learner,
        };
        self.reserve(author, reserve, deadline).await
    }

    /// Changes where peers reach a member. A member that runs has the last word on its address:
    /// when it is another one, it says so by itself.
    pub async fn update_member(
        &self,
        author: &Author,
        node: NodeId,
        peer_address: String,
        deadline: Instant,
    ) -> Result<(), NodeError> {
        self.caught_up(deadline).await?;
        let membership = self.inner.consensus.standing().membership;
        let mut others = membership.members.iter().filter(|(id, _)| **id != node);
        if let Some((holder, _)) = others.find(|(_, other)| other.peer_address == peer_address) {
            return Err(NodeError::AddressTaken(*holder));
        }
        if let Some(known) = membership.members.get(&node) {
            let moved = Member {
                peer_address,
                ..known.clone()
            };
            return self.take(&Step::Moved(node, moved), deadline).await;
        }
        if !self.notices().expected.contains_key(&node) {
            return Err(NodeError::MemberNotFound(node));
        }
        let reserve = ReserveNode {
            node: Some(node),
            peer_address,
            learner: false,
        };
        let kept = self.reserve(author, reserve, deadline).await;
        kept.map(|_node| ())
    }

    /// Gives a learner its vote, now or not at all.
    pub async fn promote_member(&self, node: NodeId, deadline: Instant) -> Result<(), NodeError> {
        self.caught_up(deadline).await?;
        if self.notices().expected.contains_key(&node) {
            return Err(NodeError::NotReady(node));
        }
        if self.settings().node_type(node) == Some(NodeType::Learner) {
            // It would be made a learner again.
            let voter = SettingValue::Type(NodeType::Voter);
            let command = ChangeSettings {
                expected: None,
                changes: vec![SettingChange::set(Some(node), voter)],
            };
            // Like every change of the membership it was allowed at the door.
            let changed = Box::pin(self.change_settings(&Author::Node, command, deadline));
            return changed.await.map(|_version| ());
        }
        self.take(&Step::Promote(node), deadline).await
    }

    /// Gives the id of a member up that did not start yet.
    pub(crate) async fn release(&self, node: NodeId, deadline: Instant) -> Result<(), NodeError> {
        // Like every change of the membership it was allowed at the door.
        let command = Command::ReleaseNode { node };
        let released = self.decide(&Author::Node, command, deadline).await;
        released.map(|_reply| ()).map_err(|error| match error {
            NodeError::Refused {
                code: ErrorCode::NodeNotFound,
                ..
            } => NodeError::MemberNotFound(node),
            error => error,
        })
    }

    pub(crate) async fn take(&self, step: &Step, deadline: Instant) -> Result<(), NodeError> {
        self.check_alive()?;
        // In a box: a step is a deep nest of calls.
        let stepped = Box::pin(self.inner.step(step, deadline));
        self.inner.tasks.seeded(stepped).await.map(|_done| ())
    }

    async fn reserve(
        &self,
        author: &Author,
        reserve: ReserveNode,
        deadline: Instant,
    ) -> Result<NodeId, NodeError> {
        let command = Command::ReserveNode(reserve);
        match self.decide(author, command, deadline).await? {
            Reply::Node(node) => Ok(node),
            _other => Err(NodeError::Invalid("the reservation was answered otherwise")),
        }
    }

    /// Has the machine decide; a refusal is an error here.
    pub(crate) async fn decide(
        &self,
        author: &Author,
        command: Command,
        deadline: Instant,
    ) -> Result<Reply, NodeError> {
        let proposal = Proposal {
            request: None,
            author: author.clone(),
            command,
        };
        let (_header, outcome) = Box::pin(self.propose(proposal, deadline)).await?;
        outcome.result.map_err(|refusal| NodeError::Refused {
            code: refusal.code(),
            reason: refusal.to_string(),
        })
    }

    /// The hash of what can be read at a revision (0 is the current one) and of the history below
    /// it: the same on all members whose compaction point is the same. One is computed at a time,
    /// in steps on a read lane; nothing but compaction waits for it.
    pub async fn hash(
        &self,
        revision: Revision,
        deadline: Instant,
    ) -> Result<(Header, Result<KeyHash, Refusal>), NodeError> {
        self.check_alive()?;
        let Ok(place) = timeout_at(deadline, self.inner.hashes.acquire()).await else {
            return Err(NodeError::Timeout);
        };
        // The semaphore is never closed.
        let _place = place;
        let begin = || {
            let store = self.inner.consensus.store().clone();
            self.read_on_lane(deadline, move |_store| HashWalk::begin(store, revision))
        };
        let mut under_way = match begin().await? {
            Ok(walk) => Box::new(walk),
            Err(refusal) => return Ok((self.header(self.revision()), Err(refusal))),
        };
        loop {
            let stepped = self.read_on_lane(deadline, move |_store| {
                Ok(match under_way.step(HASH_STEP_BYTES) {
                    Ok(Some(hash)) => Hashed::Done(hash),
                    Ok(None) => Hashed::More(under_way),
                    Err(StoreFault::Replaced) => Hashed::Again,
                    Err(fault) => return Err(fault),
                })
            });
            under_way = match stepped.await? {
                Hashed::Done(hash) => return Ok((self.header(hash.current), Ok(hash))),
                Hashed::More(walk) => walk,
                Hashed::Again => match begin().await? {
                    Ok(walk) => Box::new(walk),
                    Err(refusal) => return Ok((self.header(self.revision()), Err(refusal))),
                },
            };
        }
    }

    fn revision(&self) -> Revision {
        self.inner.consensus.store().revision()
    }

    /// Has the background take all waste of compaction from the disk, also what would not pay
    /// otherwise. There is nothing to wait or to stop for.
    pub fn tidy(&self) {
        self.inner.consensus.store().tidy();
        self.inner.tidying.notify_one();
    }

    /// Waits until what a compaction made unreadable is gone from this node's disk.
    pub async fn reclaimed(&self, revision: Revision, deadline: Instant) -> Result<(), NodeError> {
        self.tidy();
        let mut reclaimed = self.inner.reclaimed.subscribe();
        let gone = reclaimed.wait_for(|reclaimed| *reclaimed >= revision);
        tokio::select! {
            biased;
            gone = timeout_at(deadline, gone) => match gone {
                Ok(Ok(_revision)) => Ok(()),
                Ok(Err(_closed)) => Err(NodeError::ShuttingDown),
                Err(_elapsed) => Err(NodeError::Timeout),
            },
            reason = self.failed() => Err(NodeError::Stopped(reason)),
        }
    }
}
