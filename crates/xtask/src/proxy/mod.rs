//! A network that can be broken: every connection between two nodes goes through here.
//!
//! A node listens at one loopback address and tells the others another one, where a door of this
//! proxy listens. The door finds out which node a connection comes from, so each direction of each
//! pair of nodes has rules of its own. A door whose node is dead refuses connections as the node's
//! own machine would.
//!
//! What it must never know: what the bytes mean. Invariants: (1) bytes arrive whole and in order or
//! the connection ends; (2) without a rule nothing is changed but for one hop of latency; (3) doors
//! and connections end when the proxy is dropped.

mod carry;
mod door;
mod links;
mod origin;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::task::JoinSet;

pub(crate) use links::{Break, Harm, Links, NodeNumber, between};
pub(crate) use origin::Processes;

/// The doors of all nodes, and the rules of the links between them.
pub(crate) struct Proxy {
    links: Arc<Links>,
    processes: Arc<Processes>,
    doors: JoinSet<()>,
}

/// What a door leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Where others connect to.
    pub(crate) told: SocketAddr,
    /// Where the node listens.
    pub(crate) listens: SocketAddr,
    /// Whose it is.
    pub(crate) node: NodeNumber,
    /// Whether rules hold for it: the doors of peers have rules, those of clients have none.
    pub(crate) ruled: bool,
}

impl Proxy {
    /// A proxy without a door.
    pub(crate) fn new() -> Proxy {
        Proxy {
            links: Arc::new(Links::new()),
            processes: Arc::new(Processes::default()),
            doors: JoinSet::new(),
        }
    }

    /// Opens a door; it refuses connections until its node listens.
    pub(crate) fn open(&mut self, way: Way) -> Result<()> {
        door::check(way)?;
        let (links, processes) = (Arc::clone(&self.links), Arc::clone(&self.processes));
        self.doors.spawn(door::keep(way, links, processes));
        Ok(())
    }

    /// The rules.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Which process is which node.
    pub(crate) fn processes(&self) -> &Arc<Processes> {
        &self.processes
    }
}

#[cfg(test)]
mod tests;
