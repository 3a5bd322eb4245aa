//! What clients ask for: drawn call by call, on few keys, so that they get in each other's way.

use bytes::Bytes;
use hstore_check::history::{Call, Consistency};
use hstore_core::command::{Compare, CompareTarget, Delete, Operation, Put, Relation, Txn};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::range::Range;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

use super::watcher::Watching;

/// How clients behave.
#[derive(Clone, Debug)]
pub struct Mix {
    /// How many keys there are.
    pub keys: u32,
    /// The longest value, in bytes beyond what makes it unique.
    pub value_bytes_max: usize,
    /// The mean pause of a client between two calls.
    pub pause: Duration,
    /// Of a hundred calls so many are reads.
    pub reads_percent: u32,
    /// Of a hundred reads so many need not be fresh.
    pub serializable_percent: u32,
    /// Of a hundred writes so many are deletions.
    pub deletes_percent: u32,
    /// Of a thousand calls so many drop history.
    pub compacts_permille: u32,
    /// Reads that need not be fresh are recorded as if they had to be: a set-up that is wrong on
    /// purpose, and that the judge must find.
    pub lie: bool,
    /// How many clients beside the others live on leases.
    pub tenants: u32,
    /// How many clients lock, with nobody beside them: what they do through a node's claims is in no
    /// history of calls, so the judges are not asked.
    pub lockers: u32,
    /// How many change users, roles and permissions all the time; with any, clients and those who
    /// watch are users, too.
    pub wardens: u32,
    /// How many change settings all the time.
    pub tuners: u32,
    /// What makes values long cannot be compressed, so that room is really taken.
    pub rough: bool,
    /// Those who watch, beside the others.
    pub watching: Watching,
    /// Through how many places clients go; none is all of them.
    pub doors: Option<usize>,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            keys: 4,
            value_bytes_max: 64,
            pause: Duration::from_millis(60),
            reads_percent: 40,
            serializable_percent: 20,
            deletes_percent: 10,
            compacts_permille: 5,
            lie: false,
            tenants: 1,
            lockers: 0,
            wardens: 0,
            tuners: 0,
            rough: false,
            watching: Watching::default(),
            doors: None,
        }
    }
}

/// What one client remembers of what it saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// The newest revision.
    pub(super) revision: Revision,
    /// The mod revision of the key that it read last.
    pub(super) read: i64,
}

/// The name of a key.
pub(super) fn key(number: u32) -> Bytes {
    Bytes::from(format!("k{number}"))
}

/// A write of a value that nobody else writes.
pub(super) fn put(key: Bytes, unique: &str, padding: usize, prev_kv: bool) -> Put {
    let mut value = unique.as_bytes().to_vec();
    value.resize(value.len() + padding, b'.');
    Put {
        key,
        value: value.into(),
        lease: 0,
        prev_kv,
        ignore_value: false,
        ignore_lease: false,
    }
}

/// Puts noise in the place of what only makes values long, but for its first byte, so that every
/// value is still nobody else's.
pub(super) fn roughen(call: &mut Call) {
    fn txn(inner: &mut Txn) {
        for step in inner.then.iter_mut().chain(&mut inner.otherwise) {
            match step {
                Operation::Put(put) => roughen_put(put),
                Operation::Txn(inner) => txn(inner),
                Operation::Delete(_) | Operation::Range(_) => {}
            }
        }
    }
    match call {
        Call::Put(put) => roughen_put(put),
        Call::Txn(inner) => txn(inner),
        Call::Compact(_) | Call::Delete(_) | Call::Range { .. } => {}
    }
}

fn roughen_put(put: &mut Put) {
    let mut noise = StdRng::seed_from_u64(u64::from(crc32c::crc32c(&put.value)));
    let mut value = put.value.to_vec();
    if let Some(first) = value.iter().position(|byte| *byte == b'.') {
        value[first + 1..].fill_with(|| noise.random());
    }
    put.value = value.into();
}

