//! A term that a node acts in is on its synced disk: after a power loss it votes in no term again.

use super::{Law, Sight};

/// Looks whenever the disks are looked at.
pub(super) struct Votes;

impl Law for Votes {
    fn name(&self) -> &'static str {
        "votes_are_durable"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for kept in sight.logs.iter().flatten() {
            let seen = sight.nodes.iter().find(|seen| seen.at == kept.at);
            let (Some(seen), Some(Ok(log))) = (seen, &kept.log) else {
                continue;
            };
            let term = seen.status.standing.term;
            if !kept.lost && term > log.term {
                return Err(format!(
                    "node {} is in term {term}, its synced disk knows {}",
                    seen.status.node, log.term
                ));
            }
        }
        Ok(())
    }
}
