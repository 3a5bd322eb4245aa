//! What can go wrong with the log.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use hstore_core::id::LogIndex;

/// Why the log refuses. Cheap to clone: after a failed write or sync every later call gets the
/// same answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed. If it was a write or a sync, the log takes no more calls.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// Bytes that were once synced are not what was written; cutting them would lose entries that
    /// may have been acknowledged.
    #[error("log segment {segment} is damaged at byte {offset}")]
    Corrupt {
        /// The segment's sequence number.
        segment: u64,
        /// Where in the segment.
        offset: u64,
    },
    /// A segment that is still needed is not there.
    #[error("log segment {segment} is missing")]
    Missing {
        /// The segment's sequence number.
        segment: u64,
    },
    /// A newer version wrote this log.
    #[error("log segment {segment} has format {found}, this program knows up to {known}")]
    TooNew {
        /// The segment's sequence number.
        segment: u64,
        /// Its version byte.
        found: u8,
        /// Ours.
        known: u8,
    },
    /// An entry does not follow the one before it.
    #[error("log entry {found} does not follow: {expected} is next")]
    Gap {
        /// The index that has to come next.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// A record is longer than a segment may become.
    #[error("a log record of {bytes} bytes is too large (at most {max})")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The bound.
        max: u64,
    },
    /// The range begins before what is left of the log.
    #[error("log entry {index} was purged")]
    Purged {
        /// The first index asked for.
        index: LogIndex,
    },
}

impl WalError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        WalError::Io {
            doing,
            path: path.into(),
            source: Arc::new(source),
        }
    }

    /// Whether the disk had no space left.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, WalError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
