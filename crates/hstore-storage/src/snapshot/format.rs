//! The bytes of a snapshot file: preamble and header, numbered chunks, footer.
//!
//! `docs/formats.md` draws them, the golden test below holds them still. This file knows bytes and
//! checksums only.
//!
//! Invariants:
//! 1. Every byte of the file is under a checksum, and the footer's covers all bytes before it.
//! 2. A chunk is numbered inside its checksum: none can be missing, doubled or out of order.
//! 3. No length that was read leads to an allocation before it was held against its bound.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use hstore_core::{
    codec,
    id::{ClusterId, LogId, LogIndex, NodeId, Revision, Term},
};

use super::{CHUNK_BYTES_MAX, SnapshotHeader};

/// The bytes that mark a snapshot file.
const MAGIC: &[u8; 7] = b"hstsnap";
/// The format that this program writes, and the newest it reads.
pub(super) const VERSION: u8 = 1;
/// Magic, version, the header's length and checksum.
pub(super) const PREAMBLE_BYTES: usize = 16;
/// The longest header; a file that claims more is damaged.
pub(super) const HEADER_BYTES_MAX: usize = 1 << 20;
/// Header fields of fixed length, before the membership.
const FIXED_BYTES: usize = 48;
/// Checksum, length, number and kind of a chunk.
pub(super) const FRAME_BYTES: usize = 16;
/// The kind of the last chunk.
pub(super) const FOOTER_KIND: u8 = 255;
/// The footer's payload: chunks, bytes before it, checksum of those.
const FOOTER_PAYLOAD_BYTES: usize = 20;
/// The footer as a whole.
pub(super) const FOOTER_BYTES: usize = FRAME_BYTES + FOOTER_PAYLOAD_BYTES;

/// What the first bytes of a file say.
pub(super) enum Preamble {
    /// Our format; the length and the checksum of the header that follows.
    Ours { header_bytes: usize, checksum: u32 },
    /// A newer format.
    TooNew(u8),
    /// No snapshot file.
    Other,
}

/// What stands before a chunk's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) checksum: u32,
    pub(super) length: usize,
    pub(super) number: u32,
    pub(super) kind: u8,
}

/// What the end of a file says of all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// How many chunks there are, itself not counted.
    pub(super) chunks: u64,
    /// Where it begins.
    pub(super) bytes: u64,
    /// The checksum of all bytes before it.
    pub(super) checksum: u32,
}

/// Preamble and header.
pub(super) fn encode_header(header: &SnapshotHeader) -> Vec<u8> {
    let membership = codec::encode_membership(&header.membership);
    let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + FIXED_BYTES + membership.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&((FIXED_BYTES + membership.len()) as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&header.cluster_id.0.to_le_bytes());
    bytes.extend_from_slice(&header.last.index.0.to_le_bytes());
    bytes.extend_from_slice(&header.last.term.0.to_le_bytes());
    bytes.extend_from_slice(&header.last.leader.0.to_le_bytes());
    bytes.extend_from_slice(&header.revision.0.to_le_bytes());
    bytes.extend_from_slice(&header.compacted.0.to_le_bytes());
    bytes.extend_from_slice(&membership);
    let checksum = header_checksum(&bytes, &bytes[PREAMBLE_BYTES..]);
    bytes[12..PREAMBLE_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn decode_preamble(bytes: &[u8; PREAMBLE_BYTES]) -> Preamble {
    match bytes[7] {
        _ if bytes[..7] != *MAGIC => Preamble::Other,
        VERSION => Preamble::Ours {
            header_bytes: u32_at(bytes, 8) as usize,
            checksum: u32_at(bytes, 12),
        },
        found if found > VERSION => Preamble::TooNew(found),
        _ => Preamble::Other,
    }
}

/// The checksum of a header: of the preamble up to the checksum itself, and of the rest.
pub(super) fn header_checksum(preamble: &[u8], header: &[u8]) -> u32 {
    crc32c_append(crc32c(&preamble[..12]), header)
}

pub(super) fn decode_header(bytes: &Bytes) -> Option<SnapshotHeader> {
    let fixed: &[u8; FIXED_BYTES] = bytes.first_chunk()?;
    let membership = codec::decode_membership(bytes.slice(FIXED_BYTES..)).ok()?;
    let last = LogId {
        index: LogIndex(u64_at(fixed, 8)),
        term: Term(u64_at(fixed, 16)),
        leader: NodeId(u64_at(fixed, 24)),
    };
    Some(SnapshotHeader {
        cluster_id: ClusterId(u64_at(fixed, 0)),
        last,
        membership,
        revision: Revision(u64_at(fixed, 32) as i64),
        compacted: Revision(u64_at(fixed, 40) as i64),
    })
}

/// Adds a chunk to the buffer.
pub(super) fn encode_chunk(buffer: &mut Vec<u8>, number: u32, kind: u8, payload: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(&[kind, 0, 0, 0]);
    buffer.extend_from_slice(payload);
    let checksum = crc32c(&buffer[start + 4..]);
    buffer[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads a chunk's frame; `None` if no chunk can look like that.
pub(super) fn decode_frame(bytes: &[u8; FRAME_BYTES]) -> Option<Frame> {
    let frame = Frame {
        checksum: u32_at(bytes, 0),
        length: u32_at(bytes, 4) as usize,
        number: u32_at(bytes, 8),
        kind: bytes[12],
    };
    (frame.length <= CHUNK_BYTES_MAX && bytes[13..] == [0; 3]).then_some(frame)
}

/// Whether a chunk is as it was written.
pub(super) fn is_whole(frame: &Frame, frame_bytes: &[u8], payload: &[u8]) -> bool {
    crc32c_append(crc32c(&frame_bytes[4..]), payload) == frame.checksum
}

pub(super) fn encode_footer(buffer: &mut Vec<u8>, footer: &Footer) {
    let mut payload = [0; FOOTER_PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&footer.chunks.to_le_bytes());
    payload[8..16].copy_from_slice(&footer.bytes.to_le_bytes());
    payload[16..].copy_from_slice(&footer.checksum.to_le_bytes());
    encode_chunk(buffer, footer.chunks as u32, FOOTER_KIND, &payload);
}

pub(super) fn decode_footer(payload: &[u8]) -> Option<Footer> {
    let payload: &[u8; FOOTER_PAYLOAD_BYTES] = payload.try_into().ok()?;
    Some(Footer {
        chunks: u64_at(payload, 0),
        bytes: u64_at(payload, 8),
        checksum: u32_at(payload, 16),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes[at..]
        .first_chunk()
        .expect("law: callers pass arrays that are long enough");
    u32::from_le_bytes(*bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes[at..]
        .first_chunk()
        .expect("law: callers pass arrays that are long enough");
    u64::from_le_bytes(*bytes)
}
