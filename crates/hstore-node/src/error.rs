//! Everything that can go wrong at the door of a node, each with its stable code.

use hstore_core::auth::AuthRefusal;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, NodeId};

/// Why the node gave no answer. What the state machine refuses is not an error but an outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Whoever asks may not read that.
    #[error(transparent)]
    Denied(#[from] AuthRefusal),
    /// The caller's input makes no sense; says why.
    #[error("{0}")]
    Invalid(&'static str),
    /// Another member has the peer address, or is expected there.
    #[error("member {0} has this peer address already")]
    AddressTaken(NodeId),
    /// The member, or the member that a change would make, is named like another one.
    #[error("the name {name} belongs to member {holder} already")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        holder: NodeId,
    },
    /// Another change of the membership is under way, or this one is not safe.
    #[error("the membership cannot be changed now: {0}")]
    MembershipBusy(String),
    /// Not enough voters answer.
    #[error("{0}")]
    Unhealthy(&'static str),
    /// Fewer voters than a majority would run.
    #[error("{0}")]
    TooFewStarted(&'static str),
    /// The learner cannot get its vote yet.
    #[error("member {0} has not received everything yet, or does not run")]
    NotReady(NodeId),
    /// The member votes already.
    #[error("member {0} votes already")]
    NotALearner(NodeId),
    /// The member has no vote, so it cannot lead.
    #[error("member {0} has no vote, so it cannot lead")]
    CannotLead(NodeId),
    /// There is no such member.
    #[error("there is no member {0}")]
    MemberNotFound(NodeId),
    /// The leader refused, with this code and these words.
    #[error("{reason}")]
    Refused {
        /// The code.
        code: ErrorCode,
        /// What it said.
        reason: String,
    },
    /// No majority can be reached; nothing was proposed.
    #[error("no majority of the voters can be reached; nothing was written")]
    NoQuorum,
    /// The deadline passed after the write was handed on.
    #[error("the deadline passed after the write was handed on: it may be applied, now or later")]
    OutcomeUnknown,
    /// A bounded queue is full; nothing was proposed.
    #[error("too many requests wait; nothing was written")]
    Overloaded,
    /// The request does not fit into a log entry.
    #[error("the request is larger than a log entry may be")]
    TooLarge,
    /// The deadline of a read passed.
    #[error("the deadline passed")]
    Timeout,
    /// The node is stopping.
    #[error("the node is stopping")]
    ShuttingDown,
    /// The node stopped by itself; `Node::failed` says why.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

impl NodeError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            NodeError::Denied(refusal) => refusal.code(),
            NodeError::Invalid(_) | NodeError::NameTaken { .. } => ErrorCode::InvalidArgument,
            NodeError::AddressTaken(_) => ErrorCode::PeerAddressTaken,
            NodeError::Unhealthy(_) => ErrorCode::ClusterUnhealthy,
            NodeError::TooFewStarted(_) => ErrorCode::TooFewStarted,
            NodeError::NotReady(_) => ErrorCode::LearnerNotReady,
            NodeError::NotALearner(_) => ErrorCode::NotALearner,
            NodeError::CannotLead(_) => ErrorCode::CannotLead,
            NodeError::MembershipBusy(_) => ErrorCode::MembershipBusy,
            NodeError::MemberNotFound(_) => ErrorCode::NodeNotFound,
            NodeError::Refused { code, .. } => *code,
            NodeError::NoQuorum => ErrorCode::NoQuorum,
            NodeError::OutcomeUnknown => ErrorCode::OutcomeUnknown,
            NodeError::Overloaded => ErrorCode::Overloaded,
            NodeError::TooLarge => ErrorCode::RequestTooLarge,
            NodeError::Timeout => ErrorCode::Timeout,
            NodeError::ShuttingDown => ErrorCode::ShuttingDown,
            NodeError::Stopped(reason) => reason.code(),
        }
    }
}

