//! Recent records: those that are in no block yet, in position order. It knows no index and no
//! engine.
//!
//! Invariants: (1) positions grow strictly; (2) records leave at the front only, when they are in
//! a block; (3) each record has its bytes to itself, so that none keeps a whole log entry in memory;
//! (4) `bytes` is what they take. The bound on it is the store's, which makes its caller wait.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use hstore_core::record::{Position, Record};

/// What a record takes beside its key and value: itself, and the bookkeeping of its bytes.
pub(crate) const RECORD_OVERHEAD_BYTES: usize = size_of::<Record>() + 32;

/// Records that are in no block yet.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    records: VecDeque<Record>,
    bytes: usize,
    /// Everything after this position is here, whatever compaction did meanwhile.
    floor: Position,
}

/// The same record with its bytes in an allocation of their own.
pub(crate) fn detach(record: &Record) -> Record {
    let mut bytes = BytesMut::with_capacity(record.key.len() + record.value.len());
    bytes.extend_from_slice(&record.key);
    bytes.extend_from_slice(&record.value);
    let bytes = bytes.freeze();
    Record {
        key: bytes.slice(..record.key.len()),
        value: bytes.slice(record.key.len()..),
        meta: record.meta,
    }
}

fn weight(record: &Record) -> usize {
    RECORD_OVERHEAD_BYTES + record.key.len() + record.value.len()
}

impl Recent {
    /// None yet; those up to `floor` are elsewhere.
    pub(crate) fn after(floor: Position) -> Recent {
        Recent {
            floor,
            ..Recent::default()
        }
    }

    /// Everything after this position is here.
    pub(crate) fn floor(&self) -> Position {
        self.floor
    }

    /// Adds a detached record that is newer than all others.
    pub(crate) fn push(&mut self, record: Record) {
        debug_assert!(
            self.records
                .back()
                .is_none_or(|last| last.meta.position() < record.meta.position()),
            "positions grow"
        );
        self.bytes += weight(&record);
        self.records.push_back(record);
    }

    /// The value of the record at a position, if it is here.
    pub(crate) fn value(&self, position: Position) -> Option<Bytes> {
        let is_it = |record: &&Record| record.meta.position() == position;
        // Most revisions wrote one record: then it is as far behind the first as its revision is.
        let first = self.records.front()?.meta.mod_revision;
        let guess = usize::try_from(position.revision.0 - first.0).ok()?;
        let guessed = self.records.get(guess).filter(is_it);
        let found = guessed.or_else(|| {
            let place = self.count_until(position).checked_sub(1)?;
            self.records.get(place).filter(is_it)
        });
        found.map(|record| record.value.clone())
    }

    /// How many records are not newer than a position.
    fn count_until(&self, position: Position) -> usize {
        self.records
            .partition_point(|record| record.meta.position() <= position)
    }

    /// Records newer than `after`, oldest first, up to the position `until`, until they take
    /// `bytes_max`; and whether there are more of them. Not empty if there is one.
    pub(crate) fn copy(
        &self,
        after: Position,
        until: Position,
        bytes_max: usize,
    ) -> (Vec<Record>, bool) {
        let mut bytes = 0;
        let mut copied = Vec::new();
        for record in self.records.range(self.count_until(after)..) {
            if record.meta.position() > until {
                break;
            }
            if bytes >= bytes_max && !copied.is_empty() {
                return (copied, true);
            }
            bytes += weight(record);
            copied.push(record.clone());
        }
        (copied, false)
    }

