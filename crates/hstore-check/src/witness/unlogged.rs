//! Unknown writes without a log: who made the revisions that nobody was told of.
//!
//! A revision that no answer claims is one of the unknown writes. Often a read saw its record, which
//! names it; or there is only one that it can be. Otherwise the keys that any of them may have
//! touched are hazy from there on, until an answer shows them again.
//!
//! Invariants: (1) what is hazy is never found wrong; (2) an operation is placed only where no
//! other one could be, or one that is exactly alike.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::command::{Delete, Operation as Step, Txn};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::record::{Meta, Record};

use super::compare;
use super::order::Order;
use super::replay::Replay;
use super::unknown::{Seen, Sight, Unknown};
use crate::history::{Call, History, Operation};
use crate::model::Cell;
use crate::violation::Kind;

/// With more candidates than this it is not tried which of them could write anything.
const TRIED_MAX: usize = 16;

/// What is known of the revisions that nobody was told of.
pub(super) struct Unlogged<'h> {
    /// The records that answers show of such revisions, each key once, and who saw the first.
    sightings: BTreeMap<Revision, (Vec<Seen>, &'h Operation)>,
    /// The unknown writes, by the revision that had been answered before they were invoked.
    waiting: Vec<(Revision, u32)>,
    /// How many of `waiting` may have happened by the revision that the replay is at.
    entered: usize,
    /// Those of them that are not resolved, and some that are.
    open: Vec<u32>,
    /// Those that a sighting names, and where.
    named: BTreeMap<Revision, u32>,
    named_places: BTreeSet<u32>,
    /// The newest revision of which nobody can say who made it.
    haze: Option<Revision>,
    /// How many such revisions there are.
    unplaced: usize,
    /// Since when a key is known again.
    clear: BTreeMap<Bytes, Revision>,
}

impl<'h> Unlogged<'h> {
    pub(super) fn of(
        history: &'h History,
        order: &Order,
        writes: &[(Revision, u32)],
        unknown: &Unknown<'h>,
    ) -> Unlogged<'h> {
        let mut waiting: Vec<(Revision, u32)> = unknown
            .after
            .iter()
            .map(|(place, after)| (*after, *place))
            .collect();
        waiting.sort_unstable();
        let mut unlogged = Unlogged {
            sightings: BTreeMap::new(),
            waiting,
            entered: 0,
            open: Vec::new(),
            named: BTreeMap::new(),
            named_places: BTreeSet::new(),
            haze: None,
            unplaced: 0,
            clear: BTreeMap::new(),
        };
        let log_from = history.log.first().map(|entry| entry.revision);
        let is_whole = log_from.is_some_and(|from| from <= Revision(2));
        let distinct = writes.chunk_by(|a, b| a.0 == b.0).count() as i64;
        if !is_whole && distinct < order.newest().revision.0 - Revision::EMPTY.0 {
            let is_told = |revision: Revision| {
                log_from.is_some_and(|from| revision >= from)
                    || writes
                        .binary_search_by_key(&revision, |(at, _)| *at)
                        .is_ok()
            };
            unlogged.look(history, is_told);
            unlogged.name(unknown);
        }
        unlogged
    }

    /// Gathers what answers show of revisions that nobody was told of.
    fn look(&mut self, history: &'h History, is_told: impl Fn(Revision) -> bool) {
        for operation in &history.operations {
            let Some((_, reply)) = operation.answer() else {
                continue;
            };
            let hides_values = hides_values(&operation.call);
            compare::records(reply, &mut |record| {
                let at = record.meta.mod_revision;
                if at <= Revision::EMPTY || is_told(at) {
                    return;
                }
                let (seen, _) = self
                    .sightings
                    .entry(at)
                    .or_insert_with(|| (Vec::new(), operation));
                let what = if hides_values {
                    Sight::Presence
                } else {
                    Sight::Value(record.value.clone())
                };
                match seen.iter_mut().find(|seen| seen.key == record.key) {
                    Some(seen) if seen.what == Sight::Presence => seen.what = what,
                    Some(_) => {}
                    None => seen.push(Seen {
                        key: record.key.clone(),
                        what,
                    }),
                }
            });
        }
    }

    /// Names the writes that can be told from the sighting alone: there is no other one, or those
    /// that there are differ in nothing but their time.
    fn name(&mut self, unknown: &Unknown<'_>) {
        let mut taken: BTreeSet<u32> = BTreeSet::new();
        for (at, (seen, _)) in &self.sightings {
            let mut candidates = unknown.candidates(seen);
            candidates.retain(|place| !taken.contains(place) && unknown.is_before(*place, *at));
            let alike = seen.iter().all(|seen| seen.what != Sight::Presence)
                && candidates.iter().all(|place| unknown.is_plain_put(*place));
            // The last of those that are alike: an earlier one can be at more places.
            if let Some(last) = candidates.last()
                && (alike || candidates.len() == 1)
            {
                taken.insert(*last);
                self.named.insert(*at, *last);
            }
        }
        self.waiting.retain(|(_, place)| !taken.contains(place));
        self.named_places = taken;
    }
}

