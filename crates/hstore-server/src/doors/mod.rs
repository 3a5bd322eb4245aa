//! The doors of a node: the service of each port over the connections of whatever listens there.
//!
//! The server opens them over the system's TCP; a program that brings a network of its own, such as
//! a simulated one, opens the very same doors over that.
//!
//! Invariants: (1) a connection that is accepted holds a permit until it ends; (2) a door that was
//! told to close accepts nothing more, and is done when its last connection is.

mod connections;
mod incoming;

use std::future::Future;
use std::sync::Arc;

use hstore_node::Node;
use tokio_util::sync::CancellationToken;

use self::connections::serve;
pub use self::incoming::Listen;
use self::incoming::incoming;
pub use crate::grpc::{Doors, Lifecycle};
use crate::peer;
pub use crate::peer::PeerTransport;
use crate::web::ClientPort;

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
    serve(connections, ClientPort::new(doors), closed)
}
