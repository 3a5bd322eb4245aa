//! What clients want: few keys, values that nobody else writes, every kind of call.
//!
//! Invariant: a value is drawn once, so whoever reads it names the call that wrote it.

use bytes::Bytes;
use hstore_core::outcome::Reply;
use hstore_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use hstore_proto::etcdserverpb::request_op::Request;
use hstore_proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::ask::Ask;

/// Every key that is written.
pub(crate) const KEYS: [&str; 6] = ["k0", "k1", "k2", "k3", "k4", "k5"];

/// The most bytes of a value beyond what makes it unique: more than one frame of HTTP/2 holds.
const PADDING_MAX: usize = 40_000;

/// Chooses what one client asks.
pub(crate) struct Draw {
    pub(crate) rng: StdRng,
    client: u64,
    next: u64,
    /// The mod revision of the key that it read last.
    read: i64,
}

impl Draw {
    pub(crate) fn new(client: u64, seed: u64) -> Draw {
        Draw {
            rng: StdRng::seed_from_u64(seed),
            client,
            next: 0,
            read: 0,
        }
    }

    /// The next call.
    pub(crate) fn ask(&mut self) -> Ask {
        let key = self.key();
        match self.rng.random_range(0..100) {
            0..30 => Ask::Put(self.put(key)),
            30..50 => Ask::Range(get(key)),
            50..56 => Ask::Range(RangeRequest {
                serializable: true,
                ..get(key)
            }),
            56..62 => Ask::Range(all()),
            62..82 => {
                let put = self.put(key.clone());
                Ask::Txn(TxnRequest {
                    compare: vec![at_revision(key.clone(), self.read)],
                    success: vec![step(Request::RequestPut(put))],
                    failure: vec![step(Request::RequestRange(get(key)))],
                })
            }
            82..88 => Ask::Delete(DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            }),
            _ => self.two_keys(key),
        }
    }

    /// Writes two keys if the first is there, else reads everything.
    fn two_keys(&mut self, one: Bytes) -> Ask {
        let mut other = self.key();
        while other == one {
            other = self.key();
        }
        let there = Compare {
            result: CompareResult::Greater.into(),
            target: CompareTarget::Version.into(),
            key: one.clone(),
            target_union: Some(TargetUnion::Version(0)),
            range_end: Bytes::new(),
        };
        let first = PutRequest {
            prev_kv: true,
            ..self.put(one)
        };
        let second = self.put(other);
        Ask::Txn(TxnRequest {
            compare: vec![there],
            success: vec![
                step(Request::RequestPut(first)),
                step(Request::RequestPut(second)),
            ],
            failure: vec![step(Request::RequestRange(all()))],
        })
    }

    fn key(&mut self) -> Bytes {
        let place = self.rng.random_range(0..KEYS.len());
        Bytes::from_static(KEYS[place].as_bytes())
    }

    /// A write of a value that nobody else writes, most of them small.
    pub(crate) fn put(&mut self, key: Bytes) -> PutRequest {
        self.next += 1;
        let mut value = format!("{}.{}", self.client, self.next).into_bytes();
        let padding = if self.rng.random_bool(0.05) {
            self.rng.random_range(0..PADDING_MAX)
        } else {
            self.rng.random_range(0..100)
        };
        value.resize(value.len() + padding, b'.');
        PutRequest {
            key,
            value: value.into(),
            ..PutRequest::default()
        }
    }

    /// Remembers what it saw, to compare with.
    pub(crate) fn learn(&mut self, reply: &Reply) {
        if let Reply::Range(found) = reply {
            self.read = found.records.first().map_or(0, |r| r.meta.mod_revision.0);
        }
    }
}

/// A read of one key.
pub(crate) fn get(key: Bytes) -> RangeRequest {
    RangeRequest {
        key,
        ..RangeRequest::default()
    }
}

/// A read of every key.
pub(crate) fn all() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"k"),
        range_end: Bytes::from_static(b"l"),
        ..RangeRequest::default()
    }
}

fn at_revision(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(revision)),
        range_end: Bytes::new(),
    }
}

fn step(request: Request) -> RequestOp {
    RequestOp {
        request: Some(request),
    }
}
