//! etcd's Cluster and Maintenance services, as far as hstore serves them.

use hstore_node::{Node, Role};
use hstore_proto::etcdserverpb::cluster_server::Cluster;
use hstore_proto::etcdserverpb::maintenance_server::Maintenance;
use hstore_proto::etcdserverpb::{
    Member, MemberListRequest, MemberListResponse, ResponseHeader, SnapshotRequest, StatusRequest,
    StatusResponse,
};
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::{render, snapshot};

/// The version of etcd whose API this is; its clients compare it with what they need.
pub(crate) const ETCD_VERSION: &str = "3.6.0";

/// etcd's Cluster and Maintenance services over a node.
#[derive(Clone, Debug)]
pub(super) struct MembersDoor {
    pub(super) node: Node,
}

#[tonic::async_trait]
impl Cluster for MembersDoor {
    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        if request.into_inner().linearizable {
            let caught_up = self.node.caught_up(call.deadline).await;
            caught_up.map_err(|error| node_error(&error))?;
        }
        let status = self.node.status();
        let header = render::header_without_revision(&status);
        let membership = status.standing.membership;
        let members = membership
            .members
            .iter()
            .map(|(node, member)| Member {
                id: node.0,
                name: member.name.clone(),
                peer_ur_ls: vec![url(&member.peer_address)],
                client_ur_ls: vec![url(&member.client_address)],
                is_learner: !membership.is_voter(*node),
            })
            .collect();
        Ok(Response::new(MemberListResponse {
            header: Some(header),
            members,
        }))
    }
}

#[tonic::async_trait]
impl Maintenance for MembersDoor {
    type SnapshotStream = snapshot::Answers;

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let status = self.node.status();
        let header = ResponseHeader {
            revision: status.store.revision.0,
            ..render::header_without_revision(&status)
        };
        let engine_bytes = status.store.engine_bytes as i64;
        Ok(Response::new(StatusResponse {
            header: Some(header),
            version: ETCD_VERSION.to_owned(),
            db_size: engine_bytes,
            leader: render::number(status.standing.leader),
            raft_index: render::index(status.committed),
            raft_term: status.standing.term.0,
            raft_applied_index: render::index(status.applied),
            errors: render::problems(&status.standing),
            db_size_in_use: engine_bytes,
            is_learner: status.standing.role == Role::Learner,
            storage_version: ETCD_VERSION.to_owned(),
            db_size_quota: 0,
        }))
    }

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        snapshot::begin(&self.node, request).await
    }
}

fn url(address: &str) -> String {
    format!("http://{address}")
}
