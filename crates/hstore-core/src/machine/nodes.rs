//! Which data folder got which node id.
//!
//! Invariants: (1) ids only grow, so none is given twice, also when their givers are forgotten;
//! (2) a data folder that asks again gets the id it got before, while it is remembered; (3) a
//! reserved id goes to the first new data folder whose peers reach it at the reserved address, and
//! no two ids are reserved for one address.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::ReserveNode;
use crate::id::{Incarnation, LogIndex, NodeId};
use crate::outcome::Refusal;
use crate::planted::{self, Bug};

/// So many allocations are remembered; the oldest is forgotten for a new one, and its data folder
/// would get a new id if it asked again.
pub(super) const NODES_MAX: usize = 10_000;

/// So many ids are kept for nodes that did not start yet; one more is refused.
pub(super) const RESERVED_MAX: usize = 64;

/// So many learners that wait to be promoted are remembered; the oldest is forgotten for a new one.
pub(super) const LEARNERS_MAX: usize = 1024;

/// Beyond so many a planted bug gives ids twice; a cluster can be set up before it shows.
const LATE: usize = 6;

#[derive(Clone, Debug)]
pub(super) struct Nodes {
    /// The newest id: of the founder, who has id 1 without asking, to begin with.
    pub(super) last: NodeId,
    pub(super) by_incarnation: BTreeMap<Incarnation, NodeId>,
    /// Ids that are kept for nodes that did not start yet.
    pub(super) reserved: BTreeMap<NodeId, Reservation>,
    /// Nodes that get no vote before somebody promotes them. Some may be promoted or gone by now.
    pub(super) learners: BTreeSet<NodeId>,
}

/// A node that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Where its peers will reach it.
    pub peer_address: String,
    /// It gets no vote until somebody promotes it.
    pub learner: bool,
}

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes {
            last: NodeId(1),
            by_incarnation: BTreeMap::new(),
            reserved: BTreeMap::new(),
            learners: BTreeSet::new(),
        }
    }
}

impl Nodes {
    /// The id of a data folder: the one that is kept for its address, else the log index, or the
    /// next id when the same log entry already gave that one away.
    pub(super) fn allocate(
        &mut self,
        incarnation: Incarnation,
        peer_address: &str,
        index: LogIndex,
    ) -> NodeId {
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
        let node = self.claim(peer_address).unwrap_or_else(|| self.draw(index));
        self.by_incarnation.insert(incarnation, node);
        node
    }

    fn draw(&mut self, index: LogIndex) -> NodeId {
        self.last = NodeId(index.0.max(self.last.0.saturating_add(1)));
        self.last
    }

    /// Takes the id that is kept for an address.
    fn claim(&mut self, peer_address: &str) -> Option<NodeId> {
        let node = self.reserved_at(peer_address)?;
        if self.reserved.remove(&node)?.learner {
            if self.learners.len() >= LEARNERS_MAX {
                self.learners.pop_first();
            }
            self.learners.insert(node);
        }
        Some(node)
    }

    fn reserved_at(&self, peer_address: &str) -> Option<NodeId> {
        let mut reserved = self.reserved.iter();
        let found = reserved.find(|(_, kept)| kept.peer_address == peer_address);
        found.map(|(node, _)| *node)
    }

    /// Keeps an id, or changes for which address it is kept.
    pub(super) fn reserve(
        &mut self,
        request: ReserveNode,
        index: LogIndex,
    ) -> Result<NodeId, Refusal> {
        let holder = self.reserved_at(&request.peer_address);
        if holder.is_some() && holder != request.node {
            return Err(Refusal::AddressReserved);
        }
        if let Some(node) = request.node {
            let kept = self.reserved.get_mut(&node).ok_or(Refusal::NotReserved)?;
            kept.peer_address = request.peer_address;
            return Ok(node);
        }
        if self.reserved.len() >= RESERVED_MAX {
            return Err(Refusal::TooManyReserved);
        }
        let node = self.draw(index);
        let kept = Reservation {
            peer_address: request.peer_address,
            learner: request.learner,
        };
        self.reserved.insert(node, kept);
        Ok(node)
    }

    /// Gives a reserved id up.
    pub(super) fn release(&mut self, node: NodeId) -> Result<NodeId, Refusal> {
        let released = self.reserved.remove(&node);
        released.map(|_| node).ok_or(Refusal::NotReserved)
    }
}
