//! Asking one node, and no other one: what it says of itself, and the calls of management.
//!
//! Invariants: (1) every call ends within its time, also at a node that stands still; (2) who asks is
//! proved once, and shown with every call from then on.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{
    NodeStatusRequest, NodeStatusResponse, RemoveMemberRequest, TransferLeaderRequest,
};
use hstore_proto::metadata;
use tokio::time::timeout;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

/// How long a node may take to say how it is.
const STATUS: Duration = Duration::from_millis(500);
/// How long a change of the membership or of the leader may take.
const CHANGE: Duration = Duration::from_secs(5);

/// A connection to one node, made when it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    channel: Channel,
    token: Arc<OnceLock<MetadataValue<Ascii>>>,
}

impl Asker {
    /// Asks the node that listens there.
    pub(crate) fn of(listens: SocketAddr) -> Asker {
        let endpoint = Endpoint::from_shared(format!("http://{listens}"))
            .expect("an address makes a URI")
            .connect_timeout(STATUS)
            .tcp_nodelay(true);
        Asker {
            channel: endpoint.connect_lazy(),
            token: Arc::default(),
        }
    }

    /// The connection itself.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// From now on this token says who asks, in all clones. Only the first one counts.
    pub(crate) fn show(&self, token: &MetadataValue<Ascii>) {
        self.token.get_or_init(|| token.clone());
    }

    /// A request with what says who asks.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = self.token.get() {
            let headers = request.metadata_mut();
            headers.insert(metadata::TOKEN, token.clone());
        }
        request
    }

    /// What it says of itself; none when it says nothing in time.
    pub(crate) async fn status(&self) -> Option<NodeStatusResponse> {
        let mut client = NodeClient::new(self.channel());
        let answer = timeout(STATUS, client.status(self.request(NodeStatusRequest {}))).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Has it hand leadership over.
    pub(crate) async fn transfer(&self, to: u64) -> Result<()> {
        let mut client = ClusterClient::new(self.channel());
        let request = self.request(TransferLeaderRequest { node_id: to });
        timeout(CHANGE, client.transfer_leader(request)).await??;
        Ok(())
    }

    /// Has it take a member out.
    pub(crate) async fn remove(&self, node: u64) -> Result<()> {
        let mut client = ClusterClient::new(self.channel());
        let request = self.request(RemoveMemberRequest { node_id: node });
        timeout(CHANGE, client.remove_member(request)).await??;
        Ok(())
    }
}
