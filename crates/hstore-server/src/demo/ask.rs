//! Asking one node, and no other one: what it says of itself, one write, one read.
//!
//! Invariant: every call ends within its time, also at a node that stands still.

use std::net::SocketAddr;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::{PutRequest, RangeRequest};
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{NodeStatusRequest, NodeStatusResponse};
use hstore_proto::status::read;
use tokio::time::timeout;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// How long a node of a small demo may take to say how it is.
const STATUS: Duration = Duration::from_secs(1);
/// How much later than a node ends a call the call is given up.
const GRACE: Duration = Duration::from_millis(500);

/// A connection to one node, made when it is needed.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    channel: Channel,
    status: Duration,
}

impl Asker {
    /// Asks the node that listens there, as patiently as the size of the demo wants it.
    pub(super) fn of(listens: SocketAddr, patience: u32) -> Asker {
        let endpoint = Endpoint::from_shared(format!("http://{listens}"))
            .expect("an address makes a URI")
            .connect_timeout(STATUS * patience)
            .tcp_nodelay(true);
        Asker {
            channel: endpoint.connect_lazy(),
            status: STATUS * patience,
        }
    }

    /// What it says of itself; none when it says nothing in time.
    pub(super) async fn status(&self) -> Option<NodeStatusResponse> {
        let mut client = NodeClient::new(self.channel.clone());
        let answer = timeout(self.status, client.status(NodeStatusRequest {})).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Writes a key through it: the revision, or why not.
    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        at_most: Duration,
    ) -> Result<i64, ErrorCode> {
        let mut request = Request::new(PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        });
        request.set_timeout(at_most);
        let mut client = KvClient::new(self.channel.clone());
        match timeout(at_most + GRACE, client.put(request)).await {
            Ok(Ok(answer)) => {
                let header = answer.into_inner().header;
                Ok(header.map_or(0, |header| header.revision))
            }
            Ok(Err(status)) => Err(read(&status).code),
            Err(_elapsed) => Err(ErrorCode::OutcomeUnknown),
        }
    }

    /// Reads a key from it as it knows it, which may be old: how many there are, or why not.
    pub(super) async fn get_serializable(
        &self,
        key: &str,
        at_most: Duration,
    ) -> Result<i64, ErrorCode> {
        let mut request = Request::new(RangeRequest {
            key: key.to_owned().into(),
            serializable: true,
            ..RangeRequest::default()
        });
        request.set_timeout(at_most);
        let mut client = KvClient::new(self.channel.clone());
        match timeout(at_most + GRACE, client.range(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().count),
            Ok(Err(status)) => Err(read(&status).code),
            Err(_elapsed) => Err(ErrorCode::Timeout),
        }
    }
}
