//! Where the nodes of a demo are: each has a loopback host of its own, and another one that it tells
//! the others, where its doors are.
//!
//! Invariant: no address is given twice by one process. What is taken is stepped over.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use hstore_core::error::ErrorCode;

use crate::fault::Fault;

/// Below the ports that systems give to outgoing connections, above those that services have.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// How far apart two processes begin.
const STRIDE: u32 = 512;
/// What is added to the last byte of a node's host for the one that others are told.
const TOLD: u8 = 100;

/// Where a node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    /// Where it listens for clients.
    pub(super) client: SocketAddr,
    /// Where it listens for peers.
    pub(super) peer: SocketAddr,
    /// Where clients are told to reach it.
    pub(super) client_told: SocketAddr,
    /// Where peers are told to reach it.
    pub(super) peer_told: SocketAddr,
}

impl Addresses {
    /// Addresses for the node of this number, at most 99.
    pub(super) fn take(number: u8) -> Result<Addresses, Fault> {
        let own = Ipv4Addr::new(127, 0, 0, number);
        let told = Ipv4Addr::new(127, 0, 0, TOLD + number);
        let (client, peer) = (free_port(&[own, told])?, free_port(&[own, told])?);
        Ok(Addresses {
            client: (own, client).into(),
            peer: (own, peer).into(),
            client_told: (told, client).into(),
            peer_told: (told, peer).into(),
        })
    }
}

/// A port that is free on all these hosts.
fn free_port(hosts: &[Ipv4Addr]) -> Result<u16, Fault> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        let begin = std::process::id().wrapping_mul(STRIDE);
        let port = (FIRST + begin.wrapping_add(place) % COUNT) as u16;
        let is_free = |host: &Ipv4Addr| TcpListener::bind((*host, port)).is_ok();
        if hosts.iter().all(is_free) {
            return Ok(port);
        }
    }
    let what = format!("no port is free on {hosts:?}");
    Err(Fault::new(ErrorCode::PortInUse, what))
}
