//! The handle of one replica: what a server, a test or a simulator holds.
//!
//! Invariants: (1) a clone is the same node; (2) once the node has failed it gives no answer
//! again; (3) every call returns by its deadline.

use bytes::Bytes;
use hstore_core::command::Proposal;
use hstore_core::id::{Incarnation, NodeId, Revision};
use hstore_core::membership::Member;
use hstore_core::outcome::{Outcome, Refusal};
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::Record;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::NodeConfig;
use crate::env::{Duplex, Env, Hello};
use crate::error::{AcceptError, NodeError, StartError, StopReason};
use crate::status::{
    Allocation, Consistency, Header, JoinProgress, MemberStatus, NodeStatus, Standing,
};

/// One replica.
#[derive(Clone, Debug)]
pub struct Node {}

impl Node {
    /// Starts the node of a data folder that has an identity. A folder that is `Founding` founds
    /// its cluster; one that is `Joining` waits to be added by a member.
    pub async fn start(config: NodeConfig, env: Env) -> Result<Node, StartError> {
        let _todo = (config, env);
        todo!()
    }

    /// Takes an incoming connection of a peer.
    pub fn accept(&self, hello: &Hello, duplex: Duplex) -> Result<(), AcceptError> {
        let _todo = (hello, duplex);
        todo!()
    }

    /// Changes the store. The command must have passed the checks of the door.
    pub async fn propose(
        &self,
        proposal: Proposal,
        deadline: Instant,
    ) -> Result<(Header, Outcome), NodeError> {
        let _todo = (proposal, deadline);
        todo!()
    }

    /// Reads the store.
    pub async fn range(
        &self,
        range: Range,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Header, Result<RangeResult, Refusal>), NodeError> {
        let _todo = (range, consistency, deadline);
        todo!()
    }

    /// The records of one key, tombstones too, newest first: at most `limit` of them (0 is no
    /// limit), all below the revision `before` (0 is no bound).
    pub async fn history(
        &self,
        key: Bytes,
        limit: u64,
        before: Revision,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Header, Vec<Record>), NodeError> {
        let _todo = (key, limit, before, consistency, deadline);
        todo!()
    }

    /// Gives a data folder its node id: the same one whenever the same folder asks.
    pub async fn allocate(
        &self,
        incarnation: Incarnation,
        deadline: Instant,
    ) -> Result<Allocation, NodeError> {
        let _todo = (incarnation, deadline);
        todo!()
    }

    /// Brings an allocated node into the cluster: learner, caught up, voter. The receiver ends
    /// after `Voter` or after an error. Calling it again resumes.
    pub fn add_member(
        &self,
        node: NodeId,
        member: Member,
        deadline: Instant,
    ) -> mpsc::Receiver<Result<JoinProgress, NodeError>> {
        let _todo = (node, member, deadline);
        todo!()
    }

    /// Removes a member from the cluster.
    pub async fn remove_member(&self, node: NodeId, deadline: Instant) -> Result<(), NodeError> {
        let _todo = (node, deadline);
        todo!()
    }

    /// Hands leadership to a voter, or to the best one; answers who leads afterwards.
    pub async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        deadline: Instant,
    ) -> Result<NodeId, NodeError> {
        let _todo = (to, deadline);
        todo!()
    }

    /// Everything the node says of itself, as of now.
    pub fn status(&self) -> NodeStatus {
        todo!()
    }

    /// Follows role, term, leader and membership.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        todo!()
    }

    /// The status of every member; those that do not answer by the deadline are rows without an
    /// answer.
    pub async fn cluster(&self, deadline: Instant) -> Vec<MemberStatus> {
        let _todo = deadline;
        todo!()
    }

    /// Stops: refuses new work, hands leadership over, drains, flushes, closes. What is not done
    /// by the deadline is left to the next start.
    pub async fn stop(&self, deadline: Instant) {
        let _todo = deadline;
        todo!()
    }

    /// Resolves when the node has stopped, with the reason.
    pub async fn failed(&self) -> StopReason {
        todo!()
    }
}
