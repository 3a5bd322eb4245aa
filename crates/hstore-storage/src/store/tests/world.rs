//! A store, the naive one beside it, and the log and disk that outlive both.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::auth::Author;
use hstore_core::codec::{Batch, encode_proposal};
use hstore_core::command::{Command, Compact, Delete, Proposal, Put, RequestId};
use hstore_core::id::{ClusterId, LeaseTime, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::outcome::Outcome;
use hstore_core::range::Range;

use super::super::{
    ApplyItem, LogRange, Opened, Progress, Store, StoreError, StoreOptions, StoreSetup,
};
use super::naive::Naive;
use crate::disk::Disk;
use crate::disk::memory::MemoryDisk;
use crate::engine::EngineSource;
use crate::engine::memory::MemorySource;

pub(super) const CLUSTER: ClusterId = ClusterId(0x00c1_a57e_4000_0001);

/// Small blocks and a small cache, so that a few records reach every corner.
pub(super) fn small_options() -> StoreOptions {
    StoreOptions {
        cache_bytes: 16 * 1024,
        recent_bytes_max: 8 * 1024,
        block_bytes: 600,
    }
}

pub(super) fn put(key: &[u8], value: &[u8]) -> Command {
    Command::Put(Put {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        lease: 0,
        prev_kv: true,
        ignore_value: false,
        ignore_lease: false,
    })
}

pub(super) fn delete(keys: KeyRange) -> Command {
    Command::Delete(Delete {
        keys,
        prev_kv: true,
    })
}

pub(super) fn compact(revision: i64) -> Command {
    Command::Compact(Compact {
        revision: Revision(revision),
    })
}

pub(super) fn batch(commands: impl IntoIterator<Item = (Option<RequestId>, Command)>) -> ApplyItem {
    batch_at(LeaseTime(0), commands)
}

pub(super) fn batch_at(
    time: LeaseTime,
    commands: impl IntoIterator<Item = (Option<RequestId>, Command)>,
) -> ApplyItem {
    let encode = |(request, command)| {
        encode_proposal(&Proposal {
            request,
            author: Author::Nobody,
            command,
        })
    };
    let proposals = commands.into_iter().map(encode).collect();
    ApplyItem::Batch(Batch { time, proposals }.encode())
}

/// Everything that outlives a process, the process, and what it should be.
pub(super) struct World {
    pub(super) engines: Arc<MemorySource>,
    pub(super) disk: Arc<MemoryDisk>,
    pub(super) options: StoreOptions,
    /// Every entry there ever was.
    pub(super) log: Vec<(LogId, ApplyItem)>,
    /// The outcomes of each.
    pub(super) outcomes: Vec<Vec<Outcome>>,
    /// How much of the log is gone.
    pub(super) purged: Option<LogId>,
    pub(super) store: Option<Store>,
    pub(super) naive: Naive,
}

impl World {
    pub(super) fn new() -> World {
        let disk = Arc::new(MemoryDisk::new());
        disk.create_dir_all(&snapshots()).unwrap();
        let mut world = World {
            engines: Arc::new(MemorySource::new()),
            disk,
            options: small_options(),
            log: Vec::new(),
            outcomes: Vec::new(),
            purged: None,
            store: None,
            naive: Naive::default(),
        };
        assert_eq!(world.open(), Opened::Empty);
        world
    }

    pub(super) fn setup(&self) -> StoreSetup {
        setup(
            self.options,
            self.engines.clone(),
            self.disk.clone(),
            self.log_range(),
        )
    }

    pub(super) fn log_range(&self) -> LogRange {
        LogRange {
            purged: self.purged,
            last: self
                .log
                .last()
                .map(|(id, _)| *id)
                .filter(|id| Some(*id) != self.purged),
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Opens the store and replays what it has not applied, as the node does.
    pub(super) fn open(&mut self) -> Opened {
        let (store, opened) = Store::open(self.setup()).unwrap();
        self.replay(&store);
        self.store = Some(store);
        opened
    }

    pub(super) fn try_open(&self) -> Result<(Store, Opened), StoreError> {
        Store::open(self.setup())
    }

    pub(super) fn replay(&self, store: &Store) {
        let (applied, _) = store.applied();
        assert!(
            applied >= self.purged,
            "the log begins after {:?}",
            self.purged
        );
        let from = applied.map_or(0, |id| id.index.0 as usize + 1);
        for (at, (id, item)) in self.log.iter().enumerate().skip(from) {
            let outcomes = store.apply(*id, item.clone()).unwrap();
            assert_eq!(outcomes, self.outcomes[at], "a replay comes to the same");
        }
    }

    /// Appends an entry to the log and applies it to both.
    pub(super) fn apply(&mut self, item: ApplyItem) -> Vec<Outcome> {
        let id = LogId {
            term: Term(1 + self.log.len() as u64 / 10),
            leader: NodeId(1),
            index: LogIndex(self.log.len() as u64),
        };
        self.log.push((id, item.clone()));
        let expected = self.naive.apply(id, &item);
        let outcomes = self.store().apply(id, item).unwrap();
        assert_eq!(outcomes, expected);
        self.outcomes.push(expected.clone());
        expected
    }

    pub(super) fn run(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<Outcome> {
        self.apply(batch(commands.into_iter().map(|command| (None, command))))
    }

    pub(super) fn maintain_all(&self) {
        while self.store().maintain().unwrap() == Progress::More {}
    }

    /// The process ends cleanly, and starts again.
    pub(super) fn reopen(&mut self) -> Opened {
        self.store.take().unwrap().close().unwrap();
        self.open()
    }

    /// The process dies, and starts again.
    pub(super) fn crash(&mut self) -> Opened {
        drop(self.store.take());
        self.open()
    }

    /// The machine loses its power, and starts again.
    pub(super) fn lose_power(&mut self) -> Opened {
        drop(self.store.take());
        self.engines.crash_machine();
        self.open()
    }

    /// Writes a snapshot and forgets the log up to it.
    pub(super) fn snapshot_and_purge(&mut self) -> PathBuf {
        let (path, header) = self.store().write_snapshot().unwrap();
        self.purged = Some(header.last);
        path
    }

    /// Compares everything that can be read with the naive store.
    pub(super) fn check(&self) {
        compare(self.store(), &self.naive);
    }
}

pub(super) fn snapshots() -> PathBuf {
    PathBuf::from("/node/snapshots")
}

pub(super) fn setup(
    options: StoreOptions,
    engines: Arc<dyn EngineSource>,
    disk: Arc<dyn Disk>,
    log: LogRange,
) -> StoreSetup {
    StoreSetup {
        options,
        cluster_id: CLUSTER,
        engines,
        disk,
        snapshots: snapshots(),
        log,
    }
}

/// Compares everything that can be read.
pub(super) fn compare(store: &Store, naive: &Naive) {
    let machine = &naive.machine;
    assert_eq!(store.applied(), (naive.applied, naive.membership.clone()));
    assert_eq!(store.revision(), machine.revision());
    assert_eq!(store.compacted(), machine.compacted());
    assert_eq!(store.stats().state_hash, machine.state_hash());
    assert_eq!(store.leases(), machine.leases().collect::<Vec<_>>());
    for lease in machine.leases() {
        let (state, keys) = store.lease(lease, true).unwrap();
        assert_eq!(Some(state), machine.lease(lease));
        assert_eq!(keys, naive.attached(lease));
    }
    let clock = (machine.lease_clock(), machine.next_lease_end());
    assert_eq!(store.lease_clock(), clock);

    let current = machine.revision().0;
    for at in 0..=current + 1 {
        // Every revision near both ends, some between.
        if at > 12 && at + 12 < current && at % 7 != 0 {
            continue;
        }
        let range = Range {
            revision: Revision(at),
            ..Range::of(KeyRange::all())
        };
        let expected = naive.range(&range);
        let tried = store.try_range(&range).unwrap();
        let outcome = store.range(&range).unwrap();
        assert_eq!(outcome.result, expected, "as of {at}");
        assert_eq!(outcome.revision, machine.revision());
        if let Some(tried) = tried {
            assert_eq!(tried, outcome, "as of {at}, from memory");
        }
    }
    super::recall::compare(store, naive);
    let all = naive.range(&Range::of(KeyRange::all())).unwrap();
    assert_eq!(store.stats().keys, all.count);

    let mut names: Vec<&Bytes> = naive.records.iter().map(|record| &record.key).collect();
    names.sort_unstable();
    names.dedup();
    for key in names {
        let history = naive.history(key, Revision(i64::MAX));
        assert_eq!(store.history(key, 0, Revision(0)).unwrap(), history);
        let before = Revision(current / 2 + 1);
        let mut older = naive.history(key, before);
        older.truncate(2);
        assert_eq!(store.history(key, 2, before).unwrap(), older);
    }
}
