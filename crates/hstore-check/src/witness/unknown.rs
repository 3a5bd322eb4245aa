//! The writes whose outcome is unknown, found by what they would write.
//!
//! Invariants: (1) each is resolved at most once; (2) candidates come in the order in which they
//! were invoked.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use hstore_core::command::{Operation as Step, Put, Txn};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;

use super::order::Order;
use crate::history::{Call, History, LogRecord};

/// Of those that would write the same record so many are looked at.
const ALIKE_MAX: usize = 64;

/// The unknown writes of a history.
pub(super) struct Unknown<'h> {
    history: &'h History,
    /// By the records that they may write; those with ranges are not here but in `wide`.
    by_record: BTreeMap<(Bytes, Option<Bytes>), Vec<u32>>,
    /// By each key that they name; those with ranges are in `wide` too.
    by_key: BTreeMap<Bytes, Vec<u32>>,
    /// What they may write is not known from the call alone.
    wide: Vec<u32>,
    /// The revision that had been answered before each was invoked: they came later.
    pub(super) after: BTreeMap<u32, Revision>,
    /// Which happened, and where.
    pub(super) resolved: BTreeMap<u32, Revision>,
    /// Those that were resolved while others could have been in their place.
    pub(super) exchangeable: Vec<u32>,
}

/// A record that a revision is known to have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: Bytes,
    pub(super) what: Sight,
}

/// What was seen of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// This value.
    Value(Bytes),
    /// That it was deleted.
    Tombstone,
    /// That it is there, without its value.
    Presence,
}

impl Sight {
    /// Whether it may be of a record with this value, a tombstone if none.
    fn suits(&self, value: Option<&Bytes>) -> bool {
        match self {
            Sight::Value(own) => value == Some(own),
            Sight::Tombstone => value.is_none(),
            Sight::Presence => value.is_some(),
        }
    }
}

impl From<&LogRecord> for Seen {
    fn from(record: &LogRecord) -> Seen {
        Seen {
            key: record.key.clone(),
            what: record.value.clone().map_or(Sight::Tombstone, Sight::Value),
        }
    }
}

