//! What can go wrong with a snapshot file.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a snapshot file could not be written, read or taken in.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The file is not what was written, or not all of it.
    #[error("snapshot {} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The file is of another program, or not a file of snapshots at all.
    #[error("{} is no snapshot of hstore", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version wrote this file.
    #[error("snapshot {} has format {found}, this program knows up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version byte.
        found: u8,
        /// Ours.
        known: u8,
    },
    /// A chunk is longer than the format allows.
    #[error("a snapshot chunk of {bytes} bytes is too large (at most {max})")]
    ChunkTooLarge {
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A chunk kind that the format keeps for itself.
    #[error("snapshot chunk kind {kind} is reserved")]
    ReservedKind {
        /// The kind.
        kind: u8,
    },
    /// Streamed bytes leave a gap.
    #[error("snapshot bytes came at {found}, {expected} is next")]
    Gap {
        /// How many bytes have come.
        expected: u64,
        /// The offset of the new ones.
        found: u64,
    },
}

impl SnapshotError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        SnapshotError::Io {
            doing,
            path: path.into(),
            source,
        }
    }

    /// Whether the disk had no space left.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, SnapshotError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
