//! State machine safety: nobody ever knows another entry to be committed at an index.

use std::collections::BTreeMap;

use hstore_core::id::{LogId, LogIndex};

use super::{Law, Sight};

/// What is committed where.
#[derive(Default)]
pub(super) struct Agreement {
    committed: BTreeMap<LogIndex, LogId>,
}

impl Law for Agreement {
    fn name(&self) -> &'static str {
        "committed_entries_agree"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let status = &seen.status;
            let known = [
                status.committed,
                status.applied,
                status.snapshot,
                status.purged,
            ];
            for id in known.into_iter().flatten() {
                let first = *self.committed.entry(id.index).or_insert(id);
                if first != id {
                    return Err(format!(
                        "node {} knows {id:?} to be committed, others know {first:?}",
                        status.node
                    ));
                }
            }
        }
        Ok(())
    }
}
