//! Random commands against a store that is too simple to be wrong: a whole copy for every revision.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::Wildness::Tame;
use hstore_core::auth::Author;
use hstore_core::check;
use hstore_core::codec;
use hstore_core::command::{
    Command, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Put, Relation, Txn,
};
use hstore_core::id::{Incarnation, LeaseTime, LogIndex, NodeId, Revision};
use hstore_core::limits::Limits;
use hstore_core::machine::{self, Machine};
use hstore_core::outcome::{LeaseReply, Outcome, Refusal, Reply};
use hstore_core::range::{Filter, Range, RangeResult, SortTarget};
use hstore_core::record::{Meta, Record};
use hstore_core::testing::MemoryView;
use proptest::prelude::*;

type Image = BTreeMap<Bytes, Record>;

#[derive(Clone)]
struct Model {
    /// What the store held at each revision, from 1.
    images: Vec<Image>,
    compacted: i64,
    nodes: BTreeMap<Incarnation, NodeId>,
    now: u64,
    /// How long each lease lives, in seconds, and when it ends, in milliseconds.
    leases: BTreeMap<i64, (i64, u64)>,
}

/// A command under way: the image it works on, and how many records it wrote.
struct Draft {
    image: Image,
    revision: i64,
    written: u32,
}

impl Model {
    fn new() -> Model {
        Model {
            images: vec![Image::new()],
            compacted: 0,
            nodes: BTreeMap::new(),
            now: 0,
            leases: BTreeMap::new(),
        }
    }

    fn revision(&self) -> i64 {
        self.images.len() as i64
    }

    fn image(&self) -> &Image {
        self.images.last().unwrap()
    }

    fn apply(&mut self, index: u64, command: &Command) -> Outcome {
        let mut draft = Draft {
            image: self.image().clone(),
            revision: self.revision() + 1,
            written: 0,
        };
        let result = match command {
            Command::Alarm(_) | Command::ReleaseNode { .. } | Command::ReserveNode(_) => {
                unreachable!("no tame command is about these")
            }
            Command::AllocateNode { incarnation, .. } => {
                let node = *self.nodes.entry(*incarnation).or_insert(NodeId(index));
                Ok(Reply::Node(node))
            }
            Command::Auth(_) => unreachable!("the model knows no users"),
            Command::ChangeSettings(_) => unreachable!("no tame command is about settings"),
            Command::Compact(compact) => self.compact(compact.revision.0),
            Command::Delete(delete) => Ok(draft.delete(delete)),
            Command::ExpireLeases => {
                let mut due: Vec<_> = self
                    .leases
                    .iter()
                    .map(|(id, (_, ends))| (*ends, *id))
                    .collect();
                due.retain(|(ends, _)| *ends <= self.now);
                due.sort_unstable();
                for (_, lease) in &due {
                    self.end_lease(*lease);
                }
                let count = due.len() as u64;
                Ok(Reply::Lease(LeaseReply::Expired { count, more: false }))
            }
            Command::GrantLease(grant) => self.grant(*grant),
            Command::RenewLease { lease } => match self.leases.get_mut(lease) {
                Some((ttl, ends)) if *ends > self.now => {
                    *ends = self.now + *ttl as u64 * 1000;
                    Ok(Reply::Lease(LeaseReply::Renewed { ttl: *ttl }))
                }
                _ => Err(Refusal::LeaseNotFound),
            },
            Command::RevokeLease { lease } if self.leases.contains_key(lease) => {
                self.end_lease(*lease);
                Ok(Reply::Lease(LeaseReply::Revoked))
            }
            Command::RevokeLease { .. } => Err(Refusal::LeaseNotFound),
            Command::Put(put) => self
                .check_lease(put)
                .and_then(|()| self.check_put(put))
                .map(|()| draft.put(put)),
            Command::Txn(txn) => {
                let steps = self.choose(txn);
                self.check(&steps)
                    .map(|()| self.run(&mut draft, txn, &steps))
            }
        };
        if draft.written > 0 {
            self.images.push(draft.image);
        }
        Outcome {
            revision: Revision(self.revision()),
            result,
        }
    }

    fn grant(&mut self, grant: GrantLease) -> Result<Reply, Refusal> {
        if self.leases.contains_key(&grant.lease) {
            return Err(Refusal::LeaseExists);
        }
        let ttl = grant.ttl.max(2);
        let ends = self.now.saturating_add((ttl as u64).saturating_mul(1000));
        self.leases.insert(grant.lease, (ttl, ends));
        Ok(Reply::Lease(LeaseReply::Granted { ttl }))
    }

    fn end_lease(&mut self, lease: i64) {
        self.leases.remove(&lease);
        let mut image = self.image().clone();
        image.retain(|_, record| record.meta.lease != lease);
        if image.len() < self.image().len() {
            self.images.push(image);
        }
    }

