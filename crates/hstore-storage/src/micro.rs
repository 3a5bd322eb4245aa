//! The small pieces of work that every request is made of, each as many times as one likes: what
//! `cargo bench` times and what `cargo xtask count` counts the instructions of.
//!
//! It is no part of a node: it is built for tests, and with the feature `micro`. It must never reach
//! a real file, so that the same work takes the same instructions everywhere.
//!
//! Invariants: (1) what a workload makes before its first operation does not depend on how many
//! there will be; (2) nothing is drawn: the same operations are the same work.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::codec::{Batch, decode_outcome, decode_proposal, encode_outcome, encode_proposal};
use hstore_core::command::{Command, Proposal, Put};
use hstore_core::id::{ClusterId, LeaseTime, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::range::Range;
use hstore_core::record::{Meta, Record};

use crate::blocks::{Block, Packer};
use crate::cache::Cache;
use crate::disk::Disk as _;
use crate::disk::memory::MemoryDisk;
use crate::engine::memory::MemorySource;
use crate::index::Index;
use crate::store::{ApplyItem, LogRange, Store, StoreOptions, StoreSetup};
use crate::wal::{LogEntry, Wal, WalOptions};

/// How large a value is.
const VALUE_BYTES: usize = 256;

/// How many keys there are, where there are some.
const KEYS: u64 = 20_000;

/// How many puts an entry of the log holds.
const BATCH: u64 = 32;

/// How many entries the log syncs at once.
const SYNCED: u64 = 16;

/// How many different entries are applied, one after the other and again.
const ENTRIES: u64 = 64;

/// How many bytes of records wait until they are written down.
const RECENT_BYTES: usize = 1 << 20;

/// How many keys a range has.
const RANGE: u64 = 100;

/// The law that makes a failure of a workload impossible.
const IN_MEMORY: &str = "memory does not fail";

/// So many operations.
pub type Work = Box<dyn FnMut(u64)>;

/// One kind of work.
pub struct Workload {
    /// Its name, in the table of counts and for criterion.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    make: fn() -> Work,
}

impl Workload {
    /// Makes everything that the work needs.
    pub fn begin(&self) -> Work {
        (self.make)()
    }

    /// The workload of a name.
    pub fn find(name: &str) -> Option<&'static Workload> {
        WORKLOADS.iter().find(|workload| workload.name == name)
    }
}

const fn workload(name: &'static str, operation: &'static str, make: fn() -> Work) -> Workload {
    Workload {
        name,
        operation,
        make,
    }
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    workload("proposal-encode", "a put at the door", proposal_encode),
    workload(
        "proposal-decode",
        "a put where it is applied",
        proposal_decode,
    ),
    workload("entry-encode", "an entry of 32 puts", entry_encode),
    workload(
        "entry-decode",
        "an entry of 32 puts, not its puts",
        entry_decode,
    ),
    workload(
        "outcome-code",
        "an outcome of a put, there and back",
        outcome_code,
    ),
    workload("log-append", "an entry of a put; a sync for 16", log_append),
    workload("block-encode", "a record", block_encode),
    workload("block-decode", "a block of 16 KiB", block_decode),
    workload(
        "index-insert",
        "a new key among 20,000 and more",
        index_insert,
    ),
    workload(
        "index-replace",
        "a record more of one of 20,000 keys",
        index_replace,
    ),
    workload("index-get", "one of 20,000 keys", index_get),
    workload("index-range", "100 keys of 20,000", index_range),
    workload("cache-hit", "a value", cache_hit),
    workload(
        "apply-put",
        "a put in an entry of 32, written down",
        apply_put,
    ),
    workload("store-get", "a value in memory", store_get),
    workload("store-range", "100 values in memory", store_range),
];

/// A key, in an order that is none.
fn key(n: u64) -> Bytes {
    // The finalizer of SplitMix64 is a permutation.
    let mut mixed = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    Bytes::from(format!("{mixed:016x}"))
}

/// A value that compresses a little, as most do.
fn value(n: u64) -> Bytes {
    let mut value = Vec::with_capacity(VALUE_BYTES);
    let mut part = n;
    while value.len() < VALUE_BYTES {
        part += 1;
        value.extend_from_slice(&key(part));
        value.extend_from_slice(b"the same again, ");
    }
    value.truncate(VALUE_BYTES);
    Bytes::from(value)
}

