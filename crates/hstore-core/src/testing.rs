//! A store that is nothing but a map in memory, for tests of this room and of those above it.
//!
//! It keeps the whole history and knows no compaction: reads below the compaction point are the
//! machine's to refuse.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use crate::id::Revision;
use crate::key::KeyRange;
use crate::machine::View;
use crate::record::{Meta, Position, Record};

/// Every record of a store, by key and in the order of writing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryView {
    history: BTreeMap<Bytes, Vec<Record>>,
    last: Option<Position>,
}

impl MemoryView {
    /// A store without a record.
    pub fn new() -> MemoryView {
        MemoryView::default()
    }

    /// Every record of a key, oldest first.
    pub fn history(&self, key: &[u8]) -> &[Record] {
        self.history.get(key).map_or(&[], Vec::as_slice)
    }

    /// Every record, in the order of writing.
    pub fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.history.values().flatten().cloned().collect();
        records.sort_by_key(|record| record.meta.position());
        records
    }
}

fn newest(records: &[Record], at: Revision) -> Option<&Meta> {
    let before = records.partition_point(|record| record.meta.mod_revision <= at);
    let newest = records[..before].last().map(|record| &record.meta);
    newest.filter(|meta| !meta.is_tombstone())
}

impl View for MemoryView {
    type Fault = Infallible;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        newest(self.history(key), at).copied()
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        let from = (Bound::Included(&keys.start()[..]), Bound::Unbounded);
        for (key, records) in self.history.range::<[u8], _>(from) {
            if !keys.contains(key) {
                return;
            }
            if let Some(meta) = newest(records, at)
                && visit(key, meta).is_break()
            {
                return;
            }
        }
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        let newest = |records: &[Record]| records.last().map(|record| record.meta);
        let is_attached = |records: &[Record]| {
            newest(records).is_some_and(|meta| !meta.is_tombstone() && meta.lease == lease)
        };
        let keys = self.history.iter();
        keys.filter(|(_, records)| is_attached(records))
            .map(|(key, _)| key.clone())
            .collect()
    }

    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Infallible> {
        let records = self.history(key);
        let found = records.binary_search_by_key(&meta.position(), |other| other.meta.position());
        let found = found.expect("only records that get or scan named are asked for");
        Ok(records[found].value.clone())
    }

    fn append(&mut self, record: Record) {
        let position = record.meta.position();
        assert!(self.last < Some(position), "positions only ever grow");
        self.last = Some(position);
        self.history
            .entry(record.key.clone())
            .or_default()
            .push(record);
    }
}