    fn check_lease(&self, put: &Put) -> Result<(), Refusal> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        if revision <= self.compacted {
            let compacted = Revision(self.compacted);
            return Err(Refusal::Compacted { compacted });
        }
        if revision > self.revision() {
            let current = Revision(self.revision());
            return Err(Refusal::FutureRevision { current });
        }
        self.compacted = revision;
        Ok(Reply::Compact)
    }

    /// Every transaction of the tree that runs, outermost first, with what its comparisons say.
    fn choose(&self, txn: &Txn) -> Vec<(Txn, bool)> {
        let holds = txn
            .compare
            .iter()
            .all(|compare| holds(self.image(), compare));
        let mut chosen = vec![(txn.clone(), holds)];
        for operation in branch(txn, holds) {
            if let Operation::Txn(txn) = operation {
                chosen.extend(self.choose(txn));
            }
        }
        chosen
    }

    fn check(&self, chosen: &[(Txn, bool)]) -> Result<(), Refusal> {
        fn visit(
            model: &Model,
            chosen: &mut std::slice::Iter<'_, (Txn, bool)>,
        ) -> Result<(), Refusal> {
            let (txn, holds) = chosen.next().unwrap();
            for operation in branch(txn, *holds) {
                match operation {
                    Operation::Delete(_) => {}
                    Operation::Put(put) => {
                        model.check_put(put)?;
                        model.check_lease(put)?;
                    }
                    Operation::Range(range) => model.check_range(range)?,
                    Operation::Txn(_) => visit(model, chosen)?,
                }
            }
            Ok(())
        }
        visit(self, &mut chosen.iter())
    }

    fn check_put(&self, put: &Put) -> Result<(), Refusal> {
        if (put.ignore_lease || put.ignore_value) && !self.image().contains_key(&put.key) {
            return Err(Refusal::KeyNotFound);
        }
        Ok(())
    }

    fn check_range(&self, range: &Range) -> Result<(), Refusal> {
        if range.revision.0 == 0 {
            return Ok(());
        }
        if range.revision.0 > self.revision() {
            let current = Revision(self.revision());
            return Err(Refusal::FutureRevision { current });
        }
        if range.revision.0 < self.compacted {
            let compacted = Revision(self.compacted);
            return Err(Refusal::Compacted { compacted });
        }
        Ok(())
    }

    fn run(&self, draft: &mut Draft, txn: &Txn, chosen: &[(Txn, bool)]) -> Reply {
        let mut rest = chosen[1..].to_vec();
        let succeeded = chosen[0].1;
        let mut replies = Vec::new();
        for operation in branch(txn, succeeded) {
            replies.push(match operation {
                Operation::Delete(delete) => draft.delete(delete),
                Operation::Put(put) => draft.put(put),
                Operation::Range(range) if range.revision.0 == 0 => {
                    Reply::Range(read(&draft.image, range))
                }
                Operation::Range(range) => {
                    Reply::Range(read(&self.images[range.revision.0 as usize - 1], range))
                }
                Operation::Txn(txn) => {
                    let reply = self.run(draft, txn, &rest);
                    rest.drain(..self.choose(txn).len());
                    reply
                }
            });
        }
        Reply::Txn { succeeded, replies }
    }

    fn range(&self, range: &Range) -> Result<RangeResult, Refusal> {
        self.check_range(range)?;
        let at = match range.revision.0 {
            0 => self.revision(),
            at => at,
        };
        Ok(read(&self.images[at as usize - 1], range))
    }
}

fn branch(txn: &Txn, holds: bool) -> &[Operation] {
    if holds { &txn.then } else { &txn.otherwise }
}

impl Draft {
    fn put(&mut self, put: &Put) -> Reply {
        let former = self.image.get(&put.key).cloned();
        let meta = former.as_ref().map(|record| record.meta);
        let record = Record {
            key: put.key.clone(),
            value: match &former {
                Some(record) if put.ignore_value => record.value.clone(),
                _ => put.value.clone(),
            },
            meta: Meta {
                create_revision: meta.map_or(Revision(self.revision), |meta| meta.create_revision),
                mod_revision: Revision(self.revision),
                sub: self.written,
                version: meta.map_or(0, |meta| meta.version) + 1,
                lease: match meta {
                    Some(meta) if put.ignore_lease => meta.lease,
                    _ => put.lease,
                },
            },
        };
        self.written += 1;
        self.image.insert(put.key.clone(), record);
        Reply::Put {
            previous: former.filter(|_| put.prev_kv),
        }
    }

    fn delete(&mut self, delete: &Delete) -> Reply {
        let image = std::mem::take(&mut self.image);
        let (gone, kept) = image
            .into_iter()
            .partition::<Image, _>(|(key, _)| delete.keys.contains(key));
        self.image = kept;
        self.written += gone.len() as u32;
        Reply::Delete {
            deleted: gone.len() as u64,
            previous: gone.into_values().filter(|_| delete.prev_kv).collect(),
        }
    }
}

