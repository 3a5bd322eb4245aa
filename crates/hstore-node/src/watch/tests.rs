//! The hub over a real store, driven step by step, so that every interleaving can be made.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod meeting;
mod random;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use hstore_core::auth::Author;
use hstore_core::codec::{Batch, encode_proposal};
use hstore_core::command::{Command, Compact, Delete, Proposal, Put};
use hstore_core::id::{ClusterId, LeaseTime, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::record::Record;
use hstore_storage::disk::Disk as _;
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use hstore_storage::store::{
    ApplyItem, LogRange, Progress, Recall, Store, StoreOptions, StoreSetup,
};

use tokio::sync::Semaphore;

use super::hub::{Bounds, Hub};
use super::{Archive, Delivery, WatchRequest, WatchStream, catch_up};
use crate::env::InlineLanes;
use crate::fate::Fate;

/// A store, its hub, and what was ever written.
struct World {
    store: Arc<Store>,
    disk: Arc<MemoryDisk>,
    hub: Arc<Hub>,
    next: u64,
    log: Vec<(LogId, ApplyItem)>,
}

fn bounds() -> Bounds {
    Bounds {
        stretch_bytes: 2000,
        ..Bounds::new(100_000, 1024 * 1024)
    }
}

fn open_store(disk: Arc<MemoryDisk>) -> Arc<Store> {
    let snapshots = PathBuf::from("/snapshots");
    disk.create_dir_all(&snapshots).unwrap();
    let setup = StoreSetup {
        options: StoreOptions {
            block_bytes: 1000,
            ..StoreOptions::default()
        },
        cluster_id: ClusterId(1),
        engines: Arc::new(MemorySource::new()),
        disk,
        snapshots,
        log: LogRange::default(),
    };
    Arc::new(Store::open(setup).unwrap().0)
}

impl World {
    fn new() -> World {
        World::with(bounds())
    }

    fn with(bounds: Bounds) -> World {
        let disk = Arc::new(MemoryDisk::new());
        let store = open_store(disk.clone());
        World {
            hub: Arc::new(Hub::new(store.clone(), bounds)),
            store,
            disk,
            next: 0,
            log: Vec::new(),
        }
    }

    fn run(&mut self, commands: impl IntoIterator<Item = Command>) {
        let proposals = commands.into_iter().map(|command| {
            encode_proposal(&Proposal {
                request: None,
                author: Author::Nobody,
                command,
            })
        });
        let batch = Batch {
            time: LeaseTime::default(),
            proposals: proposals.collect(),
        };
        let id = LogId {
            term: Term(1),
            leader: NodeId(1),
            index: LogIndex(self.next),
        };
        self.next += 1;
        let item = ApplyItem::Batch(batch.encode());
        self.log.push((id, item.clone()));
        self.store.apply(id, item).unwrap();
    }

    fn put(&mut self, key: &str, value: &str) {
        self.run([put(key, value)]);
    }

    fn archive(&self) -> Archive {
        Archive {
            store: self.store.clone(),
            lanes: Arc::new(InlineLanes),
            places: Arc::new(Semaphore::new(1)),
            fate: Fate::new(),
        }
    }

    fn stream(&self) -> WatchStream {
        WatchStream::open(&self.hub, self.archive()).unwrap()
    }

    /// One step of the tail; whether there was one.
    fn tail_step(&self) -> bool {
        let Some(from) = self.hub.due() else {
            return false;
        };
        let bytes = self.hub.bounds().stretch_bytes;
        let recall = if let Some(stretch) = self.store.tail(from, bytes) {
            Recall::Stretch(stretch)
        } else {
            self.store.recall(&[KeyRange::all()], from, bytes).unwrap()
        };
        self.hub.tell(from, recall);
        true
    }

    /// One step of the catching up; whether there was one.
    fn errand_step(&self) -> bool {
        let Some(mut errand) = self.hub.errand() else {
            return false;
        };
        let bytes = self.hub.bounds().stretch_bytes;
        let recall = if let Some(stretch) = self.store.tail(errand.from, bytes) {
            Recall::Stretch(stretch)
        } else {
            let keys = errand.disk_list();
            catch_up::read(&self.store, &keys, errand.from).unwrap()
        };
        self.hub.deliver(&errand, recall);
        true
    }

    fn settle(&self) {
        while self.tail_step() || self.errand_step() {}
    }

    fn maintain(&self) {
        self.store.flush().unwrap();
        while self.store.maintain().unwrap() == Progress::More {}
    }
}

fn put(key: &str, value: &str) -> Command {
    Command::Put(Put {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    })
}

fn delete(keys: KeyRange) -> Command {
    Command::Delete(Delete {
        keys,
        prev_kv: false,
    })
}

fn compact(revision: i64) -> Command {
    Command::Compact(Compact {
        revision: Revision(revision),
    })
}

fn prefix(text: &str) -> KeyRange {
    KeyRange::prefix(&Bytes::copy_from_slice(text.as_bytes()))
}

fn one(text: &str) -> KeyRange {
    KeyRange::One(Bytes::copy_from_slice(text.as_bytes()))
}

fn from(keys: KeyRange, start: i64) -> WatchRequest {
    WatchRequest {
        start: Revision(start),
        ..WatchRequest::of(keys)
    }
}

/// Everything that waits.
fn take(stream: &mut WatchStream) -> Vec<Delivery> {
    let mut all = Vec::new();
    while let Some(next) = stream.next().now_or_never() {
        all.push(next.unwrap());
    }
    all
}

/// What waits, in words: created, refused, canceled, events as `id: key@revision`, progress.
fn told(stream: &mut WatchStream) -> Vec<String> {
    take(stream).iter().map(said).collect()
}

fn said(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Created { id, revision } => format!("{id} created @{revision}"),
        Delivery::Refused { refusal, .. } => format!("refused: {refusal}"),
        Delivery::Canceled { id, reason, .. } => format!("{id} canceled {reason:?}"),
        Delivery::Progress { id: None, revision } => format!("all @{revision}"),
        Delivery::Progress {
            id: Some(id),
            revision,
        } => format!("{id} quiet @{revision}"),
        Delivery::Events { id, events, .. } => {
            let events: Vec<String> = events.iter().map(|event| short(&event.record)).collect();
            format!("{id}: {}", events.join(" "))
        }
    }
}

fn short(record: &Record) -> String {
    let key = String::from_utf8_lossy(&record.key);
    let sign = if record.meta.is_tombstone() { "-" } else { "" };
    format!("{sign}{key}@{}", record.meta.mod_revision)
}