impl<'h> Unknown<'h> {
    pub(super) fn of(history: &'h History, order: &Order) -> Unknown<'h> {
        let mut unknown = Unknown {
            history,
            by_record: BTreeMap::new(),
            by_key: BTreeMap::new(),
            wide: Vec::new(),
            after: BTreeMap::new(),
            resolved: BTreeMap::new(),
            exchangeable: Vec::new(),
        };
        let mut places: Vec<u32> = (0u32..)
            .zip(&history.operations)
            .filter(|(_, operation)| operation.is_unknown() && operation.call.may_write())
            .map(|(place, _)| place)
            .collect();
        places.sort_by_key(|place| history.operations[*place as usize].invoked);
        for place in places {
            let operation = &history.operations[place as usize];
            let after = order.before(operation.invoked).revision;
            unknown.after.insert(place, after);
            unknown.enter(place, &operation.call);
        }
        unknown
    }

    fn enter(&mut self, place: u32, call: &Call) {
        let mut is_wide = false;
        effects(call, &mut |effect| match effect {
            Effect::Record(key, value) => {
                let record = (key.clone(), value.cloned());
                once(self.by_record.entry(record).or_default(), place);
                once(self.by_key.entry(key.clone()).or_default(), place);
            }
            Effect::Key(key) => {
                is_wide = true;
                once(self.by_key.entry(key.clone()).or_default(), place);
            }
            Effect::Keys(_) => is_wide = true,
        });
        if is_wide {
            self.wide.push(place);
        }
    }

    /// Notes where one happened.
    pub(super) fn resolve(&mut self, place: u32, revision: Revision) {
        self.resolved.insert(place, revision);
        let history: &'h History = self.history;
        effects(&history.operations[place as usize].call, &mut |effect| {
            if let Effect::Record(key, value) = effect
                && let Some(places) = self.by_record.get_mut(&(key.clone(), value.cloned()))
                && let Some(at) = places.iter().position(|other| *other == place)
            {
                places.remove(at);
            }
        });
    }

    /// Those that may have written all of this and are not resolved, the first one first.
    pub(super) fn candidates(&self, seen: &[Seen]) -> Vec<u32> {
        let Some(first) = seen.first() else {
            return Vec::new();
        };
        let exactly = |value: Option<Bytes>| {
            let places = self.by_record.get(&(first.key.clone(), value));
            places.map(|places| some(places)).unwrap_or_default()
        };
        let mut found: Vec<u32> = match &first.what {
            Sight::Value(value) => exactly(Some(value.clone())),
            Sight::Tombstone => exactly(None),
            Sight::Presence => self.by_key.get(&first.key).cloned().unwrap_or_default(),
        };
        found.extend(&self.wide);
        found.retain(|place| !self.resolved.contains_key(place));
        found.retain(|place| seen.iter().all(|seen| self.may_write(*place, seen)));
        found.sort_by_key(|place| (self.history.operations[*place as usize].invoked, *place));
        found.dedup();
        found
    }

    /// Whether an operation may write a record, going by its call alone.
    fn may_write(&self, place: u32, seen: &Seen) -> bool {
        may_write(&self.history.operations[place as usize].call, seen)
    }

    /// Whether one was invoked before this revision was answered.
    pub(super) fn is_before(&self, place: u32, at: Revision) -> bool {
        self.after.get(&place).is_some_and(|after| *after < at)
    }

    /// Whether one writes the same in every state in which it writes.
    pub(super) fn is_always_able(&self, place: u32) -> bool {
        match &self.history.operations[place as usize].call {
            Call::Put(_) => self.is_plain_put(place),
            Call::Delete(delete) => matches!(delete.keys, KeyRange::One(_)),
            Call::Compact(_) | Call::Range { .. } | Call::Txn(_) => false,
        }
    }

    /// Whether one is a put that does the same whatever the state.
    pub(super) fn is_plain_put(&self, place: u32) -> bool {
        match &self.history.operations[place as usize].call {
            Call::Put(put) => !put.ignore_value && !put.ignore_lease && put.lease == 0,
            Call::Compact(_) | Call::Delete(_) | Call::Range { .. } | Call::Txn(_) => false,
        }
    }

    /// Whether one that is not resolved may have written a key before a revision.
    pub(super) fn may_have_touched(&self, key: &Bytes, before: Revision) -> bool {
        let open =
            |place: &u32| !self.resolved.contains_key(place) && self.is_before(*place, before);
        let named = self
            .by_key
            .get(key)
            .is_some_and(|places| places.iter().any(open));
        named
            || self
                .wide
                .iter()
                .any(|place| open(place) && self.covers(*place, key))
    }

    fn covers(&self, place: u32, key: &Bytes) -> bool {
        let mut covers = false;
        effects(
            &self.history.operations[place as usize].call,
            &mut |effect| {
                covers |= match effect {
                    Effect::Record(own, _) | Effect::Key(own) => own == key,
                    Effect::Keys(keys) => keys.contains(key),
                }
            },
        );
        covers
    }

    /// The keys within a range that are named by an unknown write.
    pub(super) fn keys(&self, keys: &KeyRange) -> impl Iterator<Item = &Bytes> {
        let from = (Bound::Included(&keys.start()[..]), Bound::Unbounded);
        let within = |key: &&Bytes| keys.contains(key);
        let all = self.by_key.range::<[u8], _>(from).map(|(key, _)| key);
        all.take_while(within)
    }
}

/// Whether a call may write a record, whatever the state.
pub(super) fn may_write(call: &Call, seen: &Seen) -> bool {
    let mut may = false;
    effects(call, &mut |effect| {
        may |= match effect {
            Effect::Record(key, value) => *key == seen.key && seen.what.suits(value),
            Effect::Key(key) => *key == seen.key && seen.what != Sight::Tombstone,
            Effect::Keys(keys) => seen.what == Sight::Tombstone && keys.contains(&seen.key),
        };
    });
    may
}

/// Something that a call may do to the store.
enum Effect<'c> {
    /// Write this record; without a value a tombstone.
    Record(&'c Bytes, Option<&'c Bytes>),
    /// Write this key, with a value that depends on the state.
    Key(&'c Bytes),
    /// Delete of these keys those that are there.
    Keys(&'c KeyRange),
}

fn effects<'c>(call: &'c Call, visit: &mut impl FnMut(Effect<'c>)) {
    match call {
        Call::Compact(_) | Call::Range { .. } => {}
        Call::Delete(delete) => visit(of_delete(&delete.keys)),
        Call::Put(put) => visit(of_put(put)),
        Call::Txn(txn) => of_txn(txn, visit),
    }
}

fn of_txn<'c>(txn: &'c Txn, visit: &mut impl FnMut(Effect<'c>)) {
    for step in txn.then.iter().chain(&txn.otherwise) {
        match step {
            Step::Delete(delete) => visit(of_delete(&delete.keys)),
            Step::Put(put) => visit(of_put(put)),
            Step::Range(_) => {}
            Step::Txn(txn) => of_txn(txn, visit),
        }
    }
}

fn of_delete(keys: &KeyRange) -> Effect<'_> {
    match keys {
        KeyRange::One(key) => Effect::Record(key, None),
        KeyRange::Span { .. } | KeyRange::From(_) => Effect::Keys(keys),
    }
}

fn of_put(put: &Put) -> Effect<'_> {
    if put.ignore_value {
        Effect::Key(&put.key)
    } else {
        Effect::Record(&put.key, Some(&put.value))
    }
}

fn some(places: &[u32]) -> Vec<u32> {
    places.iter().copied().take(ALIKE_MAX).collect()
}

fn once(places: &mut Vec<u32>, place: u32) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}
