//! What a store is opened with, what it takes and what it answers. Words only.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::id::{ClusterId, LogId, Revision};
use hstore_core::membership::Membership;
use hstore_core::outcome::Refusal;
use hstore_core::range::RangeResult;

use crate::disk::Disk;
use crate::engine::EngineSource;

/// How much memory the store may take and how it packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The values of records on the disk that stay in memory, with their bookkeeping.
    pub cache_bytes: u64,
    /// The records that are not on the disk yet. When they are more, [`super::Store::recent_is_full`]
    /// says so and the caller flushes before it applies more.
    pub recent_bytes_max: usize,
    /// How large a block grows before the next one begins, before compression. 16 KiB: of 64 KiB, a
    /// million records cost a tenth less to write, but the engine takes 60 MB more of memory.
    pub block_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            cache_bytes: 64 * 1024 * 1024,
            recent_bytes_max: 16 * 1024 * 1024,
            block_bytes: 16 * 1024,
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
    /// Bytes of blocks, those that compaction dropped and that are not rewritten yet included.
    pub block_bytes: u64,
    /// Bytes of blocks that hold living records, about.
    pub live_bytes: u64,
    /// Bytes the engine takes on the disk. More than what is in it: an engine keeps room that it
    /// wrote to before and will write to again.
    pub engine_bytes: u64,
    /// The running hash over everything applied, the same on every node at the same index.
    pub state_hash: u64,
}

impl StoreStats {
    /// The room that everything takes which is kept, what is not in a block yet included. It falls
    /// as soon as compaction has given something back, whatever the engine's files do.
    pub fn room_bytes(&self) -> u64 {
        self.block_bytes + self.recent_bytes
    }
}