impl Mix {
    /// The next call of a client; `unique` is a value that no other call writes.
    pub(super) fn draw(&self, rng: &mut StdRng, memory: Memory, unique: &str) -> Call {
        let key = key(rng.random_range(0..self.keys.max(1)));
        if rng.random_range(0..1000) < self.compacts_permille && memory.revision.0 > 10 {
            let revision = Revision(memory.revision.0 - rng.random_range(0..10));
            return Call::Compact(hstore_core::command::Compact { revision });
        }
        if rng.random_range(0..100) < self.reads_percent {
            return self.read(rng, memory, key);
        }
        let padding = rng.random_range(0..=self.value_bytes_max);
        let puts = 60 - self.deletes_percent.min(60);
        match rng.random_range(0..100) {
            dice if dice < puts => Call::Put(put(key, unique, padding, rng.random_bool(0.3))),
            0..60 => Call::Delete(Delete {
                keys: if rng.random_bool(0.8) {
                    KeyRange::One(key)
                } else {
                    KeyRange::all()
                },
                prev_kv: rng.random_bool(0.5),
            }),
            60..85 => Call::Txn(swap(key, memory.read, unique, padding)),
            _ => Call::Txn(self.several(rng, memory, key, unique)),
        }
    }

    /// The call of somebody whose rights are limited: transactions are nested now and then, in a
    /// branch that runs or in one that does not.
    pub(super) fn nested(&self, rng: &mut StdRng, call: Call, unique: &str) -> Call {
        let Call::Txn(inner) = call else {
            return call;
        };
        match rng.random_range(0..4) {
            0 => Call::Txn(Txn {
                then: vec![Operation::Txn(inner)],
                ..Txn::default()
            }),
            1 => {
                let other = key(rng.random_range(0..self.keys.max(1)));
                let then = vec![Operation::Put(put(other, unique, 2, rng.random_bool(0.2)))];
                let then = Txn {
                    then,
                    ..Txn::default()
                };
                Call::Txn(Txn {
                    then: vec![Operation::Txn(then)],
                    otherwise: vec![Operation::Txn(inner)],
                    ..Txn::default()
                })
            }
            _ => Call::Txn(inner),
        }
    }

    fn read(&self, rng: &mut StdRng, memory: Memory, key: Bytes) -> Call {
        let keys = if rng.random_bool(0.85) {
            KeyRange::One(key)
        } else {
            KeyRange::all()
        };
        let mut range = Range::of(keys);
        if rng.random_bool(0.1) {
            range.revision = earlier(rng, memory);
        }
        if rng.random_bool(0.1) {
            range.limit = 2;
        }
        let fresh = rng.random_range(0..100) >= self.serializable_percent;
        Call::Range {
            range,
            consistency: if fresh {
                Consistency::Linearizable
            } else {
                Consistency::Serializable
            },
        }
    }

    /// Several steps on several keys in one revision, reads of the past among them.
    fn several(&self, rng: &mut StdRng, memory: Memory, first: Bytes, unique: &str) -> Txn {
        let mut then = Vec::new();
        let second = key(rng.random_range(0..self.keys.max(1)));
        let mut past = Range::of(KeyRange::One(first.clone()));
        if rng.random_bool(0.5) {
            past.revision = earlier(rng, memory);
        }
        then.push(Operation::Range(past));
        then.push(Operation::Put(put(first.clone(), unique, 0, true)));
        if second != first {
            if rng.random_bool(0.6) {
                then.push(Operation::Put(put(second, unique, 0, false)));
            } else {
                then.push(Operation::Delete(Delete {
                    keys: KeyRange::One(second),
                    prev_kv: true,
                }));
            }
        }
        then.push(Operation::Range(Range::of(KeyRange::all())));
        Txn {
            compare: vec![Compare {
                keys: KeyRange::One(first.clone()),
                relation: Relation::Greater,
                target: CompareTarget::Version(rng.random_range(-1..3)),
            }],
            then,
            otherwise: vec![Operation::Put(put(first, unique, 1, false))],
        }
    }
}

/// Writes a key if nobody wrote it since it was read; reads it otherwise.
fn swap(key: Bytes, read: i64, unique: &str, padding: usize) -> Txn {
    Txn {
        compare: vec![Compare {
            keys: KeyRange::One(key.clone()),
            relation: Relation::Equal,
            target: CompareTarget::ModRevision(read),
        }],
        then: vec![Operation::Put(put(key.clone(), unique, padding, false))],
        otherwise: vec![Operation::Range(Range::of(KeyRange::One(key)))],
    }
}

/// A revision that was there not long ago; it may be compacted by now.
fn earlier(rng: &mut StdRng, memory: Memory) -> Revision {
    Revision((memory.revision.0 - rng.random_range(0..20)).max(1))
}
