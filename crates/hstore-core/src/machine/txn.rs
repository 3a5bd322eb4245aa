//! Transactions, in three passes: every comparison, then every check, then every step.
//!
//! Invariants: (1) all comparisons, those of nested transactions too, see the state before the
//! transaction, since they decide before anything runs; (2) whatever may be refused is refused
//! before anything runs, so a refused transaction changes nothing; (3) each step that runs sees
//! what the steps before it wrote; (4) a transaction and all within it write one revision.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::writer::Writer;
use super::{View, delete, put, read};
use crate::command::{Compare, CompareTarget, Delete, Operation, Put, Relation, Txn};
use crate::id::Revision;
use crate::key::KeyRange;
use crate::limits::TXN_DEPTH_CEILING;
use crate::outcome::{Refusal, Reply};
use crate::planted::{self, Bug};
use crate::range::Range;
use crate::record::Meta;

/// Runs a transaction on a store at revision `current`.
pub(super) fn txn<V: View>(
    writer: &mut Writer<'_, V>,
    current: Revision,
    compacted: Revision,
    txn: Txn,
) -> Result<Result<Reply, Refusal>, V::Fault> {
    if !nests_within(&txn, TXN_DEPTH_CEILING) {
        return Ok(Err(Refusal::Malformed));
    }
    let plan = Plan::of(writer, txn)?;
    if let Err(refusal) = plan.check(writer, current, compacted) {
        return Ok(Err(refusal));
    }
    plan.run(writer).map(Ok)
}

/// What a transaction will do: its branches are chosen.
struct Plan {
    succeeded: bool,
    steps: Vec<Step>,
}

enum Step {
    Delete(Delete),
    Put(Put),
    Range(Range),
    Txn(Plan),
}

impl Plan {
    fn of<V: View>(writer: &Writer<'_, V>, txn: Txn) -> Result<Plan, V::Fault> {
        let succeeded = all_hold(writer, &txn.compare)?;
        let branch = if succeeded { txn.then } else { txn.otherwise };
        let steps = branch.into_iter().map(|operation| {
            Ok(match operation {
                Operation::Delete(delete) => Step::Delete(delete),
                Operation::Put(put) => Step::Put(put),
                Operation::Range(range) => Step::Range(range),
                Operation::Txn(txn) => Step::Txn(Plan::of(writer, txn)?),
            })
        });
        Ok(Plan {
            succeeded,
            steps: steps.collect::<Result<_, V::Fault>>()?,
        })
    }

    fn check<V: View>(
        &self,
        writer: &Writer<'_, V>,
        current: Revision,
        compacted: Revision,
    ) -> Result<(), Refusal> {
        self.steps.iter().try_for_each(|step| match step {
            Step::Delete(_) => Ok(()),
            Step::Put(request) => put::check(writer, request),
            Step::Range(range) => read::revision_of(range, current, compacted).map(|_| ()),
            Step::Txn(plan) => plan.check(writer, current, compacted),
        })
    }

    fn run<V: View>(self, writer: &mut Writer<'_, V>) -> Result<Reply, V::Fault> {
        let mut replies = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            replies.push(match step {
                Step::Delete(request) => delete::delete(writer, &request)?,
                Step::Put(request) => put::put(writer, request)?,
                Step::Range(range) => {
                    // "Current" means with all that this transaction wrote so far.
                    let current = writer.revision();
                    let at = if range.revision <= Revision(0) {
                        current
                    } else {
                        range.revision
                    };
                    Reply::Range(writer.tell_range(&range, at)?)
                }
                Step::Txn(plan) => plan.run(writer)?,
            });
        }
        Ok(Reply::Txn {
            succeeded: self.succeeded,
            replies,
        })
    }
}

fn nests_within(txn: &Txn, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    let mut operations = txn.then.iter().chain(&txn.otherwise);
    operations.all(|operation| match operation {
        Operation::Delete(_) | Operation::Put(_) | Operation::Range(_) => true,
        Operation::Txn(txn) => nests_within(txn, depth),
    })
}

fn all_hold<V: View>(writer: &Writer<'_, V>, compares: &[Compare]) -> Result<bool, V::Fault> {
    for compare in compares {
        if !holds(writer, compare)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a comparison holds for every key of its range. A range without a key compares as one
/// key of all zeros, but on its value it never holds: nothing is not the empty value.
fn holds<V: View>(writer: &Writer<'_, V>, compare: &Compare) -> Result<bool, V::Fault> {
    match &compare.target {
        CompareTarget::CreateRevision(n) if *n > 0 && planted::is(Bug::FenceNotCompared) => {
            Ok(true)
        }
        CompareTarget::CreateRevision(n) => Ok(number_holds(writer, compare, *n, |meta| {
            meta.create_revision.0
        })),
        CompareTarget::Lease(n) => Ok(number_holds(writer, compare, *n, |meta| meta.lease)),
        CompareTarget::ModRevision(n) => Ok(number_holds(writer, compare, *n, |meta| {
            meta.mod_revision.0
        })),
        CompareTarget::Value(value) => value_holds(writer, compare, value),
        CompareTarget::Version(n) => Ok(number_holds(writer, compare, *n, |meta| meta.version)),
    }
}

fn number_holds<V: View>(
    writer: &Writer<'_, V>,
    compare: &Compare,
    number: i64,
    own: impl Fn(&Meta) -> i64,
) -> bool {
    let holds = |meta: &Meta| relate(own(meta).cmp(&number), compare.relation);
    if let KeyRange::One(key) = &compare.keys {
        return holds(&writer.get(key).unwrap_or_default());
    }
    let (mut any, mut all) = (false, true);
    let at = writer.revision();
    writer.view().scan(&compare.keys, at, &mut |_, meta| {
        any = true;
        all = holds(meta);
        if all {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    all && (any || holds(&Meta::default()))
}

fn value_holds<V: View>(
    writer: &Writer<'_, V>,
    compare: &Compare,
    value: &Bytes,
) -> Result<bool, V::Fault> {
    let found = writer.list(&compare.keys);
    for (key, meta) in &found {
        let own = writer.view().value(key, meta)?;
        if !relate(own.cmp(value), compare.relation) {
            return Ok(false);
        }
    }
    Ok(!found.is_empty())
}

fn relate(own_to_target: Ordering, relation: Relation) -> bool {
    match relation {
        Relation::Equal => own_to_target.is_eq(),
        Relation::Greater if planted::is(Bug::CompareOffByOne) => own_to_target.is_ge(),
        Relation::Greater => own_to_target.is_gt(),
        Relation::Less => own_to_target.is_lt(),
        Relation::NotEqual => own_to_target.is_ne(),
    }
}
