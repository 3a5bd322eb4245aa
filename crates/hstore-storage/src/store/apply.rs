//! Applying entries of the log: the machine over the index, and the records of an entry shown to
//! readers all at once.
//!
//! Invariants: (1) entries come one after another without a gap; (2) nothing of an entry is seen
//! before all of it is; (3) a fault half way ends the use of the store: the machine is ahead of
//! what readers see, and only a new start can say what is true.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::codec::{self, Batch};
use hstore_core::id::{LogId, LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{Machine, View};
use hstore_core::outcome::Outcome;
use hstore_core::planted::{self, Bug};
use hstore_core::record::{Meta, Record};

use super::{ApplyItem, Store, StoreFault};
use crate::recent;

/// How many records are shown under one lock: about a millisecond. Deleting a million keys in one
/// entry must not stop all readers.
const PUBLISH_LEN_MAX: usize = 1024;

impl Store {
    /// Applies one entry of the log; one outcome for each proposal of a batch. In memory only, but
    /// for values that a command reads and that no cache has. One caller at a time.
    pub fn apply(&self, id: LogId, item: ApplyItem) -> Result<Vec<Outcome>, StoreFault> {
        self.check()?;
        let mut machine = self.lock_machine();
        self.check_order(id)?;
        let applied = self.apply_next(&mut machine, id, item);
        self.keep_failure(applied)
    }

    fn check_order(&self, id: LogId) -> Result<(), StoreFault> {
        let shared = self.read();
        if shared.engine.is_none() {
            return Err(StoreFault::Closed);
        }
        match shared.applied {
            Some(applied) if applied.index.0.checked_add(1) != Some(id.index.0) => {
                Err(StoreFault::OutOfOrder {
                    applied: applied.index,
                    found: id.index,
                })
            }
            _ => Ok(()),
        }
    }

    fn apply_next(
        &self,
        machine: &mut Machine,
        id: LogId,
        item: ApplyItem,
    ) -> Result<Vec<Outcome>, StoreFault> {
        let mut view = ApplyView::new(self);
        let mut outcomes = Vec::new();
        let mut membership = None;
        match item {
            ApplyItem::Blank => {}
            ApplyItem::Membership(new) => membership = Some(new),
            ApplyItem::Batch(bytes) => outcomes = run(machine, &mut view, id.index, bytes)?,
        }
        let mut records = view.into_records().into_iter().peekable();
        loop {
            // Readers look no further than `revision`, so the records before the last lock are
            // not seen yet.
            let mut shared = self.write();
            for record in records.by_ref().take(PUBLISH_LEN_MAX) {
                shared.index.push(&record.key, &record.meta);
                shared.recent.push(record);
            }
            if records.peek().is_none() {
                shared.applied = Some(id);
                shared.revision = machine.revision();
                shared.compacted = machine.compacted();
                shared.state_hash = machine.state_hash();
                if !Arc::ptr_eq(&shared.auth, machine.auth()) {
                    shared.auth = Arc::clone(machine.auth());
                }
                if !Arc::ptr_eq(&shared.settings, machine.settings()) {
                    shared.settings = Arc::clone(machine.settings());
                }
                shared.lease_clock = machine.lease_clock();
                shared.next_lease_end = machine.next_lease_end();
                if shared.noticed != machine.noticed() {
                    shared.notices = Arc::new(machine.notices());
                    shared.noticed = machine.noticed();
                }
                if let Some(membership) = membership {
                    shared.membership = membership;
                }
                return Ok(outcomes);
            }
        }
    }
}

fn run(
    machine: &mut Machine,
    view: &mut ApplyView<'_>,
    index: LogIndex,
    bytes: Bytes,
) -> Result<Vec<Outcome>, StoreFault> {
    let proposals: Vec<_> = match Batch::decode(bytes) {
        Ok(batch) => {
            machine.advance(batch.time);
            let proposals = batch.proposals.into_iter();
            proposals.map(codec::decode_proposal).collect()
        }
        // The same bytes are refused in the same way on every node.
        Err(error) => vec![Err(error)],
    };
    let outcome = |proposal| Ok(machine.apply(view, index, proposal)?.outcome);
    let outcomes = proposals.into_iter().map(outcome);
    if planted::is(Bug::OutcomesOutOfOrder) {
        let mut outcomes: Vec<_> = outcomes.collect::<Result<_, _>>()?;
        outcomes.reverse();
        return Ok(outcomes);
    }
    outcomes.collect()
}

/// The store with the records of an entry on top that nobody else sees yet.
struct ApplyView<'s> {
    store: &'s Store,
    /// In position order.
    pending: Vec<Pending>,
    /// The newest pending record of each key.
    newest: BTreeMap<Bytes, usize>,
}

