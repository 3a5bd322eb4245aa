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
use crate::process::Stat;
use crate::vitals;

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
        let resident_bytes = Stat::read().map_or(0, |stat| stat.resident_bytes());
        let data_folder = self.data_folder.clone();
        let mut told = render::node_status(status, data_folder, resident_bytes);
        told.vitals = vitals::read(&self.node.note());
        Ok(Response::new(told))
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
