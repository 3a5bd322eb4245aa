//! The records of one key as the index keeps them: small, since there is one for each key.
//!
//! Invariants: (1) positions grow strictly; (2) there is at least one record; (3) the compact
//! forms hold exactly what a `Meta` holds.

use hstore_core::id::Revision;
use hstore_core::planted::{self, Bug};
use hstore_core::record::{Meta, Position};

/// A `Meta` without a lease and with a version of 32 bits: nearly all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slim {
    create_revision: i64,
    mod_revision: i64,
    sub: u32,
    version: u32,
}

impl Slim {
    fn new(meta: &Meta) -> Option<Slim> {
        let version = u32::try_from(meta.version).ok()?;
        (meta.lease == 0).then_some(Slim {
            create_revision: meta.create_revision.0,
            mod_revision: meta.mod_revision.0,
            sub: meta.sub,
            version,
        })
    }

    fn meta(self) -> Meta {
        Meta {
            create_revision: Revision(self.create_revision),
            mod_revision: Revision(self.mod_revision),
            sub: self.sub,
            version: i64::from(self.version),
            lease: 0,
        }
    }
}

/// The records of one key, oldest first.
#[derive(Clone, Debug)]
pub(crate) enum History {
    /// One, the common case.
    One(Slim),
    /// Several.
    Slim(Vec<Slim>),
    /// Some with a lease or a huge version.
    Full(Vec<Meta>),
}

impl History {
    /// The history of a key with one record.
    pub(crate) fn new(meta: &Meta) -> History {
        match Slim::new(meta) {
            Some(slim) => History::One(slim),
            None => History::Full(vec![*meta]),
        }
    }

    /// Adds a record that is newer than all others.
    pub(crate) fn push(&mut self, meta: &Meta) {
        debug_assert!(meta.position() > self.last().position(), "positions grow");
        match (&mut *self, Slim::new(meta)) {
            (History::One(one), Some(slim)) => *self = History::Slim(vec![*one, slim]),
            (History::Slim(all), Some(slim)) => all.push(slim),
            (History::Full(all), _) => all.push(*meta),
            (History::One(_) | History::Slim(_), None) => {
                *self = History::Full(self.iter().chain([*meta]).collect());
            }
        }
    }

    /// How many records.
    pub(crate) fn len(&self) -> usize {
        match self {
            History::One(_) => 1,
            History::Slim(all) => all.len(),
            History::Full(all) => all.len(),
        }
    }

    /// A record by its place, oldest first; the place exists.
    pub(crate) fn at(&self, place: usize) -> Meta {
        match self {
            History::One(slim) => slim.meta(),
            History::Slim(all) => all[place].meta(),
            History::Full(all) => all[place],
        }
    }

    /// The newest record.
    pub(crate) fn last(&self) -> Meta {
        self.at(self.len() - 1)
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Meta> + '_ {
        (0..self.len()).map(|place| self.at(place))
    }

    /// How many records are not newer than `at`.
    fn count_until(&self, at: Revision) -> usize {
        match self {
            History::One(slim) => usize::from(slim.mod_revision <= at.0),
            History::Slim(all) => all.partition_point(|slim| slim.mod_revision <= at.0),
            History::Full(all) => all.partition_point(|meta| meta.mod_revision <= at),
        }
    }

    /// The newest record as of `at`, tombstones included.
    pub(crate) fn newest(&self, at: Revision) -> Option<Meta> {
        // The newest of all is nearly always the one that is asked for.
        let last = self.last();
        if last.mod_revision <= at {
            return Some(last);
        }
        self.count_until(at)
            .checked_sub(1)
            .map(|place| self.at(place))
    }

    /// The records after a position and not after `at`, oldest first, at most `limit`.
    pub(crate) fn since(&self, after: Position, at: Revision, limit: usize) -> Vec<Meta> {
        let begin = match self {
            History::One(slim) => usize::from(slim.meta().position() <= after),
            History::Slim(all) => all.partition_point(|slim| slim.meta().position() <= after),
            History::Full(all) => all.partition_point(|meta| meta.position() <= after),
        };
        let end = self.count_until(at).min(begin.saturating_add(limit));
        (begin..end).map(|place| self.at(place)).collect()
    }

    /// How many of the oldest records no read at or above `compacted` can see: all that are
    /// replaced at or below it, and a tombstone below it. (The tombstone at the very revision
    /// stays: it is part of what that revision did.)
    pub(crate) fn dead(&self, compacted: Revision) -> usize {
        let next = i64::from(planted::is(Bug::CompactionOffByOne));
        let until = self.count_until(Revision(compacted.0 + next));
        match until.checked_sub(1).map(|place| self.at(place)) {
            None => 0,
            Some(newest) if newest.is_tombstone() && newest.mod_revision < compacted => until,
            Some(_) => until - 1,
        }
    }

    /// Whether the record at `position` is there.
    pub(crate) fn place(&self, position: Position) -> Option<usize> {
        match self {
            History::One(slim) => (slim.meta().position() == position).then_some(0),
            History::Slim(all) => all
                .binary_search_by_key(&position, |slim| slim.meta().position())
                .ok(),
            History::Full(all) => all.binary_search_by_key(&position, Meta::position).ok(),
        }
    }

    /// Drops the `count` oldest records, of which there are more.
    pub(crate) fn drop_oldest(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let left: Vec<Meta> = self.iter().skip(count).collect();
        let slim: Option<Vec<Slim>> = left.iter().map(Slim::new).collect();
        *self = match slim {
            Some(slim) if slim.len() == 1 => History::One(slim[0]),
            Some(slim) => History::Slim(slim),
            None => History::Full(left),
        };
    }
}
