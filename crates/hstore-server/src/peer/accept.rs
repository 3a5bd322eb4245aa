//! Connections that peers open.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use hstore_core::error::ErrorCode;
use hstore_node::{AcceptError, Duplex, Hello, Node};
use hstore_proto::hstore::v1::Frame;
use hstore_proto::hstore::v1::peer_server::{Peer, PeerServer};
use hstore_proto::{metadata, status};
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::carry::connection;
use super::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, WINDOW_BYTES};

/// Who takes the connections of peers: the node.
pub(crate) trait Accept: Send + Sync {
    /// Takes a connection, or says why not.
    fn accept(&self, hello: &Hello, duplex: Duplex) -> Result<(), AcceptError>;
}

impl Accept for Node {
    fn accept(&self, hello: &Hello, duplex: Duplex) -> Result<(), AcceptError> {
        Node::accept(self, hello, duplex)
    }
}

/// The settings of the peer port's connections.
pub(crate) fn builder() -> Server {
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
}

/// The service of the peer port.
pub(crate) fn door(node: Arc<dyn Accept>) -> PeerServer<PeerDoor> {
    PeerServer::new(PeerDoor { node })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// The service of the peer port over a node.
#[derive(Clone)]
pub(crate) struct PeerDoor {
    node: Arc<dyn Accept>,
}

#[tonic::async_trait]
impl Peer for PeerDoor {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn open(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let hello = read_hello(request.metadata())?;
        let (duplex, halves) = connection(hello.from);
        self.node
            .accept(&hello, duplex)
            .map_err(|error| status::failure(error.code(), error))?;
        let (outgoing, incoming) = halves.split();
        tokio::spawn(incoming.carry(request.into_inner()));
        Ok(Response::new(outgoing.map(Ok).boxed()))
    }
}

fn read_hello(headers: &MetadataMap) -> Result<Hello, Status> {
    let hello = headers
        .get_bin(metadata::HELLO)
        .and_then(|value| value.to_bytes().ok())
        .ok_or_else(|| status::failure(ErrorCode::InvalidArgument, "the peer did not say hello"))?;
    Hello::decode(&hello).map_err(|error| status::failure(error.code(), error))
}
