//! What all tasks of a node share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::{NodeId, Revision};
use hstore_core::membership::Member;
use hstore_core::settings::NodeType;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use crate::answers::Answers;
use crate::backup::Backups;
use crate::config::NodeConfig;
use crate::env::{Env, Lane};
use crate::error::NodeError;
use crate::fate::Fate;
use crate::follow::Guests;
use crate::identity::Identity;
use crate::members::{Members, StepError, at_most};
use crate::peer::{CallError, Caller, Directory, encode};
use crate::propose::Queue;
use crate::raft::wire::{ExpectWire, IndexWire, TypeWire, member_out};
use crate::raft::{Consensus, Succession, kind};
use crate::read::Reads;
use crate::status::{Header, JoinProgress, MemberAnswer, Standing};
use crate::tasks::Tasks;
use crate::watch::{Archive, Hub};
use crate::wire::progress_in;

/// The pause before a step is asked for again.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// How long a leader may take for one step before it is asked again.
const STEP_CALL_MAX: Duration = Duration::from_secs(6);

/// What all tasks of a node share.
pub(crate) struct Inner {
    pub(crate) config: NodeConfig,
    pub(crate) env: Env,
    pub(crate) identity: Identity,
    pub(crate) fate: Fate,
    pub(crate) tasks: Tasks,
    pub(crate) directory: Directory,
    pub(crate) caller: Caller,
    pub(crate) consensus: Consensus,
    pub(crate) members: Members,
    pub(crate) succession: Succession,
    pub(crate) queue: Queue,
    pub(crate) reads: Reads,
    pub(crate) hub: Arc<Hub>,
    /// Requests of other nodes that are followed.
    pub(crate) guests: Guests,
    pub(crate) standing: watch::Receiver<Standing>,
    pub(crate) started: Instant,
    pub(crate) stopping: AtomicBool,
    pub(crate) sessions: Arc<AtomicUsize>,
    pub(crate) closed: watch::Receiver<bool>,
    /// Reads on read lanes; a read more waits for one of them.
    pub(crate) lane_reads: Arc<Semaphore>,
    /// What reads of ranges have found.
    pub(crate) answers: Arc<Answers>,
    pub(crate) backups: Backups,
    /// Places for claims that wait.
    pub(crate) claims: Arc<Semaphore>,
    pub(crate) identity_lane: Lane,
    /// The hash that is being computed; one more waits.
    pub(crate) hashes: Arc<Semaphore>,
    /// The compaction whose waste is gone.
    pub(crate) reclaimed: watch::Sender<Revision>,
    /// Somebody waits for compaction.
    pub(crate) tidying: Notify,
    /// What the program around the node wrote down of itself.
    pub(crate) note: Mutex<Bytes>,
}

/// One step that only a leader can do.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Advance(NodeId, Member),
    HandOver(Option<NodeId>),
    Become(NodeId, NodeType),
    MayBe(NodeId, NodeType),
    MayExpect { peer_address: String, learner: bool },
    Moved(NodeId, Member),
    Promote(NodeId),
    Remove(NodeId),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Advanced(JoinProgress),
    Other,
}

impl Inner {
    /// What the cluster should know of this node.
    pub(crate) fn member(&self) -> Member {
        let member = Member {
            name: self.config.name.clone(),
            started_as: None,
            peer_address: self.config.peer_address.clone(),
            client_address: self.config.client_address.clone(),
            incarnation: self.identity.incarnation,
        };
        member.called(Some(&self.effective().name))
    }

    /// The header of an answer as of now.
    pub(crate) fn header(&self, revision: Revision) -> Header {
        Header {
            cluster: self.identity.cluster,
            member: self.identity.node,
            term: self.consensus.term(),
            revision,
        }
    }

    /// What this node says of itself to its peers.
    pub(crate) fn member_answer(&self) -> MemberAnswer {
        let standing = self.consensus.standing();
        let positions = self.consensus.positions();
        let store = self.consensus.store().stats();
        MemberAnswer {
            role: standing.role,
            term: standing.term,
            leader: self.consensus.leader(),
            applied: store.applied.map(|id| id.index).unwrap_or_default(),
            committed: positions.committed.map(|id| id.index).unwrap_or_default(),
            last: positions.last.unwrap_or_default(),
            revision: store.revision,
            state_hash: store.state_hash,
            version: self.config.version.clone(),
            uptime: self.started.elapsed(),
            note: self.note(),
            settings: self.consensus.settings().borrow().version(),
        }
    }

    /// What the program around the node wrote down of itself.
    pub(crate) fn note(&self) -> Bytes {
        let note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        note.clone()
    }

    /// Where history is read.
    pub(crate) fn archive(&self) -> Archive {
        Archive {
            store: self.consensus.store().clone(),
            lanes: self.env.lanes.clone(),
            places: self.lane_reads.clone(),
            fate: self.fate.clone(),
        }
    }

