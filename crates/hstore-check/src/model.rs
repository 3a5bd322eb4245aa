//! The store as one map in memory: what each call answers and writes when nothing goes wrong.
//!
//! It is written anew and not taken from the machine, since a judge that shares the machine's
//! mistakes cannot see them; `tests/model.rs` compares the two.
//!
//! Invariants: (1) the cells of a key are in the order of their revisions, a tombstone has version
//! 0; (2) the revision grows by one for each call that wrote, by nothing else; (3) `undo` takes
//! back the last call exactly.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use hstore_core::command::{Compare, CompareTarget, Delete, Operation as Step, Put, Relation, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;
use hstore_core::range::{Range, RangeResult, SortTarget};
use hstore_core::record::{Meta, Record};

use crate::history::Call;

/// A store in memory with its whole history.
#[derive(Clone, Debug)]
pub struct Model {
    cells: BTreeMap<Bytes, Vec<Cell>>,
    revision: Revision,
    compacted: Revision,
    /// The keys that the last call wrote, in the order of writing.
    written: Vec<Bytes>,
}

/// One revision of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) value: Bytes,
    pub(crate) meta: Meta,
}

/// Which branches of a transaction to take.
#[derive(Clone, Copy)]
pub(crate) enum Branches<'a> {
    /// Those that the comparisons choose.
    Compared,
    /// Those that a reply says were taken.
    Told(&'a Reply),
}

impl Model {
    /// A store without a record at this revision.
    pub fn new(base: Revision) -> Model {
        Model {
            cells: BTreeMap::new(),
            revision: base,
            compacted: Revision(0),
            written: Vec::new(),
        }
    }

    /// The revision of the newest write.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Answers a call, and writes what it writes.
    pub fn run(&mut self, call: &Call) -> Result<Reply, ErrorCode> {
        self.run_by(call, Branches::Compared)
    }

    /// Answers a call, in which each transaction takes the branch that it is told.
    pub(crate) fn run_by(
        &mut self,
        call: &Call,
        branches: Branches<'_>,
    ) -> Result<Reply, ErrorCode> {
        self.written.clear();
        let reply = match call {
            Call::Compact(compact) => self.compact(compact.revision),
            Call::Delete(delete) => Ok(self.delete(delete)),
            Call::Put(put) => self.check_put(put).map(|()| self.put(put)),
            Call::Range { range, .. } => self.read(range).map(Reply::Range),
            Call::Txn(txn) => {
                let plan = self.plan(txn, branches);
                self.check(&plan).map(|()| self.carry_out(&plan))
            }
        };
        if !self.written.is_empty() {
            self.revision = self.next();
        }
        reply
    }

    /// Takes back what the last call wrote.
    pub(crate) fn undo(&mut self) {
        if !self.written.is_empty() {
            self.revision = Revision(self.revision.0 - 1);
        }
        while let Some(key) = self.written.pop() {
            if let Some(cells) = self.cells.get_mut(&key) {
                cells.pop();
                if cells.is_empty() {
                    self.cells.remove(&key);
                }
            }
        }
    }

    /// The keys that the last call wrote.
    pub(crate) fn written(&self) -> &[Bytes] {
        &self.written
    }

    /// Goes to a later revision without a write.
    pub(crate) fn skip_to(&mut self, revision: Revision) {
        self.written.clear();
        self.revision = self.revision.max(revision);
    }

