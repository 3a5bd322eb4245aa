//! The bytes of an entry's payload and of a vote, as the log keeps them and peers send them.
//!
//! An entry payload is a version byte, a kind byte and a body: nothing for a blank entry, the
//! encoded batch for proposals, the encoded membership for a membership. A vote is a version byte
//! and a prost message.
//!
//! Invariants: (1) what was written once is read for ever; (2) a decoder never panics and never
//! trusts a length.

use bytes::{BufMut, Bytes, BytesMut};
use hstore_core::codec::{self, Batch};
use hstore_core::command::Proposal;
use hstore_core::id::LeaseTime;
use openraft::EntryPayload;
use openraft::vote::RaftVote;
use prost::Message;

use super::types::{Entry, LeaderId, Payload, RaftLogId, Vote, membership_parts, raft_membership};

/// The version byte of entry payloads.
const ENTRY_VERSION: u8 = 1;
/// The version byte of votes.
const VOTE_VERSION: u8 = 1;

const KIND_BLANK: u8 = 0;
const KIND_BATCH: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// How many bytes come before the body of a payload.
const HEAD: usize = 2;

/// Why bytes from the disk or from a peer are not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// Not the bytes of this thing.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A version that this one does not know.
    #[error("{what} is of version {found}, which this version of hstore does not know")]
    TooNew {
        /// Which thing.
        what: &'static str,
        /// The version.
        found: u8,
    },
}

/// What an entry says, in our words.
pub(crate) enum Body {
    /// Nothing.
    Blank,
    /// These proposals, as an encoded batch.
    Batch(Bytes),
    /// This membership, as it was encoded.
    Membership(Bytes),
}

/// The payload of an entry that carries these encoded proposals, stamped with the time.
pub(crate) fn encode_batch(time: LeaseTime, proposals: Vec<Bytes>) -> Payload {
    let batch = Batch { time, proposals };
    let mut bytes = BytesMut::with_capacity(HEAD + batch.encoded_len());
    bytes.put_u8(ENTRY_VERSION);
    bytes.put_u8(KIND_BATCH);
    batch.encode_behind(&mut bytes);
    Payload {
        bytes: bytes.freeze(),
    }
}

/// The payload bytes of an entry.
pub(crate) fn encode_payload(
    payload: &EntryPayload<Payload, u64, hstore_core::membership::Member>,
) -> Bytes {
    match payload {
        EntryPayload::Blank => Bytes::from_static(&[ENTRY_VERSION, KIND_BLANK]),
        EntryPayload::Normal(payload) => payload.bytes.clone(),
        EntryPayload::Membership(membership) => {
            let body = codec::encode_membership(&membership_parts(None, membership));
            let mut bytes = BytesMut::with_capacity(HEAD + body.len());
            bytes.put_u8(ENTRY_VERSION);
            bytes.put_u8(KIND_MEMBERSHIP);
            bytes.put_slice(&body);
            bytes.freeze()
        }
    }
}

/// What payload bytes say.
pub(crate) fn decode_body(bytes: &Bytes) -> Result<Body, CodecError> {
    const WHAT: &str = "a log entry";
    match (bytes.first(), bytes.get(1)) {
        (Some(&ENTRY_VERSION), Some(&KIND_BLANK)) if bytes.len() == HEAD => Ok(Body::Blank),
        (Some(&ENTRY_VERSION), Some(&KIND_BATCH)) => Ok(Body::Batch(bytes.slice(HEAD..))),
        (Some(&ENTRY_VERSION), Some(&KIND_MEMBERSHIP)) => Ok(Body::Membership(bytes.slice(HEAD..))),
        (Some(&found), _) if found > ENTRY_VERSION => Err(CodecError::TooNew { what: WHAT, found }),
        _ => Err(CodecError::Malformed(WHAT)),
    }
}

/// What the entry with these payload bytes asks for, in the order in which it is applied; what is
/// not understood changes nothing.
pub fn proposals_of(payload: &Bytes) -> Vec<Option<Proposal>> {
    let Ok(Body::Batch(batch)) = decode_body(payload) else {
        return Vec::new();
    };
    let proposals = Batch::decode(batch).map(|batch| batch.proposals);
    let proposals = proposals.unwrap_or_default().into_iter();
    proposals
        .map(|bytes| codec::decode_proposal(bytes).ok())
        .collect()
}

