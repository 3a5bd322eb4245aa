//! Whoever has applied a membership has the same one, and there are never more than two
//! configurations at a time.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::id::LogId;
use hstore_core::membership::Membership;

use super::{Law, Sight};

/// The memberships by the entries that say so.
#[derive(Default)]
pub(super) struct Memberships {
    known: BTreeMap<LogId, Membership>,
}

impl Law for Memberships {
    fn name(&self) -> &'static str {
        "one_change_of_voters_at_a_time"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let membership = &seen.status.standing.membership;
            let Some(id) = membership.log_id else {
                continue;
            };
            if membership.voters.len() > 2 || membership.voters.iter().any(BTreeSet::is_empty) {
                return Err(format!("node {} has {membership:?}", seen.status.node));
            }
            let first = self.known.entry(id).or_insert_with(|| membership.clone());
            if first != membership {
                return Err(format!(
                    "node {} has {membership:?} at {id:?}, others have {first:?}",
                    seen.status.node
                ));
            }
        }
        Ok(())
    }
}