    /// Writes the identity, on a lane.
    pub(crate) async fn write_identity(&self, identity: Identity) -> Result<(), String> {
        let disk = self.env.disk.clone();
        let dir = self.config.data_dir.clone();
        let written = self
            .identity_lane
            .run(move || identity.write(&*disk, &dir))
            .await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(closed) => Err(closed.to_string()),
        }
    }

    /// Has a leader do a step, again and again until it is done, refused, or too late.
    pub(crate) async fn step(&self, step: &Step, deadline: Instant) -> Result<Done, NodeError> {
        loop {
            match self.step_once(step, deadline).await {
                Ok(done) => return Ok(done),
                Err(StepError::Refused(error)) => return Err(error),
                Err(StepError::Again) => {}
            }
            if Instant::now() + STEP_PAUSE >= deadline {
                return Err(if self.consensus.leader().is_none() {
                    NodeError::NoQuorum
                } else {
                    NodeError::Timeout
                });
            }
            sleep(STEP_PAUSE).await;
        }
    }

    async fn step_once(&self, step: &Step, deadline: Instant) -> Result<Done, StepError> {
        let leader = self.consensus.leader().ok_or(StepError::Again)?;
        let deadline = at_most(deadline, STEP_CALL_MAX);
        if leader == self.identity.node {
            let here = timeout_at(deadline, self.step_here(step));
            return here.await.unwrap_or(Err(StepError::Again));
        }
        let (kind, body) = match step {
            Step::Advance(node, member) => (kind::ADVANCE, encode(&member_out(*node, member))),
            Step::HandOver(to) => {
                let index = to.map_or(0, |to| to.0);
                (kind::HAND_OVER, encode(&IndexWire { index }))
            }
            Step::MayExpect {
                peer_address,
                learner,
            } => {
                let wire = ExpectWire {
                    peer_address: peer_address.clone(),
                    learner: *learner,
                };
                (kind::MAY_EXPECT, encode(&wire))
            }
            Step::Become(node, kind) => (kind::BECOME, encode(&TypeWire::new(*node, *kind))),
            Step::MayBe(node, kind) => (kind::MAY_BE, encode(&TypeWire::new(*node, *kind))),
            Step::Promote(node) => (kind::PROMOTE, encode(&IndexWire { index: node.0 })),
            Step::Moved(node, member) => (kind::MOVED, encode(&member_out(*node, member))),
            Step::Remove(node) => (kind::REMOVE, encode(&IndexWire { index: node.0 })),
        };
        let answer = self.caller.call(leader, kind, body, deadline).await;
        match answer {
            Ok(body) => Self::step_done(step, &body),
            Err(CallError::Refused(refused)) => Err(StepError::of_refusal(refused)),
            Err(CallError::Broken | CallError::Timeout | CallError::Unreachable(_)) => {
                Err(StepError::Again)
            }
        }
    }

    fn step_done(step: &Step, body: &Bytes) -> Result<Done, StepError> {
        match step {
            Step::Advance(..) => progress_in(body)
                .map(Done::Advanced)
                .ok_or(StepError::Again),
            Step::Become(..)
            | Step::HandOver(_)
            | Step::MayBe(..)
            | Step::MayExpect { .. }
            | Step::Moved(..)
            | Step::Promote(_)
            | Step::Remove(_) => Ok(Done::Other),
        }
    }

    async fn step_here(&self, step: &Step) -> Result<Done, StepError> {
        match step.clone() {
            Step::Advance(node, member) => {
                let progress = self.members.advance(node, member).await?;
                Ok(Done::Advanced(progress))
            }
            Step::Become(node, kind) => {
                self.members.become_type(node, kind).await?;
                Ok(Done::Other)
            }
            Step::MayBe(node, kind) => {
                self.members.may_be(node, kind)?;
                Ok(Done::Other)
            }
            Step::HandOver(to) => self.members.hand_over(to).await.map(|_leader| Done::Other),
            Step::Moved(node, member) => {
                self.members.moved(node, member).await?;
                Ok(Done::Other)
            }
            Step::MayExpect {
                peer_address,
                learner,
            } => {
                self.members.may_expect(&peer_address, learner)?;
                Ok(Done::Other)
            }
            Step::Promote(node) => {
                self.members.promote(node).await?;
                Ok(Done::Other)
            }
            Step::Remove(node) => {
                self.members.remove(node).await?;
                Ok(Done::Other)
            }
        }
    }

    /// Tells the leader where this node is now. It may be that nobody can reach this node at its
    /// old address, so that it knows of no leader: then it asks every member whether it leads.
    pub(crate) async fn moved(&self, member: Member, deadline: Instant) -> Result<(), NodeError> {
        let node = self.identity.node;
        if self.consensus.leader().is_some() {
            let step = Step::Moved(node, member);
            return self.step(&step, deadline).await.map(|_done| ());
        }
        let body = encode(&member_out(node, &member));
        let membership = self.consensus.standing().membership;
        let others = membership.members.keys().filter(|other| **other != node);
        let asked = others.map(|other| {
            let asking = self
                .caller
                .call(*other, kind::MOVED, body.clone(), deadline);
            Box::pin(asking)
        });
        match futures::future::select_ok(asked.collect::<Vec<_>>()).await {
            Ok(_taken) => Ok(()),
            Err(CallError::Refused(refused)) => match StepError::of_refusal(refused) {
                StepError::Again => Err(NodeError::NoQuorum),
                StepError::Refused(error) => Err(error),
            },
            Err(CallError::Broken | CallError::Timeout | CallError::Unreachable(_)) => {
                Err(NodeError::NoQuorum)
            }
        }
    }
}
