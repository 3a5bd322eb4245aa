//! What the nodes of a group say to each other about the log, in bytes.
//!
//! Invariants: (1) a decoder trusts nothing: what does not fit is no message; (2) entry payloads
//! travel as the bytes of the log; large ones in frames of their own, so that the same bytes go
//! to every peer without a copy.

use bytes::Bytes;
use hstore_core::codec;
use hstore_core::membership::Member;
use hstore_core::settings::NodeType;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::vote::RaftVote;

use super::codec::{decode_entry, encode_payload};
use super::snapshot::Meta;
use super::types::{LeaderId, RaftLogId, TypeConfig, Vote, membership_of, stored_membership};
use crate::peer::{decode, encode};

/// A payload of at least this size travels in a frame of its own.
const OWN_FRAME_BYTES_MIN: usize = 32 * 1024;

/// The most entries that one append may name; openraft is told to send fewer.
const ENTRIES_MAX: usize = 4096;

/// What a follower answered to an append: how far its log agrees, or why it does not.
pub(crate) type AppendResult = Result<Option<RaftLogId>, StreamAppendError<TypeConfig>>;

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct LogIdWire {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    leader: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct VoteWire {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

pub(crate) fn log_id_out(id: &RaftLogId) -> LogIdWire {
    LogIdWire {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

pub(crate) fn log_id_in(wire: LogIdWire) -> RaftLogId {
    let leader = LeaderId {
        term: wire.term,
        node_id: wire.leader,
    };
    RaftLogId::new(leader, wire.index)
}

pub(crate) fn vote_out(vote: &Vote) -> VoteWire {
    VoteWire {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(crate) fn vote_in(wire: VoteWire) -> Vote {
    let leader = LeaderId {
        term: wire.term,
        node_id: wire.node,
    };
    Vote::from_leader_id(leader, wire.committed)
}

// Votes.

#[derive(Clone, PartialEq, prost::Message)]
struct VoteRequestWire {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteWire>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdWire>,
    #[prost(bool, tag = "3")]
    transfer: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VoteResponseWire {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteWire>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdWire>,
    #[prost(bool, tag = "3")]
    granted: bool,
}

pub(crate) fn vote_request_out(request: &VoteRequest<TypeConfig>) -> Bytes {
    encode(&VoteRequestWire {
        vote: Some(vote_out(&request.vote)),
        last: request.last_log_id.as_ref().map(log_id_out),
        transfer: request.leadership_transfer,
    })
}

pub(crate) fn vote_request_in(bytes: &Bytes) -> Option<VoteRequest<TypeConfig>> {
    let wire: VoteRequestWire = decode(bytes)?;
    let mut request = VoteRequest::new(vote_in(wire.vote?), wire.last.map(log_id_in));
    request.leadership_transfer = wire.transfer;
    Some(request)
}

pub(crate) fn vote_response_out(response: &VoteResponse<TypeConfig>) -> Bytes {
    encode(&VoteResponseWire {
        vote: Some(vote_out(&response.vote)),
        last: response.last_log_id.as_ref().map(log_id_out),
        granted: response.vote_granted,
    })
}

pub(crate) fn vote_response_in(bytes: &Bytes) -> Option<VoteResponse<TypeConfig>> {
    let wire: VoteResponseWire = decode(bytes)?;
    Some(VoteResponse::new(
        vote_in(wire.vote?),
        wire.last.map(log_id_in),
        wire.granted,
    ))
}

// Transfer of leadership.

#[derive(Clone, PartialEq, prost::Message)]
struct TransferWire {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteWire>,
    #[prost(uint64, tag = "2")]
    to: u64,
    #[prost(message, optional, tag = "3")]
    last: Option<LogIdWire>,
}

pub(crate) fn transfer_out(request: &TransferLeaderRequest<TypeConfig>) -> Bytes {
    encode(&TransferWire {
        vote: Some(vote_out(request.from_leader())),
        to: *request.to_node_id(),
        last: request.last_log_id().map(log_id_out),
    })
}

pub(crate) fn transfer_in(bytes: &Bytes) -> Option<TransferLeaderRequest<TypeConfig>> {
    let wire: TransferWire = decode(bytes)?;
    Some(TransferLeaderRequest::new(
        vote_in(wire.vote?),
        wire.to,
        wire.last.map(log_id_in),
    ))
}

// Appends and heartbeats.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AppendWire {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteWire>,
    #[prost(message, optional, tag = "2")]
    prev: Option<LogIdWire>,
    #[prost(message, optional, tag = "3")]
    commit: Option<LogIdWire>,
    #[prost(message, repeated, tag = "4")]
    entries: Vec<EntryWire>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryWire {
    #[prost(message, optional, tag = "1")]
    id: Option<LogIdWire>,
    /// The payload, or nothing when it follows in a frame of its own.
    #[prost(bytes = "bytes", optional, tag = "2")]
    payload: Option<Bytes>,
}

impl AppendWire {
    /// How many payloads follow in frames of their own.
    pub(crate) fn frames_to_follow(&self) -> usize {
        let apart = self.entries.iter().filter(|entry| entry.payload.is_none());
        apart.count()
    }
}

/// The frames of an append.
pub(crate) fn append_out(request: &AppendEntriesRequest<TypeConfig>) -> Vec<Bytes> {
    let mut apart = Vec::new();
    let entries = request
        .entries
        .iter()
        .map(|entry| {
            let payload = encode_payload(&entry.payload);
            let payload = if payload.len() < OWN_FRAME_BYTES_MIN {
                Some(payload)
            } else {
                apart.push(payload);
                None
            };
            EntryWire {
                id: Some(log_id_out(&entry.log_id)),
                payload,
            }
        })
        .collect();
    let head = encode(&AppendWire {
        vote: Some(vote_out(&request.vote)),
        prev: request.prev_log_id.as_ref().map(log_id_out),
        commit: request.leader_commit.as_ref().map(log_id_out),
        entries,
    });
    let mut frames = vec![head];
    frames.append(&mut apart);
    frames
}

/// The append that a head and the frames after it say; none when they do not fit together.
pub(crate) fn append_in(
    head: AppendWire,
    apart: Vec<Bytes>,
) -> Option<AppendEntriesRequest<TypeConfig>> {
    if head.entries.len() > ENTRIES_MAX {
        return None;
    }
    let mut apart = apart.into_iter();
    let mut next = head.prev.map(|prev| prev.index + 1);
    let mut entries = Vec::with_capacity(head.entries.len());
    for entry in head.entries {
        let id = log_id_in(entry.id?);
        // openraft trusts its network not to invent holes.
        if next.unwrap_or(0) != id.index {
            return None;
        }
        next = Some(id.index + 1);
        let payload = match entry.payload {
            Some(payload) => payload,
            None => apart.next()?,
        };
        entries.push(decode_entry(id, payload).ok()?);
    }
    if apart.next().is_some() {
        return None;
    }
    Some(AppendEntriesRequest {
        vote: vote_in(head.vote?),
        prev_log_id: head.prev.map(log_id_in),
        entries,
        leader_commit: head.commit.map(log_id_in),
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct AppendAnswerWire {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(message, optional, tag = "2")]
    log_id: Option<LogIdWire>,
    #[prost(message, optional, tag = "3")]
    vote: Option<VoteWire>,
}

const MATCHING: u32 = 1;
const CONFLICT: u32 = 2;
const HIGHER_VOTE: u32 = 3;

pub(crate) fn append_answer_out(result: &AppendResult) -> Bytes {
    let wire = match result {
        Ok(matching) => AppendAnswerWire {
            kind: MATCHING,
            log_id: matching.as_ref().map(log_id_out),
            vote: None,
        },
        Err(StreamAppendError::Conflict(log_id)) => AppendAnswerWire {
            kind: CONFLICT,
            log_id: Some(log_id_out(log_id)),
            vote: None,
        },
        Err(StreamAppendError::HigherVote(vote)) => AppendAnswerWire {
            kind: HIGHER_VOTE,
            log_id: None,
            vote: Some(vote_out(vote)),
        },
    };
    encode(&wire)
}

pub(crate) fn append_answer_in(bytes: &Bytes) -> Option<AppendResult> {
    let wire: AppendAnswerWire = decode(bytes)?;
    match wire.kind {
        MATCHING => Some(Ok(wire.log_id.map(log_id_in))),
        CONFLICT => Some(Err(StreamAppendError::Conflict(log_id_in(wire.log_id?)))),
        HIGHER_VOTE => Some(Err(StreamAppendError::HigherVote(vote_in(wire.vote?)))),
        _ => None,
    }
}

// Snapshots: a begin, the bytes, an end; an offset back for every piece, a vote at the end.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotPush {
    /// In the first message: whose snapshot, of what.
    #[prost(message, optional, tag = "1")]
    pub(crate) begin: Option<SnapshotBegin>,
    /// In all others: where the bytes belong.
    #[prost(uint64, tag = "2")]
    pub(crate) offset: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) bytes: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotBegin {
    #[prost(message, optional, tag = "1")]
    vote: Option<VoteWire>,
    #[prost(message, optional, tag = "2")]
    last: Option<LogIdWire>,
    #[prost(bytes = "bytes", tag = "3")]
    membership: Bytes,
    #[prost(uint64, tag = "4")]
    pub(crate) len: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SnapshotPull {
    /// How many bytes have come.
    #[prost(uint64, tag = "1")]
    pub(crate) received: u64,
    /// Set when the snapshot was installed or refused by vote.
    #[prost(message, optional, tag = "2")]
    pub(crate) done: Option<VoteWire>,
    /// What went wrong; the sender begins again.
    #[prost(string, tag = "3")]
    pub(crate) failed: String,
}

pub(crate) fn snapshot_begin_out(vote: &Vote, meta: &Meta, len: u64) -> SnapshotBegin {
    SnapshotBegin {
        vote: Some(vote_out(vote)),
        last: meta.last_log_id.as_ref().map(log_id_out),
        membership: codec::encode_membership(&membership_of(&meta.last_membership)),
        len,
    }
}

pub(crate) fn snapshot_begin_in(wire: &SnapshotBegin) -> Option<(Vote, Meta)> {
    let membership = codec::decode_membership(wire.membership.clone()).ok()?;
    let meta = Meta {
        last_log_id: Some(log_id_in(wire.last?)),
        last_membership: stored_membership(&membership)?,
    };
    Some((vote_in(wire.vote?), meta))
}

// Questions about the log and the members.

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct IndexWire {
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MemberWire {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    peer_address: String,
    #[prost(string, tag = "4")]
    client_address: String,
    #[prost(fixed64, tag = "5")]
    incarnation: u64,
    #[prost(string, optional, tag = "6")]
    started_as: Option<String>,
}

/// A member that is expected.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExpectWire {
    #[prost(string, tag = "1")]
    pub(crate) peer_address: String,
    #[prost(bool, tag = "2")]
    pub(crate) learner: bool,
}

/// A member and what it is to be.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct TypeWire {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(bool, tag = "2")]
    pub(crate) voter: bool,
}

impl TypeWire {
    pub(crate) fn new(node: hstore_core::id::NodeId, kind: NodeType) -> TypeWire {
        TypeWire {
            node: node.0,
            voter: kind == NodeType::Voter,
        }
    }

    pub(crate) fn kind(self) -> NodeType {
        if self.voter {
            NodeType::Voter
        } else {
            NodeType::Learner
        }
    }
}

pub(crate) fn member_out(node: hstore_core::id::NodeId, member: &Member) -> MemberWire {
    MemberWire {
        node: node.0,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
        incarnation: member.incarnation.0,
        started_as: member.started_as.clone(),
    }
}

pub(crate) fn member_in(wire: MemberWire) -> (hstore_core::id::NodeId, Member) {
    let member = Member {
        name: wire.name,
        peer_address: wire.peer_address,
        client_address: wire.client_address,
        incarnation: hstore_core::id::Incarnation(wire.incarnation),
        started_as: wire.started_as,
    };
    (hstore_core::id::NodeId(wire.node), member)
}
