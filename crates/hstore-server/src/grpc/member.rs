//! hstore's Node service: everything about this node, and its end.

use std::sync::Arc;

use hstore_node::Node;
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::{
    KillRequest, KillResponse, NodeStatusRequest, NodeStatusResponse, RestartRequest,
    RestartResponse, StopRequest, StopResponse,
};
use tonic::{Request, Response, Status};

use super::{Lifecycle, render};

/// The size of a page of memory on the machines that we run on.
const PAGE_BYTES: u64 = 4096;

/// hstore's Node service over a node and its process.
#[derive(Clone)]
pub(super) struct NodeDoor {
    pub(super) node: Node,
    pub(super) lifecycle: Arc<dyn Lifecycle>,
    pub(super) data_folder: String,
}

#[tonic::async_trait]
impl v1::node_server::Node for NodeDoor {
    async fn status(
        &self,
        _request: Request<NodeStatusRequest>,
    ) -> Result<Response<NodeStatusResponse>, Status> {
        let status = self.node.status();
        Ok(Response::new(render::node_status(
            status,
            self.data_folder.clone(),
            resident_bytes(),
        )))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        self.lifecycle.stop(request.into_inner().graceful);
        Ok(Response::new(StopResponse {}))
    }

    async fn kill(&self, _request: Request<KillRequest>) -> Result<Response<KillResponse>, Status> {
        self.lifecycle.kill();
        Ok(Response::new(KillResponse {}))
    }

    async fn restart(
        &self,
        _request: Request<RestartRequest>,
    ) -> Result<Response<RestartResponse>, Status> {
        self.lifecycle.restart();
        Ok(Response::new(RestartResponse {}))
    }
}

/// The process's resident memory; 0 where the system does not tell. The file is made by the
/// kernel on the spot, so reading it never waits for a disk.
fn resident_bytes() -> u64 {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = told
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
