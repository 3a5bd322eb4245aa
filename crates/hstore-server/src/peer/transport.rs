//! Connections to peers, over tonic.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_client::{Connector, Dial};
use hstore_node::{Duplex, Hello, PeerAddress, Transport, TransportError};
use hstore_proto::hstore::v1::peer_client::PeerClient;
use hstore_proto::metadata;
use hstore_proto::status::{self, Origin};
use tonic::metadata::{Binary, MetadataValue};
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::carry::connection;
use super::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT, MESSAGE_BYTES_MAX, WINDOW_BYTES};
use crate::meter::PEERS;

/// How long a peer's machine has to take the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens connections to peers. Each has a TCP connection of its own, so that no class of
/// traffic waits for another, and a broken one is never reused.
#[derive(Clone, Default)]
pub struct PeerTransport {
    /// How connections are made, if not by the system.
    dial: Option<Arc<dyn Dial>>,
    /// Where they come from, if the system does not choose.
    from: Option<IpAddr>,
}

impl PeerTransport {
    /// A transport of the system whose connections come from this host, if one is named.
    pub(crate) fn speaking_from(from: Option<IpAddr>) -> PeerTransport {
        PeerTransport { dial: None, from }
    }

    /// A transport whose connections `dial` makes.
    pub fn through(dial: Arc<dyn Dial>) -> PeerTransport {
        PeerTransport {
            dial: Some(dial),
            from: None,
        }
    }
}

impl Transport for PeerTransport {
    fn connect(
        &self,
        to: PeerAddress,
        hello: Hello,
    ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
        let meter = PEERS.of(to.node);
        let connecting = connect(self.dial.clone(), self.from, to, hello);
        async move {
            connecting
                .await
                .inspect_err(|_unreachable| meter.failures.add_one())
        }
        .boxed()
    }
}

async fn connect(
    dial: Option<Arc<dyn Dial>>,
    from: Option<IpAddr>,
    to: PeerAddress,
    hello: Hello,
) -> Result<Duplex, TransportError> {
    let endpoint = endpoint(&to.address).map_err(|error| unreachable(&error))?;
    let endpoint = endpoint.local_address(from);
    let channel = match dial {
        None => endpoint.connect().await,
        Some(dial) => endpoint.connect_with_connector(Connector::new(dial)).await,
    };
    let channel = channel.map_err(|error| unreachable(&error))?;
    let (duplex, halves) = connection(to.node);
    let (outgoing, incoming) = halves.split();
    let mut request = Request::new(outgoing);
    request.metadata_mut().insert_bin(
        metadata::HELLO,
        MetadataValue::<Binary>::from_bytes(&hello.encode()),
    );
    let wire = PeerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
        .open(request)
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    tokio::spawn(incoming.carry(wire));
    Ok(duplex)
}

fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// The whole chain of causes: the outermost alone says only "transport error".
fn unreachable(error: &tonic::transport::Error) -> TransportError {
    let mut reason = error.to_string();
    let mut nobody_listens = false;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        nobody_listens |= cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        source = cause.source();
    }
    if nobody_listens {
        TransportError::NobodyListens { reason }
    } else {
        TransportError::Unreachable { reason }
    }
}

fn refused(status: &Status) -> TransportError {
    let failure = status::read(status);
    match failure.origin {
        Origin::Node => TransportError::Refused {
            code: failure.code,
            reason: failure.detail,
        },
        Origin::Way => TransportError::Unreachable {
            reason: failure.text,
        },
    }
}
