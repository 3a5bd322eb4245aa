//! The clients: few keys that all of them want, values that nobody else writes, every kind of call.
//!
//! A client leaves a node that does not answer, so there is also a reader for each node, which stays
//! with it: whoever was cut off and does not know it must not answer it with what is old.
//!
//! Invariants: (1) a value is written by one operation only, so that whoever reads it names its
//! writer; (2) a client asks for one thing at a time; (3) keys are those of `KEYS`, all others are for
//! others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hstore_check::history::ClientId;
use hstore_core::claim;
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;
use hstore_core::record::Record;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request;
use hstore_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::sleep;

use super::ask::Ask;
use super::book::Book;
use super::people::Gate;
use crate::fleet::Asker;

/// Every key that is written, but for those that hang on leases.
pub(super) const KEYS: [&str; 12] = [
    "a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3", "c/0", "c/1", "c/2", "c/3",
];
/// The keys that hang on leases.
pub(super) const LEASED: [&str; 3] = ["l/0", "l/1", "l/2"];
/// The keys that users write whose rights change, and their beginning.
pub(super) const GUESTED: [&str; 3] = ["g/0", "g/1", "g/2"];
pub(super) const GUESTED_PREFIX: &str = "g/";
/// The name of a lock, and what only its holder may write.
pub(super) const LOCK: &str = "lock";
pub(super) const LOCKED: &str = "locked";
/// How many clients lock.
pub(super) const LOCKERS: u64 = 3;
/// The lease of the first of them.
const LOCK_LEASE: i64 = 0x10c_0000;
/// The beginnings of keys that ranges are over.
pub(super) const PREFIXES: [&str; 3] = ["a/", "b/", "c/"];
/// How long a client waits for an answer: sometimes for a whole failover, sometimes not, so that
/// there are outcomes that nobody knows.
const PATIENCE_MS: std::ops::Range<u64> = 200..4_000;
/// How long a client thinks between two operations, at most. It bounds the load and the history.
const PAUSE_MS_MAX: u64 = 10;
/// How long a reader waits for its node.
const READER_PATIENCE: Duration = Duration::from_millis(500);
/// How long a reader waits between two reads.
const READER_PAUSE: Duration = Duration::from_millis(10);

/// The lease of a client that locks: always the same one, so that its key has one name.
pub(super) fn lock_lease(nth: u64) -> i64 {
    LOCK_LEASE + nth as i64
}

/// The key by which a client stands in line.
pub(super) fn lock_key(nth: u64) -> Bytes {
    claim::key(LOCK.as_bytes(), lock_lease(nth))
}

/// Every key that is ever written.
pub(super) fn keys() -> impl Iterator<Item = Bytes> {
    let named = KEYS
        .into_iter()
        .chain(LEASED)
        .chain(GUESTED)
        .chain([LOCKED]);
    let named = named.map(|key| Bytes::from_static(key.as_bytes()));
    named.chain((0..LOCKERS).map(lock_key))
}

/// Runs a client until it is told to stop.
pub(super) async fn run(
    number: u64,
    seed: u64,
    gate: Gate,
    book: Arc<Book>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let client = gate.crew()?.patient();
    client.start_at(number as usize);
    let mut draw = Draw::of(number, seed);
    while !*stop.borrow_and_update() {
        let ask = draw.ask();
        let patience = Duration::from_millis(draw.rng.random_range(PATIENCE_MS));
        let client = client.clone().with_timeout(patience);
        let sent = book
            .ask(ClientId(number), ask, |ask| ask.send(&client))
            .await?;
        if let Ok((revision, reply)) = sent {
            draw.learn(revision, &reply);
        }
        let pause = Duration::from_millis(draw.rng.random_range(0..=PAUSE_MS_MAX));
        tokio::select! {
            () = sleep(pause) => {}
            _changed = stop.changed() => {}
        }
    }
    Ok(())
}

/// Reads from one node, whatever it does, until it is told to stop.
pub(super) async fn read(
    number: u64,
    seed: u64,
    asker: Asker,
    book: Arc<Book>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut draw = Draw::of(number, seed);
    while !*stop.borrow_and_update() {
        let request = match draw.rng.random_range(0..3) {
            0 => draw.prefix(),
            _ => get(draw.key()),
        };
        let ask = Ask::Range(request);
        let send = |ask: Ask| ask.send_to(&asker, READER_PATIENCE);
        // A node that is dead or knows of no majority refuses; that is as it should be.
        let _told = book.ask(ClientId(number), ask, send).await?;
        tokio::select! {
            () = sleep(READER_PAUSE) => {}
            _changed = stop.changed() => {}
        }
    }
    Ok(())
}

/// Chooses what a client asks.
struct Draw {
    rng: StdRng,
    client: u64,
    next: u64,
    /// What it knows of keys, to compare with.
    seen: BTreeMap<Bytes, (Revision, Bytes)>,
    /// The newest revision that it heard of.
    revision: Revision,
}

