//! What happened, as the log has it: every change of every key, with what it replaced.
//!
//! Invariants: (1) changes are in the order of revisions; (2) where the log begins late, what a key
//! was before its first change is not known, and nobody judges as if it were.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_core::record::{Meta, Record};

use crate::history::{History, Moment, OperationId};
use crate::witness::{Compactions, wrote};

/// What one revision did to one key.
pub(super) struct Change<'h> {
    pub(super) at: Revision,
    pub(super) key: &'h Bytes,
    /// The new value; none when the key was deleted.
    pub(super) value: Option<&'h Bytes>,
    /// The record that it made; its lease is not known.
    meta: Meta,
    /// The change before, of the same key.
    before: Option<usize>,
    /// Whether it is known what the key was before.
    pub(super) is_known: bool,
}

/// Everything that the laws know beside the watches.
pub(super) struct Lore<'h> {
    changes: Vec<Change<'h>>,
    /// The first revision of the log.
    first: Option<Revision>,
    pub(super) compactions: Compactions,
    /// When the operation was invoked that says that it wrote a revision.
    invoked: BTreeMap<Revision, (Moment, OperationId)>,
}

impl<'h> Lore<'h> {
    pub(super) fn of(history: &'h History) -> Lore<'h> {
        let first = history.log.first().map(|entry| entry.revision);
        let begins_whole = first == Some(Revision::EMPTY.next());
        let mut changes: Vec<Change<'h>> = Vec::new();
        let mut newest: BTreeMap<&'h Bytes, usize> = BTreeMap::new();
        for entry in &history.log {
            for record in &entry.records {
                let before = newest.get(&record.key).copied();
                let known = before.map(|place| &changes[place]);
                let is_known = known.map_or(begins_whole, |known| {
                    known.value.is_none() || known.is_known
                });
                let live = known.filter(|known| known.value.is_some());
                let meta = Meta {
                    mod_revision: entry.revision,
                    create_revision: live.map_or(entry.revision, |live| live.meta.create_revision),
                    version: live.map_or(1, |live| live.meta.version + 1),
                    ..Meta::default()
                };
                newest.insert(&record.key, changes.len());
                changes.push(Change {
                    at: entry.revision,
                    key: &record.key,
                    value: record.value.as_ref(),
                    meta,
                    before,
                    is_known,
                });
            }
        }
        let writes = history.operations.iter().filter_map(|operation| {
            let (revision, reply) = operation.answer()?;
            wrote(reply).then_some((revision, (operation.invoked, operation.id)))
        });
        Lore {
            changes,
            first,
            compactions: Compactions::of(history),
            invoked: writes.collect(),
        }
    }

    /// Whether the log would say what happened at a revision.
    pub(super) fn covers(&self, at: Revision) -> bool {
        self.first.is_some_and(|first| at >= first)
    }

    /// What happened from one revision to another, both included.
    pub(super) fn between(&self, from: Revision, to: Revision) -> &[Change<'h>] {
        let begin = self.changes.partition_point(|change| change.at < from);
        let end = self.changes.partition_point(|change| change.at <= to);
        &self.changes[begin..end.max(begin)]
    }

    /// What happened to a key at a revision.
    pub(super) fn at(&self, at: Revision, key: &Bytes) -> Option<&Change<'h>> {
        self.between(at, at).iter().find(|change| change.key == key)
    }

    /// What a change replaced; none when it made the key.
    pub(super) fn replaced(&self, change: &Change<'h>) -> Option<Record> {
        self.changes.get(change.before?)?.record()
    }

    /// The operation that was answered with a revision, and when it was invoked.
    pub(super) fn writer(&self, at: Revision) -> Option<(Moment, OperationId)> {
        self.invoked.get(&at).copied()
    }
}

impl Change<'_> {
    /// The record that the change made, its lease aside; none when it deleted the key.
    pub(super) fn record(&self) -> Option<Record> {
        Some(Record {
            key: self.key.clone(),
            value: self.value?.clone(),
            meta: self.meta,
        })
    }
}

/// Whether two records are the same in all that the log can tell.
pub(super) fn same(one: &Record, other: &Record) -> bool {
    let tellable = |meta: &Meta| (meta.create_revision, meta.mod_revision, meta.version);
    one.key == other.key && one.value == other.value && tellable(&one.meta) == tellable(&other.meta)
}