impl Replay<'_, '_> {
    /// Makes the model go through a revision that neither an answer nor a log tells of.
    pub(super) fn unlogged_write(&mut self, at: Revision, through: Revision) {
        match self.unlogged.sightings.remove(&at) {
            Some((seen, by)) => self.seen_write(at, &seen, by),
            None => self.unseen_write(at, through),
        }
        self.model.skip_to(at);
    }

    fn seen_write(&mut self, at: Revision, seen: &[Seen], by: &Operation) {
        let named = self.unlogged.named.remove(&at);
        let candidates = named.map_or_else(
            || {
                let mut candidates = self.unknown.candidates(seen);
                candidates.retain(|place| !self.unlogged.named_places.contains(place));
                candidates
            },
            |place| vec![place],
        );
        let able = self.able(&candidates, |replay| replay.shows(seen));
        let (in_time, late): (Vec<u32>, Vec<u32>) = able
            .into_iter()
            .partition(|place| self.unknown.is_before(*place, at));
        // In haze the state does not tell who could not have been it.
        let is_certain = !self.is_in_haze()
            || candidates
                .iter()
                .all(|place| self.unknown.is_plain_put(*place));
        if let ([place], true) = (&in_time[..], is_certain) {
            let place = *place;
            self.resolve(place, at);
            let call = &self.history.operations[place as usize].call;
            let _refusal = self.model.run(call).is_err();
            return;
        }
        self.take_over(seen);
        if !in_time.is_empty() || (self.is_in_haze() && !candidates.is_empty()) {
            // It is one of several, or the state that would tell is not known itself.
            self.unlogged.haze = Some(at);
        } else if let Some(place) = late.first() {
            self.resolve(*place, at);
        } else {
            self.unexplained(at, seen, Some(by.id));
        }
    }

    /// Whether the model's last call wrote all that was seen.
    fn shows(&self, seen: &[Seen]) -> bool {
        seen.iter().all(|seen| {
            let cell = self.model.newest(&seen.key);
            self.model.written().contains(&seen.key)
                && cell.is_some_and(|cell| match &seen.what {
                    Sight::Value(value) => cell.value == *value,
                    Sight::Tombstone | Sight::Presence => true,
                })
        })
    }

    /// Writes what was seen, whoever it is from.
    fn take_over(&mut self, seen: &[Seen]) {
        let empty = Bytes::new();
        let pairs = seen.iter().map(|seen| match &seen.what {
            Sight::Value(value) => (&seen.key, Some(value)),
            Sight::Tombstone => (&seen.key, None),
            Sight::Presence => (&seen.key, Some(&empty)),
        });
        self.model.run_records(pairs);
    }

    fn unseen_write(&mut self, at: Revision, through: Revision) {
        self.enter(at);
        if self.unlogged.open.len() <= self.unlogged.unplaced {
            let next = self.unlogged.sightings.range(at..=through).next();
            let end = next.map_or(through, |(seen, _)| Revision(seen.0 - 1));
            self.found(Kind::RevisionSkipped, &[], at, || {
                format!("nobody wrote revisions {at} to {end}, and no unknown write can have")
            });
            self.model.skip_to(end);
            return;
        }
        if self.unlogged.haze.is_none() && self.unlogged.open.len() <= TRIED_MAX {
            let open = self.unlogged.open.clone();
            let able = self.able(&open, |replay| !replay.model.written().is_empty());
            match able[..] {
                [] => {
                    self.found(Kind::RevisionSkipped, &[], at, || {
                        format!("nobody wrote revision {at}, and no unknown write can have")
                    });
                    return;
                }
                [place] => {
                    self.resolve(place, at);
                    let call = &self.history.operations[place as usize].call;
                    let _refusal = self.model.run(call).is_err();
                    return;
                }
                _ => {}
            }
        }
        self.unlogged.haze = Some(at);
        self.unlogged.unplaced += 1;
    }

