//! Which node a connection comes from: the kernel knows which process holds the other end.
//!
//! Invariant: a connection of a process that is no node is number 0, to which no rule applies.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use crate::NodeNumber;

/// The processes of the nodes that run now.
#[derive(Debug, Default)]
pub struct Processes {
    of: Mutex<BTreeMap<NodeNumber, u32>>,
}

impl Processes {
    /// A node runs as this process from now on.
    pub fn runs(&self, node: NodeNumber, process: u32) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.insert(node, process);
    }

    /// The node whose socket is at `local` and is connected to `remote`.
    pub(crate) fn origin(&self, local: SocketAddr, remote: SocketAddr) -> NodeNumber {
        let Some(inode) = inode(local, remote) else {
            return 0;
        };
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = of.iter().find(|(_, process)| holds(**process, inode));
        holder.map_or(0, |(node, _)| *node)
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
        let processes = Processes::default();
        assert_eq!(processes.origin(here, there), 0);
        processes.runs(3, std::process::id());
        assert_eq!(processes.origin(here, there), 3);
        drop((stream, listener));
        assert_eq!(processes.origin(here, "127.0.0.1:1".parse().unwrap()), 0);
    }
}