fn meta(revision: u64) -> Meta {
    Meta {
        create_revision: Revision(revision as i64),
        mod_revision: Revision(revision as i64),
        version: 1,
        ..Meta::default()
    }
}

fn record(n: u64) -> Record {
    Record {
        key: key(n),
        value: value(n),
        meta: meta(n + 2),
    }
}

fn put(n: u64) -> Proposal {
    Proposal {
        request: None,
        author: Author::Nobody,
        command: Command::Put(Put {
            key: key(n),
            value: value(n),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }),
    }
}

fn entry(from: u64) -> Batch {
    Batch {
        time: LeaseTime(from),
        proposals: (from..from + BATCH)
            .map(|n| encode_proposal(&put(n)))
            .collect(),
    }
}

fn log_id(index: u64) -> LogId {
    LogId {
        term: Term(1),
        leader: NodeId(1),
        index: LogIndex(index),
    }
}

fn proposal_encode() -> Work {
    let proposal = put(1);
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(encode_proposal(black_box(&proposal)));
        }
    })
}

fn proposal_decode() -> Work {
    let bytes = encode_proposal(&put(1));
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(decode_proposal(black_box(&bytes).clone())).expect(IN_MEMORY);
        }
    })
}

fn entry_encode() -> Work {
    let batch = entry(0);
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(black_box(&batch).encode());
        }
    })
}

fn entry_decode() -> Work {
    let bytes = entry(0).encode();
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(Batch::decode(black_box(&bytes).clone())).expect(IN_MEMORY);
        }
    })
}

fn outcome_code() -> Work {
    let store = store();
    let item = ApplyItem::Batch(entry(0).encode());
    let outcomes = store.apply(log_id(0), item).expect(IN_MEMORY);
    Box::new(move |operations| {
        for _ in 0..operations {
            let bytes = encode_outcome(black_box(&outcomes[0]));
            black_box(decode_outcome(bytes)).expect(IN_MEMORY);
        }
    })
}

fn log_append() -> Work {
    let disk = Arc::new(MemoryDisk::new());
    let folder = Path::new("/wal");
    disk.create_dir_all(folder).expect(IN_MEMORY);
    let options = WalOptions {
        segment_bytes: 1 << 20,
        tail_bytes_max: 1 << 20,
    };
    let (mut wal, _recovered) = Wal::open(disk, folder, options).expect(IN_MEMORY);
    let mut next = 0;
    let payload = encode_proposal(&put(1));
    Box::new(move |operations| {
        for _ in 0..operations {
            let payload = payload.clone();
            let id = log_id(next);
            wal.append(vec![LogEntry { id, payload }]).expect(IN_MEMORY);
            next += 1;
            if next.is_multiple_of(SYNCED) {
                wal.sync().expect(IN_MEMORY);
            }
            if next.is_multiple_of(256 * SYNCED) {
                wal.purge(log_id(next - SYNCED)).expect(IN_MEMORY);
            }
        }
    })
}

fn block_encode() -> Work {
    let mut records: Vec<_> = (0..1024).map(record).collect();
    let mut packer = Packer::new(StoreOptions::default().block_bytes);
    let mut next = 0;
    Box::new(move |operations| {
        for _ in 0..operations {
            let place = next as usize % records.len();
            let record = &mut records[place];
            next += 1;
            record.meta.mod_revision = Revision(next);
            black_box(packer.push(record));
        }
    })
}

fn block_decode() -> Work {
    let mut packer = Packer::new(StoreOptions::default().block_bytes);
    let packed = (0..).find_map(|n| packer.push(&record(n)));
    let packed = packed.expect("a block is full at some time");
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(Block::decode(black_box(&packed.bytes))).expect(IN_MEMORY);
        }
    })
}

/// All keys, made beforehand so that making them is not counted.
fn keys() -> Vec<Bytes> {
    (0..KEYS).map(key).collect()
}

fn index() -> Index {
    let mut index = Index::default();
    for (n, key) in keys().iter().enumerate() {
        index.push(key, &meta(n as u64 + 2));
    }
    index
}