impl Draw {
    fn of(client: u64, seed: u64) -> Draw {
        Draw {
            rng: StdRng::seed_from_u64(seed ^ client.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            client,
            next: 0,
            seen: BTreeMap::new(),
            revision: Revision::EMPTY,
        }
    }

    fn ask(&mut self) -> Ask {
        let key = self.key();
        match self.rng.random_range(0..100) {
            0..20 => Ask::Put(put(key, self.value())),
            20..38 => Ask::Range(get(key)),
            38..46 => Ask::Range(RangeRequest {
                serializable: true,
                ..get(key)
            }),
            46..56 => {
                let serializable = self.rng.random_range(0..4) == 0;
                Ask::Range(RangeRequest {
                    serializable,
                    ..self.prefix()
                })
            }
            56..59 => Ask::Range(RangeRequest {
                revision: (self.revision.0 - self.rng.random_range(0..50)).max(1),
                ..self.prefix()
            }),
            59..67 => {
                let (_, old) = self.known(&key);
                let value = self.value();
                swap(key, TargetUnion::Value(old), value)
            }
            67..76 => {
                let (revision, _) = self.known(&key);
                let value = self.value();
                swap(key, TargetUnion::ModRevision(revision.0), value)
            }
            76..83 => Ask::Delete(DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            }),
            83..85 => {
                let RangeRequest { key, range_end, .. } = self.prefix();
                Ask::Delete(DeleteRangeRequest {
                    key,
                    range_end,
                    prev_kv: false,
                })
            }
            85..93 => self.two_keys(key),
            93..96 => {
                let other = self.key();
                Ask::Txn(TxnRequest {
                    success: vec![
                        step(Request::RequestRange(get(key))),
                        step(Request::RequestRange(get(other))),
                    ],
                    ..TxnRequest::default()
                })
            }
            _ => {
                let (value, prefix) = (self.value(), self.prefix());
                let asked = PutRequest {
                    prev_kv: true,
                    ..put(key, value)
                };
                Ask::Txn(TxnRequest {
                    success: vec![
                        step(Request::RequestPut(asked)),
                        step(Request::RequestRange(prefix)),
                    ],
                    ..TxnRequest::default()
                })
            }
        }
    }

    /// Writes two keys if the first is as expected; else deletes the one and reads the other.
    fn two_keys(&mut self, one: Bytes) -> Ask {
        let mut other = self.key();
        while other == one {
            other = self.key();
        }
        let (revision, _) = self.known(&one);
        let (first, second) = (self.value(), self.value());
        let gone = DeleteRangeRequest {
            key: one.clone(),
            prev_kv: true,
            ..DeleteRangeRequest::default()
        };
        Ask::Txn(TxnRequest {
            compare: vec![compare(one.clone(), TargetUnion::ModRevision(revision.0))],
            success: vec![
                step(Request::RequestPut(put(one, first))),
                step(Request::RequestPut(put(other.clone(), second))),
            ],
            failure: vec![
                step(Request::RequestDeleteRange(gone)),
                step(Request::RequestRange(get(other))),
            ],
        })
    }

    fn key(&mut self) -> Bytes {
        let key = KEYS.choose(&mut self.rng).copied().unwrap_or(KEYS[0]);
        Bytes::from_static(key.as_bytes())
    }

    fn prefix(&mut self) -> RangeRequest {
        let prefix = PREFIXES.choose(&mut self.rng).copied();
        let prefix = prefix.unwrap_or(PREFIXES[0]).as_bytes();
        let mut end = prefix.to_vec();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        RangeRequest {
            key: Bytes::from_static(prefix),
            range_end: end.into(),
            ..RangeRequest::default()
        }
    }

    fn value(&mut self) -> Bytes {
        self.next += 1;
        format!("{}.{}", self.client, self.next).into()
    }

    fn known(&self, key: &Bytes) -> (Revision, Bytes) {
        let unknown = || (Revision(0), Bytes::new());
        self.seen.get(key).cloned().unwrap_or_else(unknown)
    }

    fn learn(&mut self, revision: Revision, reply: &Reply) {
        self.revision = self.revision.max(revision);
        let mut see = |record: &Record| {
            let what = (record.meta.mod_revision, record.value.clone());
            self.seen.insert(record.key.clone(), what);
        };
        match reply {
            Reply::Range(result) => result.records.iter().for_each(&mut see),
            Reply::Txn { replies, .. } => {
                for reply in replies {
                    if let Reply::Range(result) = reply {
                        result.records.iter().for_each(&mut see);
                    }
                }
            }
            Reply::Alarms(_)
            | Reply::Auth
            | Reply::Compact
            | Reply::Delete { .. }
            | Reply::Lease(_)
            | Reply::Node(_)
            | Reply::Put { .. }
            | Reply::Settings(_)
            | Reply::Untold => {}
        }
    }
}

/// Writes a key if it is as expected, else reads it.
fn swap(key: Bytes, expected: TargetUnion, new: Bytes) -> Ask {
    Ask::Txn(TxnRequest {
        compare: vec![compare(key.clone(), expected)],
        success: vec![step(Request::RequestPut(put(key.clone(), new)))],
        failure: vec![step(Request::RequestRange(get(key)))],
    })
}

/// A write of one key.
pub(super) fn put(key: Bytes, value: Bytes) -> PutRequest {
    PutRequest {
        key,
        value,
        ..PutRequest::default()
    }
}

/// A read of one key.
pub(super) fn get(key: Bytes) -> RangeRequest {
    RangeRequest {
        key,
        ..RangeRequest::default()
    }
}

fn compare(key: Bytes, expected: TargetUnion) -> Compare {
    let target = match &expected {
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        _ => CompareTarget::Value,
    };
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key,
        target_union: Some(expected),
        range_end: Bytes::new(),
    }
}

fn step(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}
