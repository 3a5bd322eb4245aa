//! What consensus is told about our world, and the way between its words and ours.
//!
//! Invariant: a payload's bytes are made once, by the leader that proposes them; the log, the
//! peers and the state machine see the same bytes.

use std::fmt;

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex, NodeId, Term};
use hstore_core::membership::{Member, Membership};
use hstore_core::outcome::Outcome;
use openraft::alias::{LogIdOf, StoredMembershipOf};

use super::runtime::Runtime;

/// The types of consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Payload;
    type R = Vec<Outcome>;
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Payload, u64, Member>;
    type Entry = openraft::Entry<Self::LeaderId, Self::Payload>;
    type AsyncRuntime = Runtime;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: openraft::OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: openraft::OptionalSend + 'static;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// A log entry as consensus holds it.
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
/// A log id as consensus holds it.
pub(crate) type RaftLogId = LogIdOf<TypeConfig>;
/// A vote as consensus holds it.
pub(crate) type Vote = openraft::alias::VoteOf<TypeConfig>;
/// A leader as consensus names it.
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<TypeConfig>;
/// A membership with the entry that says so.
pub(crate) type StoredMembership = StoredMembershipOf<TypeConfig>;
/// A membership as consensus holds it.
pub(crate) type RaftMembership = openraft::Membership<u64, Member>;

/// The proposals of one log entry as the bytes that the log keeps.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Payload {
    /// The whole entry payload, its version and kind included (see `raft::codec`).
    pub(crate) bytes: Bytes,
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Our words for a log id.
pub(crate) fn log_id_of(id: &RaftLogId) -> LogId {
    LogId {
        term: Term(id.leader_id.term),
        leader: NodeId(id.leader_id.node_id),
        index: LogIndex(id.index),
    }
}

/// Consensus' words for a log id.
pub(crate) fn raft_log_id(id: LogId) -> RaftLogId {
    RaftLogId::new(
        LeaderId {
            term: id.term.0,
            node_id: id.leader.0,
        },
        id.index.0,
    )
}

/// Our words for a membership.
pub(crate) fn membership_of(stored: &StoredMembership) -> Membership {
    membership_parts(stored.log_id().as_ref().map(log_id_of), stored.membership())
}

/// Our words for a membership that stands at `log_id`.
pub(crate) fn membership_parts(log_id: Option<LogId>, membership: &RaftMembership) -> Membership {
    Membership {
        log_id,
        voters: membership
            .get_joint_config()
            .iter()
            .map(|config| config.iter().copied().map(NodeId).collect())
            .collect(),
        members: membership
            .nodes()
            .map(|(id, member)| (NodeId(*id), member.clone()))
            .collect(),
    }
}

/// Consensus' words for a membership; none when a voter is not a member.
pub(crate) fn raft_membership(membership: &Membership) -> Option<RaftMembership> {
    let configs = membership
        .voters
        .iter()
        .map(|config| config.iter().map(|id| id.0).collect())
        .collect();
    let nodes: std::collections::BTreeMap<u64, Member> = membership
        .members
        .iter()
        .map(|(id, member)| (id.0, member.clone()))
        .collect();
    RaftMembership::new(configs, nodes).ok()
}

/// Consensus' words for a membership with its entry.
pub(crate) fn stored_membership(membership: &Membership) -> Option<StoredMembership> {
    if membership.log_id.is_none() && membership.members.is_empty() {
        return Some(StoredMembership::default());
    }
    Some(StoredMembership::new(
        membership.log_id.map(raft_log_id),
        raft_membership(membership)?,
    ))
}
