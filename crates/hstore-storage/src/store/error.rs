//! What can go wrong with the working store.

use std::path::PathBuf;

use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, LogIndex};

use crate::engine::EngineFault;
use crate::snapshot::SnapshotError;

/// Why a running store cannot go on. The node stops; a new start opens the store afresh, which
/// finds or rebuilds a sound one.
#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A block or a snapshot holds something that the store did not write.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// What was found, for a person.
        what: String,
    },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineFault),
    /// A call before this one failed, so the state in memory is no longer that of the log.
    #[error("the store failed earlier")]
    Failed,
    /// There is nothing to snapshot: no entry was applied.
    #[error("nothing was applied yet")]
    NothingApplied,
    /// A log entry came that does not follow the last one that was applied.
    #[error("entry {found} was applied out of order: {applied} is the last")]
    OutOfOrder {
        /// The last entry that was applied.
        applied: LogIndex,
        /// The entry that came.
        found: LogIndex,
    },
    /// The state was replaced by an installed snapshot while it was walked. Nothing is wrong; the
    /// caller may begin again.
    #[error("the state was replaced meanwhile")]
    Replaced,
    /// Whoever wanted a snapshot is gone.
    #[error("nobody wants the snapshot any more")]
    Unwanted,
    /// A snapshot file could not be written or read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl StoreFault {
    /// The stable code of the fault.
    pub fn code(&self) -> ErrorCode {
        match self {
            StoreFault::Closed => ErrorCode::ShuttingDown,
            StoreFault::Damaged { .. } => ErrorCode::DataCorrupt,
            StoreFault::Engine(fault) => fault.code(),
            StoreFault::Failed
            | StoreFault::NothingApplied
            | StoreFault::OutOfOrder { .. }
            | StoreFault::Replaced
            | StoreFault::Unwanted => ErrorCode::Internal,
            StoreFault::Snapshot(error) => snapshot_code(error),
        }
    }

    /// A fault of damage, for a person.
    pub(crate) fn damaged(what: impl Into<String>) -> StoreFault {
        StoreFault::Damaged { what: what.into() }
    }
}

/// Why a store cannot be opened, rebuilding included.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be rebuilt: the log begins after what the newest whole snapshot holds.
    #[error(
        "the log was purged up to {purged}, and no whole snapshot reaches that far (the newest ends at {snapshot:?})"
    )]
    Gap {
        /// The last entry that the log no longer has.
        purged: LogIndex,
        /// Where the newest whole snapshot ends.
        snapshot: Option<LogIndex>,
    },
    /// A snapshot belongs to another cluster.
    #[error("snapshot {} belongs to cluster {found}, this is {expected}", path.display())]
    ForeignSnapshot {
        /// The file.
        path: PathBuf,
        /// The cluster in its header.
        found: ClusterId,
        /// The cluster of this data folder.
        expected: ClusterId,
    },
    /// A fault while the store was read or rebuilt.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl StoreError {
    /// The stable code of the error.
    pub fn code(&self) -> ErrorCode {
        match self {
            StoreError::Gap { .. } => ErrorCode::DataCorrupt,
            StoreError::ForeignSnapshot { .. } => ErrorCode::ClusterMismatch,
            StoreError::Fault(fault) => fault.code(),
        }
    }
}

impl From<EngineFault> for StoreError {
    fn from(fault: EngineFault) -> StoreError {
        StoreError::Fault(fault.into())
    }
}

impl From<SnapshotError> for StoreError {
    fn from(error: SnapshotError) -> StoreError {
        StoreError::Fault(error.into())
    }
}

fn snapshot_code(error: &SnapshotError) -> ErrorCode {
    match error {
        SnapshotError::Io { source, .. } => crate::engine::io_code(source),
        SnapshotError::Foreign { .. } => ErrorCode::FileUnusable,
        SnapshotError::TooNew { .. } => ErrorCode::FormatTooNew,
        SnapshotError::Damaged { .. } => ErrorCode::DataCorrupt,
        SnapshotError::ChunkTooLarge { .. }
        | SnapshotError::ReservedKind { .. }
        | SnapshotError::Gap { .. } => ErrorCode::Internal,
    }
}
