//! Blocks: runs of consecutive records as the engine keeps them, packed, compressed if it pays,
//! checksummed. This room must never know the index, the engine or which records are alive.
//!
//! Invariants: (1) positions grow strictly within a block; (2) a block's key names its last
//! position, so the first key not below a position names the only block that can hold it; (3) decoding never panics, whatever the bytes, and never
//! allocates more than [`BODY_BYTES_MAX`]; (4) what decodes is what was encoded, bit for bit.
//!
//! The bytes are drawn in docs/formats.md.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{decode_varint, encode_varint};

use hstore_core::id::Revision;
use hstore_core::record::{Meta, Position, Record};

/// The format that this version writes.
const VERSION: u8 = 1;

const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Version, compression, record count, body length, checksum.
const HEADER_BYTES: usize = 14;

/// The largest body, uncompressed: far above the largest request. A block that claims more is
/// damaged.
pub(crate) const BODY_BYTES_MAX: usize = 48 * 1024 * 1024;

/// Compression is kept when it saves at least one part in so many.
const SAVING_MIN_DIVISOR: usize = 8;

/// What a record costs in a block beside its key and value, at most: six varints.
const RECORD_OVERHEAD_BYTES_MAX: usize = 60;

/// The first byte of a block's key in the engine.
pub(crate) const KEY_PREFIX: u8 = 1;

const KEY_BYTES: usize = 1 + 8 + 4;

/// The engine's key of the block that ends at `last`.
pub(crate) fn engine_key(last: Position) -> Bytes {
    let mut key = BytesMut::with_capacity(KEY_BYTES);
    key.put_u8(KEY_PREFIX);
    key.put_i64(last.revision.0);
    key.put_u32(last.sub);
    key.freeze()
}

/// The position that a block's key in the engine names.
pub(crate) fn parse_engine_key(key: &[u8]) -> Option<Position> {
    let (prefix, rest) = key.split_first()?;
    if *prefix != KEY_PREFIX || key.len() != KEY_BYTES {
        return None;
    }
    let (revision, sub) = rest.split_at(8);
    Some(Position {
        revision: Revision(i64::from_be_bytes(revision.try_into().ok()?)),
        sub: u32::from_be_bytes(sub.try_into().ok()?),
    })
}

/// A block that was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// The first record's position.
    pub(crate) first: Position,
    /// The last record's position.
    pub(crate) last: Position,
    /// How many records.
    pub(crate) records: u32,
    /// The block as the engine keeps it.
    pub(crate) bytes: Bytes,
}

/// Packs records into blocks.
#[derive(Debug)]
pub(crate) struct Packer {
    block_bytes: usize,
    body: Vec<u8>,
    records: u32,
    first: Position,
    last: Position,
}

impl Packer {
    /// A packer that ends a block before it grows beyond `block_bytes`; a larger record gets a
    /// block of its own.
    pub(crate) fn new(block_bytes: usize) -> Packer {
        Packer {
            block_bytes,
            body: Vec::new(),
            records: 0,
            first: Position::default(),
            last: Position::default(),
        }
    }

    /// Adds a record; answers the block before it if that is full.
    pub(crate) fn push(&mut self, record: &Record) -> Option<Packed> {
        let position = record.meta.position();
        let full = self.records > 0 && self.body.len() + bytes_in_block(record) > self.block_bytes;
        let packed = if full { self.finish() } else { None };
        if self.records == 0 {
            self.first = position;
        }
        // The first record of a block tells its whole revision, the others the step to it.
        let base = if self.records == 0 {
            0
        } else {
            self.last.revision.0
        };
        let meta = &record.meta;
        debug_assert!(self.records == 0 || position > self.last, "positions grow");
        encode_varint(
            meta.mod_revision.0.wrapping_sub(base) as u64,
            &mut self.body,
        );
        encode_varint(u64::from(meta.sub), &mut self.body);
        encode_varint(meta.create_revision.0 as u64, &mut self.body);
        encode_varint(meta.version as u64, &mut self.body);
        encode_varint(meta.lease as u64, &mut self.body);
        encode_varint(record.key.len() as u64, &mut self.body);
        encode_varint(record.value.len() as u64, &mut self.body);
        self.body.extend_from_slice(&record.key);
        self.body.extend_from_slice(&record.value);
        self.last = position;
        self.records += 1;
        packed
    }

    /// Ends the block under way.
    pub(crate) fn finish(&mut self) -> Option<Packed> {
        if self.records == 0 {
            return None;
        }
        let packed = Packed {
            first: self.first,
            last: self.last,
            records: self.records,
            bytes: seal(&self.body, self.records),
        };
        self.body.clear();
        self.records = 0;
        Some(packed)
    }
}

/// How many bytes of a block a record takes, before compression, rounded up.
pub(crate) fn bytes_in_block(record: &Record) -> usize {
    RECORD_OVERHEAD_BYTES_MAX + record.key.len() + record.value.len()
}

fn seal(body: &[u8], records: u32) -> Bytes {
    let compressed = lz4_flex::block::compress(body);
    let pays = compressed.len() + body.len() / SAVING_MIN_DIVISOR <= body.len();
    let (kind, stored) = if pays {
        (LZ4, &compressed[..])
    } else {
        (PLAIN, body)
    };
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + stored.len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u32_le(records);
    bytes.put_u32_le(body.len() as u32);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), stored);
    bytes.put_u32_le(checksum);
    bytes.put_slice(stored);
    bytes.freeze()
}