    /// Writes what a log entry says, whoever asked for it.
    pub(crate) fn run_records<'r>(
        &mut self,
        records: impl IntoIterator<Item = (&'r Bytes, Option<&'r Bytes>)>,
    ) {
        self.written.clear();
        for (key, value) in records {
            let Some(value) = value else {
                self.write(key, Bytes::new(), 0, 0, Revision(0));
                continue;
            };
            let present = self.get(key).map(|cell| cell.meta);
            let version = present.map_or(1, |meta| meta.version.saturating_add(1));
            let create = present.map_or(self.next(), |meta| meta.create_revision);
            self.write(key, value.clone(), version, 0, create);
        }
        self.revision = self.next();
    }

    /// Makes the newest cell of a key what it is said to be.
    pub(crate) fn adopt(&mut self, key: &Bytes, cell: Cell) {
        let cells = self.cells.entry(key.clone()).or_default();
        while cells
            .last()
            .is_some_and(|last| last.meta.mod_revision >= cell.meta.mod_revision)
        {
            cells.pop();
        }
        cells.push(cell);
    }

    /// The live cell of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Cell> {
        live(self.newest(key)?)
    }

    /// The newest cell of a key, a tombstone too.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&Cell> {
        self.cells.get(key)?.last()
    }

    /// The keys within a range that were ever written.
    pub(crate) fn keys(&self, keys: &KeyRange) -> impl Iterator<Item = &Bytes> {
        self.chains(keys).map(|(key, _)| key)
    }

    fn next(&self) -> Revision {
        Revision(self.revision.0.saturating_add(1))
    }

    fn compact(&mut self, revision: Revision) -> Result<Reply, ErrorCode> {
        if revision <= self.compacted {
            return Err(ErrorCode::Compacted);
        }
        if revision > self.revision {
            return Err(ErrorCode::FutureRevision);
        }
        self.compacted = revision;
        Ok(Reply::Compact)
    }

    fn delete(&mut self, delete: &Delete) -> Reply {
        let found: Vec<Record> = self.list(&delete.keys, self.next());
        for record in &found {
            self.write(&record.key, Bytes::new(), 0, 0, Revision(0));
        }
        Reply::Delete {
            deleted: found.len() as u64,
            previous: if delete.prev_kv { found } else { Vec::new() },
        }
    }

    fn check_put(&self, put: &Put) -> Result<(), ErrorCode> {
        if (put.ignore_value || put.ignore_lease) && self.get(&put.key).is_none() {
            return Err(ErrorCode::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &Put) -> Reply {
        let present = self.get(&put.key).cloned();
        let revision = self.next();
        let (mut value, mut lease) = (put.value.clone(), put.lease);
        let (mut version, mut create) = (1, revision);
        if let Some(present) = &present {
            version = present.meta.version.saturating_add(1);
            create = present.meta.create_revision;
            if put.ignore_value {
                value = present.value.clone();
            }
            if put.ignore_lease {
                lease = present.meta.lease;
            }
        }
        self.write(&put.key, value, version, lease, create);
        let previous = present.filter(|_| put.prev_kv);
        Reply::Put {
            previous: previous.map(|cell| record(&put.key, &cell)),
        }
    }

    fn write(&mut self, key: &Bytes, value: Bytes, version: i64, lease: i64, create: Revision) {
        let meta = Meta {
            create_revision: create,
            mod_revision: self.next(),
            sub: 0,
            version,
            lease,
        };
        let cell = Cell { value, meta };
        match self.cells.get_mut(key) {
            Some(cells) => cells.push(cell),
            None => {
                self.cells.insert(key.clone(), vec![cell]);
            }
        }
        self.written.push(key.clone());
    }

    /// Whether these are all keys of one lease: then their deletion is its end.
    pub(crate) fn are_all_of_a_lease<'k>(&self, keys: impl Iterator<Item = &'k Bytes>) -> bool {
        let keys: BTreeSet<&Bytes> = keys.collect();
        let lease_of = |cells: &[Cell]| cells.last().map_or(0, |cell| cell.meta.lease);
        let first = keys.first().and_then(|key| self.cells.get(*key));
        let lease = first.map_or(0, |cells| lease_of(cells));
        let attached = self
            .cells
            .iter()
            .filter(|(_, cells)| lease_of(cells) == lease);
        lease != 0 && attached.map(|(key, _)| key).eq(keys)
    }

    /// Answers a range as of the revision that it asks for.
    pub fn read(&self, range: &Range) -> Result<RangeResult, ErrorCode> {
        Ok(self.read_at(range, self.readable(range)?))
    }

    fn readable(&self, range: &Range) -> Result<Revision, ErrorCode> {
        if range.revision <= Revision(0) {
            Ok(self.revision)
        } else if range.revision > self.revision {
            Err(ErrorCode::FutureRevision)
        } else if range.revision < self.compacted {
            Err(ErrorCode::Compacted)
        } else {
            Ok(range.revision)
        }
    }

    fn read_at(&self, range: &Range, at: Revision) -> RangeResult {
        if range.count_only {
            return RangeResult {
                count: self.visible(&range.keys, at).count() as u64,
                ..RangeResult::default()
            };
        }
        let limit = match range.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let in_order = range.sort.target == SortTarget::Key && !range.sort.descending;
        let (mut count, mut passed) = (0, 0);
        let mut records: Vec<Record> = Vec::new();
        for (key, cell) in self.visible(&range.keys, at) {
            count += 1;
            if passes(range, &cell.meta) {
                passed += 1;
                if !in_order || records.len() < limit {
                    records.push(record(key, cell));
                }
            }
        }
        if !in_order {
            // Stable, so that equals stay in the order of keys whichever way it goes.
            records.sort_by(|a, b| by(range, a, b));
        }
        let more = passed > limit;
        records.truncate(limit);
        if range.keys_only {
            for record in &mut records {
                record.value = Bytes::new();
            }
        }
        RangeResult {
            records,
            more,
            count,
        }
    }

    fn list(&self, keys: &KeyRange, at: Revision) -> Vec<Record> {
        let visible = self.visible(keys, at);
        visible.map(|(key, cell)| record(key, cell)).collect()
    }

    fn visible(&self, keys: &KeyRange, at: Revision) -> impl Iterator<Item = (&Bytes, &Cell)> {
        self.chains(keys).filter_map(move |(key, cells)| {
            let place = match cells.last() {
                Some(last) if last.meta.mod_revision <= at => cells.len(),
                _ => cells.partition_point(|cell| cell.meta.mod_revision <= at),
            };
            let cell = cells[..place].last()?;
            Some((key, live(cell)?))
        })
    }

    fn chains(&self, keys: &KeyRange) -> impl Iterator<Item = (&Bytes, &Vec<Cell>)> {
        let (start, end) = match keys {
            KeyRange::One(key) => (Bound::Included(&key[..]), Bound::Included(&key[..])),
            KeyRange::Span { start, end } if start < end => {
                (Bound::Included(&start[..]), Bound::Excluded(&end[..]))
            }
            // An empty span; a map panics at one that ends before it starts.
            KeyRange::Span { start, .. } => {
                (Bound::Included(&start[..]), Bound::Excluded(&start[..]))
            }
            KeyRange::From(start) => (Bound::Included(&start[..]), Bound::Unbounded),
        };
        self.cells.range::<[u8], _>((start, end))
    }
}

