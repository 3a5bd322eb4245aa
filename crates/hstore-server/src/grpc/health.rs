//! gRPC's health service: whether the node answers. Whether the cluster does is another question,
//! which `/readyz` answers: a client that leaves a node without a majority finds none elsewhere.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use hstore_proto::grpc::health::v1::health_check_response::ServingStatus;
use hstore_proto::grpc::health::v1::health_server::Health;
use hstore_proto::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use hstore_proto::status;
use tonic::{Code, Request, Response, Status};

use super::described::DESCRIBED;

/// gRPC's health service over a node.
#[derive(Clone, Debug)]
pub(super) struct HealthDoor {
    pub(super) node: Node,
}

impl HealthDoor {
    fn now(&self) -> ServingStatus {
        if self.node.end_reason()().is_none() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }
}

#[tonic::async_trait]
impl Health for HealthDoor {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            let what = format!("there is no service {service}");
            let words = "unknown service";
            let code = ErrorCode::NoSuchPath;
            return Err(status::failure_as(code, Code::NotFound, words, what));
        }
        Ok(Response::new(told(self.now())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.into_inner().service) {
            // Such a service may come with a later version, so who watches may go on.
            let unknown = stream::iter([Ok(told(ServingStatus::ServiceUnknown))]);
            return Ok(Response::new(unknown.chain(stream::pending()).boxed()));
        }
        let node = self.node.clone();
        let end = async move {
            let _reason = node.failed().await;
            Ok(told(ServingStatus::NotServing))
        };
        let now = stream::iter([Ok(told(self.now()))]);
        Ok(Response::new(now.chain(stream::once(end)).boxed()))
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || DESCRIBED.get_service_by_name(service).is_some()
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}
