//! State machine safety: who has applied the same entries has the same state.

use std::collections::BTreeMap;

use hstore_core::id::{LogIndex, Revision};

use super::{Law, Sight};

/// The state at each index at which somebody was seen.
#[derive(Default)]
pub(super) struct Sameness {
    states: BTreeMap<LogIndex, (u64, Revision)>,
}

impl Law for Sameness {
    fn name(&self) -> &'static str {
        "same_entries_same_state"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let status = &seen.status;
            let Some(applied) = status.applied else {
                continue;
            };
            let state = (status.store.state_hash, status.store.revision);
            let first = *self.states.entry(applied.index).or_insert(state);
            if first != state {
                return Err(format!(
                    "node {} has {state:?} at entry {}, others had {first:?}",
                    status.node, applied.index
                ));
            }
        }
        Ok(())
    }
}
