//! A store that cannot be wrong: it keeps everything and looks at all of it.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;

use hstore_core::codec::{Batch, decode_proposal};
use hstore_core::id::{LogId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{self, Machine, View};
use hstore_core::membership::Membership;
use hstore_core::outcome::{Outcome, Refusal};
use hstore_core::range::{Range, RangeResult};
use hstore_core::record::{Meta, Record};

use super::super::ApplyItem;

/// Every record that was ever written, and the machine above.
#[derive(Clone, Default)]
pub(super) struct Naive {
    pub(super) records: Vec<Record>,
    pub(super) machine: Machine,
    pub(super) applied: Option<LogId>,
    pub(super) membership: Membership,
}

struct NaiveView<'n>(&'n mut Vec<Record>);
struct ReadView<'n>(&'n [Record]);

fn newest<'n>(records: &'n [Record], key: &[u8], at: Revision) -> Option<&'n Record> {
    let mut of_key = records.iter().rev().filter(|record| record.key == key);
    of_key.find(|record| record.meta.mod_revision <= at)
}

impl View for ReadView<'_> {
    type Fault = Infallible;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        let meta = newest(self.0, key, at)?.meta;
        (!meta.is_tombstone()).then_some(meta)
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        let names: BTreeSet<&Bytes> = self.0.iter().map(|record| &record.key).collect();
        for key in names.into_iter().filter(|key| keys.contains(key)) {
            if let Some(meta) = self.get(key, at)
                && visit(key, &meta).is_break()
            {
                return;
            }
        }
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        let names: BTreeSet<&Bytes> = self.0.iter().map(|record| &record.key).collect();
        let is_attached = |key: &&Bytes| {
            self.get(key, Revision(i64::MAX))
                .is_some_and(|meta| meta.lease == lease)
        };
        names.into_iter().filter(is_attached).cloned().collect()
    }

    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Infallible> {
        let record = self
            .0
            .iter()
            .find(|record| record.meta.position() == meta.position());
        let record = record.unwrap();
        assert_eq!(record.key, key);
        Ok(record.value.clone())
    }

    fn append(&mut self, _: Record) {
        unreachable!("reads do not append")
    }
}

impl View for NaiveView<'_> {
    type Fault = Infallible;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        ReadView(self.0).get(key, at)
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        ReadView(self.0).scan(keys, at, visit);
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        ReadView(self.0).attached(lease)
    }

    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Infallible> {
        ReadView(self.0).value(key, meta)
    }

    fn append(&mut self, record: Record) {
        self.0.push(record);
    }
}

impl Naive {
    pub(super) fn apply(&mut self, id: LogId, item: &ApplyItem) -> Vec<Outcome> {
        self.applied = Some(id);
        match item {
            ApplyItem::Blank => Vec::new(),
            ApplyItem::Membership(membership) => {
                self.membership = membership.clone();
                Vec::new()
            }
            ApplyItem::Batch(bytes) => {
                let proposals = match Batch::decode(bytes.clone()) {
                    Ok(batch) => {
                        self.machine.advance(batch.time);
                        batch.proposals.into_iter().map(decode_proposal).collect()
                    }
                    Err(error) => vec![Err(error)],
                };
                let mut view = NaiveView(&mut self.records);
                let mut outcomes = Vec::new();
                for proposal in proposals {
                    let Ok(applied) = self.machine.apply(&mut view, id.index, proposal);
                    outcomes.push(applied.outcome);
                }
                outcomes
            }
        }
    }

    pub(super) fn attached(&self, lease: i64) -> Vec<Bytes> {
        ReadView(&self.records).attached(lease)
    }

    pub(super) fn range(&self, range: &Range) -> Result<RangeResult, Refusal> {
        let machine = &self.machine;
        let view = ReadView(&self.records);
        let Ok(result) = machine::read(&view, machine.revision(), machine.compacted(), range);
        result
    }

    /// What is left of a key's history: what was written from the compaction point on, and the
    /// record that was the newest there, if it is no tombstone.
    pub(super) fn history(&self, key: &[u8], before: Revision) -> Vec<Record> {
        let compacted = self.machine.compacted();
        let mut history = Vec::new();
        for record in self.records.iter().rev().filter(|record| record.key == key) {
            let meta = &record.meta;
            if meta.mod_revision < compacted && meta.is_tombstone() {
                break;
            }
            if meta.mod_revision < before {
                history.push(record.clone());
            }
            if meta.mod_revision <= compacted {
                break;
            }
        }
        history
    }
}