struct Pending {
    record: Record,
    /// The pending record of the same key before this one.
    older: Option<usize>,
}

impl<'s> ApplyView<'s> {
    fn new(store: &'s Store) -> ApplyView<'s> {
        ApplyView {
            store,
            pending: Vec::new(),
            newest: BTreeMap::new(),
        }
    }

    fn into_records(self) -> Vec<Record> {
        // The map's keys are clones of the records' bytes; they go first.
        drop(self.newest);
        self.pending
            .into_iter()
            .map(|pending| pending.record)
            .collect()
    }

    /// The newest pending record of a chain as of a revision, tombstones included.
    fn as_of(&self, newest: usize, at: Revision) -> Option<Meta> {
        let mut next = Some(newest);
        while let Some(place) = next {
            let pending = &self.pending[place];
            if pending.record.meta.mod_revision <= at {
                return Some(pending.record.meta);
            }
            next = pending.older;
        }
        None
    }

    /// The pending records of a range as of a revision, tombstones included.
    fn pending_in(&self, keys: &KeyRange, at: Revision) -> Vec<(Bytes, Meta)> {
        let from = Bound::Included(&keys.start()[..]);
        self.newest
            .range::<[u8], _>((from, Bound::Unbounded))
            .take_while(|(key, _)| keys.contains(key))
            .filter_map(|(key, newest)| Some((key.clone(), self.as_of(*newest, at)?)))
            .collect()
    }
}

impl View for ApplyView<'_> {
    type Fault = StoreFault;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        let pending = self
            .newest
            .get(key)
            .and_then(|newest| self.as_of(*newest, at));
        match pending {
            Some(meta) => (!meta.is_tombstone()).then_some(meta),
            None => self.store.get_meta(key, at),
        }
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        let mut pending = self.pending_in(keys, at).into_iter().peekable();
        let mut show = |key: &Bytes, meta: &Meta| {
            if meta.is_tombstone() {
                ControlFlow::Continue(())
            } else {
                visit(key, meta)
            }
        };
        let mut stopped = false;
        self.store.scan_metas(keys, at, &mut |key, meta| {
            while let Some((ahead, meta)) = pending.next_if(|(ahead, _)| ahead < key) {
                if show(&ahead, &meta).is_break() {
                    stopped = true;
                    return ControlFlow::Break(());
                }
            }
            let replaced = pending.next_if(|(same, _)| same == key);
            let meta = replaced.as_ref().map_or(meta, |(_, newer)| newer);
            let flow = show(key, meta);
            stopped = flow.is_break();
            flow
        });
        if stopped {
            return;
        }
        for (key, meta) in pending {
            if show(&key, &meta).is_break() {
                return;
            }
        }
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        let older = self.store.attached_keys(lease).into_iter();
        let untouched = older.filter(|key| !self.newest.contains_key(key));
        let mut keys: BTreeSet<Bytes> = untouched.collect();
        let pending = self.newest.iter().filter(|(_, newest)| {
            let meta = self.pending[**newest].record.meta;
            !meta.is_tombstone() && meta.lease == lease
        });
        keys.extend(pending.map(|(key, _)| key.clone()));
        keys.into_iter().collect()
    }

    fn value(&self, _key: &[u8], meta: &Meta) -> Result<Bytes, StoreFault> {
        let position = meta.position();
        let place = |pending: &Pending| pending.record.meta.position();
        if let Ok(place) = self.pending.binary_search_by_key(&position, place) {
            return Ok(self.pending[place].record.value.clone());
        }
        self.store.value(position)?.ok_or_else(|| {
            StoreFault::damaged(format!("the record at {position:?} is in no block"))
        })
    }

    fn append(&mut self, record: Record) {
        let record = recent::detach(&record);
        let place = self.pending.len();
        let older = self.newest.insert(record.key.clone(), place);
        self.pending.push(Pending { record, older });
    }
}
