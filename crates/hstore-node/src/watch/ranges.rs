//! Which live watchers a key concerns. Watchers of the same range share one entry, so that what
//! they are told is put together once.
//!
//! Invariants: (1) every entry has a watcher; (2) a lookup costs a walk down a tree and what it
//! finds, however many watchers there are.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::key::KeyRange;

use super::intervals::{Intervals, bounds};
use super::state::WatcherKey;

/// The ranges of live watchers.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    single: BTreeMap<Bytes, u64>,
    spans: Intervals,
    watchers: BTreeMap<u64, BTreeSet<WatcherKey>>,
    next_number: u64,
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Adds a watcher.
    pub(super) fn insert(&mut self, keys: &KeyRange, watcher: WatcherKey) {
        let fresh = self.next_number;
        let number = match bounds(keys) {
            None => *self.single.entry(keys.start().clone()).or_insert(fresh),
            Some((start, end)) => self.spans.insert(start, end, fresh),
        };
        self.next_number += u64::from(number == fresh);
        self.watchers.entry(number).or_default().insert(watcher);
    }

    /// Removes a watcher.
    pub(super) fn remove(&mut self, keys: &KeyRange, watcher: WatcherKey) {
        let span = bounds(keys);
        let number = match &span {
            None => self.single.get(keys.start()).copied(),
            Some((start, end)) => self.spans.find(start, end),
        };
        let Some(number) = number else {
            return;
        };
        let Some(watchers) = self.watchers.get_mut(&number) else {
            return;
        };
        watchers.remove(&watcher);
        if !watchers.is_empty() {
            return;
        }
        self.watchers.remove(&number);
        match span {
            None => {
                self.single.remove(keys.start());
            }
            Some((start, end)) => self.spans.remove(&start, &end),
        }
    }

    /// Visits the number of each range that holds a key; answers how much was looked at.
    pub(super) fn holding(&self, key: &[u8], visit: &mut dyn FnMut(u64)) -> u64 {
        if let Some(number) = self.single.get(key) {
            visit(*number);
        }
        1 + self.spans.holding(key, visit)
    }

    /// The watchers of a range.
    pub(super) fn watchers(&self, number: u64) -> impl Iterator<Item = WatcherKey> + '_ {
        self.watchers.get(&number).into_iter().flatten().copied()
    }
}
