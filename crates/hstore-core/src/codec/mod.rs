//! Bytes of everything that is logged, kept or sent between nodes, for ever.
//!
//! This room knows the core's types and nothing of files, sockets or the doors' own formats.
//!
//! Invariants: (1) every format is a version byte, the length of the message as a varint, and a
//! protobuf message, with nothing behind it, so that cut and padded bytes are refused; (2) a
//! version byte that is not known is refused, never guessed at; (3) what is encoded decodes to an
//! equal value; (4) equal values encode to equal bytes on every node; (5) a decoder never panics
//! and allocates in proportion to the bytes that are there, not to lengths they claim; (6) decoded
//! byte strings are slices of the input.

use bytes::Bytes;

use crate::command::Proposal;
use crate::id::LogId;
use crate::membership::Membership;
use crate::outcome::Outcome;
use crate::range::{Range, RangeResult};
use crate::record::Record;

pub use batch::Batch;
pub use error::DecodeError;

mod auth;
mod batch;
mod command;
mod error;
pub(crate) mod frame;
mod membership;
mod outcome;
mod range;
mod record;
mod settings;
pub(crate) mod wire;

/// The newest version of each format but the batch; they are at their first.
const VERSION: u8 = 1;

/// Encodes a proposal, once, at the door; the same bytes travel, are logged and are applied.
pub fn encode_proposal(proposal: &Proposal) -> Bytes {
    frame::encode(&wire::Proposal::from(proposal))
}

/// Decodes a proposal.
pub fn decode_proposal(bytes: Bytes) -> Result<Proposal, DecodeError> {
    frame::decode::<wire::Proposal>(bytes)?.try_into()
}

/// Encodes a proposal into a buffer that is used again and again.
pub(crate) fn encode_proposal_into(buffer: &mut Vec<u8>, proposal: &Proposal) {
    frame::encode_into(buffer, &wire::Proposal::from(proposal));
}

/// Encodes an outcome.
pub fn encode_outcome(outcome: &Outcome) -> Bytes {
    frame::encode(&wire::Outcome::from(outcome))
}

/// Decodes an outcome.
pub fn decode_outcome(bytes: Bytes) -> Result<Outcome, DecodeError> {
    frame::decode::<wire::Outcome>(bytes)?.try_into()
}

/// Encodes an outcome into a buffer that is used again and again.
pub(crate) fn encode_outcome_into(buffer: &mut Vec<u8>, outcome: &Outcome) {
    frame::encode_into(buffer, &wire::Outcome::from(outcome));
}

/// Encodes a range.
pub fn encode_range(range: &Range) -> Bytes {
    frame::encode(&wire::Range::from(range))
}

/// Decodes a range.
pub fn decode_range(bytes: Bytes) -> Result<Range, DecodeError> {
    frame::decode::<wire::Range>(bytes)?.try_into()
}

/// Encodes what a range answered.
pub fn encode_range_result(result: &RangeResult) -> Bytes {
    frame::encode(&wire::RangeResult::from(result))
}

/// Decodes what a range answered.
pub fn decode_range_result(bytes: Bytes) -> Result<RangeResult, DecodeError> {
    frame::decode::<wire::RangeResult>(bytes).map(RangeResult::from)
}

/// Encodes a record.
pub fn encode_record(record: &Record) -> Bytes {
    frame::encode(&wire::Record::from(record))
}

/// Decodes a record.
pub fn decode_record(bytes: Bytes) -> Result<Record, DecodeError> {
    frame::decode::<wire::Record>(bytes).map(Record::from)
}

/// Encodes a membership.
pub fn encode_membership(membership: &Membership) -> Bytes {
    frame::encode(&wire::Membership::from(membership))
}

/// Decodes a membership.
pub fn decode_membership(bytes: Bytes) -> Result<Membership, DecodeError> {
    frame::decode::<wire::Membership>(bytes)?.try_into()
}

/// Encodes a log id.
pub fn encode_log_id(log_id: &LogId) -> Bytes {
    frame::encode(&wire::LogId::from(*log_id))
}

/// Decodes a log id.
pub fn decode_log_id(bytes: Bytes) -> Result<LogId, DecodeError> {
    frame::decode::<wire::LogId>(bytes).map(LogId::from)
}
