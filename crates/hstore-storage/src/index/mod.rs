//! The key index: which records each key has, in memory, in key order. It knows no value and no
//! block, and must never touch the disk.
//!
//! A key with one record and up to 22 bytes takes 56 bytes, 85 with the slack of the tree; each
//! further record of a key takes 24.
//!
//! Invariants: (1) a record is added once and only dropped by compaction; (2) what `get` and
//! `scan` answer as of a revision at or above the compaction point does not depend on how far
//! compaction has come; (3) `records` is the number of records in it.

mod attached;
mod history;
mod key;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::{Meta, Position};

use attached::Attached;
use history::History;
use key::Key;

/// The bytes of keys after which a chunk of a scan ends early.
const CHUNK_KEY_BYTES_MAX: usize = 256 * 1024;

/// Which records each key has.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Key, History>,
    /// Records of all keys.
    records: u64,
    /// Keys whose newest record is no tombstone.
    live_keys: u64,
    attached: Attached,
}

/// Where a record stands among those of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Nothing replaced it.
    pub(crate) is_newest: bool,
    /// The record that it replaced.
    pub(crate) replaced: Option<Position>,
}

/// A part of a scan.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The live records that were found, in key order. The keys share one allocation.
    pub(crate) found: Vec<(Bytes, Meta)>,
    /// Where to go on, after this key; none when the range is done.
    pub(crate) after: Option<Bytes>,
}

/// A walk over the whole index that drops what compaction allows.
#[derive(Clone, Debug)]
pub(crate) struct Sweep {
    /// History below this revision goes.
    pub(crate) compacted: Revision,
    after: Option<Key>,
}

impl Sweep {
    /// A walk that has not begun.
    pub(crate) fn new(compacted: Revision) -> Sweep {
        Sweep {
            compacted,
            after: None,
        }
    }
}

impl Index {
    /// How many records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// How many keys are there, deleted ones aside.
    pub(crate) fn live_keys(&self) -> u64 {
        self.live_keys
    }

    /// Adds a record, newer than all others of its key.
    pub(crate) fn push(&mut self, key: &[u8], meta: &Meta) {
        let is_live = !meta.is_tombstone();
        // Looked up by the borrowed key first: replacing is the common case and allocates nothing.
        let was_live = if let Some(history) = self.keys.get_mut(key) {
            let former = history.last();
            history.push(meta);
            self.attached.replace(key, Some(&former), meta);
            !former.is_tombstone()
        } else {
            self.keys.insert(Key::new(key), History::new(meta));
            self.attached.replace(key, None, meta);
            false
        };
        self.records += 1;
        self.live_keys += u64::from(is_live);
        self.live_keys -= u64::from(was_live);
    }

