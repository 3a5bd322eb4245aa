//! What anybody knows to be committed is on the synced disks of a majority of the voters.

use hstore_core::id::{LogId, NodeId};

use super::{Law, Sight};

/// Looks whenever the disks are looked at.
pub(super) struct Quorum;

impl Law for Quorum {
    fn name(&self) -> &'static str {
        "committed_on_a_quorum_of_synced_disks"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        let (Some(logs), Some(committed)) = (&sight.logs, sight.committed()) else {
            return Ok(());
        };
        let newest = sight
            .nodes
            .iter()
            .map(|seen| &seen.status.standing.membership)
            .max_by_key(|membership| membership.log_id.map(|id| id.index));
        let Some(membership) = newest else {
            return Ok(());
        };
        // The entry was committed by the voters of its own time.
        let since = membership.log_id.map(|id| id.index);
        if membership.is_joint() || since > Some(committed.index) {
            return Ok(());
        }
        let holds = |node: &NodeId| {
            logs.iter()
                .filter(|kept| kept.id == *node)
                .any(|kept| kept.lost || holds(kept.log.as_ref(), committed))
                || !logs.iter().any(|kept| kept.id == *node)
        };
        let Some(voters) = membership.voters.first() else {
            return Err(format!("{committed:?} is committed, and nobody votes"));
        };
        let holders = voters.iter().filter(|node| holds(node)).count();
        if holders <= voters.len() / 2 {
            return Err(format!(
                "{committed:?} is committed and on {holders} of {} synced disks",
                voters.len()
            ));
        }
        Ok(())
    }
}

fn holds(log: Option<&Result<super::Logbook, String>>, id: LogId) -> bool {
    match log {
        Some(Ok(log)) => log.holds(id),
        // That it does not open is for another law to say.
        Some(Err(_)) => true,
        None => false,
    }
}
