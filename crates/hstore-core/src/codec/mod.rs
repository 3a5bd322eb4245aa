//! Bytes of everything that is stored or sent between nodes.
use crate::{
    command::Proposal,
    id::LogId,
    membership::Membership,
    outcome::Outcome,
    range::{Range, RangeResult},
    record::Record,
};
use bytes::Bytes;
pub use error::DecodeError;
mod error;

/// The proposals of one log entry, each encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The proposals, in the order they are applied.
    pub proposals: Vec<Bytes>,
}
impl Batch {
    /// Encodes the batch.
    pub fn encode(&self) -> Bytes {
        todo!()
    }
    /// Decodes a batch; the proposals are slices of `bytes`.
    pub fn decode(_bytes: Bytes) -> Result<Batch, DecodeError> {
        todo!()
    }
}
macro_rules! stubs { ($($enc:ident $dec:ident $ty:ty;)*) => { $(
    /// Encodes.
    pub fn $enc(_: &$ty) -> Bytes { todo!() }
    /// Decodes.
    pub fn $dec(_: Bytes) -> Result<$ty, DecodeError> { todo!() }
)* } }
stubs! {
    encode_proposal decode_proposal Proposal;
    encode_outcome decode_outcome Outcome;
    encode_range decode_range Range;
    encode_range_result decode_range_result RangeResult;
    encode_record decode_record Record;
    encode_membership decode_membership Membership;
    encode_log_id decode_log_id LogId;
}
