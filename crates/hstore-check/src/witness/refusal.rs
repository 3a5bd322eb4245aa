//! Refusals that say something about the store: compacted, and not there yet.

use hstore_core::command::Compact;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;

use super::order::Order;
use crate::history::{Call, History, Moment, Operation, Outcome};
use crate::violation::{Kind, Violations};

/// Every refusal for compaction had a compaction, every one for a future revision was before it.
pub(super) fn check(history: &History, order: &Order, found: &mut Violations) {
    let compactions = Compactions::of(history);
    for operation in &history.operations {
        let Outcome::Refused { code } = operation.outcome else {
            continue;
        };
        let (asked, above) = match &operation.call {
            // A read is refused below the compacted revision, a compaction at it too.
            Call::Range { range, .. } => (range.revision, true),
            Call::Compact(compact) => (compact.revision, false),
            Call::Delete(_) | Call::Put(_) | Call::Txn(_) => continue,
        };
        let returned = operation.returned.unwrap_or(Moment(u64::MAX));
        let wrong = match code {
            ErrorCode::Compacted if above => {
                asked <= Revision(0) || !compactions.may_have_passed(asked, returned)
            }
            ErrorCode::Compacted => {
                let below = Revision(asked.0.saturating_sub(1));
                asked > Revision(0) && !compactions.may_have_passed(below, returned)
            }
            ErrorCode::FutureRevision if !operation.is_serializable() => {
                asked <= order.before(operation.invoked).revision
            }
            _ => false,
        };
        if wrong {
            let id = operation.id;
            found.push(Kind::WrongRefusal, &[id], Some(asked), || match code {
                ErrorCode::Compacted => format!(
                    "operation {id} was refused since revision {asked} is compacted, but no \
                     compaction reached it"
                ),
                _ => format!(
                    "operation {id} was refused since revision {asked} is not there yet, but \
                     revision {} was answered before",
                    order.before(operation.invoked).revision
                ),
            });
        }
    }
}

/// When which revision may have been compacted.
pub(crate) struct Compactions {
    /// In the order of invocation, each with the largest revision so far.
    steps: Vec<(Moment, Revision)>,
}

impl Compactions {
    pub(crate) fn of(history: &History) -> Compactions {
        let step = |operation: &Operation| match (&operation.call, &operation.outcome) {
            (_, Outcome::Refused { .. }) => None,
            (Call::Compact(Compact { revision }), _) => Some((operation.invoked, *revision)),
            _ => None,
        };
        let mut steps: Vec<_> = history.operations.iter().filter_map(step).collect();
        steps.sort_unstable();
        let mut largest = Revision(0);
        for (_, revision) in &mut steps {
            largest = largest.max(*revision);
            *revision = largest;
        }
        Compactions { steps }
    }

    /// Whether by this moment everything up to and with this revision may have been dropped.
    pub(crate) fn may_have_passed(&self, revision: Revision, by: Moment) -> bool {
        let place = self.steps.partition_point(|(invoked, _)| *invoked <= by);
        let last = self.steps[..place].last();
        last.is_some_and(|(_, largest)| *largest > revision)
    }
}
