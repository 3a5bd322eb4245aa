//! Real time: what was known to have happened before a moment.
//!
//! Invariant: an answer counts from the nanosecond after it arrived; what happened within the same
//! nanosecond is concurrent.

use hstore_core::id::Revision;

use crate::history::{History, Moment};

/// The largest revision that had been answered by each moment.
pub(super) struct Order {
    /// In the order of time; each with the largest revision so far, and who answered it.
    ends: Vec<End>,
    base: Revision,
}

struct End {
    returned: Moment,
    newest: Newest,
}

/// A revision and the operation that showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) revision: Revision,
    /// Its place in the history; none for the revision that the run began at.
    pub(super) operation: Option<u32>,
}

impl Order {
    /// The order of the operations at these places, all of them answered.
    pub(super) fn of(history: &History, answered: impl Iterator<Item = u32>) -> Order {
        let mut ends: Vec<End> = answered
            .filter_map(|place| {
                let operation = &history.operations[place as usize];
                let (revision, _) = operation.answer()?;
                Some(End {
                    returned: operation.returned?,
                    newest: Newest {
                        revision,
                        operation: Some(place),
                    },
                })
            })
            .collect();
        ends.sort_unstable_by_key(|end| (end.returned, end.newest.operation));
        let base = history.base;
        let mut newest = Newest {
            revision: base,
            operation: None,
        };
        for end in &mut ends {
            if end.newest.revision > newest.revision {
                newest = end.newest;
            }
            end.newest = newest;
        }
        Order { ends, base }
    }

    /// The largest revision that had been answered before a moment.
    pub(super) fn before(&self, moment: Moment) -> Newest {
        let place = self.ends.partition_point(|end| end.returned < moment);
        self.ends[..place]
            .last()
            .map_or(self.nothing(), |end| end.newest)
    }

    /// The largest revision that was ever answered.
    pub(super) fn newest(&self) -> Newest {
        self.ends.last().map_or(self.nothing(), |end| end.newest)
    }

    fn nothing(&self) -> Newest {
        Newest {
            revision: self.base,
            operation: None,
        }
    }
}