    /// Forgets the records up to a position: they are in blocks now.
    pub(crate) fn forget(&mut self, until: Position) {
        self.floor = self.floor.max(until);
        while let Some(record) = self.records.front() {
            if record.meta.position() > until {
                return;
            }
            self.bytes -= weight(record);
            self.records.pop_front();
        }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// What they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::id::Revision;
    use hstore_core::record::Meta;

    use super::*;

    fn at(revision: i64, sub: u32) -> Position {
        Position {
            revision: Revision(revision),
            sub,
        }
    }

    fn recent(count: i64) -> Recent {
        let mut recent = Recent::default();
        for n in 0..count {
            let meta = Meta {
                mod_revision: Revision(n / 2),
                sub: (n % 2) as u32,
                ..Meta::default()
            };
            let value = Bytes::from(vec![n as u8; 100]);
            recent.push(detach(&Record {
                key: Bytes::from_static(b"key"),
                value,
                meta,
            }));
        }
        recent
    }

    #[test]
    fn records_are_found_by_position_until_they_are_forgotten() {
        let mut recent = recent(10);
        assert_eq!(recent.value(at(2, 1)), Some(Bytes::from(vec![5; 100])));
        assert_eq!(recent.value(at(2, 2)), None);
        assert_eq!(recent.value(at(9, 0)), None);
        let full = recent.bytes();
        assert_eq!(recent.floor(), Position::default());
        recent.forget(at(2, 0));
        assert_eq!(recent.floor(), at(2, 0));
        recent.forget(at(1, 0));
        assert_eq!(recent.floor(), at(2, 0), "it never goes back");
        assert_eq!((recent.value(at(2, 0)), recent.len()), (None, 5));
        assert_eq!(recent.value(at(2, 1)), Some(Bytes::from(vec![5; 100])));
        assert_eq!(recent.bytes() * 2, full);
        recent.forget(at(100, 0));
        assert_eq!((recent.len(), recent.bytes()), (0, 0));
        assert_eq!(recent.value(at(2, 1)), None);
    }

    #[test]
    fn records_are_found_however_many_of_them_a_revision_wrote() {
        let mut recent = Recent::default();
        // One a revision, then two, then a revision that wrote nothing here, then one.
        let positions = [at(5, 0), at(6, 0), at(7, 0), at(7, 1), at(8, 0), at(10, 0)];
        for (n, position) in positions.into_iter().enumerate() {
            recent.push(Record {
                key: Bytes::from_static(b"key"),
                value: Bytes::from(vec![n as u8]),
                meta: Meta {
                    mod_revision: position.revision,
                    sub: position.sub,
                    ..Meta::default()
                },
            });
        }
        for (n, position) in positions.into_iter().enumerate() {
            assert_eq!(recent.value(position), Some(Bytes::from(vec![n as u8])));
        }
        for missing in [at(0, 0), at(4, 0), at(5, 1), at(9, 0), at(10, 1), at(99, 0)] {
            assert_eq!(recent.value(missing), None, "{missing:?}");
        }
    }

    #[test]
    fn a_copy_keeps_to_its_bounds_but_is_never_empty_in_vain() {
        let recent = recent(10);
        let positions = |after, until, bytes_max| {
            let (copied, more) = recent.copy(after, until, bytes_max);
            assert_eq!(
                more,
                bytes_max == 1 && copied.last().is_some_and(|r| r.meta.position() < at(4, 1))
            );
            copied
                .iter()
                .map(|record| record.meta.position())
                .collect::<Vec<_>>()
        };
        let start = at(-1, 0);
        assert_eq!(
            positions(start, at(1, 0), usize::MAX),
            [at(0, 0), at(0, 1), at(1, 0)]
        );
        assert_eq!(positions(at(0, 1), at(9, 9), 1), [at(1, 0)]);
        assert_eq!(positions(at(4, 1), at(9, 9), 1), []);
    }

    #[test]
    fn a_detached_record_shares_nothing_with_its_origin() {
        let origin = Bytes::from(vec![b'x'; 1000]);
        let record = Record {
            key: origin.slice(..1),
            value: origin.slice(1..3),
            meta: Meta::default(),
        };
        let detached = detach(&record);
        assert_eq!(detached, record);
        drop(record);
        assert!(origin.is_unique());
    }
}
