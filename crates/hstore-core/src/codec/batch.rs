//! The payload of a log entry: proposals side by side, decoded only when they are applied.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{encode_varint, encoded_len_varint};

use super::{DecodeError, frame};
use crate::id::LeaseTime;

/// Written by versions that knew no leases: without a time.
const WITHOUT_TIME: u8 = 1;

/// Written by this version.
const VERSION: u8 = 2;

/// So many places are made before the first proposal was seen; more grow as they come.
const PLACES_AT_FIRST: usize = 1024;

/// The proposals of one log entry, each encoded: a version byte, the time, their number, and each
/// with its length before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The leader's reading of the clock of the leases.
    pub time: LeaseTime,
    /// The proposals, in the order they are applied; none is empty.
    pub proposals: Vec<Bytes>,
}

impl Batch {
    /// How many bytes `encode` makes.
    pub fn encoded_len(&self) -> usize {
        let proposals: usize = self.proposals.iter().map(Batch::encoded_len_of).sum();
        1 + encoded_len_varint(self.time.0)
            + encoded_len_varint(self.proposals.len() as u64)
            + proposals
    }

    /// How many bytes one proposal takes within a batch.
    pub fn encoded_len_of(proposal: &Bytes) -> usize {
        encoded_len_varint(proposal.len() as u64) + proposal.len()
    }

    /// Encodes the batch in one allocation.
    pub fn encode(&self) -> Bytes {
        let mut buffer = BytesMut::with_capacity(self.encoded_len());
        self.encode_behind(&mut buffer);
        buffer.freeze()
    }

    /// Encodes the batch behind what is in a buffer.
    pub fn encode_behind(&self, buffer: &mut BytesMut) {
        buffer.put_u8(VERSION);
        encode_varint(self.time.0, buffer);
        encode_varint(self.proposals.len() as u64, buffer);
        for proposal in &self.proposals {
            encode_varint(proposal.len() as u64, buffer);
            buffer.put_slice(proposal);
        }
    }

    /// Decodes a batch; the proposals are slices of `bytes`.
    pub fn decode(mut bytes: Bytes) -> Result<Batch, DecodeError> {
        let time = match frame::version_up_to(&mut bytes, VERSION)? {
            WITHOUT_TIME => LeaseTime(0),
            _ => LeaseTime(frame::number(&mut bytes)?),
        };
        // A proposal takes two bytes at least, so a count beyond the bytes that are there is a lie.
        let count = frame::length(&mut bytes)?;
        let mut proposals = Vec::with_capacity(count.min(PLACES_AT_FIRST));
        for _ in 0..count {
            let len = frame::length(&mut bytes)?;
            if len == 0 {
                return Err(DecodeError::Malformed("an empty proposal"));
            }
            proposals.push(bytes.split_to(len));
        }
        if bytes.has_remaining() {
            return Err(DecodeError::Malformed("bytes behind the message"));
        }
        Ok(Batch { time, proposals })
    }
}
