//! The doors of a node: the service of each port over the connections of whatever listens there.
//!
//! The server opens them over the system's TCP; a program that brings a network of its own, such as
//! a simulated one, opens the very same doors over that.
//!
//! Invariants: (1) a connection that is accepted holds a permit until it ends; (2) a door that was
//! told to close accepts nothing more, and is done when its last connection is.

mod arriving;
mod connections;
mod http2;
mod incoming;
mod owed;
mod seats;
mod url_as_host;

use std::future::Future;
use std::sync::Arc;

use hstore_node::{Node, Standing};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::arriving::{Arriving, BrokenOff};
use self::connections::serve;
pub use self::incoming::Listen;
use self::incoming::incoming;
pub(crate) use self::seats::AtWork;
pub use crate::examine::Examiner;
pub use crate::grpc::{Doors, Lifecycle, StartSettings};
use crate::meter::LEADER_CHANGES;
use crate::peer;
pub use crate::peer::PeerTransport;
use crate::vitals::{self, Past};
use crate::web::ClientPort;

/// How large the head of a request may be. Of HTTP/1, so much is read ahead, too.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Connections of peers: four classes of each of more members than a cluster has.
const PEER_CONNECTIONS_MAX: usize = 1024;

/// Serves the peer port of a node, until `closed` and until its last connection has ended.
pub fn serve_peers(
    listener: impl Listen,
    node: Node,
    closed: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let connections = incoming(listener, PEER_CONNECTIONS_MAX, closed.clone());
    let service = peer::door(Arc::new(node));
    let serving = peer::builder()
        .add_service(service)
        .serve_with_incoming_shutdown(connections, closed.cancelled_owned());
    async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the peer port ended");
        }
    }
}

/// Serves the client port of a node to at most `connections_max` connections at a time, until
/// `closed` and until its last connection has ended.
pub fn serve_clients(
    listener: impl Listen,
    doors: Doors,
    connections_max: usize,
    closed: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    let connections = incoming(listener, connections_max, closed.clone());
    let standing = doors.node.standing();
    let past = Arc::new(Past::default());
    let vitals = vitals::keep(
        doors.node.clone(),
        doors.data_folder.clone(),
        Arc::clone(&past),
    );
    let port = ClientPort::new(doors, past);
    let observing = port.observe();
    let serving = serve(connections, port, closed);
    async move {
        tokio::select! {
            // To count never ends a door.
            biased;
            () = serving => {}
            () = count_leaders(standing) => {}
            () = observing => {}
            () = vitals => {}
        }
    }
}

/// Counts how often another leader is seen; does not end.
async fn count_leaders(mut standing: watch::Receiver<Standing>) {
    let mut last = None;
    loop {
        let leader = standing.borrow_and_update().leader;
        if leader.is_some() && leader != last {
            last = leader;
            LEADER_CHANGES.add_one();
        }
        if standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
