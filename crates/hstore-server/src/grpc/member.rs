//! hstore's Node service: everything about this node, and its end.

use std::sync::Arc;

use hstore_core::id::NodeId;
use hstore_node::{Node, NodeError};
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::{
    ExamineRequest, ExamineResponse, KillRequest, KillResponse, LogLine, LogsRequest, LogsResponse,
    NodeStatusRequest, NodeStatusResponse, PastRequest, PastResponse, RestartRequest,
    RestartResponse, StartRequest, StartResponse, StopRequest, StopResponse,
};
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::{Lifecycle, render};
use crate::examine::Examiner;
use crate::logging::{Line, RECENT};
use crate::process::Stat;
use crate::vitals::{self, Past};

/// How many lines of the log are told to those who name no number.
const LOG_LINES_DEFAULT: usize = 500;

/// hstore's Node service over a node and its process.
#[derive(Clone)]
pub(super) struct NodeDoor {
    pub(super) node: Node,
    pub(super) lifecycle: Arc<dyn Lifecycle>,
    pub(super) data_folder: String,
    pub(super) examiner: Examiner,
    pub(super) past: Arc<Past>,
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

    async fn examine(
        &self,
        request: Request<ExamineRequest>,
    ) -> Result<Response<ExamineResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let disk = if request.into_inner().disk {
            Some(self.examiner.disk(call.deadline).await)
        } else {
            None
        };
        Ok(Response::new(ExamineResponse {
            node_id: self.node.status().node.0,
            // Read last, so that whoever asks can tell it from the way to here.
            clock_us: Examiner::clock_us(),
            connections_max: self.examiner.connections_max(),
            disk,
        }))
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

    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let node = NodeId(request.into_inner().node_id);
        let status = self.node.status();
        // What a cluster removed is started by hand or not at all.
        if !status.standing.membership.members.contains_key(&node) {
            return Err(node_error(&NodeError::MemberNotFound(node)));
        }
        let started = self.lifecycle.start(status.cluster, node).await?;
        Ok(Response::new(started))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<LogsResponse>, Status> {
        let LogsRequest { after, limit } = request.into_inner();
        let limit = match limit as usize {
            0 => LOG_LINES_DEFAULT,
            limit => limit,
        };
        let page = RECENT.after(after, limit);
        let line = |line: Line| LogLine {
            number: line.number,
            time_ms: line.time_ms,
            level: line.level.to_owned(),
            target: line.target,
            text: line.text,
        };
        Ok(Response::new(LogsResponse {
            lines: page.lines.into_iter().map(line).collect(),
            last: page.last,
            missed: page.missed,
        }))
    }

    async fn past(&self, _request: Request<PastRequest>) -> Result<Response<PastResponse>, Status> {
        Ok(Response::new(self.past.told(self.node.status().node.0)))
    }
}
