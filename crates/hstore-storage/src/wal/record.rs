//! The bytes of one log record: a header of fixed length, then the payload, padded with zeros.
//!
//! This file knows bytes and checksums only; what a record does to the log is `replay`'s business.
//! `docs/formats.md` draws the layout, the golden tests below hold it still.
//!
//! Invariants:
//! 1. The checksum covers everything but itself, padding included: no byte of a record can change
//!    without notice.
//! 2. A record names its segment and offset, so bytes of an earlier life of a recycled file, or
//!    bytes written to the wrong place, are never taken for a record.
//! 3. A record names how much of its segment was durable when it was made (`synced`), which tells
//!    a torn tail from damage, and the checksum of the record before it (`previous`).

use bytes::Bytes;
use crc32c::crc32c;
use hstore_core::id::{LogId, LogIndex, NodeId, Term};
use hstore_core::planted::{self, Bug};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: u32 = 56;
/// Records begin at multiples of this.
pub(super) const ALIGN_BYTES: u32 = 8;
/// The longest payload. A longer one is refused before anything is written.
pub(super) const PAYLOAD_BYTES_MAX: u32 = 256 << 20;

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first record of a segment: the state before it.
    Head,
    /// A log entry.
    Entry,
    /// A saved vote.
    Vote,
    /// Entries after the id are no longer there; without an id, all of them.
    Truncate,
    /// Entries up to the id are no longer needed, nor are earlier segments than the payload says.
    Purge,
    /// The log was closed in order, or opened after a crash: all before it is whole and durable.
    Close,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Head,
        Kind::Entry,
        Kind::Vote,
        Kind::Truncate,
        Kind::Purge,
        Kind::Close,
    ];

    fn code(self) -> u8 {
        match self {
            Kind::Head => 1,
            Kind::Entry => 2,
            Kind::Vote => 3,
            Kind::Truncate => 4,
            Kind::Purge => 5,
            Kind::Close => 6,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// The sequence number of the segment it lies in.
    pub(super) segment: u64,
    /// Where in the segment it begins.
    pub(super) offset: u32,
    /// How many bytes of the segment were durable when it was made.
    pub(super) synced: u32,
    /// The checksum of the record before it, in this segment or the one before.
    pub(super) previous: u32,
    /// The entry, or the bound of a truncation or purge.
    pub(super) id: Option<LogId>,
}

/// A header as read, not yet checked against its checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) header: Header,
    /// The payload's length.
    pub(super) length: u32,
    /// The checksum it claims.
    pub(super) checksum: u32,
}

/// The bytes that a record with such a payload takes.
pub(super) fn record_bytes(payload: u32) -> u32 {
    HEADER_BYTES + payload.next_multiple_of(ALIGN_BYTES)
}