    /// Lets in the unknown writes that may have made this revision.
    fn enter(&mut self, at: Revision) {
        let unlogged = &mut self.unlogged;
        while let Some((after, place)) = unlogged.waiting.get(unlogged.entered)
            && *after < at
        {
            unlogged.open.push(*place);
            unlogged.entered += 1;
        }
        unlogged
            .open
            .retain(|place| !self.unknown.resolved.contains_key(place));
    }

    /// Whether a call touches keys of which nobody can say what they are.
    pub(super) fn is_hazy(&self, call: &Call) -> bool {
        if !self.is_in_haze() {
            return false;
        }
        match call {
            Call::Compact(_) => false,
            Call::Delete(delete) => self.are_hazy(&delete.keys),
            Call::Put(put) => self.is_hazy_key(&put.key),
            Call::Range { range, .. } => self.are_hazy(&range.keys),
            Call::Txn(txn) => self.is_hazy_txn(txn),
        }
    }

    /// A transaction that reads the past may see what was hazy then.
    fn is_hazy_txn(&self, txn: &Txn) -> bool {
        let mut steps = txn.then.iter().chain(&txn.otherwise);
        txn.compare
            .iter()
            .any(|compare| self.are_hazy(&compare.keys))
            || steps.any(|step| match step {
                Step::Delete(delete) => self.are_hazy(&delete.keys),
                Step::Put(put) => self.is_hazy_key(&put.key),
                Step::Range(range) => range.revision > Revision(0) || self.are_hazy(&range.keys),
                Step::Txn(txn) => self.is_hazy_txn(txn),
            })
    }

    fn are_hazy(&self, keys: &KeyRange) -> bool {
        self.hazy_keys(keys).next().is_some()
    }

    /// Whether there is a revision of which nobody can say who made it.
    pub(super) fn is_in_haze(&self) -> bool {
        self.unlogged.haze.is_some()
    }

    fn hazy_keys<'a>(&'a self, keys: &'a KeyRange) -> impl Iterator<Item = &'a Bytes> {
        let known = self.model.keys(keys).chain(self.unknown.keys(keys));
        known.filter(|key| self.is_hazy_key(key))
    }

    fn is_hazy_key(&self, key: &Bytes) -> bool {
        let Some(haze) = self.unlogged.haze else {
            return false;
        };
        let is_clear = self
            .unlogged
            .clear
            .get(key)
            .is_some_and(|since| *since >= haze);
        !is_clear && self.unknown.may_have_touched(key, haze)
    }

    /// Takes over what a read shows of hazy keys, where it can be. False when the read must not
    /// be compared, since it does not show all of them.
    pub(super) fn settle_read(&mut self, operation: &Operation, reply: &Reply) -> bool {
        let (Call::Range { range, .. }, Reply::Range(result)) = (&operation.call, reply) else {
            return false;
        };
        let plain = range.limit == 0
            && !range.count_only
            && !range.keys_only
            && range.filter == hstore_core::range::Filter::default();
        if !plain {
            return false;
        }
        let at = self.model.revision();
        let hazy: Vec<Bytes> = self.hazy_keys(&range.keys).cloned().collect();
        for key in hazy {
            let shown = result.records.iter().find(|record| record.key == key);
            if let Some(cell) = self.plausible(&key, shown) {
                self.model.adopt(&key, cell);
            }
            self.unlogged.clear.insert(key, at);
        }
        true
    }

    /// What a hazy key may be, going by what a read shows of it.
    fn plausible(&self, key: &Bytes, shown: Option<&Record>) -> Option<Cell> {
        let haze = self.unlogged.haze?;
        let cell = self.model.newest(key)?;
        match shown {
            // Deleted at some revision of the haze, if it was not written since.
            None if cell.meta.mod_revision < haze => Some(Cell {
                value: Bytes::new(),
                meta: Meta {
                    mod_revision: haze,
                    ..Meta::default()
                },
            }),
            // Version and creation depend on what the haze did before; the rest is known.
            Some(record)
                if record.meta.mod_revision == cell.meta.mod_revision
                    && record.value == cell.value
                    && !cell.meta.is_tombstone() =>
            {
                Some(Cell {
                    value: record.value.clone(),
                    meta: record.meta,
                })
            }
            _ => None,
        }
    }

    /// After a delete its keys are known: none of them is there.
    pub(super) fn settle_deleted(&mut self, call: &Call, at: Revision) {
        let Call::Delete(Delete { keys, .. }) = call else {
            return;
        };
        let hazy: Vec<Bytes> = self.hazy_keys(keys).cloned().collect();
        for key in hazy {
            self.unlogged.clear.insert(key, at);
        }
    }
}

fn hides_values(call: &Call) -> bool {
    matches!(call, Call::Range { range, .. } if range.keys_only)
}
