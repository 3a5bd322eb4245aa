//! Asking one node, and no other one: what it says of itself, and the calls of management.
//!
//! Invariant: every call ends within its time, also at a node that stands still.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{
    NodeStatusRequest, NodeStatusResponse, RemoveMemberRequest, TransferLeaderRequest,
};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

/// How long a node may take to say how it is.
const STATUS: Duration = Duration::from_millis(500);
/// How long a change of the membership or of the leader may take.
const CHANGE: Duration = Duration::from_secs(5);

/// A connection to one node, made when it is needed.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    channel: Channel,
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
        }
    }

    /// The connection itself.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What it says of itself; none when it says nothing in time.
    pub(crate) async fn status(&self) -> Option<NodeStatusResponse> {
        let mut client = NodeClient::new(self.channel());
        let answer = timeout(STATUS, client.status(NodeStatusRequest {})).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Has it hand leadership over.
    pub(crate) async fn transfer(&self, to: u64) -> Result<()> {
        let mut client = ClusterClient::new(self.channel());
        let request = TransferLeaderRequest { node_id: to };
        timeout(CHANGE, client.transfer_leader(request)).await??;
        Ok(())
    }

    /// Has it take a member out.
    pub(crate) async fn remove(&self, node: u64) -> Result<()> {
        let mut client = ClusterClient::new(self.channel());
        let request = RemoveMemberRequest { node_id: node };
        timeout(CHANGE, client.remove_member(request)).await??;
        Ok(())
    }
}