/// Adds a record to the buffer; gives its checksum.
pub(super) fn encode(buffer: &mut Vec<u8>, header: &Header, payload: &[u8]) -> u32 {
    let start = buffer.len();
    let id = header.id.unwrap_or_default();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&header.segment.to_le_bytes());
    buffer.extend_from_slice(&header.offset.to_le_bytes());
    buffer.extend_from_slice(&header.synced.to_le_bytes());
    buffer.extend_from_slice(&header.previous.to_le_bytes());
    buffer.extend_from_slice(&[header.kind.code(), u8::from(header.id.is_some()), 0, 0]);
    encode_id(buffer, id);
    buffer.extend_from_slice(payload);
    buffer.resize(start + record_bytes(payload.len() as u32) as usize, 0);
    let checksum = crc32c(&buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// Reads a header's fields; `None` if no record can look like that.
pub(super) fn decode_header(bytes: &[u8]) -> Option<Found> {
    let bytes: &[u8; HEADER_BYTES as usize] = bytes.first_chunk()?;
    let length = u32_at(bytes, 4)?;
    let id = match (bytes[29], bytes[30], bytes[31]) {
        (0, 0, 0) if bytes[32..].iter().all(|byte| *byte == 0) => None,
        (1, 0, 0) => Some(decode_id(&bytes[32..])?),
        _ => return None,
    };
    let header = Header {
        kind: Kind::from_code(bytes[28])?,
        segment: u64_at(bytes, 8)?,
        offset: u32_at(bytes, 16)?,
        synced: u32_at(bytes, 20)?,
        previous: u32_at(bytes, 24)?,
        id,
    };
    let checksum = u32_at(bytes, 0)?;
    (length <= PAYLOAD_BYTES_MAX).then_some(Found {
        header,
        length,
        checksum,
    })
}

/// Reads a whole record that must be the entry of this segment and offset; a slice of the bytes.
pub(super) fn decode_entry(bytes: &Bytes, segment: u64, offset: u32) -> Option<(LogId, Bytes)> {
    let found = decode_header(bytes)?;
    let here = found.header.segment == segment && found.header.offset == offset;
    let whole = bytes.get(..record_bytes(found.length) as usize)?;
    let intact = found.checksum == crc32c(&whole[4..]) || planted::is(Bug::LogChecksumNotChecked);
    let right = here && found.header.kind == Kind::Entry && intact;
    let payload = HEADER_BYTES as usize..(HEADER_BYTES + found.length) as usize;
    right.then_some(())?;
    Some((found.header.id?, bytes.slice(payload)))
}

pub(super) fn encode_id(buffer: &mut Vec<u8>, id: LogId) {
    buffer.extend_from_slice(&id.index.0.to_le_bytes());
    buffer.extend_from_slice(&id.term.0.to_le_bytes());
    buffer.extend_from_slice(&id.leader.0.to_le_bytes());
}

pub(super) fn decode_id(bytes: &[u8]) -> Option<LogId> {
    Some(LogId {
        index: LogIndex(u64_at(bytes, 0)?),
        term: Term(u64_at(bytes, 8)?),
        leader: NodeId(u64_at(bytes, 16)?),
    })
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

    use super::*;

    fn id() -> LogId {
        LogId {
            index: LogIndex(0x0102),
            term: Term(0x0304),
            leader: NodeId(0x0506),
        }
    }

    fn header(kind: Kind, id: Option<LogId>) -> Header {
        Header {
            kind,
            segment: 9,
            offset: 0x1_0000,
            synced: 0x8000,
            previous: 0xaabb_ccdd,
            id,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The bytes between the checksum and the kind are the same in all golden records.
    const PLACE: &str = "0900000000000000000001000080000 0ddccbbaa";
    const ID: &str = "020100000000000004030000000000000605000000000000";
    const NO_ID: &str = "000000000000000000000000000000000000000000000000";

    #[test]
    fn the_bytes_of_every_kind_of_record_stay_as_they_are() {
        type Golden = (
            Kind,
            Option<LogId>,
            &'static [u8],
            &'static str,
            &'static str,
            &'static str,
        );
        let table: [Golden; 7] = [
            (
                Kind::Head,
                None,
                b"head",
                "f113b54b",
                "04000000",
                "68656164 00000000",
            ),
            (
                Kind::Entry,
                Some(id()),
                b"12345678",
                "522dfa71",
                "08000000",
                "3132333435363738",
            ),
            (
                Kind::Vote,
                None,
                b"v",
                "ea78cedd",
                "01000000",
                "76 00000000000000",
            ),
            (Kind::Truncate, Some(id()), b"", "e1455655", "00000000", ""),
            (Kind::Truncate, None, b"", "46eed91f", "00000000", ""),
            (
                Kind::Purge,
                Some(id()),
                &[7, 0, 0, 0, 0, 0, 0, 0],
                "72386bfc",
                "08000000",
                "0700000000000000",
            ),
            (Kind::Close, None, b"", "df8e1e5e", "00000000", ""),
        ];
        for (kind, id, payload, checksum, length, body) in table {
            let mut buffer = Vec::new();
            encode(&mut buffer, &header(kind, id), payload);
            let (flag, id_bytes) = if id.is_some() {
                ("01", ID)
            } else {
                ("00", NO_ID)
            };
            let golden = format!(
                "{checksum}{length}{PLACE}{:02x}{flag}0000{id_bytes}{body}",
                kind.code()
            );
            assert_eq!(hex(&buffer), golden.replace(' ', ""), "{kind:?}");
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        for kind in Kind::ALL {
            for id in [None, Some(id())] {
                let mut buffer = Vec::new();
                let checksum = encode(&mut buffer, &header(kind, id), b"abc");
                let found = decode_header(&buffer).unwrap();
                assert_eq!((found.header, found.length), (header(kind, id), 3));
                assert_eq!(found.checksum, checksum);
            }
        }
    }

    #[test]
    fn an_entry_with_any_bit_changed_or_in_another_place_is_refused() {
        let mut buffer = Vec::new();
        encode(&mut buffer, &header(Kind::Entry, Some(id())), b"payload");
        let good = Bytes::from(buffer.clone());
        assert_eq!(
            decode_entry(&good, 9, 0x1_0000),
            Some((id(), Bytes::from_static(b"payload")))
        );
        assert_eq!(decode_entry(&good, 8, 0x1_0000), None);
        assert_eq!(decode_entry(&good, 9, 0x1_0008), None);
        assert_eq!(
            decode_entry(&good.slice(..good.len() - 1), 9, 0x1_0000),
            None
        );
        for at in 0..buffer.len() {
            for bit in 0..8 {
                let mut bad = buffer.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(
                    decode_entry(&Bytes::from(bad), 9, 0x1_0000),
                    None,
                    "byte {at}"
                );
            }
        }
    }
}
