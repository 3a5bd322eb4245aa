//! The segment that is being written: records gather in a buffer, one write and one sync make them
//! durable.
//!
//! Blocks are written with zeros ahead of the records: a sync of blocks that were written before
//! needs no change of the file system's own records, which costs as much as the data. A recycled
//! segment is all written; a new one is written ahead step by step, so that no start and no sync
//! waits for a whole segment.
//!
//! Invariants:
//! 1. `synced <= written <= written + buffer`: bytes only move from the buffer to the file, from
//!    the file to durable.
//! 2. After a failed write or sync nobody may use this segment again; the log above sees to it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hstore_core::id::LogId;
use hstore_core::planted::{self, Bug};

use super::{
    WalError,
    folder::{segment_name, spare_name},
    head::{Head, PREAMBLE_BYTES, encode_preamble},
    index::Place,
    record::{Header, Kind, encode, record_bytes},
};
use crate::disk::{Disk, File, OpenMode};

/// When this much waits in the buffer it is written without a sync, to bound the memory.
const BUFFER_BYTES_MAX: usize = 4 << 20;
/// How far a new segment is written ahead of its records in one step.
const AHEAD_BYTES: u32 = 1 << 20;

/// The newest segment, as its one writer sees it.
pub(super) struct Active {
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    /// How long the file is; records never go beyond it.
    pub(super) len: u32,
    /// Where the bytes in the file end.
    pub(super) written: u32,
    /// Up to where they are durable.
    pub(super) synced: u32,
    /// Up to where the blocks of the file were written, if only with zeros.
    pub(super) ahead: u32,
    /// The last record's checksum.
    pub(super) checksum: u32,
    /// Records that are not in the file yet.
    pub(super) buffer: Vec<u8>,
}

/// What to begin a segment with.
pub(super) struct Beginning<'a> {
    pub(super) sequence: u64,
    /// Its length is filled in.
    pub(super) head: Head,
    /// The checksum of the last record before this segment.
    pub(super) previous: u32,
    /// What the segment has to hold beside its head.
    pub(super) room: u32,
    pub(super) segment_bytes: u32,
    pub(super) dir: &'a Path,
}

impl Active {
    /// Makes a segment: space, name, head, all durable when it returns. Takes one of the spare
    /// files, which are `segment_bytes` long, if that is long enough.
    pub(super) fn begin(
        disk: &dyn Disk,
        beginning: &Beginning<'_>,
        spares: &mut Vec<u64>,
    ) -> Result<Self, WalError> {
        let Beginning { sequence, dir, .. } = *beginning;
        let path = dir.join(segment_name(sequence));
        let failed = |doing, error| WalError::io(doing, &path, error);
        let head_bytes = record_bytes(beginning.head.encode().len() as u32);
        let needed = PREAMBLE_BYTES + head_bytes + beginning.room;
        let len = beginning.segment_bytes.max(needed);
        let head = Head {
            len,
            ..beginning.head.clone()
        }
        .encode();
        let spare = if len == beginning.segment_bytes {
            spares.pop()
        } else {
            None
        };
        let (file, ahead) = if let Some(spare) = spare {
            let spare = dir.join(spare_name(spare));
            disk.rename(&spare, &path)
                .map_err(|error| failed("rename a spare to", error))?;
            let file = disk
                .open(&path, OpenMode::Write)
                .map_err(|error| failed("open", error))?;
            (file, len)
        } else {
            let file = disk.open(&path, OpenMode::CreateNew);
            let file = file.map_err(|error| failed("make", error))?;
            file.allocate(len.into())
                .map_err(|error| failed("reserve space for", error))?;
            (file, 0)
        };
        // Before the first byte: the old name of a recycled file must be gone for good, or a crash
        // could bring it back with the new segment's bytes in it.
        if !planted::is(Bug::SegmentFolderNotSynced) {
            disk.sync_dir(dir)
                .map_err(|error| WalError::io("sync", dir, error))?;
        }
        let mut active = Active {
            sequence,
            path,
            file,
            len,
            written: 0,
            synced: 0,
            ahead,
            checksum: beginning.previous,
            buffer: encode_preamble(sequence).to_vec(),
        };
        active.push(Kind::Head, None, &head)?;
        active.sync()?;
        Ok(active)
    }

    /// Where the next record will begin.
    pub(super) fn end(&self) -> u32 {
        self.written + self.buffer.len() as u32
    }

    /// Whether a record with such a payload still fits.
    pub(super) fn fits(&self, payload: usize) -> bool {
        u64::from(self.end()) + u64::from(record_bytes(payload as u32)) <= u64::from(self.len)
    }

    /// Adds a record; says where it lies.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        id: Option<LogId>,
        payload: &[u8],
    ) -> Result<Place, WalError> {
        let offset = self.end();
        let (segment, synced, previous) = (self.sequence, self.synced, self.checksum);
        let header = Header {
            kind,
            segment,
            offset,
            synced,
            previous,
            id,
        };
        self.checksum = encode(&mut self.buffer, &header, payload);
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.flush()?;
        }
        Ok(Place {
            segment,
            offset,
            bytes: record_bytes(payload.len() as u32),
        })
    }

    /// Makes all records durable; false if they were already.
    pub(super) fn sync(&mut self) -> Result<bool, WalError> {
        self.flush()?;
        if self.synced == self.written {
            return Ok(false);
        }
        self.file
            .sync_data()
            .map_err(|error| WalError::io("sync", &self.path, error))?;
        self.synced = self.written;
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), WalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.end();
        if end > self.ahead {
            self.ahead = end.saturating_add(AHEAD_BYTES).min(self.len).max(end);
            self.buffer.resize((self.ahead - self.written) as usize, 0);
        }
        let write = self.file.write_at(self.written.into(), &self.buffer);
        write.map_err(|error| WalError::io("write", &self.path, error))?;
        self.written = end;
        self.buffer.clear();
        self.buffer
            .shrink_to(BUFFER_BYTES_MAX + AHEAD_BYTES as usize);
        Ok(())
    }
}
