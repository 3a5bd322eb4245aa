//! Leader completeness: what an earlier leader committed is in the log of every later one.
//!
//! A term may have two leaders one after the other, of which the one with the larger id is the later
//! one: so the library orders leaders, by term and then by id.

use hstore_core::id::LogId;
use hstore_node::Role;

use super::{Law, Sight};

/// The newest entry that was ever known to be committed.
#[derive(Default)]
pub(super) struct Completeness {
    committed: Option<LogId>,
}

impl Law for Completeness {
    fn name(&self) -> &'static str {
        "leader_completeness"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        let known = self.committed;
        let newest = known.into_iter().chain(sight.committed());
        self.committed = newest.max_by_key(|id| id.index);
        let Some(committed) = known else {
            return Ok(());
        };
        for seen in &sight.nodes {
            let status = &seen.status;
            let leads = status.standing.role == Role::Leader;
            let leader = (status.standing.term, status.node);
            if !leads || leader < (committed.term, committed.leader) {
                continue;
            }
            if status.last < Some(committed.index) {
                return Err(format!(
                    "node {} leads term {} with {:?} as its last entry; {committed:?} is committed",
                    status.node, status.standing.term, status.last
                ));
            }
        }
        Ok(())
    }
}
