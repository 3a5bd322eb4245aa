//! Writing a snapshot file: chunk by chunk into a temporary file, which gets its name when it is
//! whole and durable.
//!
//! Invariants:
//! 1. A file with a snapshot's name was once wholly durable: temporary file, sync, rename, sync of
//!    the folder, in this order.
//! 2. After an error the writer is of no more use; the temporary file counts for nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crc32c::crc32c_append;
use hstore_core::planted::{self, Bug};

use super::{
    CHUNK_BYTES_MAX, SnapshotError, SnapshotHeader, SnapshotReader, TEMPORARY_SUFFIX, file_name,
    format::{FOOTER_KIND, Footer, encode_chunk, encode_footer, encode_header},
};
use crate::disk::{Disk, File, OpenMode};

/// How much is gathered for one write.
const BUFFER_BYTES: usize = 256 << 10;
/// How much is written between two syncs: one sync of a large file at its end would hold up the
/// log's syncs for as long as all of it takes.
const SYNC_BYTES: u64 = 8 << 20;
/// How many files without a name may be begun in the same moment.
const SPOOLS_MAX: usize = 64;
/// How much room a file without a name leaves to the rest of the node: two segments of the log.
const SPOOL_RESERVE_BYTES: u64 = 128 << 20;

/// Writes a snapshot file beside its final name; nothing counts until `finish`.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
    /// The checksum of all bytes written or in the buffer, up to `summed` of the buffer.
    checksum: u32,
    summed: usize,
    chunks: u32,
    /// How much room has to be left on the disk; 0 for a file that the node needs itself.
    reserve: u64,
}

impl SnapshotWriter {
    /// Begins a file in the folder, which is made if missing.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: &SnapshotHeader,
    ) -> Result<Self, SnapshotError> {
        let name = file_name(header.last);
        let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        disk.create_dir_all(dir)
            .map_err(|error| SnapshotError::io("make", dir, error))?;
        let failed = |error| SnapshotError::io("make", &temporary, error);
        let file = disk.open(&temporary, OpenMode::Create).map_err(failed)?;
        // An earlier writer may have left a longer one.
        file.set_len(0).map_err(failed)?;
        Ok(SnapshotWriter {
            disk,
            dir: dir.into(),
            path: dir.join(name),
            temporary,
            file,
            buffer: encode_header(header),
            written: 0,
            synced: 0,
            checksum: 0,
            summed: 0,
            chunks: 0,
            reserve: 0,
        })
    }

    /// Begins a file that never gets a name, for whoever reads it once: however it ends, nothing is
    /// left of it. It is given up when the disk has no room for it beside what the node needs.
    pub fn spool(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: &SnapshotHeader,
    ) -> Result<Self, SnapshotError> {
        disk.create_dir_all(dir)
            .map_err(|error| SnapshotError::io("make", dir, error))?;
        let mut number = 1;
        let (temporary, file) = loop {
            let temporary = dir.join(format!("sending-{number}{TEMPORARY_SUFFIX}"));
            match disk.open(&temporary, OpenMode::CreateNew) {
                Ok(file) => break (temporary, file),
                Err(error)
                    if error.kind() == std::io::ErrorKind::AlreadyExists && number < SPOOLS_MAX =>
                {
                    number += 1;
                }
                Err(error) => return Err(SnapshotError::io("make", &temporary, error)),
            }
        };
        // Whoever holds the file open can still write and read it.
        disk.remove_file(&temporary)
            .map_err(|error| SnapshotError::io("remove", &temporary, error))?;
        Ok(SnapshotWriter {
            disk,
            dir: dir.into(),
            path: temporary.clone(),
            temporary,
            file,
            buffer: encode_header(header),
            written: 0,
            synced: 0,
            checksum: 0,
            summed: 0,
            chunks: 0,
            reserve: SPOOL_RESERVE_BYTES,
        })
    }

    /// Adds a chunk. Kinds are 1 to 254 and the caller's own.
    pub fn chunk(&mut self, kind: u8, payload: &[u8]) -> Result<(), SnapshotError> {
        if kind == 0 || kind == FOOTER_KIND {
            return Err(SnapshotError::ReservedKind { kind });
        }
        if payload.len() > CHUNK_BYTES_MAX {
            let (bytes, max) = (payload.len(), CHUNK_BYTES_MAX);
            return Err(SnapshotError::ChunkTooLarge { bytes, max });
        }
        encode_chunk(&mut self.buffer, self.chunks, kind, payload);
        self.chunks = self
            .chunks
            .checked_add(1)
            .expect("law: 2^32 chunks fit no disk");
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the footer, syncs, renames, syncs the folder; the path is durable when it returns.
    pub fn finish(mut self) -> Result<PathBuf, SnapshotError> {
        self.close()?;
        publish(
            self.disk.as_ref(),
            self.file.as_ref(),
            &self.temporary,
            &self.path,
            &self.dir,
        )?;
        Ok(self.path)
    }

    /// Writes the footer of a file without a name and hands the file to its reader.
    pub fn finish_spool(mut self) -> Result<SnapshotReader, SnapshotError> {
        self.close()?;
        let len = self.written;
        SnapshotReader::within(&self.temporary, self.file, len)
    }

    /// Gives up and removes what was written.
    pub fn abandon(self) -> Result<(), SnapshotError> {
        if self.reserve > 0 {
            // It has no name.
            return Ok(());
        }
        let removed = self.disk.remove_file(&self.temporary);
        removed.map_err(|error| SnapshotError::io("remove", &self.temporary, error))
    }

    /// Writes the footer.
    fn close(&mut self) -> Result<(), SnapshotError> {
        self.sum();
        let footer = Footer {
            chunks: self.chunks.into(),
            bytes: self.written + self.buffer.len() as u64,
            checksum: self.checksum,
        };
        encode_footer(&mut self.buffer, &footer);
        self.flush()
    }

    /// Fails when what is left of the disk is needed for more than this file.
    fn leave_room(&self) -> Result<(), SnapshotError> {
        if self.reserve == 0 {
            return Ok(());
        }
        let failed = |error| SnapshotError::io("write", &self.temporary, error);
        let free = self.disk.free_bytes(&self.dir).map_err(failed)?;
        if free < self.reserve {
            return Err(failed(std::io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    fn sum(&mut self) {
        self.checksum = crc32c_append(self.checksum, &self.buffer[self.summed..]);
        self.summed = self.buffer.len();
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        self.sum();
        if self.written == self.synced {
            self.leave_room()?;
        }
        let failed = |doing, error| SnapshotError::io(doing, &self.temporary, error);
        let written = self.file.write_at(self.written, &self.buffer);
        written.map_err(|error| failed("write", error))?;
        self.written += self.buffer.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file
                .sync_data()
                .map_err(|error| failed("sync", error))?;
            self.synced = self.written;
        }
        self.buffer.clear();
        self.summed = 0;
        Ok(())
    }
}

/// Makes a written file a snapshot: durable bytes first, then the name, then the folder.
pub(super) fn publish(
    disk: &dyn Disk,
    file: &dyn File,
    temporary: &Path,
    path: &Path,
    dir: &Path,
) -> Result<(), SnapshotError> {
    if !planted::is(Bug::SnapshotNotSynced) {
        file.sync_data()
            .map_err(|error| SnapshotError::io("sync", temporary, error))?;
    }
    disk.rename(temporary, path)
        .map_err(|error| SnapshotError::io("rename", temporary, error))?;
    if planted::is(Bug::SnapshotFolderNotSynced) {
        return Ok(());
    }
    disk.sync_dir(dir)
        .map_err(|error| SnapshotError::io("sync", dir, error))
}
