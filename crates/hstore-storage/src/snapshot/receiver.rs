//! Taking in a snapshot file that a peer streams: bytes at offsets into a temporary file, checked
//! as a whole before it gets its name.
//!
//! Invariants:
//! 1. Nothing that a peer sends becomes a snapshot of ours before every byte was checked.
//! 2. The temporary file has no hole: bytes must touch those that came before.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    SnapshotError, SnapshotHeader, SnapshotReader, TEMPORARY_SUFFIX, file_name, writer::publish,
};
use crate::disk::{Disk, File, OpenMode};

/// How many files can be taken in at once; one more is refused.
const RECEIVERS_MAX: usize = 8;
/// How much is written between two syncs, see the writer.
const SYNC_BYTES: u64 = 8 << 20;

/// Takes in a snapshot file that a peer streams.
pub struct Receiver {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    received: u64,
    synced: u64,
    /// What the whole file says of itself, once every byte of it was checked.
    checked: Option<SnapshotHeader>,
}

impl Receiver {
    /// Begins to take in a snapshot; the folder is made if missing.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, SnapshotError> {
        disk.create_dir_all(dir)
            .map_err(|error| SnapshotError::io("make", dir, error))?;
        let mut number = 1;
        loop {
            let temporary = dir.join(format!("receiving-{number}{TEMPORARY_SUFFIX}"));
            match disk.open(&temporary, OpenMode::CreateNew) {
                Ok(file) => {
                    let dir = dir.to_path_buf();
                    return Ok(Receiver {
                        disk,
                        dir,
                        temporary,
                        file,
                        received: 0,
                        synced: 0,
                        checked: None,
                    });
                }
                Err(error)
                    if error.kind() == std::io::ErrorKind::AlreadyExists
                        && number < RECEIVERS_MAX =>
                {
                    number += 1;
                }
                Err(error) => return Err(SnapshotError::io("make", &temporary, error)),
            }
        }
    }

    /// How many bytes have come, without a gap; where the sender goes on.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Takes bytes at an offset; they must touch what is there already, and may repeat it.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), SnapshotError> {
        if offset > self.received {
            return Err(SnapshotError::Gap {
                expected: self.received,
                found: offset,
            });
        }
        self.checked = None;
        let failed = |doing, error| SnapshotError::io(doing, &self.temporary, error);
        self.file
            .write_at(offset, bytes)
            .map_err(|error| failed("write", error))?;
        self.received = self.received.max(offset + bytes.len() as u64);
        if self.received - self.synced >= SYNC_BYTES {
            self.file
                .sync_data()
                .map_err(|error| failed("sync", error))?;
            self.synced = self.received;
        }
        Ok(())
    }

    /// Checks everything that came, without giving it a name yet.
    pub fn check(&mut self) -> Result<&SnapshotHeader, SnapshotError> {
        let header = match self.checked.take() {
            Some(header) => header,
            None => SnapshotReader::open(self.disk.as_ref(), &self.temporary)
                .and_then(SnapshotReader::verify)?,
        };
        Ok(self.checked.insert(header))
    }

    /// Checks everything unless that was done, syncs, renames, syncs the folder. What is refused
    /// is removed.
    pub fn finish(mut self) -> Result<(PathBuf, SnapshotHeader), SnapshotError> {
        match self.check().cloned() {
            Ok(header) => {
                let path = self.dir.join(file_name(header.last));
                let disk = self.disk.as_ref();
                publish(disk, self.file.as_ref(), &self.temporary, &path, &self.dir)?;
                Ok((path, header))
            }
            Err(refusal) => {
                self.abandon()?;
                Err(refusal)
            }
        }
    }

    /// Gives up and removes what came.
    pub fn abandon(self) -> Result<(), SnapshotError> {
        let removed = self.disk.remove_file(&self.temporary);
        removed.map_err(|error| SnapshotError::io("remove", &self.temporary, error))
    }
}