/// Where a record lies in a block.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Everything but the bytes.
    pub(crate) meta: Meta,
    key: Range<usize>,
    value: Range<usize>,
}

/// A block that was read and checked.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    body: Bytes,
    entries: Vec<Entry>,
}

impl Block {
    /// Checks and decodes a block.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Block, BlockError> {
        let (body, records) = unseal(bytes)?;
        let entries = parse(&body, records)?;
        Ok(Block { body, entries })
    }

    /// Where the records lie, in order; never empty.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The position of the first record.
    pub(crate) fn first(&self) -> Position {
        self.entries
            .first()
            .map_or_else(Position::default, |entry| entry.meta.position())
    }

    /// The position of the last record.
    pub(crate) fn last(&self) -> Position {
        self.entries
            .last()
            .map_or_else(Position::default, |entry| entry.meta.position())
    }

    /// The record at a position.
    pub(crate) fn find(&self, position: Position) -> Option<&Entry> {
        let found = self
            .entries
            .binary_search_by_key(&position, |entry| entry.meta.position());
        found.ok().map(|at| &self.entries[at])
    }

    /// A record's key.
    pub(crate) fn key(&self, entry: &Entry) -> &[u8] {
        &self.body[entry.key.clone()]
    }

    /// A record's value.
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        &self.body[entry.value.clone()]
    }

    /// A record; its bytes share those of the block and keep all of them in memory.
    pub(crate) fn record(&self, entry: &Entry) -> Record {
        Record {
            key: self.body.slice(entry.key.clone()),
            value: self.body.slice(entry.value.clone()),
            meta: entry.meta,
        }
    }

    /// How much memory the block takes, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.body.len() + self.entries.len() * size_of::<Entry>()
    }
}

fn unseal(bytes: &Bytes) -> Result<(Bytes, u32), BlockError> {
    let Some((header, stored)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(BlockError::Short);
    };
    let word = |at: usize| {
        let word = header[at..at + 4]
            .try_into()
            .expect("four bytes of a header of fourteen");
        u32::from_le_bytes(word)
    };
    if header[0] != VERSION {
        return Err(BlockError::Version { found: header[0] });
    }
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..HEADER_BYTES - 4]), stored);
    if checksum != word(10) {
        return Err(BlockError::Checksum);
    }
    let body_bytes = word(6) as usize;
    if body_bytes > BODY_BYTES_MAX {
        return Err(BlockError::Length);
    }
    let body = match header[1] {
        PLAIN => bytes.slice(HEADER_BYTES..),
        LZ4 => {
            let mut body = vec![0; body_bytes];
            match lz4_flex::block::decompress_into(stored, &mut body) {
                Ok(written) if written == body_bytes => Bytes::from(body),
                _ => return Err(BlockError::Compression),
            }
        }
        _ => return Err(BlockError::Compression),
    };
    if body.len() != body_bytes {
        return Err(BlockError::Length);
    }
    Ok((body, word(2)))
}

fn parse(body: &Bytes, records: u32) -> Result<Vec<Entry>, BlockError> {
    // No more is allocated than the body can hold, whatever the header says.
    let mut entries = Vec::with_capacity((records as usize).min(body.len() / 8));
    let mut rest = &body[..];
    let mut last = None::<Position>;
    for _ in 0..records {
        let mut varint = || decode_varint(&mut rest).map_err(|_| BlockError::Record);
        let step = varint()?;
        let sub = u32::try_from(varint()?).map_err(|_| BlockError::Record)?;
        let base = last.map_or(0, |last| last.revision.0);
        let mod_revision = base.checked_add_unsigned(step).ok_or(BlockError::Record)?;
        let meta = Meta {
            create_revision: Revision(varint()? as i64),
            mod_revision: Revision(mod_revision),
            sub,
            version: varint()? as i64,
            lease: varint()? as i64,
        };
        let key_bytes = usize::try_from(varint()?).map_err(|_| BlockError::Record)?;
        let value_bytes = usize::try_from(varint()?).map_err(|_| BlockError::Record)?;
        let begin = body.len() - rest.len();
        let taken = key_bytes
            .checked_add(value_bytes)
            .ok_or(BlockError::Record)?;
        rest = rest.get(taken..).ok_or(BlockError::Record)?;
        if last.is_some_and(|last| meta.position() <= last) {
            return Err(BlockError::Order);
        }
        last = Some(meta.position());
        entries.push(Entry {
            meta,
            key: begin..begin + key_bytes,
            value: begin + key_bytes..begin + taken,
        });
    }
    if rest.is_empty() && !entries.is_empty() {
        Ok(entries)
    } else {
        Err(BlockError::Record)
    }
}

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    /// The bytes are not those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The body does not decompress.
    #[error("its body does not decompress")]
    Compression,
    /// The length is not what the header says.
    #[error("its length is wrong")]
    Length,
    /// Positions do not grow.
    #[error("its records are out of order")]
    Order,
    /// A record does not decode.
    #[error("a record does not decode")]
    Record,
    /// There is not even a header.
    #[error("it is too short")]
    Short,
    /// Another version wrote it.
    #[error("its format {found} is not known")]
    Version {
        /// The version byte.
        found: u8,
    },
}

#[cfg(test)]
mod tests;
