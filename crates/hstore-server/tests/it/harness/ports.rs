//! Ports for the nodes of a test: each node has its own for the whole run, so that nobody takes
//! them while it is down. Nodes that pick the first free port would take each other's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use hstore_links::take_port;

/// The ports for clients and for peers of the node of a data folder.
pub(crate) fn of(data: &Path) -> (u16, u16) {
    static GIVEN: Mutex<BTreeMap<PathBuf, (u16, u16)>> = Mutex::new(BTreeMap::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ports) = given.get(data) {
        return *ports;
    }
    let take = || take_port(&[Ipv4Addr::LOCALHOST]).expect("a port is free");
    let ports = (take(), take());
    given.insert(data.to_path_buf(), ports);
    ports
}
