//! What followers do when the leader's process dies: they elect the next one at once, instead of
//! waiting until its silence is long enough.
//!
//! A process that dies closes its connections, and its machine refuses new ones. A follower that
//! sees both asks the other voters whether they are refused too. When a majority of the voters
//! is, the leader has no quorum and cannot get one, so an election disturbs nobody. A machine
//! that loses its power, a leader that hangs and a network that is cut refuse nothing: for them
//! the election timeout stays.
//!
//! Invariants: (1) an election begins only after a majority of the voters, this one among them,
//! was refused by the address of the leader that it followed; (2) of those who agree, the one with
//! the longest log goes first; (3) this moves an election forward and decides nothing: what makes
//! a leader is Raft's vote alone; (4) a node asks [`ASKED_AT_ONCE`] others at a time, so that in a large
//! cluster not everybody opens connections to everybody in the same moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use hstore_core::id::NodeId;
use hstore_core::membership::Membership;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::{TransferLeaderRequest, VoteRequest, VoteResponse};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::types::{RaftLogId, TypeConfig, Vote};
use super::{Consensus, kind, wire};
use crate::peer::{Caller, Directory};

/// How long other voters may take to answer, at least; where elections are slow, a part of those.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// How many others are asked at a time.
const ASKED_AT_ONCE: usize = 4;

/// How long each voter waits for the one that goes before it.
const STAGGER: Duration = Duration::from_millis(50);

/// Watches over the leader that this node follows. Clones are the same watch.
#[derive(Clone)]
pub(crate) struct Succession {
    consensus: Consensus,
    caller: Caller,
    ended: Arc<Notify>,
}

impl Succession {
    pub(crate) fn new(consensus: Consensus, caller: Caller) -> Succession {
        Succession {
            consensus,
            caller,
            ended: Arc::default(),
        }
    }

    fn directory(&self) -> &Directory {
        self.caller.directory()
    }

    /// Notes that a connection of a peer has ended.
    pub(crate) fn connection_ended(&self, from: NodeId) {
        if self
            .consensus
            .followed()
            .is_some_and(|vote| leader_of(&vote) == from)
        {
            self.ended.notify_one();
        }
    }

    /// Runs until the node ends.
    pub(crate) async fn run(self) {
        loop {
            self.ended.notified().await;
            self.look().await;
        }
    }

    /// Finds out whether the leader is gone, and if so, sees to the next one.
    async fn look(&self) {
        let Some(vote) = self.consensus.followed() else {
            return;
        };
        let membership = self.consensus.standing().membership;
        if !membership.is_voter(self.consensus.node())
            || !self.directory().is_gone(leader_of(&vote)).await
        {
            return;
        }
        if self.agreed(&vote, &membership).await {
            tracing::info!(leader = %leader_of(&vote), "the leader's process is gone");
            self.consensus.succeed(vote).await;
        }
    }

    /// Asks the other voters, a few at a time, until a majority agrees. Those that have the longest log
    /// go first: this node waits for each of them before it asks on. False also when an election has
    /// begun meanwhile.
    async fn agreed(&self, vote: &Vote, membership: &Membership) -> bool {
        let own = (self.consensus.last_log(), self.consensus.node());
        let question = wire::vote_request_out(&VoteRequest::new(*vote, own.0));
        let voters: BTreeSet<NodeId> = membership.voters.iter().flatten().copied().collect();
        let others = voters
            .into_iter()
            // Of logs that are equally long the one of the larger id goes first.
            .rev()
            .filter(|node| *node != own.1 && *node != leader_of(vote));
        let others: Vec<NodeId> = others.collect();
        let at_most = ANSWER_MAX.max(self.consensus.timing.election_max / 3);
        let mut agreed = vec![own];
        for few in others.chunks(ASKED_AT_ONCE) {
            let deadline = Instant::now() + at_most;
            let asked = few.iter().map(|node| {
                let body = question.clone();
                let asking = self.caller.call(*node, kind::GONE, body, deadline);
                async move {
                    let answer = asking.await.ok()?;
                    let answer = wire::vote_response_in(&answer)?;
                    answer.vote_granted.then_some((answer.last_log_id, *node))
                }
            });
            let agreeing: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
            let before_us = agreeing.iter().filter(|other| **other > own).count();
            agreed.extend(agreeing);
            sleep(STAGGER * u32::try_from(before_us).unwrap_or(u32::MAX)).await;
            if self.consensus.followed() != Some(*vote) {
                return false;
            }
            let is_majority = membership.voters.iter().all(|config| {
                let agreeing = agreed.iter().filter(|(_last, node)| config.contains(node));
                agreeing.count() > config.len() / 2
            });
            if is_majority {
                return true;
            }
        }
        false
    }

    /// Answers another voter: whether this node, too, finds that the leader is gone.
    pub(crate) async fn answer(&self, body: &Bytes) -> Option<Bytes> {
        let question = wire::vote_request_in(body)?;
        let own = self.consensus.followed();
        let leader = leader_of(&question.vote);
        let agrees = own == Some(question.vote) && self.directory().is_gone(leader).await;
        let last = self.consensus.last_log();
        let response = VoteResponse::new(question.vote, last, agrees);
        Some(wire::vote_response_out(&response))
    }
}

fn leader_of(vote: &Vote) -> NodeId {
    NodeId(vote.leader_id.node_id)
}

impl Consensus {
    /// The vote of the leader that this node follows, if it follows one.
    fn followed(&self) -> Option<Vote> {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let follows = server.state == ServerState::Follower && server.vote.committed;
        follows.then_some(server.vote)
    }

    /// The last entry of this node's log.
    fn last_log(&self) -> Option<RaftLogId> {
        self.raft.data_metrics().borrow_watched().last_log
    }

    /// Stands for election, as if the leader of `vote` had handed its leadership over.
    async fn succeed(&self, vote: Vote) {
        let request: TransferLeaderRequest<TypeConfig> =
            TransferLeaderRequest::new(vote, self.node.0, self.last_log());
        if let Err(fatal) = self.raft.handle_transfer_leader(request).await {
            tracing::debug!("no election: {fatal}");
        }
    }
}
