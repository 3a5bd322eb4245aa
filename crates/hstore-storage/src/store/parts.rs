//! The parts of a snapshot: one state, then blocks in the order of positions. A part may be larger
//! than a chunk: it is cut, and the kind of the last piece says that it is the last.
//!
//! Invariant: no part is put together beyond the bound of what a store writes.
//!
//! The kinds of chunks are drawn in docs/formats.md.

use bytes::{Bytes, BytesMut};

use super::{StoreError, StoreFault};
use crate::blocks;
use crate::snapshot::{CHUNK_BYTES_MAX, SnapshotReader, SnapshotWriter};

/// A piece of a block, not the last.
const KIND_BLOCK_PIECE: u8 = 1;
/// The last piece of a block.
const KIND_BLOCK: u8 = 2;
/// A piece of the state, not the last.
const KIND_STATE_PIECE: u8 = 3;
/// The last piece of the state.
const KIND_STATE: u8 = 4;

/// The longest part of a snapshot: a block of one record of the largest size, or the state.
const PART_BYTES_MAX: usize = blocks::BODY_BYTES_MAX + 1024;

/// One part.
pub(super) enum Part {
    /// A block, as the engine keeps it.
    Block(Bytes),
    /// The state, as the engine keeps it.
    State(Bytes),
}

/// The parts of a snapshot file, one after the other.
pub(super) struct Parts {
    reader: SnapshotReader,
    part: BytesMut,
    kind_before: Option<u8>,
}

impl Parts {
    /// Those of a file from its beginning.
    pub(super) fn of(reader: SnapshotReader) -> Parts {
        Parts {
            reader,
            part: BytesMut::new(),
            kind_before: None,
        }
    }

    /// The next part; none when the whole file was read and checked.
    pub(super) fn next(&mut self) -> Result<Option<Part>, StoreError> {
        while let Some(chunk) = self.reader.next_chunk()? {
            let follows = self
                .kind_before
                .is_none_or(|before| chunk.kind == before || chunk.kind == before + 1);
            if !follows || self.part.len() + chunk.payload.len() > PART_BYTES_MAX {
                return Err(misfit("its parts are cut in a way that cannot be").into());
            }
            let whole = match chunk.kind {
                KIND_BLOCK | KIND_STATE if self.part.is_empty() => chunk.payload,
                KIND_BLOCK | KIND_STATE => {
                    self.part.extend_from_slice(&chunk.payload);
                    self.part.split().freeze()
                }
                KIND_BLOCK_PIECE | KIND_STATE_PIECE => {
                    self.part.extend_from_slice(&chunk.payload);
                    self.kind_before = Some(chunk.kind);
                    continue;
                }
                _ => return Err(misfit("it has a part of an unknown kind").into()),
            };
            self.kind_before = None;
            return Ok(Some(match chunk.kind {
                KIND_STATE => Part::State(whole),
                _ => Part::Block(whole),
            }));
        }
        if self.kind_before.is_some() {
            return Err(misfit("its last part does not end").into());
        }
        Ok(None)
    }
}

/// Writes a block.
pub(super) fn write_block(writer: &mut SnapshotWriter, block: &[u8]) -> Result<(), StoreFault> {
    write_part(writer, KIND_BLOCK_PIECE, KIND_BLOCK, block)
}

/// Writes the state.
pub(super) fn write_state(writer: &mut SnapshotWriter, state: &[u8]) -> Result<(), StoreFault> {
    write_part(writer, KIND_STATE_PIECE, KIND_STATE, state)
}

/// Writes a part in as many chunks as it needs.
fn write_part(
    writer: &mut SnapshotWriter,
    piece: u8,
    last: u8,
    part: &[u8],
) -> Result<(), StoreFault> {
    let mut pieces = part.chunks(CHUNK_BYTES_MAX).peekable();
    while let Some(bytes) = pieces.next() {
        let kind = if pieces.peek().is_some() { piece } else { last };
        writer.chunk(kind, bytes)?;
    }
    Ok(())
}

/// A snapshot that no store wrote.
pub(super) fn misfit(what: &str) -> StoreFault {
    StoreFault::damaged(format!("a snapshot: {what}"))
}