    /// The live record of a key as of a revision.
    pub(crate) fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        let newest = self.keys.get(key)?.newest(at)?;
        (!newest.is_tombstone()).then_some(newest)
    }

    /// The live keys that are attached to a lease, in key order.
    pub(crate) fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.attached.keys(lease)
    }

    /// The position of the record that a record of the same key replaced, and whether it is itself
    /// the newest.
    pub(crate) fn place(&self, key: &[u8], position: Position) -> Option<Place> {
        let history = self.keys.get(key)?;
        let place = history.place(position)?;
        Some(Place {
            is_newest: place + 1 == history.len(),
            replaced: place
                .checked_sub(1)
                .map(|older| history.at(older).position()),
        })
    }

    /// Whether the record is there.
    pub(crate) fn contains(&self, key: &[u8], position: Position) -> bool {
        self.keys
            .get(key)
            .is_some_and(|history| history.place(position).is_some())
    }

    /// Whether the record is there and some read at or above `compacted` can see it.
    pub(crate) fn is_live(&self, key: &[u8], position: Position, compacted: Revision) -> bool {
        let place = self.keys.get(key).and_then(|history| {
            let place = history.place(position)?;
            Some(place >= history.dead(compacted))
        });
        place.unwrap_or(false)
    }

    /// The records of a key that some read from `compacted` to `at` can see, newest first, those
    /// before `before`, at most `limit`.
    pub(crate) fn history(
        &self,
        key: &[u8],
        compacted: Revision,
        at: Revision,
        before: Revision,
        limit: usize,
    ) -> Vec<Meta> {
        let Some(history) = self.keys.get(key) else {
            return Vec::new();
        };
        let readable = history.len() - history.dead(compacted);
        history
            .iter()
            .rev()
            .take(readable)
            .filter(|meta| meta.mod_revision <= at && meta.mod_revision < before)
            .take(limit)
            .collect()
    }

    /// The records of a key after a position and not after `at`, oldest first, at most `limit`;
    /// tombstones included.
    pub(crate) fn since(
        &self,
        key: &[u8],
        after: Position,
        at: Revision,
        limit: usize,
    ) -> Vec<Meta> {
        let history = self.keys.get(key);
        history.map_or_else(Vec::new, |history| history.since(after, at, limit))
    }

    /// The next part of a scan of `keys` as of `at`: what is found within the next `visit_max`
    /// keys after `after`. Bounded, so that a lock is held for a moment only.
    pub(crate) fn scan(
        &self,
        keys: &KeyRange,
        after: Option<&Bytes>,
        at: Revision,
        visit_max: usize,
    ) -> Chunk {
        let from = match after {
            Some(after) => Bound::Excluded(&after[..]),
            None => Bound::Included(&keys.start()[..]),
        };
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        let mut last = None;
        let mut more = false;
        let keys_from = self.keys.range::<[u8], _>((from, Bound::Unbounded));
        for (visited, (key, history)) in keys_from.enumerate() {
            let key = key.as_slice();
            if !keys.contains(key) {
                break;
            }
            if visited == visit_max || buffer.len() >= CHUNK_KEY_BYTES_MAX {
                more = true;
                break;
            }
            last = Some(key);
            if let Some(meta) = history.newest(at).filter(|meta| !meta.is_tombstone()) {
                buffer.extend_from_slice(key);
                found.push((buffer.len(), meta));
            }
        }
        let after = last.filter(|_| more).map(Bytes::copy_from_slice);
        let buffer = Bytes::from(buffer);
        let mut begin = 0;
        let found = found.into_iter().map(|(end, meta)| {
            let key = buffer.slice(begin..end);
            begin = end;
            (key, meta)
        });
        Chunk {
            found: found.collect(),
            after,
        }
    }

    /// Adds a record while the store is loaded, in position order, and drops at once what it makes
    /// dead; `dropped` hears each position that went, the record's own included.
    pub(crate) fn load(
        &mut self,
        key: &[u8],
        meta: &Meta,
        compacted: Revision,
        dropped: &mut dyn FnMut(Position),
    ) {
        self.push(key, meta);
        if meta.mod_revision <= compacted {
            self.prune(key, compacted, dropped);
        }
    }

    fn prune(&mut self, key: &[u8], compacted: Revision, dropped: &mut dyn FnMut(Position)) {
        let Entry::Occupied(mut entry) = self.keys.entry(Key::new(key)) else {
            return;
        };
        let history = entry.get_mut();
        let dead = history.dead(compacted);
        history
            .iter()
            .take(dead)
            .for_each(|meta| dropped(meta.position()));
        self.records -= dead as u64;
        if dead == history.len() {
            entry.remove();
        } else {
            history.drop_oldest(dead);
        }
    }

    /// Goes on with a sweep for up to `visit_max` keys; whether it is done. `dropped` hears each
    /// record that went.
    pub(crate) fn sweep(
        &mut self,
        sweep: &mut Sweep,
        visit_max: usize,
        dropped: &mut dyn FnMut(Position),
    ) -> bool {
        let from = match &sweep.after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Unbounded,
        };
        let mut gone = Vec::new();
        let mut last = None;
        let mut visited = 0;
        for (key, history) in self.keys.range_mut((from, Bound::Unbounded)) {
            if visited == visit_max {
                break;
            }
            visited += 1;
            last = Some(key);
            let dead = history.dead(sweep.compacted);
            if dead == 0 {
                continue;
            }
            history
                .iter()
                .take(dead)
                .for_each(|meta| dropped(meta.position()));
            self.records -= dead as u64;
            if dead == history.len() {
                gone.push(key.clone());
            } else {
                history.drop_oldest(dead);
            }
        }
        sweep.after = last.cloned().or_else(|| sweep.after.take());
        for key in gone {
            self.keys.remove(&key);
        }
        visited < visit_max
    }
}

#[cfg(test)]
mod tests;
