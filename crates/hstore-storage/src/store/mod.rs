//! The working store: records, an index over them, and the state machine above.
//!
//! Writes go to the index and to recent records, in memory only; `flush` packs recent records into
//! blocks; reads find a record in the index and its value among the recent, in the cache, or in a
//! block. The store knows the log only as entries that come in order, and must never know Raft, a
//! socket or a clock. It starts no thread: who calls `flush` and `maintain` decides when.
//!
//! Invariants:
//! 1. The store may be lost: what it holds can be made again from a snapshot file and the log.
//! 2. A record is in the recent ones or in exactly one block, and readers find it throughout.
//! 3. Readers see an applied entry wholly or not at all: they read as of a revision, and the
//!    revision moves when all records of the entry are in the index.
//! 4. What the engine holds belongs to one applied index, that of its state; blocks beyond it do
//!    not count.
//! 5. A block changes in the engine only for compactions that are in the engine's state: otherwise
//!    a restart would replay entries over a history that they did not see the first time.
//! 6. No lock is held over anything slow, but for `publishing`, which a reader takes only when a
//!    block that it looked for was replaced under its hands.
//!
//! Locks are taken in the order of the fields of [`Store`].

mod apply;
mod bookkeeping;
mod directory;
mod error;
mod fetch;
mod flush;
mod hash;
mod load;
mod maintain;
mod marker;
mod open;
mod options;
mod page;
mod parts;
mod read;
mod recall;
mod scan;
mod seed;
mod transfer;
mod walk;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hstore_core::auth::{Auth, AuthRefusal, Author};
use hstore_core::id::{LeaseTime, LogId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{Machine, Notices};
use hstore_core::membership::Membership;
use hstore_core::outcome::LeaseState;
use hstore_core::record::Position;
use hstore_core::settings::Settings;

use crate::cache::Cache;
use crate::engine::{Engine, EngineNumber};
use crate::index::{Index, Sweep};
use crate::recent::Recent;

use bookkeeping::Tally;
use directory::Directory;
use marker::{Clean, Marker};

pub use error::{StoreError, StoreFault};
pub use hash::{HashWalk, KeyHash};
pub use options::{
    ApplyItem, LogRange, Opened, Progress, ReadOutcome, RebuildReason, StoreOptions, StoreSetup,
    StoreStats,
};
pub use page::{Page, PageRequest};
pub use read::{Attempt, Room, Unbounded, Untold};
pub use recall::{Recall, Stretch};
pub use seed::{Founding, SeedWriter, Summary, inspect, refound};

/// The law that makes a poisoned lock impossible.
const NO_PANIC: &str = "a panic ends the process, and nothing panics while it holds this lock";

/// A position before every record.
const BEFORE_ALL: Position = Position {
    revision: Revision(i64::MIN),
    sub: 0,
};

/// The last position that a revision can have.
fn end_of(revision: Revision) -> Position {
    Position {
        revision,
        sub: u32::MAX,
    }
}

/// The working store of a node.
pub struct Store {
    setup: StoreSetup,
    cache: Cache,
    recent_hits: AtomicU64,
    /// Set when somebody wants waste gone that is too little to be minded otherwise.
    tidying: AtomicBool,
    /// Set when a call failed half way: memory and log may disagree from then on.
    failed: AtomicBool,
    /// Held by whoever writes to the engine, for the whole of a flush or of a step.
    writer: Mutex<Writer>,
    /// Held while an entry is applied, and for the moment in which a flush takes its state.
    machine: Mutex<Machine>,
    /// Held while the engine and the directory disagree: from the write of a batch until the
    /// directory says so.
    publishing: Mutex<()>,
    /// What readers see. Held for moments.
    shared: RwLock<Shared>,
}

/// What the one writer of the engine knows.
#[derive(Debug, Default)]
struct Writer {
    /// The compaction of the index that is under way.
    sweep: Option<Sweep>,
    /// Whether dead records are leaving the blocks.
    is_rewriting: bool,
}

/// What readers see.
struct Shared {
    /// Which records there are.
    index: Index,
    /// Those that are in no block.
    recent: Recent,
    /// Those that are.
    directory: Directory,
    /// Where the blocks are; none when the store is closed.
    engine: Option<InUse>,
    /// The last entry that was applied.
    applied: Option<LogId>,
    /// The membership as of it.
    membership: Membership,
    /// The revision at which reads happen: the machine's, once its records are all here.
    revision: Revision,
    /// The oldest readable revision.
    compacted: Revision,
    /// Who may do what as of `applied`: a read is checked against this and sees `revision`.
    auth: Arc<Auth>,
    /// What is set for the cluster and its nodes as of `applied`.
    settings: Arc<Settings>,
    /// The machine's running hash as of `applied`.
    state_hash: u64,
    /// The clock of the leases as of `applied`.
    lease_clock: LeaseTime,
    /// When the next lease ends, as of `applied`.
    next_lease_end: Option<LeaseTime>,
    /// What a node must know of the state, as of `applied`, and the machine's number of it.
    notices: Arc<Notices>,
    noticed: u64,
    /// The compaction up to which the index was swept, or is being swept.
    swept: Revision,
    /// The compaction whose waste is gone, as far as it pays.
    reclaimed: Revision,
    /// The last entry whose effect is in the engine.
    flushed: Option<LogId>,
    /// The oldest readable revision as the engine's state has it.
    flushed_compacted: Revision,
    /// How many walks need everything that is readable now to stay.
    holds: u32,
}

/// The engine in use.
#[derive(Clone)]
struct InUse {
    number: EngineNumber,
    engine: Arc<dyn Engine>,
}

impl Store {
    /// The last entry that was applied, and the membership as of it.
    pub fn applied(&self) -> (Option<LogId>, Membership) {
        let shared = self.read();
        (shared.applied, shared.membership.clone())
    }

    /// The clock of the leases as of the last entry, and when the next lease ends.
    pub fn lease_clock(&self) -> (LeaseTime, Option<LeaseTime>) {
        let shared = self.read();
        (shared.lease_clock, shared.next_lease_end)
    }

    /// Who may do what, as of the last entry; another one after every change.
    pub fn auth(&self) -> Arc<Auth> {
        Arc::clone(&self.read().auth)
    }

    /// What is set for the cluster and its nodes, as of the last entry; another one after every change.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.read().settings)
    }

    /// Gives the cache another size. What is beyond a smaller one is dropped at once.
    pub fn set_cache_bytes(&self, bytes: u64) {
        self.cache.set_bytes(bytes);
    }

    /// What is known of a lease, with its keys when they are asked for. Waits for an entry that is
    /// being applied.
    pub fn lease(&self, lease: i64, with_keys: bool) -> Option<(LeaseState, Vec<Bytes>)> {
        let found = self.lease_for(&Author::Node, lease, with_keys);
        found.expect("the node may read every key")
    }

    /// The same for somebody, who must be allowed to read each of the keys that they ask for.
    pub fn lease_for(
        &self,
        author: &Author,
        lease: i64,
        with_keys: bool,
    ) -> Result<Option<(LeaseState, Vec<Bytes>)>, AuthRefusal> {
        let machine = self.lock_machine();
        let auth = machine.auth();
        auth.check_user(author)?;
        let Some(state) = machine.lease(lease) else {
            return Ok(None);
        };
        let keys = if with_keys {
            self.attached_keys(lease)
        } else {
            Vec::new()
        };
        if !auth.is_unlimited(author) {
            let mut each = keys.iter().cloned().map(KeyRange::One);
            each.try_for_each(|key| auth.check_read(author, &key))?;
        }
        Ok(Some((state, keys)))
    }

    /// Every lease, in the order of ids. Waits for an entry that is being applied.
    pub fn leases(&self) -> Vec<i64> {
        self.lock_machine().leases().collect()
    }

    /// The same for somebody, who must be a user.
    pub fn leases_for(&self, author: &Author) -> Result<Vec<i64>, AuthRefusal> {
        let machine = self.lock_machine();
        machine.auth().check_user(author)?;
        Ok(machine.leases().collect())
    }

    /// How many leases there are. Waits for an entry that is being applied.
    pub fn lease_count(&self) -> u64 {
        self.lock_machine().leases().count() as u64
    }

    /// What a node must know of the state at any time, as of the last entry.
    pub fn notices(&self) -> Arc<Notices> {
        self.read().notices.clone()
    }

    /// The newest revision that is known to have been current at `time` on the clock of the log,
    /// or before it. Waits for an entry that is being applied.
    pub fn revision_as_of(&self, time: LeaseTime) -> Option<Revision> {
        self.lock_machine().revision_as_of(time)
    }

    /// The compaction whose waste is gone from the disk, as far as it pays.
    pub fn reclaimed(&self) -> Revision {
        self.read().reclaimed
    }

    /// Has the next steps of compaction take all waste, also what would not pay otherwise.
    pub fn tidy(&self) {
        self.tidying.store(true, Ordering::Release);
    }

    /// The current revision.
    pub fn revision(&self) -> Revision {
        self.read().revision
    }

    /// The oldest readable revision; 0 when nothing was compacted.
    pub fn compacted(&self) -> Revision {
        self.read().compacted
    }

    /// Whether the caller has to flush before it applies more.
    pub fn recent_is_full(&self) -> bool {
        self.read().recent.bytes() >= self.setup.options.recent_bytes_max
    }

    /// Figures. Asks the engine for its size, so it is for people, not for every request.
    pub fn stats(&self) -> StoreStats {
        let (mut stats, engine) = {
            let shared = self.read();
            let stats = StoreStats {
                applied: shared.applied,
                flushed: shared.flushed,
                revision: shared.revision,
                compacted: shared.compacted,
                keys: shared.index.live_keys(),
                records: shared.index.records(),
                recent_records: shared.recent.len() as u64,
                recent_bytes: shared.recent.bytes() as u64,
                blocks: shared.directory.blocks(),
                block_records: shared.directory.records(),
                block_bytes: shared.directory.bytes(),
                live_bytes: shared.directory.live_bytes(),
                state_hash: shared.state_hash,
                ..StoreStats::default()
            };
            (stats, shared.engine.clone())
        };
        stats.recent_hits = self.recent_hits.load(Ordering::Relaxed);
        stats.cache_hits = self.cache.hits();
        stats.cache_misses = self.cache.misses();
        stats.cache_bytes = self.cache.bytes();
        // A size that cannot be told is no reason to stop a node; its next read is.
        let bytes = engine.and_then(|in_use| in_use.engine.size_on_disk().ok());
        stats.engine_bytes = bytes.unwrap_or(0);
        stats
    }

    /// Flushes, syncs the engine and marks it clean. Every later call that needs the engine fails.
    pub fn close(&self) -> Result<(), StoreFault> {
        self.flush()?;
        let _writer = self.lock_writer();
        let machine = self.lock_machine();
        let (in_use, clean) = {
            let mut shared = self.write();
            let clean = Clean {
                applied: shared.applied,
                records: shared.directory.records(),
            };
            let is_flushed = shared.flushed == shared.applied;
            (shared.engine.take(), is_flushed.then_some(clean))
        };
        drop(machine);
        let InUse { number, engine } = in_use.ok_or(StoreFault::Closed)?;
        let is_synced = self.setup.engines.close(number, engine)?;
        if clean.is_some() && is_synced {
            self.save_marker(number, clean)?;
        }
        Ok(())
    }

    /// Says beside the engine's folder who uses it, or that its use ended well.
    fn save_marker(&self, number: EngineNumber, clean: Option<Clean>) -> Result<(), StoreFault> {
        save_marker(&self.setup, number, clean)
    }

    /// Fails when the store must not be used any more.
    fn check(&self) -> Result<(), StoreFault> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreFault::Failed);
        }
        Ok(())
    }

    /// Remembers that a call failed half way.
    fn keep_failure<T>(&self, result: Result<T, StoreFault>) -> Result<T, StoreFault> {
        if result
            .as_ref()
            .is_err_and(|fault| !matches!(fault, StoreFault::Closed))
        {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn in_use(&self) -> Result<InUse, StoreFault> {
        self.read().engine.clone().ok_or(StoreFault::Closed)
    }

    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().expect(NO_PANIC)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().expect(NO_PANIC)
    }

    fn lock_machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect(NO_PANIC)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect(NO_PANIC)
    }

    fn lock_publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().expect(NO_PANIC)
    }
}

impl Shared {
    /// What the engine's tally has to say.
    fn tally(&self) -> Tally {
        Tally {
            blocks: self.directory.blocks(),
            records: self.directory.records(),
        }
    }
}

fn save_marker(
    setup: &StoreSetup,
    number: EngineNumber,
    clean: Option<Clean>,
) -> Result<(), StoreFault> {
    let marker = Marker {
        cluster_id: setup.cluster_id,
        boot_id: setup.engines.boot_id(),
        clean,
    };
    Ok(setup.engines.save_marker(number, &marker.encode())?)
}
