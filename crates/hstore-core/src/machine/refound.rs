//! The machine with which another cluster begins: where a backup ends, or where another store is.
//!
//! Invariants: (1) the revision never goes down; (2) what belongs to the former cluster's nodes
//! does not come along, what belongs to its clients does: a request that was answered before the
//! backup is not applied again after it.

use std::sync::Arc;

use super::Machine;
use super::alarms::Alarms;
use super::lease::LEASES_MAX;
use super::nodes::Nodes;
use crate::id::{LeaseTime, NodeId, Revision};
use crate::outcome::LeaseState;

impl Machine {
    /// The machine of a new cluster that begins where this one is. `bump` revisions are skipped,
    /// so that no revision is given twice that the former cluster gave after the backup. With
    /// `compacted` all history before the new revision is gone, so that whoever watches from a
    /// revision that this cluster never had hears of it. None when there are not so many revisions.
    #[must_use]
    pub fn refounded(mut self, bump: u64, compacted: bool) -> Option<Machine> {
        let bump = i64::try_from(bump).ok()?;
        self.revision = Revision(self.revision.0.checked_add(bump)?);
        if compacted {
            self.compacted = self.revision;
            self.ages.compacted(self.revision);
        }
        self.nodes = Nodes {
            last: self.nodes.last.max(NodeId(1)),
            ..Nodes::default()
        };
        self.alarms = Alarms::default();
        self.settings = Arc::new(self.settings.of_cluster());
        self.noticed += 1;
        Some(self)
    }

    /// The machine of a store whose records come from elsewhere: it stands at `revision`, its
    /// history begins there, and these leases are alive at `now`. None when a lease or the revision
    /// is one that cannot be.
    pub fn seeded(
        revision: Revision,
        now: LeaseTime,
        leases: impl IntoIterator<Item = (i64, LeaseState)>,
    ) -> Option<Machine> {
        if revision < Revision::EMPTY {
            return None;
        }
        let mut machine = Machine {
            revision,
            compacted: revision,
            ..Machine::default()
        };
        machine.leases.advance(now);
        for (lease, state) in leases {
            let known = machine.leases.contains(lease);
            let full = machine.leases.by_id.len() >= LEASES_MAX;
            if known || full || lease == 0 || state.ttl <= 0 {
                return None;
            }
            machine.leases.insert(lease, state);
        }
        Some(machine)
    }
}
