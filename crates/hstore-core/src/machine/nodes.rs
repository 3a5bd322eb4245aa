//! Which data folder got which node id.
//!
//! Invariants: (1) ids only grow, so none is given twice, also when their givers are forgotten;
//! (2) a data folder that asks again gets the id it got before, while it is remembered.

use std::collections::BTreeMap;

use crate::id::{Incarnation, LogIndex, NodeId};
use crate::planted::{self, Bug};

/// So many allocations are remembered; the oldest is forgotten for a new one, and its data folder
/// would get a new id if it asked again.
pub(super) const NODES_MAX: usize = 10_000;

/// Beyond so many a planted bug gives ids twice; a cluster can be set up before it shows.
const LATE: usize = 6;

#[derive(Clone, Debug)]
pub(super) struct Nodes {
    /// The newest id: of the founder, who has id 1 without asking, to begin with.
    pub(super) last: NodeId,
    pub(super) by_incarnation: BTreeMap<Incarnation, NodeId>,
}

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes {
            last: NodeId(1),
            by_incarnation: BTreeMap::new(),
        }
    }
}

impl Nodes {
    /// The id of a data folder: the log index, or the next id when the same log entry already
    /// gave that one away.
    pub(super) fn allocate(&mut self, incarnation: Incarnation, index: LogIndex) -> NodeId {
        if let Some(node) = self.by_incarnation.get(&incarnation) {
            return *node;
        }
        if planted::is(Bug::NodeIdReused) && self.by_incarnation.len() > LATE {
            return self.last;
        }
        if self.by_incarnation.len() >= NODES_MAX {
            let oldest = self.by_incarnation.iter().min_by_key(|(_, node)| **node);
            if let Some(oldest) = oldest.map(|(incarnation, _)| *incarnation) {
                self.by_incarnation.remove(&oldest);
            }
        }
        self.last = NodeId(index.0.max(self.last.0.saturating_add(1)));
        self.by_incarnation.insert(incarnation, self.last);
        self.last
    }
}
