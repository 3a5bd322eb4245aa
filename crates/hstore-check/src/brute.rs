//! Every order there is, tried one after the other: the judge of the judges, for tiny histories.
//!
//! It is slow on purpose: no pruning but real time, no memory, nothing that could be wrong in a
//! clever way. Tests hold the witness and the search to its verdicts.

use hstore_core::id::Revision;
use hstore_core::outcome::Reply;
use hstore_core::record::{Meta, Record};

use crate::history::{Call, History, Operation, Outcome};
use crate::model::Model;
use crate::witness::same_reply;

/// What of an answer is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it.
    Full,
    /// Keys, values, counts and branches, but no revision and no version. Serializable reads are
    /// passed over.
    Values,
}

/// Whether some order of the operations explains the history. Unknown operations may be left out,
/// the log is not looked at.
///
/// The time grows with the factorial of the operations: more than ten take long.
pub fn explains(history: &History, sight: Sight) -> bool {
    let operations = history.operations.iter();
    let judged = |operation: &&Operation| match operation.outcome {
        Outcome::Answered { .. } => sight == Sight::Full || !operation.is_serializable(),
        Outcome::Refused { .. } => false,
        Outcome::Unknown => true,
    };
    let open: Vec<&Operation> = operations.filter(judged).collect();
    step(&Model::new(history.base), &open, sight)
}

fn step(model: &Model, open: &[&Operation], sight: Sight) -> bool {
    if open.iter().all(|operation| operation.is_unknown()) {
        return true;
    }
    (0..open.len()).any(|place| {
        let operation = open[place];
        let mut rest = open.to_vec();
        rest.remove(place);
        if rest.iter().any(|other| is_before(other, operation)) {
            return false;
        }
        let mut model = model.clone();
        happens(&mut model, operation, sight) && step(&model, &rest, sight)
    })
}

/// Whether one must come before the other: it had its answer before the other one began. A
/// serializable read may come earlier than it was asked for.
fn is_before(one: &Operation, other: &Operation) -> bool {
    let returned = one.returned.filter(|_| !one.is_unknown());
    returned.is_some_and(|returned| returned < other.invoked) && !other.is_serializable()
}

/// Whether the operation, happening now, gives the answer that it had.
fn happens(model: &mut Model, operation: &Operation, sight: Sight) -> bool {
    if let Call::Compact(compact) = &operation.call {
        // It changes no answer; which of several came first does not matter.
        let answer = operation.answer();
        return compact.revision <= model.revision()
            && (sight == Sight::Values
                || answer.is_none_or(|(revision, _)| revision == model.revision()));
    }
    let reply = model.run(&operation.call);
    let Some((revision, found)) = operation.answer() else {
        return reply.is_ok();
    };
    let Ok(expected) = reply else {
        return false;
    };
    match sight {
        Sight::Full => {
            revision == model.revision() && same_reply(&operation.call, &expected, found)
        }
        Sight::Values => same_reply(
            &operation.call,
            &without_numbers(expected),
            &without_numbers(found.clone()),
        ),
    }
}

fn without_numbers(reply: Reply) -> Reply {
    let bare = |record: Record| Record {
        meta: Meta {
            mod_revision: Revision(0),
            ..Meta::default()
        },
        ..record
    };
    match reply {
        Reply::Alarms(_)
        | Reply::Auth
        | Reply::Compact
        | Reply::Lease(_)
        | Reply::Node(_)
        | Reply::Settings(_)
        | Reply::Untold => reply,
        Reply::Delete { deleted, previous } => Reply::Delete {
            deleted,
            previous: previous.into_iter().map(bare).collect(),
        },
        Reply::Put { previous } => Reply::Put {
            previous: previous.map(bare),
        },
        Reply::Range(mut result) => {
            result.records = result.records.into_iter().map(bare).collect();
            Reply::Range(result)
        }
        Reply::Txn { succeeded, replies } => Reply::Txn {
            succeeded,
            replies: replies.into_iter().map(without_numbers).collect(),
        },
    }
}
