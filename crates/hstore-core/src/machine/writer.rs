//! The records of one command on their way into the store.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::lease::Leases;
use super::told::{RECORD_BYTES, Stop, Telling, Told};
use super::{View, read};
use crate::id::Revision;
use crate::key::KeyRange;
use crate::planted::{self, Bug};
use crate::range::{Range, RangeResult};
use crate::record::{Meta, Record};

/// Writes the records of one revision and reads the store with them in it.
pub(super) struct Writer<'v, V> {
    view: &'v mut V,
    leases: &'v Leases,
    /// The revision of every record of this command. Reads happen at it, so that a step sees what
    /// the steps before it wrote.
    revision: Revision,
    /// How many records were written, which is the `sub` of the next.
    written: u32,
    told: Told,
}

impl<'v, V: View> Writer<'v, V> {
    pub(super) fn new(view: &'v mut V, leases: &'v Leases, revision: Revision) -> Writer<'v, V> {
        Writer {
            view,
            leases,
            revision,
            written: 0,
            told: Told::new(),
        }
    }

    pub(super) fn view(&self) -> &V {
        self.view
    }

    pub(super) fn has_lease(&self, lease: i64) -> bool {
        self.leases.contains(lease)
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn has_written(&self) -> bool {
        self.written > 0
    }

    /// The live record of a key as of now.
    pub(super) fn get(&self, key: &[u8]) -> Option<Meta> {
        self.view.get(key, self.revision)
    }

    /// The live records of a range as of now.
    pub(super) fn list(&self, keys: &KeyRange) -> Vec<(Bytes, Meta)> {
        if let KeyRange::One(key) = keys {
            let meta = self.get(key);
            return meta.map(|meta| (key.clone(), meta)).into_iter().collect();
        }
        let mut found = Vec::new();
        self.view.scan(keys, self.revision, &mut |key, meta| {
            found.push((key.clone(), *meta));
            ControlFlow::Continue(())
        });
        found
    }

    /// A record with its value.
    pub(super) fn load(&self, key: Bytes, meta: Meta) -> Result<Record, V::Fault> {
        let value = self.view.value(&key, &meta)?;
        Ok(Record { key, value, meta })
    }

    /// A record that is told as it was, with its value; none when too much is told.
    pub(super) fn tell(&self, key: Bytes, meta: Meta) -> Result<Option<Record>, V::Fault> {
        if self.told.is_too_much() {
            return Ok(None);
        }
        let record = self.load(key, meta)?;
        Ok(self.tells(&record).then_some(record))
    }

    /// Counts a record that is told; no when that is too much.
    pub(super) fn tells(&self, record: &Record) -> bool {
        let bytes = RECORD_BYTES + record.key.len() + record.value.len();
        self.told.take(bytes)
    }

    /// A range that is told; an empty one when too much is told.
    pub(super) fn tell_range(&self, range: &Range, at: Revision) -> Result<RangeResult, V::Fault> {
        if self.told.is_too_much() {
            return Ok(RangeResult::default());
        }
        let view = Telling {
            view: self.view(),
            told: &self.told,
        };
        match read::read_at(&view, at, range) {
            Ok(result) => Ok(result),
            Err(Stop::TooMuch) => Ok(RangeResult::default()),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Whether more was to be told than may be: then nothing is.
    pub(super) fn tells_too_much(&self) -> bool {
        self.told.is_too_much()
    }

    /// Writes one record at this command's revision.
    pub(super) fn append(&mut self, key: Bytes, value: Bytes, meta: Meta) {
        if planted::is(Bug::TxnTakesTwoRevisions) && self.written > 0 {
            self.revision.0 += 1;
        }
        let meta = Meta {
            mod_revision: self.revision,
            sub: self.written,
            ..meta
        };
        self.view.append(Record { key, value, meta });
        self.written = self
            .written
            .checked_add(1)
            .expect("one command writes fewer than 2^32 records: their keys are in memory");
    }
}
