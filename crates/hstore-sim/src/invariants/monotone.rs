//! A node never goes back: within one life in nothing, across lives in its term.

use std::collections::BTreeMap;

use hstore_core::id::{LogIndex, NodeId, Revision, Term};
use hstore_node::NodeStatus;

use super::{Law, Sight};

/// How far a node had come in one life.
#[derive(Clone, Copy, Debug)]
struct Far {
    life: u64,
    committed: Option<LogIndex>,
    applied: Option<LogIndex>,
    purged: Option<LogIndex>,
    revision: Revision,
    compacted: Revision,
}

/// How far every node had come.
#[derive(Default)]
pub(super) struct Monotone {
    far: BTreeMap<NodeId, Far>,
    terms: BTreeMap<NodeId, Term>,
}

impl Far {
    fn of(life: u64, status: &NodeStatus) -> Far {
        Far {
            life,
            committed: status.committed.map(|id| id.index),
            applied: status.applied.map(|id| id.index),
            purged: status.purged.map(|id| id.index),
            revision: status.store.revision,
            compacted: status.store.compacted,
        }
    }

    fn is_behind(&self, before: &Far) -> bool {
        self.committed < before.committed
            || self.applied < before.applied
            || self.purged < before.purged
            || self.revision < before.revision
            || self.compacted < before.compacted
    }
}

impl Law for Monotone {
    fn name(&self) -> &'static str {
        "nothing_goes_back"
    }

    fn look(&mut self, sight: &Sight) -> Result<(), String> {
        for seen in &sight.nodes {
            let status = &seen.status;
            let now = Far::of(seen.life, status);
            if let Some(before) = self.far.insert(status.node, now)
                && before.life == now.life
                && now.is_behind(&before)
            {
                return Err(format!(
                    "node {} went from {before:?} to {now:?}",
                    status.node
                ));
            }
            let term = status.standing.term;
            if let Some(before) = self.terms.insert(status.node, term)
                && term < before
            {
                return Err(format!(
                    "node {} went from term {before} to {term}",
                    status.node
                ));
            }
        }
        Ok(())
    }
}
