//! The revision witness: every operation, every key at once, no search.
//!
//! The store says in each answer at which revision it happened, so there is only one order to try.
//! All writes are replayed in that order, and every answer must be the one that the replay gives.
//!
//! Rules: (1) each revision has exactly one write; (2) an operation that began after another one
//! had its answer is not older than that, and a write is newer; (3) every answer equals the replay
//! at its revision; (4) an unknown write happened where the log has it, or where its record was
//! seen, and not before it was invoked; (5) a refused write is never seen; (6) a serializable read
//! may be old, but it is right at the revision that it states; (7) a refusal for compaction needs a
//! compaction.
//!
//! Without a log a revision may be left that one of several unknown writes made and nobody saw.
//! What those writes may have touched is not checked, and counted, until an answer shows it.

mod compare;
mod order;
mod refusal;
mod replay;
mod unknown;
mod unlogged;

use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use crate::history::{Call, History, Operation, OperationId, Outcome};
use crate::violation::{Kind, Violations};
use order::Order;
use replay::Replay;

/// What the witness has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// What is wrong.
    pub violations: Violations,
    /// Operations with an answer, all of them compared but for the unchecked ones.
    pub answered: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Operations whose outcome is unknown.
    pub unknown: u64,
    /// Unknown writes that were found to have happened.
    pub resolved: u64,
    /// Answers that could not be compared, since an unknown write may have changed the keys.
    pub unchecked: u64,
}

/// Judges a history by its revisions.
pub fn judge(history: &History) -> Testimony {
    let mut testimony = Testimony::default();
    let Some(answered) = admit(history, &mut testimony) else {
        return testimony;
    };
    let order = Order::of(history, answered.iter().map(|(place, _)| *place));
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for (place, is_write) in answered {
        let operation = &history.operations[place as usize];
        let Some((revision, _)) = operation.answer() else {
            continue;
        };
        in_time(
            history,
            &order,
            operation,
            is_write,
            &mut testimony.violations,
        );
        if is_write {
            writes.push((revision, place));
        } else {
            reads.push((as_of(operation, revision), place));
        }
    }
    writes.sort_unstable();
    reads.sort_unstable();
    refusal::check(history, &order, &mut testimony.violations);
    Replay::of(history, &order, writes, reads, &mut testimony).run();
    testimony
}

/// The places of the operations whose answers can be judged, and whether they wrote. None when
/// the history makes no sense as a whole.
fn admit(history: &History, testimony: &mut Testimony) -> Option<Vec<(u32, bool)>> {
    let found = &mut testimony.violations;
    let begins_whole = history.log.first().map(|entry| entry.revision) == Some(Revision(2));
    if history.base > Revision::EMPTY && !begins_whole {
        found.push(Kind::Malformed, &[], Some(history.base), || {
            let base = history.base;
            format!("the run began at revision {base}, and the log does not say how that came")
        });
        return None;
    }
    if let Some(pair) = history
        .log
        .windows(2)
        .find(|pair| pair[0].revision >= pair[1].revision)
    {
        let revision = pair[1].revision;
        found.push(Kind::Malformed, &[], Some(revision), || {
            format!("the log has revision {revision} twice, or not in order")
        });
        return None;
    }
    let mut answered = Vec::new();
    for (place, operation) in (0u32..).zip(&history.operations) {
        match &operation.outcome {
            Outcome::Answered { revision, reply } => {
                testimony.answered += 1;
                let id = operation.id;
                if !compare::fits(&operation.call, reply) {
                    found.push(Kind::WrongReply, &[id], Some(*revision), || {
                        format!("operation {id} was answered with what it did not ask for")
                    });
                } else if operation
                    .returned
                    .is_none_or(|returned| returned < operation.invoked)
                {
                    found.push(Kind::Malformed, &[id], None, || {
                        format!("operation {id} was answered at no time after it was invoked")
                    });
                } else if claims_the_impossible(operation, *revision) {
                    found.push(Kind::WrongReply, &[id], Some(*revision), || {
                        let text = "was answered with a revision below the one that it asked for";
                        format!("operation {id} {text}: {revision}")
                    });
                } else {
                    answered.push((place, compare::wrote(reply)));
                }
            }
            Outcome::Refused { .. } => testimony.refused += 1,
            Outcome::Unknown => testimony.unknown += 1,
        }
    }
    Some(answered)
}

/// Whether an answer states a revision at which it could not have been given: every request
/// after the first revision, and each historical read or compaction after what it names.
fn claims_the_impossible(operation: &Operation, revision: Revision) -> bool {
    let least = match &operation.call {
        Call::Range { range, .. } => range.revision,
        Call::Compact(compact) => compact.revision,
        Call::Delete(_) | Call::Put(_) | Call::Txn(_) => Revision::EMPTY,
    };
    revision < least.max(Revision::EMPTY)
}

/// The revision whose state an answer shows.
fn as_of(operation: &Operation, revision: Revision) -> Revision {
    match &operation.call {
        Call::Range { range, .. } if range.revision > Revision(0) => range.revision,
        _ => revision,
    }
}

fn in_time(
    history: &History,
    order: &Order,
    operation: &Operation,
    is_write: bool,
    found: &mut Violations,
) {
    let Some((revision, _)) = operation.answer() else {
        return;
    };
    let newest = order.before(operation.invoked);
    let is_late = if is_write {
        revision <= newest.revision
    } else {
        revision < newest.revision && !operation.is_serializable()
    };
    if is_late {
        let (id, by) = (
            operation.id,
            newest.operation.map(|place| id_of(history, place)),
        );
        let involved: Vec<OperationId> = [id].into_iter().chain(by).collect();
        found.push(Kind::RevisionWentBack, &involved, Some(revision), || {
            let relation = if is_write { "above" } else { "at least" };
            let who = by.map_or("when the run began".to_owned(), |by| {
                format!("by operation {by}, which had its answer before")
            });
            format!(
                "operation {id} was answered with revision {revision}, expected {relation} {}, \
                 seen {who}",
                newest.revision
            )
        });
    }
}

pub(crate) use compare::{fits, records, wrote};
pub(crate) use refusal::Compactions;

/// Whether two replies to a call are the same in all that travels in an answer.
pub(crate) fn same_reply(call: &Call, expected: &Reply, found: &Reply) -> bool {
    compare::fits(call, found) && compare::difference(call, expected, found).is_none()
}

fn id_of(history: &History, place: u32) -> OperationId {
    history.operations[place as usize].id
}