/// Why a node stopped by itself, or was stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Somebody asked for it.
    #[error("stopped on request")]
    Requested,
    /// The node was removed from the cluster.
    #[error("this node was removed from the cluster; its data folder may be deleted")]
    Removed,
    /// The disk refused to read, write or sync.
    #[error("the disk failed: {0}")]
    DiskFailed(String),
    /// The disk has no room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// Bytes on the disk are not what was written.
    #[error("the data is damaged: {0}")]
    DataCorrupt(String),
    /// Something that should be impossible happened.
    #[error("an invariant is broken: {0}")]
    Internal(String),
}

impl StopReason {
    /// The stable code. A write that waits for its answer when the node stops gets
    /// `outcome_unknown` instead.
    pub fn code(&self) -> ErrorCode {
        match self {
            StopReason::Requested => ErrorCode::ShuttingDown,
            StopReason::Removed => ErrorCode::NodeRemoved,
            StopReason::DiskFailed(_) => ErrorCode::DiskFailed,
            StopReason::DiskFull(_) => ErrorCode::DiskFull,
            StopReason::DataCorrupt(_) => ErrorCode::DataCorrupt,
            StopReason::Internal(_) => ErrorCode::Internal,
        }
    }
}

/// Why an incoming connection was refused. The server answers with the code and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The peer belongs to another cluster.
    #[error("this node belongs to cluster {ours}, the peer to cluster {theirs}")]
    OtherCluster {
        /// This node's cluster.
        ours: ClusterId,
        /// The peer's.
        theirs: ClusterId,
    },
    /// The peer looks for another node.
    #[error("this is node {ours}, the peer looks for node {wanted}")]
    OtherNode {
        /// This node.
        ours: NodeId,
        /// Whom the peer wants.
        wanted: NodeId,
    },
    /// The peer has a member's id but not its data folder: it was wiped or copied.
    #[error("the data folder of node {0} is not the one that joined; join again under a new id")]
    OtherIncarnation(NodeId),
    /// The peer was removed.
    #[error("node {0} was removed from the cluster")]
    Removed(NodeId),
    /// The peer is no member as far as this node knows.
    #[error("node {0} is not a member of the cluster")]
    Unknown(NodeId),
    /// This node is stopping, or has too many connections of this peer.
    #[error("this node takes no connection now")]
    Unavailable,
}

impl AcceptError {
    /// The stable code.
    pub fn code(self) -> ErrorCode {
        match self {
            AcceptError::OtherCluster { .. }
            | AcceptError::OtherNode { .. }
            | AcceptError::OtherIncarnation(_) => ErrorCode::ClusterMismatch,
            AcceptError::Removed(_) => ErrorCode::NodeRemoved,
            AcceptError::Unknown(_) => ErrorCode::NodeNotFound,
            AcceptError::Unavailable => ErrorCode::ShuttingDown,
        }
    }
}

/// Why a node could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The data folder has no identity.
    #[error("the data folder has no identity")]
    NoIdentity,
    /// The identity names no cluster yet.
    #[error("the data folder belongs to no cluster yet")]
    NoCluster,
    /// The identity, the log or a snapshot is damaged.
    #[error("the data folder is damaged: {0}")]
    Corrupt(String),
    /// The identity, the log or a snapshot is of a newer format.
    #[error("the data folder is of a newer version of hstore: {0}")]
    TooNew(String),
    /// The disk refused.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// The disk has no room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The settings make no sense.
    #[error("{0}")]
    Config(String),
    /// Something that should be impossible happened.
    #[error("an invariant is broken: {0}")]
    Internal(String),
}

impl StartError {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            StartError::NoIdentity | StartError::NoCluster => ErrorCode::DataUnusable,
            StartError::Corrupt(_) => ErrorCode::DataCorrupt,
            StartError::TooNew(_) => ErrorCode::FormatTooNew,
            StartError::Disk(_) => ErrorCode::DiskFailed,
            StartError::DiskFull(_) => ErrorCode::DiskFull,
            StartError::Config(_) => ErrorCode::InvalidConfig,
            StartError::Internal(_) => ErrorCode::Internal,
        }
    }
}
