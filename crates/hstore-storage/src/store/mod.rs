//! The working store: records, an index over them, and the state machine above.

mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::id::{ClusterId, LogId, Revision};
use hstore_core::membership::Membership;
use hstore_core::outcome::{Outcome, Refusal};
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::Record;

use crate::disk::Disk;
use crate::engine::EngineSource;
use crate::snapshot::SnapshotHeader;

pub use error::{StoreError, StoreFault};

/// How much memory the store may take and how it packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The values of records on the disk that stay in memory, with their bookkeeping.
    pub cache_bytes: u64,
    /// The records that are not on the disk yet. When they are more, [`Store::recent_is_full`]
    /// says so and the caller flushes before it applies more.
    pub recent_bytes_max: usize,
    /// How large a block grows before the next one begins, before compression.
    pub block_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            cache_bytes: 64 * 1024 * 1024,
            recent_bytes_max: 16 * 1024 * 1024,
            block_bytes: 64 * 1024,
        }
    }
}

/// Everything a store is opened with.
#[derive(Clone)]
pub struct StoreSetup {
    /// Bounds.
    pub options: StoreOptions,
    /// The cluster that the data folder belongs to.
    pub cluster_id: ClusterId,
    /// Where engines are kept.
    pub engines: Arc<dyn EngineSource>,
    /// Where snapshot files are read from and written to.
    pub disk: Arc<dyn Disk>,
    /// The folder of the snapshot files; must exist.
    pub snapshots: PathBuf,
    /// What the log still has.
    pub log: LogRange,
}

/// Which entries the log still has: those after `purged`, up to `last`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The last entry there is.
    pub last: Option<LogId>,
}

/// How the store came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// There was nothing before: a new data folder.
    Empty,
    /// The engine of the last run was sound and current enough.
    Reused,
    /// Made from the newest snapshot file, or from nothing; the log does the rest.
    Rebuilt {
        /// Why the engine of the last run was not used.
        reason: RebuildReason,
    },
}

/// Why an engine was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RebuildReason {
    /// The applied index is not one from which the log can go on.
    #[error("its applied index is outside of the log")]
    AppliedOutOfRange,
    /// It cannot be read, or not what was written was read.
    #[error("it is damaged")]
    Damaged,
    /// It belongs to another cluster.
    #[error("it belongs to another cluster")]
    Foreign,
    /// There is none.
    #[error("it is not there")]
    Missing,
    /// The machine was restarted without a clean stop, so unsynced bytes may be gone.
    #[error("the machine stopped without a clean stop of the node")]
    PowerLoss,
    /// A newer version wrote it.
    #[error("a newer version wrote it")]
    TooNew,
}

/// One entry of the log, as the store applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyItem {
    /// An encoded [`hstore_core::codec::Batch`] of proposals.
    Batch(Bytes),
    /// An entry that changes nothing but the applied index.
    Blank,
    /// A new membership; its own `log_id` is kept as it is.
    Membership(Membership),
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The store's revision at the moment of the read.
    pub revision: Revision,
    /// The records, or why there are none.
    pub result: Result<RangeResult, Refusal>,
}

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is left to do for now.
    Idle,
    /// Another step would do something.
    More,
}

/// Figures of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The last entry that was applied.
    pub applied: Option<LogId>,
    /// The last entry whose effect is in the engine.
    pub flushed: Option<LogId>,
    /// The current revision.
    pub revision: Revision,
    /// The oldest readable revision; 0 when nothing was compacted.
    pub compacted: Revision,
    /// Keys in the index, deleted ones with history included.
    pub keys: u64,
    /// Records in the index, old ones and tombstones included.
    pub records: u64,
    /// Records that are not in a block yet.
    pub recent_records: u64,
    /// Their bytes.
    pub recent_bytes: u64,
    /// Values that were read from memory without the cache, since they were recent.
    pub recent_hits: u64,
    /// Values that the cache had.
    pub cache_hits: u64,
    /// Values that it did not have.
    pub cache_misses: u64,
    /// Bytes in the cache.
    pub cache_bytes: u64,
    /// Blocks in the engine.
    pub blocks: u64,
    /// Records in blocks, those that compaction dropped and that are not rewritten yet included.
    pub block_records: u64,
    /// Bytes the engine takes on the disk.
    pub engine_bytes: u64,
    /// The running hash over everything applied, the same on every node at the same index.
    pub state_hash: u64,
}

/// The working store.
pub struct Store {}

#[allow(
    clippy::todo,
    clippy::unused_self,
    unused_variables,
    reason = "the bodies follow"
)]
impl Store {
    /// Opens the store: reuses the engine of the last run if it can be trusted, else rebuilds it
    /// from the newest whole snapshot. The log from `applied()` on is the caller's to replay.
    pub fn open(setup: StoreSetup) -> Result<(Store, Opened), StoreError> {
        todo!()
    }

    /// The last entry that was applied, and the membership as of it.
    pub fn applied(&self) -> (Option<LogId>, Membership) {
        todo!()
    }

    /// Applies one entry; one outcome for each proposal of a batch. One caller at a time.
    pub fn apply(&self, id: LogId, item: ApplyItem) -> Result<Vec<Outcome>, StoreFault> {
        todo!()
    }

    /// Whether the caller has to flush before it applies more.
    pub fn recent_is_full(&self) -> bool {
        todo!()
    }

    /// Reads a range; may read the disk.
    pub fn range(&self, range: &Range) -> Result<ReadOutcome, StoreFault> {
        todo!()
    }

    /// Reads a range if that needs no disk; `None` if it does.
    pub fn try_range(&self, range: &Range) -> Result<Option<ReadOutcome>, StoreFault> {
        todo!()
    }

    /// The records of a key, newest first, tombstones included: those before `before` (0: all),
    /// at most `limit` (0: all that are left of history).
    pub fn history(
        &self,
        key: &[u8],
        limit: usize,
        before: Revision,
    ) -> Result<Vec<Record>, StoreFault> {
        todo!()
    }

    /// The current revision.
    pub fn revision(&self) -> Revision {
        todo!()
    }

    /// The oldest readable revision; 0 when nothing was compacted.
    pub fn compacted(&self) -> Revision {
        todo!()
    }

    /// Figures.
    pub fn stats(&self) -> StoreStats {
        todo!()
    }

    /// Writes everything applied so far to the engine. Runs beside reads and `apply`.
    pub fn flush(&self) -> Result<(), StoreFault> {
        todo!()
    }

    /// Does one small step of compaction. Runs beside reads and `apply`.
    pub fn maintain(&self) -> Result<Progress, StoreFault> {
        todo!()
    }

    /// Writes a snapshot file of the state as of now into the folder. Runs beside everything.
    pub fn write_snapshot(&self) -> Result<(PathBuf, SnapshotHeader), StoreFault> {
        todo!()
    }

    /// Replaces the state by that of a snapshot file. The caller applies nothing meanwhile.
    pub fn install_snapshot(&self, path: &Path) -> Result<SnapshotHeader, StoreError> {
        todo!()
    }

    /// Flushes, syncs the engine and marks it clean. Every later call fails.
    pub fn close(&self) -> Result<(), StoreFault> {
        todo!()
    }

    /// A hash over all records that are readable, in order: equal on all nodes with the same
    /// applied index, whatever their blocks look like. Reads everything.
    pub fn content_hash(&self) -> Result<u64, StoreFault> {
        todo!()
    }
}
