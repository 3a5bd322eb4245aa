//! What went to the peers and came from them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hstore_core::id::NodeId;

use super::Counter;

/// How many peers are told apart: far more than a cluster has. Those that a process meets after so
/// many are counted together, as the peer 0.
const PEERS_MAX: usize = 64;

/// Every peer that this process has met.
pub(crate) static PEERS: Peers = Peers {
    met: Mutex::new(BTreeMap::new()),
};

/// The peers.
#[derive(Debug)]
pub(crate) struct Peers {
    met: Mutex<BTreeMap<NodeId, Arc<PeerMeter>>>,
}

/// What is counted of one peer.
#[derive(Debug)]
pub(crate) struct PeerMeter {
    pub(crate) sent_bytes: Counter,
    pub(crate) received_bytes: Counter,
    /// Connections to it that could not be made.
    pub(crate) failures: Counter,
}

impl Peers {
    /// The meter of a peer; looked up once a connection.
    pub(crate) fn of(&self, peer: NodeId) -> Arc<PeerMeter> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = met.len() >= PEERS_MAX && !met.contains_key(&peer);
        let peer = if is_full { NodeId(0) } else { peer };
        Arc::clone(met.entry(peer).or_insert_with(PeerMeter::new))
    }

    /// All of them, in the order of ids.
    pub(crate) fn all(&self) -> Vec<(NodeId, Arc<PeerMeter>)> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.iter()
            .map(|(peer, meter)| (*peer, Arc::clone(meter)))
            .collect()
    }
}

impl PeerMeter {
    fn new() -> Arc<PeerMeter> {
        Arc::new(PeerMeter {
            sent_bytes: Counter::new(),
            received_bytes: Counter::new(),
            failures: Counter::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_bound_to_the_peers_that_are_told_apart() {
        for peer in 1..=1000 {
            PEERS.of(NodeId(peer)).sent_bytes.add_one();
        }
        let all = PEERS.all();
        assert_eq!(all.len(), PEERS_MAX + 1);
        assert_eq!(all[0].0, NodeId(0));
        assert_eq!(all[0].1.sent_bytes.get(), 1000 - PEERS_MAX as u64);
        assert_eq!(PEERS.of(NodeId(1)).sent_bytes.get(), 1);
    }
}
