//! The beginning of a segment: a short preamble, and the payload of the head record, which says
//! all of the log's state that earlier segments hold, so that they can be dropped.

use bytes::Bytes;
use hstore_core::id::LogId;

use super::record::{decode_id, encode_id, u32_at, u64_at};

/// The bytes that mark a log segment.
const MAGIC: &[u8; 7] = b"hstrlog";
/// The format of segments and records that this program writes, and the newest it reads.
pub(super) const VERSION: u8 = 1;
/// Bytes before the first record.
pub(super) const PREAMBLE_BYTES: u32 = 16;
/// Where the vote begins in a head's payload.
const VOTE_AT: usize = 72;

const HAS_PURGED: u8 = 1;
const HAS_LAST: u8 = 2;
const HAS_VOTE: u8 = 4;

/// What the first bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preamble {
    /// A segment of this sequence number in our format.
    Ours,
    /// A segment of this sequence number in a newer format.
    TooNew(u8),
    /// Anything else: an empty file, an earlier life of a recycled one, or damage.
    Other,
}

pub(super) fn encode_preamble(sequence: u64) -> [u8; PREAMBLE_BYTES as usize] {
    let mut bytes = [0; PREAMBLE_BYTES as usize];
    bytes[..7].copy_from_slice(MAGIC);
    bytes[7] = VERSION;
    bytes[8..].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

pub(super) fn decode_preamble(bytes: &[u8], sequence: u64) -> Preamble {
    let ours = encode_preamble(sequence);
    match bytes.first_chunk::<{ PREAMBLE_BYTES as usize }>() {
        Some(found) if *found == ours => Preamble::Ours,
        Some(found) if found[..7] == ours[..7] && found[8..] == ours[8..] && found[7] > VERSION => {
            Preamble::TooNew(found[7])
        }
        _ => Preamble::Other,
    }
}

/// The state of the log where a segment begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The first segment that is still needed; this one's number if no earlier one is.
    pub(super) first_segment: u64,
    /// Where the last record of the segment before ends; 0 if there never was one.
    pub(super) previous_end: u32,
    /// How long this segment's file is at least: a shorter one was cut by someone else.
    pub(super) len: u32,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) vote: Option<Bytes>,
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(VOTE_AT + self.vote.as_ref().map_or(0, Bytes::len));
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        bytes.extend_from_slice(&self.first_segment.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.to_le_bytes());
        bytes.extend_from_slice(&self.len.to_le_bytes());
        let flags = flag(self.purged.is_some(), HAS_PURGED)
            | flag(self.last.is_some(), HAS_LAST)
            | flag(self.vote.is_some(), HAS_VOTE);
        bytes.extend_from_slice(&[flags, 0, 0, 0, 0, 0, 0, 0]);
        encode_id(&mut bytes, self.purged.unwrap_or_default());
        encode_id(&mut bytes, self.last.unwrap_or_default());
        bytes.extend_from_slice(self.vote.as_deref().unwrap_or_default());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
        let flags = *bytes.get(16)?;
        let vote = bytes.get(VOTE_AT..)?;
        let purged = decode_id(&bytes[24..])?;
        let last = decode_id(&bytes[48..])?;
        Some(Head {
            first_segment: u64_at(bytes, 0)?,
            previous_end: u32_at(bytes, 8)?,
            len: u32_at(bytes, 12)?,
            purged: (flags & HAS_PURGED != 0).then_some(purged),
            last: (flags & HAS_LAST != 0).then_some(last),
            vote: (flags & HAS_VOTE != 0).then(|| Bytes::copy_from_slice(vote)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

    use hstore_core::id::{LogIndex, NodeId, Term};

    use super::*;

    fn id(index: u64) -> LogId {
        LogId {
            index: LogIndex(index),
            term: Term(2),
            leader: NodeId(3),
        }
    }

    #[test]
    fn the_preamble_stays_as_it_is() {
        assert_eq!(&encode_preamble(0x0a0b), b"hstrlog\x01\x0b\x0a\0\0\0\0\0\0");
    }

    #[test]
    fn the_head_stays_as_it_is() {
        let head = Head {
            first_segment: 4,
            previous_end: 0x0102,
            len: 0x0400,
            purged: Some(id(7)),
            last: Some(id(9)),
            vote: Some(Bytes::from_static(b"vote")),
        };
        let golden: &[u8] = b"\x04\0\0\0\0\0\0\0\x02\x01\0\0\0\x04\0\0\x07\0\0\0\0\0\0\0\
            \x07\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\
            \x09\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0vote";
        assert_eq!(head.encode(), golden);
        assert_eq!(Head::decode(golden), Some(head));
    }

    #[test]
    fn a_head_without_state_reads_back_and_a_short_one_is_refused() {
        let head = Head {
            first_segment: 1,
            ..Head::default()
        };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        assert_eq!(Head::decode(&bytes[..71]), None);
    }

    #[test]
    fn a_newer_version_is_told_from_another_life_of_the_file() {
        let mut bytes = encode_preamble(5);
        assert_eq!(decode_preamble(&bytes, 5), Preamble::Ours);
        assert_eq!(decode_preamble(&bytes, 6), Preamble::Other);
        bytes[7] = VERSION + 1;
        assert_eq!(decode_preamble(&bytes, 5), Preamble::TooNew(VERSION + 1));
        assert_eq!(decode_preamble(&bytes, 6), Preamble::Other);
        bytes[7] = 0;
        assert_eq!(decode_preamble(&bytes, 5), Preamble::Other);
        assert_eq!(decode_preamble(&bytes[..15], 5), Preamble::Other);
    }
}
