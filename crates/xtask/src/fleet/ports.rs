//! Addresses of nodes: each has an own loopback host, and another one that it tells the others,
//! where its doors are.
//!
//! Invariant: no address is given twice by one process. Two processes at once begin at different
//! ports, and what is taken is stepped over.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Below the ports that systems give to outgoing connections, above those that services have.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// How far apart two processes begin.
const STRIDE: u32 = 512;

/// Where a node is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// Where it listens for clients.
    pub(crate) client: SocketAddr,
    /// Where it listens for peers.
    pub(crate) peer: SocketAddr,
    /// Where clients are told to reach it.
    pub(crate) client_told: SocketAddr,
    /// Where peers are told to reach it.
    pub(crate) peer_told: SocketAddr,
}

/// Addresses for the node of this number.
pub(crate) fn take_addresses(number: u32, proxied: bool) -> Result<Addresses> {
    let last = u8::try_from(number).context("a fleet is small")?;
    let own = Ipv4Addr::new(127, 0, 0, last);
    let told = if proxied {
        Ipv4Addr::new(127, 0, 0, 100 + last)
    } else {
        own
    };
    let (client, peer) = (free_port(&[own, told])?, free_port(&[own, told])?);
    Ok(Addresses {
        client: (own, client).into(),
        peer: (own, peer).into(),
        client_told: (told, client).into(),
        peer_told: (told, peer).into(),
    })
}

/// A port that is free on all these hosts.
pub(crate) fn free_port(hosts: &[Ipv4Addr]) -> Result<u16> {
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
    anyhow::bail!("no port is free on {hosts:?}")
}