/// Transactions: all comparisons first, then all checks, then the steps.
impl Model {
    fn plan<'t>(&self, txn: &'t Txn, branches: Branches<'_>) -> Plan<'t> {
        let (succeeded, told) = match branches {
            Branches::Told(Reply::Txn { succeeded, replies }) => (*succeeded, Some(replies)),
            Branches::Told(_) | Branches::Compared => {
                (txn.compare.iter().all(|compare| self.holds(compare)), None)
            }
        };
        let branch = if succeeded { &txn.then } else { &txn.otherwise };
        let steps = branch.iter().enumerate().map(|(place, step)| match step {
            Step::Delete(delete) => Planned::Delete(delete),
            Step::Put(put) => Planned::Put(put),
            Step::Range(range) => Planned::Range(range),
            Step::Txn(txn) => {
                let told = told.and_then(|replies| replies.get(place));
                Planned::Txn(self.plan(txn, told.map_or(Branches::Compared, Branches::Told)))
            }
        });
        Plan {
            succeeded,
            steps: steps.collect(),
        }
    }

    fn check(&self, plan: &Plan<'_>) -> Result<(), ErrorCode> {
        plan.steps.iter().try_for_each(|step| match step {
            Planned::Delete(_) => Ok(()),
            Planned::Put(put) => self.check_put(put),
            Planned::Range(range) => self.readable(range).map(|_| ()),
            Planned::Txn(plan) => self.check(plan),
        })
    }