fn holds(image: &Image, compare: &Compare) -> bool {
    let mut records: Vec<_> = image
        .values()
        .filter(|record| compare.keys.contains(&record.key))
        .cloned()
        .collect();
    if records.is_empty() {
        if matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        records.push(Record {
            key: Bytes::new(),
            value: Bytes::new(),
            meta: Meta::default(),
        });
    }
    records.iter().all(|record| {
        let meta = &record.meta;
        let order = match &compare.target {
            CompareTarget::CreateRevision(n) => meta.create_revision.0.cmp(n),
            CompareTarget::Lease(n) => meta.lease.cmp(n),
            CompareTarget::ModRevision(n) => meta.mod_revision.0.cmp(n),
            CompareTarget::Value(value) => record.value.cmp(value),
            CompareTarget::Version(n) => meta.version.cmp(n),
        };
        match compare.relation {
            Relation::Equal => order.is_eq(),
            Relation::Greater => order.is_gt(),
            Relation::Less => order.is_lt(),
            Relation::NotEqual => order.is_ne(),
        }
    })
}

fn read(image: &Image, range: &Range) -> RangeResult {
    let mut records: Vec<_> = image
        .values()
        .filter(|record| range.keys.contains(&record.key))
        .cloned()
        .collect();
    let mut count = records.len() as u64;
    let in_range: Vec<_> = records.iter().map(|record| record.key.clone()).collect();
    if range.count_only {
        return RangeResult {
            count,
            ..RangeResult::default()
        };
    }
    let Filter {
        mod_revision_min,
        mod_revision_max,
        create_revision_min,
        create_revision_max,
    } = range.filter;
    let above = |revision: Revision, min: Revision| min.0 == 0 || revision >= min;
    let below = |revision: Revision, max: Revision| max.0 == 0 || revision <= max;
    records.retain(|record| {
        above(record.meta.mod_revision, mod_revision_min)
            && below(record.meta.mod_revision, mod_revision_max)
            && above(record.meta.create_revision, create_revision_min)
            && below(record.meta.create_revision, create_revision_max)
    });
    records.sort_by(|a, b| {
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
    });
    let limit = match range.limit {
        0 => records.len(),
        limit => limit as usize,
    };
    let more = records.len() > limit;
    // In key order it sees nothing behind the first record that is beyond the limit.
    let in_key_order = range.sort.target == SortTarget::Key && !range.sort.descending;
    if range.uncounted && in_key_order && more {
        count = in_range
            .iter()
            .filter(|key| **key <= records[limit].key)
            .count() as u64;
    }
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

/// Two machines do the same; one of them is written down and read back before every command.
struct Pair {
    machine: Machine,
    view: MemoryView,
    copy: Machine,
    view_of_copy: MemoryView,
}

impl Pair {
    fn advance(&mut self, now: u64) {
        self.machine.advance(LeaseTime(now));
        self.copy.advance(LeaseTime(now));
    }

    fn apply(&mut self, index: u64, command: Command) -> Outcome {
        let encoded = codec::encode_proposal(&Proposal {
            request: None,
            author: Author::Nobody,
            command,
        });
        let index = LogIndex(index);
        let proposal = codec::decode_proposal(encoded.clone());
        let applied = self.machine.apply(&mut self.view, index, proposal).unwrap();
        self.copy = Machine::decode_state(self.copy.encode_state()).unwrap();
        let proposal = codec::decode_proposal(encoded);
        let copied = self
            .copy
            .apply(&mut self.view_of_copy, index, proposal)
            .unwrap();
        assert_eq!(copied, applied);
        assert_eq!(self.copy.state_hash(), self.machine.state_hash());
        applied.outcome
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn machine_and_model_agree(
        commands in proptest::collection::vec(common::command(Tame), 1..40),
        ranges in proptest::collection::vec(common::range(Tame), 1..10),
    ) {
        let mut model = Model::new();
        let mut pair = Pair {
            machine: Machine::default(),
            view: MemoryView::new(),
            copy: Machine::default(),
            view_of_copy: MemoryView::new(),
        };
        let mut index = 1;
        for command in commands {
            if check::command(&command, &Limits::default()).is_err() {
                continue;
            }
            index += 1;
            model.now += 400;
            pair.advance(model.now);
            let expected = model.apply(index, &command);
            let hash = pair.machine.state_hash();
            prop_assert_eq!(pair.apply(index, command), expected);
            prop_assert_ne!(pair.machine.state_hash(), hash);
            prop_assert_eq!(pair.machine.revision().0, model.revision());
            prop_assert_eq!(pair.machine.compacted().0, model.compacted);
            for range in &ranges {
                let read = machine::read(
                    &pair.view,
                    pair.machine.revision(),
                    pair.machine.compacted(),
                    range,
                );
                prop_assert_eq!(read.unwrap(), model.range(range), "{:?}", range);
            }
        }
        prop_assert_eq!(pair.view, pair.view_of_copy);
    }

    #[test]
    fn commands_that_no_door_checked_do_not_panic(
        commands in proptest::collection::vec(common::proposal(), 1..10),
    ) {
        let mut machine = Machine::default();
        let mut view = MemoryView::new();
        for (index, proposal) in commands.into_iter().enumerate() {
            machine.apply(&mut view, LogIndex(index as u64), Ok(proposal)).unwrap();
        }
    }
}
