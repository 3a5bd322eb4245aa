//! Which node a connection comes from.
//!
//! A node that speaks from a host of its own is known by it at once. Of any other one the kernel knows
//! which process holds the other end, and is asked: that reads the table of all connections and the
//! open files of the nodes, so it is for few nodes.
//!
//! Invariants: (1) a connection of what is no node is number 0, to which no rule applies; (2) the
//! kernel is not asked about a host that is a node's own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::NodeNumber;

/// By what the nodes are known.
#[derive(Debug, Default)]
pub struct Origins {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hosts: BTreeMap<IpAddr, NodeNumber>,
    processes: BTreeMap<NodeNumber, u32>,
}

impl Origins {
    /// A node, and nobody else, speaks from this host.
    pub fn speaks_from(&self, node: NodeNumber, host: IpAddr) {
        self.known().hosts.insert(host, node);
    }

    /// A node runs as this process from now on.
    pub fn runs(&self, node: NodeNumber, process: u32) {
        self.known().processes.insert(node, process);
    }

    /// The node whose socket is at `local` and is connected to `remote`.
    pub(crate) fn origin(&self, local: SocketAddr, remote: SocketAddr) -> NodeNumber {
        let known = self.known();
        if let Some(node) = known.hosts.get(&local.ip()) {
            return *node;
        }
        if known.processes.is_empty() {
            return 0;
        }
        let Some(inode) = inode(local, remote) else {
            return 0;
        };
        let mut processes = known.processes.iter();
        let holder = processes.find(|(_, process)| holds(**process, inode));
        holder.map_or(0, |(node, _)| *node)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of a socket in the kernel's table.
fn inode(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (hexadecimal(local)?, hexadecimal(remote)?);
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = fields.next()? == local && fields.next()? == remote;
        if is_it {
            fields.nth(6)?.parse().ok()
        } else {
            None
        }
    })
}

/// An address as that table has it: the bytes of the host in the machine's order.
fn hexadecimal(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(host) = address.ip() else {
        return None;
    };
    let host = u32::from_ne_bytes(host.octets());
    Some(format!("{host:08X}:{:04X}", address.port()))
}

fn holds(process: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(handles) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    handles.flatten().any(|handle| {
        let target = std::fs::read_link(handle.path());
        target.is_ok_and(|target| target.as_os_str() == wanted.as_str())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_of_the_process_that_opened_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(there).unwrap();
        let here = stream.local_addr().unwrap();
        let origins = Origins::default();
        assert_eq!(origins.origin(here, there), 0);
        origins.runs(3, std::process::id());
        assert_eq!(origins.origin(here, there), 3);
        drop((stream, listener));
        assert_eq!(origins.origin(here, "127.0.0.1:1".parse().unwrap()), 0);
    }

    #[test]
    fn a_host_that_is_a_nodes_own_says_who_it_is_without_a_connection_to_look_at() {
        let origins = Origins::default();
        origins.runs(3, std::process::id());
        origins.speaks_from(7, "127.0.0.7".parse().unwrap());
        let nowhere = "127.0.0.107:1".parse().unwrap();
        assert_eq!(origins.origin("127.0.0.7:5".parse().unwrap(), nowhere), 7);
        assert_eq!(origins.origin("127.0.0.8:5".parse().unwrap(), nowhere), 0);
    }
}