fn index_insert() -> Work {
    let mut index = index();
    let mut next = KEYS;
    Box::new(move |operations| {
        for _ in 0..operations {
            // The bytes of a number the other way round are in no order, and cheap to make.
            let key = (next.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
            index.push(&key, &meta(next + 2));
            next += 1;
        }
    })
}

fn index_replace() -> Work {
    let (mut index, keys) = (index(), keys());
    let mut next = KEYS;
    Box::new(move |operations| {
        for _ in 0..operations {
            index.push(&keys[(next % KEYS) as usize], &meta(next + 2));
            next += 1;
        }
    })
}

fn index_get() -> Work {
    let (index, keys) = (index(), keys());
    let mut next = 0;
    Box::new(move |operations| {
        for _ in 0..operations {
            let key = &keys[(next % KEYS) as usize];
            black_box(index.get(key, Revision(i64::MAX))).expect("it was put");
            next += 1;
        }
    })
}

fn index_range() -> Work {
    let (index, keys) = (index(), keys());
    let ranges: Vec<_> = keys.into_iter().take(512).map(KeyRange::From).collect();
    let mut next = 0;
    Box::new(move |operations| {
        for _ in 0..operations {
            let range = &ranges[next % ranges.len()];
            black_box(index.scan(range, None, Revision(i64::MAX), RANGE as usize));
            next += 1;
        }
    })
}

fn cache_hit() -> Work {
    let cache = Cache::new(64 << 20);
    for n in 0..KEYS {
        cache.keep_value(meta(n).position(), value(n));
    }
    let mut next = 0;
    Box::new(move |operations| {
        for _ in 0..operations {
            black_box(cache.value(meta(next % KEYS).position())).expect("it is kept");
            next += 1;
        }
    })
}

fn store() -> Store {
    let disk = Arc::new(MemoryDisk::new());
    let snapshots = PathBuf::from("/snapshots");
    disk.create_dir_all(&snapshots).expect(IN_MEMORY);
    let setup = StoreSetup {
        options: StoreOptions {
            recent_bytes_max: RECENT_BYTES,
            ..StoreOptions::default()
        },
        cluster_id: ClusterId(1),
        engines: Arc::new(MemorySource::new()),
        disk,
        snapshots,
        log: LogRange::default(),
    };
    let (store, _opened) = Store::open(setup).expect(IN_MEMORY);
    store
}

fn apply_put() -> Work {
    let store = store();
    let entries: Vec<_> = (0..ENTRIES).map(|n| entry(n * BATCH).encode()).collect();
    let (mut next, mut owed) = (0, 0);
    Box::new(move |operations| {
        owed += operations;
        while owed >= BATCH {
            owed -= BATCH;
            let entry = entries[(next % ENTRIES) as usize].clone();
            let applied = store.apply(log_id(next), ApplyItem::Batch(entry));
            black_box(applied).expect(IN_MEMORY);
            next += 1;
            if store.recent_is_full() {
                store.flush().expect(IN_MEMORY);
            }
        }
    })
}

/// A store with some thousand keys, all of them in memory.
fn full_store() -> Store {
    let store = store();
    for n in 0..ENTRIES {
        let entry = entry(n * BATCH).encode();
        let applied = store.apply(log_id(n), ApplyItem::Batch(entry));
        applied.expect(IN_MEMORY);
    }
    store
}

fn store_get() -> Work {
    let store = full_store();
    let ranges: Vec<_> = (0..ENTRIES * BATCH)
        .map(|n| Range::of(KeyRange::One(key(n))))
        .collect();
    read(store, ranges, 1)
}

fn store_range() -> Work {
    let store = full_store();
    let mut keys: Vec<_> = (0..ENTRIES * BATCH).map(key).collect();
    keys.sort();
    // Those at the end have less behind them.
    keys.truncate(keys.len() - RANGE as usize);
    let ranges = keys.into_iter().map(|key| Range {
        limit: RANGE,
        uncounted: true,
        ..Range::of(KeyRange::From(key))
    });
    read(store, ranges.collect(), RANGE as usize)
}

fn read(store: Store, ranges: Vec<Range>, records: usize) -> Work {
    let mut next = 0;
    Box::new(move |operations| {
        for _ in 0..operations {
            let read = store.try_range(&ranges[next % ranges.len()]);
            let outcome = read.expect(IN_MEMORY).expect("it is in memory");
            let found = outcome.result.map(|found| found.records.len());
            assert_eq!(found, Ok(records));
            next += 1;
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_works_for_more_than_one_turn_of_what_it_has() {
        for workload in WORKLOADS {
            let mut work = workload.begin();
            work(1);
            work(3000);
            assert!(Workload::find(workload.name).is_some());
        }
    }
}
