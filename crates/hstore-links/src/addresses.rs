//! Where the nodes of a fleet are: each has a loopback host of its own, and another one that it tells
//! the others, where its doors are.
//!
//! Invariant: no address is given twice, by one process or by several at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::NodeNumber;
use crate::ports::take_port;

/// What is added to the last byte of a node's host for the one that others are told.
const TOLD: u8 = 100;

/// Where a node is.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Where it listens for clients.
    pub client: SocketAddr,
    /// Where it listens for peers.
    pub peer: SocketAddr,
    /// Where clients are told to reach it.
    pub client_told: SocketAddr,
    /// Where peers are told to reach it.
    pub peer_told: SocketAddr,
}

impl Addresses {
    /// Addresses for the node of this number, from 1 to 99. With doors, others are told to come to a
    /// host of its doors; without, to where the node itself listens.
    pub fn take(number: NodeNumber, has_doors: bool) -> io::Result<Addresses> {
        let last = u8::try_from(number).ok();
        let last = last
            .filter(|last| (1..TOLD).contains(last))
            .ok_or_else(|| {
                let what = format!("there is no loopback host for node {number}: they are 1 to 99");
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })?;
        let own = Ipv4Addr::new(127, 0, 0, last);
        let told = if has_doors {
            Ipv4Addr::new(127, 0, 0, TOLD + last)
        } else {
            own
        };
        let (client, peer) = (take_port(&[own, told])?, take_port(&[own, told])?);
        Ok(Addresses {
            client: (own, client).into(),
            peer: (own, peer).into(),
            client_told: (told, client).into(),
            peer_told: (told, peer).into(),
        })
    }

    /// Where the node speaks from when it was told to speak from a host of its own.
    pub fn own_host(&self) -> IpAddr {
        self.peer.ip()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_node_has_hosts_of_its_own_and_no_address_is_given_twice() {
        let mut seen = BTreeSet::new();
        for number in [1, 31, 99] {
            let of = Addresses::take(number, true).unwrap();
            assert_eq!(of.own_host(), of.client.ip());
            assert_ne!(of.own_host(), of.peer_told.ip());
            for address in [of.client, of.peer, of.client_told, of.peer_told] {
                assert!(seen.insert(address), "{address}");
            }
        }
        let plain = Addresses::take(1, false).unwrap();
        assert_eq!(
            (plain.client, plain.peer),
            (plain.client_told, plain.peer_told)
        );
    }

    #[test]
    fn a_node_for_which_there_is_no_host_is_refused() {
        for number in [0, 100, 256, 1 << 20] {
            let refused = Addresses::take(number, true).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{number}");
        }
    }
}
