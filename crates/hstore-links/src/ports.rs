//! Ports that are given to one process at a time, whether somebody listens there or not.
//!
//! A node that is down has no listener, and must find its port free when it is started again. So
//! whoever is given a port also holds a name made of it among the abstract sockets of Linux (unix(7)),
//! which no file system has and which go with the process. Like ports they belong to a network
//! namespace. Elsewhere a port is only free when it is looked at.
//!
//! Invariant: no port is given twice, by one process or by several at once.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that systems give to outgoing connections, above those that services have.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;
/// How far apart two processes begin to look.
const STRIDE: u32 = 512;

/// A port that is free on all these hosts, and this process's as long as it lives.
pub fn take_port(hosts: &[Ipv4Addr]) -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(STRIDE);
    for _ in 0..COUNT {
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + begin.wrapping_add(place) % COUNT) as u16;
        let is_free = |host: &Ipv4Addr| TcpListener::bind((*host, port)).is_ok();
        // The name first: who has it may have no listener now.
        if hold(port)? && hosts.iter().all(is_free) {
            return Ok(port);
        }
    }
    let what = format!("no port is free on {hosts:?}");
    Err(io::Error::new(io::ErrorKind::AddrInUse, what))
}

/// Takes the name of a port until the process ends; not when another process has it.
#[cfg(target_os = "linux")]
fn hold(port: u16) -> io::Result<bool> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::sync::{Mutex, PoisonError};

    static HELD: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let name = SocketAddr::from_abstract_name(format!("hstore/port/{port}"))?;
    match UnixListener::bind_addr(&name) {
        Ok(listener) => {
            let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            held.push(listener);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn hold(_port: u16) -> io::Result<bool> {
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &[Ipv4Addr] = &[Ipv4Addr::LOCALHOST];

    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_is_not_given_again_though_nobody_listens_there() {
        let port = take_port(HOST).unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        // As another process would find it.
        assert!(!hold(port).unwrap());
    }

    #[test]
    fn what_somebody_listens_at_is_stepped_over() {
        let first = take_port(HOST).unwrap();
        let _held: Vec<_> = (first + 1..first + 4)
            .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
            .collect();
        let next = take_port(HOST).unwrap();
        assert!(!(first..first + 4).contains(&next), "{first} {next}");
    }
}
