//! Where each entry lies: a dense row of places, one per index from the first kept entry on.
//!
//! Invariants:
//! 1. `places[i]` is the place of entry `first + i`; there are no holes.
//! 2. Places ascend by segment and offset: a later entry never lies before an earlier one, which
//!    is why dropping whole old segments is enough to purge.

use std::collections::VecDeque;

/// Where a record lies, and how many bytes it takes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u32,
    pub(super) bytes: u32,
}

/// The places of the entries that the log holds. Sixteen bytes an entry; the log's own bound on
/// unpurged bytes bounds it.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    first: u64,
    places: VecDeque<Place>,
}

impl Index {
    /// The index of the first entry; meaningless when there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn get(&self, index: u64) -> Option<Place> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.places.get(at).copied()
    }

    /// Adds the entry after the last one; the first entry of an empty log may have any index.
    /// `None` if it would leave a hole.
    pub(super) fn push(&mut self, index: u64, place: Place) -> Option<()> {
        if self.places.is_empty() {
            self.first = index;
        }
        let next = self.first.checked_add(self.places.len() as u64)?;
        (index == next).then(|| self.places.push_back(place))
    }

    /// Forgets the entries from this index on.
    pub(super) fn cut_from(&mut self, index: u64) {
        let keep = index
            .saturating_sub(self.first)
            .min(self.places.len() as u64);
        self.places.truncate(keep as usize);
    }

    /// Forgets the entries up to and with this index.
    pub(super) fn drop_upto(&mut self, index: u64) {
        let gone = index
            .saturating_add(1)
            .saturating_sub(self.first)
            .min(self.places.len() as u64);
        self.places.drain(..gone as usize);
        self.first += gone;
    }
}