    fn carry_out(&mut self, plan: &Plan<'_>) -> Reply {
        let mut replies = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            replies.push(match step {
                Planned::Delete(delete) => self.delete(delete),
                Planned::Put(put) => self.put(put),
                Planned::Range(range) => {
                    // What this transaction wrote so far is of the next revision.
                    let at = match range.revision {
                        asked if asked > Revision(0) => asked,
                        _ => self.next(),
                    };
                    Reply::Range(self.read_at(range, at))
                }
                Planned::Txn(plan) => self.carry_out(plan),
            });
        }
        Reply::Txn {
            succeeded: plan.succeeded,
            replies,
        }
    }

    /// Whether a comparison holds for each key of its range. Without a key it compares zeros, but
    /// nothing is never equal, nor unequal, to a value.
    fn holds(&self, compare: &Compare) -> bool {
        let one = |value: Option<&Bytes>, meta: &Meta| {
            let order = match &compare.target {
                CompareTarget::CreateRevision(n) => meta.create_revision.0.cmp(n),
                CompareTarget::Lease(n) => meta.lease.cmp(n),
                CompareTarget::ModRevision(n) => meta.mod_revision.0.cmp(n),
                CompareTarget::Value(target) => match value {
                    Some(value) => value.cmp(target),
                    None => return false,
                },
                CompareTarget::Version(n) => meta.version.cmp(n),
            };
            match compare.relation {
                Relation::Equal => order == Ordering::Equal,
                Relation::Greater => order == Ordering::Greater,
                Relation::Less => order == Ordering::Less,
                Relation::NotEqual => order != Ordering::Equal,
            }
        };
        let mut found = false;
        for (_, cell) in self.visible(&compare.keys, self.next()) {
            found = true;
            if !one(Some(&cell.value), &cell.meta) {
                return false;
            }
        }
        found || one(None, &Meta::default())
    }
}

/// A transaction whose branches are chosen.
struct Plan<'t> {
    succeeded: bool,
    steps: Vec<Planned<'t>>,
}

enum Planned<'t> {
    Delete(&'t Delete),
    Put(&'t Put),
    Range(&'t Range),
    Txn(Plan<'t>),
}

fn live(cell: &Cell) -> Option<&Cell> {
    Some(cell).filter(|cell| !cell.meta.is_tombstone())
}

fn record(key: &Bytes, cell: &Cell) -> Record {
    Record {
        key: key.clone(),
        value: cell.value.clone(),
        meta: cell.meta,
    }
}

fn passes(range: &Range, meta: &Meta) -> bool {
    let filter = &range.filter;
    let within = |revision: Revision, min: Revision, max: Revision| {
        (min.0 == 0 || revision >= min) && (max.0 == 0 || revision <= max)
    };
    within(
        meta.mod_revision,
        filter.mod_revision_min,
        filter.mod_revision_max,
    ) && within(
        meta.create_revision,
        filter.create_revision_min,
        filter.create_revision_max,
    )
}

fn by(range: &Range, a: &Record, b: &Record) -> Ordering {
    let order = match range.sort.target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.meta.version.cmp(&b.meta.version),
        SortTarget::CreateRevision => a.meta.create_revision.cmp(&b.meta.create_revision),
        SortTarget::ModRevision => a.meta.mod_revision.cmp(&b.meta.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    if range.sort.descending {
        order.reverse()
    } else {
        order
    }
}
