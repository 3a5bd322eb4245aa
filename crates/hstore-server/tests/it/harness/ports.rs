//! Ports for the nodes of a test: each node has its own for the whole run, so that nobody takes
//! them while it is down. Nodes that pick the first free port would take each other's.
//!
//! Invariant: no port is given twice by one process. Two processes that test at the same time begin
//! at different places, and what is taken is stepped over.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Below the ports that systems give to outgoing connections, above those that services have.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;
/// How far apart two processes begin.
const STRIDE: u32 = 512;

/// The ports for clients and for peers of the node of a data folder.
pub(crate) fn of(data: &std::path::Path) -> (u16, u16) {
    static GIVEN: Mutex<Given> = Mutex::new(Given {
        next: None,
        by_folder: BTreeMap::new(),
    });
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ports) = given.by_folder.get(data) {
        return *ports;
    }
    let ports = (given.take(), given.take());
    given.by_folder.insert(data.to_path_buf(), ports);
    ports
}

struct Given {
    next: Option<u16>,
    by_folder: BTreeMap<PathBuf, (u16, u16)>,
}

impl Given {
    fn take(&mut self) -> u16 {
        let begin = (std::process::id().wrapping_mul(STRIDE) % u32::from(COUNT)) as u16;
        let mut offset = self.next.unwrap_or(begin);
        loop {
            let port = FIRST + offset;
            offset = (offset + 1) % COUNT;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                self.next = Some(offset);
                return port;
            }
        }
    }
}