/// The entry with this id and these payload bytes.
pub(crate) fn decode_entry(id: RaftLogId, bytes: Bytes) -> Result<Entry, CodecError> {
    let payload = match decode_body(&bytes)? {
        Body::Blank => EntryPayload::Blank,
        Body::Batch(_) => EntryPayload::Normal(Payload { bytes }),
        Body::Membership(body) => {
            let malformed = CodecError::Malformed("a membership in the log");
            let membership = codec::decode_membership(body).map_err(|_error| malformed.clone())?;
            EntryPayload::Membership(raft_membership(&membership).ok_or(malformed)?)
        }
    };
    Ok(Entry {
        log_id: id,
        payload,
    })
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct VoteWire {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    node: u64,
    #[prost(bool, tag = "3")]
    committed: bool,
}

/// The bytes of a vote.
pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let wire = VoteWire {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    };
    let mut bytes = BytesMut::with_capacity(1 + wire.encoded_len());
    bytes.put_u8(VOTE_VERSION);
    bytes.put_slice(&wire.encode_to_vec());
    bytes.freeze()
}

/// The vote in `bytes`.
pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, CodecError> {
    const WHAT: &str = "a vote";
    let (version, rest) = bytes.split_first().ok_or(CodecError::Malformed(WHAT))?;
    if *version != VOTE_VERSION {
        return Err(CodecError::TooNew {
            what: WHAT,
            found: *version,
        });
    }
    let wire = VoteWire::decode(rest).map_err(|_error| CodecError::Malformed(WHAT))?;
    let leader = LeaderId {
        term: wire.term,
        node_id: wire.node,
    };
    Ok(Vote::from_leader_id(leader, wire.committed))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use hstore_core::id::{Incarnation, NodeId};
    use hstore_core::membership::{Member, Membership};

    use super::*;

    fn id() -> RaftLogId {
        RaftLogId::new(
            LeaderId {
                term: 2,
                node_id: 1,
            },
            7,
        )
    }

    #[test]
    fn every_kind_of_entry_comes_back_as_it_was() {
        let membership = raft_membership(&Membership {
            log_id: None,
            voters: vec![BTreeSet::from([NodeId(1)])],
            members: BTreeMap::from([(
                NodeId(1),
                Member {
                    name: "a".to_owned(),
                    started_as: Some("b".to_owned()),
                    peer_address: "a:1".to_owned(),
                    client_address: "a:2".to_owned(),
                    incarnation: Incarnation(5),
                },
            )]),
        })
        .expect("the voter is a member");
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(encode_batch(
                LeaseTime(300),
                vec![Bytes::from_static(b"one")],
            )),
            EntryPayload::Membership(membership),
        ] {
            let bytes = encode_payload(&payload);
            let entry = decode_entry(id(), bytes).expect("just encoded");
            assert_eq!(entry.payload, payload);
            assert_eq!(entry.log_id, id());
        }
    }

    #[test]
    fn a_blank_entry_and_a_vote_keep_their_bytes_for_ever() {
        assert_eq!(&encode_payload(&EntryPayload::Blank)[..], &[1, 0]);
        let vote = Vote::new_committed(3, 2);
        assert_eq!(&encode_vote(&vote)[..], &[1, 8, 3, 16, 2, 24, 1]);
        assert_eq!(decode_vote(&[1, 8, 3, 16, 2, 24, 1]), Ok(vote));
    }

    #[test]
    fn a_batch_entry_begins_with_its_version_and_kind() {
        let payload = encode_batch(LeaseTime(300), vec![Bytes::from_static(b"one")]);
        assert_eq!(&payload.bytes[..HEAD], &[1, 1]);
        let Ok(Body::Batch(body)) = decode_body(&payload.bytes) else {
            panic!("a batch was encoded");
        };
        let batch = Batch::decode(body).expect("just encoded");
        assert_eq!(batch.proposals, vec![Bytes::from_static(b"one")]);
    }

    #[test]
    fn bytes_of_nonsense_or_of_a_newer_version_are_refused() {
        for bytes in [
            &[][..],
            &[1],
            &[1, 9],
            &[0, 0],
            &[1, 0, 0],
            &[1, 2, 255, 255],
        ] {
            assert!(decode_entry(id(), Bytes::copy_from_slice(bytes)).is_err());
        }
        assert_eq!(
            decode_entry(id(), Bytes::from_static(&[2, 0])).err(),
            Some(CodecError::TooNew {
                what: "a log entry",
                found: 2
            })
        );
        assert!(decode_vote(&[]).is_err());
        assert!(decode_vote(&[1, 255]).is_err());
        assert!(decode_vote(&[2, 8, 3]).is_err());
    }
}
