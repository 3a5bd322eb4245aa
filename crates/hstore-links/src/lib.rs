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

#![allow(
    clippy::disallowed_methods,
    reason = "it is made of real sockets, and finds out about real processes"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod addresses;
mod carry;
mod door;
mod links;
mod origin;
mod ports;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinSet;

pub use addresses::Addresses;
pub use links::{Break, Harm, Links, NodeNumber, RuleId, between};
pub use origin::Origins;
pub use ports::take_port;

/// The doors of all nodes, and the rules of the links between them.
pub struct Proxy {
    links: Arc<Links>,
    origins: Arc<Origins>,
    doors: JoinSet<()>,
}

/// What a door leads to.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Where others connect to.
    pub told: SocketAddr,
    /// Where the node listens.
    pub listens: SocketAddr,
    /// Whose it is.
    pub node: NodeNumber,
    /// Whether rules hold for it: the doors of peers have rules, those of clients have none.
    pub ruled: bool,
}

impl Proxy {
    /// A proxy without a door.
    pub fn new() -> Proxy {
        Proxy {
            links: Arc::new(Links::new()),
            origins: Arc::new(Origins::default()),
            doors: JoinSet::new(),
        }
    }

    /// Opens a door; it refuses connections until its node listens. Call it on a runtime, whose
    /// tasks its connections are.
    pub fn open(&mut self, way: Way) -> io::Result<()> {
        door::check(way)?;
        let (links, origins) = (Arc::clone(&self.links), Arc::clone(&self.origins));
        self.doors.spawn(door::keep(way, links, origins));
        Ok(())
    }

    /// The rules, for whoever changes them.
    pub fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// By what the nodes are known.
    pub fn origins(&self) -> &Arc<Origins> {
        &self.origins
    }
}

impl Default for Proxy {
    fn default() -> Proxy {
        Proxy::new()
    }
}

#[cfg(test)]
mod tests;
