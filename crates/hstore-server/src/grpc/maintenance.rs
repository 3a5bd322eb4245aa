//! etcd's Maintenance service.

use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::error::ErrorCode;
use hstore_core::id::{NodeId, Revision};
use hstore_node::{Node, NodeError, Role};
use hstore_proto::etcdserverpb::alarm_request::AlarmAction;
use hstore_proto::etcdserverpb::downgrade_request::DowngradeAction;
use hstore_proto::etcdserverpb::maintenance_server::Maintenance;
use hstore_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeInfo, DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest,
    HashResponse, MoveLeaderRequest, MoveLeaderResponse, ResponseHeader, SnapshotRequest,
    StatusRequest, StatusResponse,
};
use hstore_proto::status;
use hstore_storage::store::KeyHash;
use tonic::{Code, Request, Response, Status};

use super::auth::check_root_now;
use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::{render, snapshot};

/// The version of etcd whose API this is; its clients compare it with what they need.
pub(crate) const ETCD_VERSION: &str = "3.6.0";

/// etcd's Maintenance service over a node.
#[derive(Clone, Debug)]
pub(super) struct MaintenanceDoor {
    pub(super) node: Node,
}

impl MaintenanceDoor {
    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }

    fn header(&self) -> ResponseHeader {
        let revision = self.node.status().store.revision;
        render::header(self.node.header(revision))
    }

    async fn hash_at(
        &self,
        call: Call,
        revision: Revision,
    ) -> Result<(Option<ResponseHeader>, KeyHash), Status> {
        let (header, result) = self
            .node
            .hash(revision, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        let hash = result.map_err(|refusal| status::refused_command(&refusal))?;
        Ok((Some(render::header(header)), hash))
    }

    /// The alarms of a kind that are raised; of every kind when none is named.
    async fn raised(&self, call: Call, kind: Option<AlarmKind>) -> Result<Vec<Alarm>, NodeError> {
        self.node.caught_up(call.deadline).await?;
        let mut alarms = self.node.notices().alarms.clone();
        alarms.retain(|alarm| kind.is_none_or(|kind| alarm.kind == kind));
        Ok(alarms)
    }
}

#[tonic::async_trait]
impl Maintenance for MaintenanceDoor {
    type SnapshotStream = snapshot::Answers;

    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let call = self.call(&request)?;
        let AlarmRequest {
            action,
            member_id,
            alarm,
        } = request.into_inner();
        let unknown = |what: &str| status::failure(ErrorCode::InvalidArgument, what);
        let kind = match AlarmType::try_from(alarm) {
            Ok(AlarmType::None) => None,
            Ok(AlarmType::Nospace) => Some(AlarmKind::NoSpace),
            Ok(AlarmType::Corrupt) => Some(AlarmKind::Corrupt),
            Err(_unknown) => return Err(unknown("there is no such alarm")),
        };
        let action = AlarmAction::try_from(action)
            .map_err(|_unknown| unknown("an alarm is listed, raised or cleared"))?;
        let node = NodeId(member_id);
        let alarms = match (action, kind) {
            (AlarmAction::Get, kind) => self.raised(call, kind).await,
            // No alarm is neither raised nor cleared, which is no error.
            (AlarmAction::Activate | AlarmAction::Deactivate, None) => Ok(Vec::new()),
            (AlarmAction::Activate, Some(kind)) => {
                let change = AlarmChange::Raise(Alarm {
                    kind,
                    node,
                    automatic: false,
                });
                self.node
                    .change_alarm(&call.author, change, call.deadline)
                    .await
            }
            (AlarmAction::Deactivate, Some(kind)) => {
                let change = AlarmChange::Clear { kind, node };
                self.node
                    .change_alarm(&call.author, change, call.deadline)
                    .await
            }
        };
        let alarms = alarms.map_err(|error| node_error(&error))?;
        Ok(Response::new(AlarmResponse {
            header: Some(self.header()),
            alarms: alarms.into_iter().map(alarm_member).collect(),
        }))
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let status = self.node.status();
        let store = status.store;
        Ok(Response::new(StatusResponse {
            header: Some(render::header(self.node.header(store.revision))),
            version: ETCD_VERSION.to_owned(),
            // What the quota counts, as in etcd.
            db_size: bytes(store.room_bytes),
            leader: render::number(status.standing.leader),
            raft_index: render::index(status.committed),
            raft_term: status.standing.term.0,
            raft_applied_index: render::index(status.applied),
            errors: render::errors(&status),
            db_size_in_use: bytes(store.live_bytes),
            is_learner: status.standing.role == Role::Learner,
            storage_version: ETCD_VERSION.to_owned(),
            db_size_quota: bytes(status.quota_bytes.unwrap_or(0)),
            downgrade_info: Some(DowngradeInfo::default()),
        }))
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        self.call(&request)?;
        self.node.tidy();
        Ok(Response::new(DefragmentResponse { header: None }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let call = self.call(&request)?;
        let (header, hash) = self.hash_at(call, Revision(0)).await?;
        Ok(Response::new(HashResponse {
            header,
            hash: hash.hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let call = self.call(&request)?;
        let revision = Revision(request.into_inner().revision);
        let (header, hash) = self.hash_at(call, revision).await?;
        Ok(Response::new(HashKvResponse {
            header,
            hash: hash.hash,
            compact_revision: compact_revision(hash.compacted),
            hash_revision: hash.revision.0,
        }))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let call = self.call(&request)?;
        let to = NodeId(request.into_inner().target_id);
        let standing = self.node.status().standing;
        if standing.role != Role::Leader {
            return Err(status::failure(
                ErrorCode::NotLeader,
                "this node does not lead",
            ));
        }
        if !standing.membership.is_voter(to) {
            return Err(node_error(&NodeError::CannotLead(to)));
        }
        check_root_now(&self.node, &call.author, call.deadline).await?;
        self.node
            .transfer_leader(Some(to), call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn snapshot(
        &self,
        request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        snapshot::begin(&self.node, request).await
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        self.call(&request)?;
        let DowngradeRequest { action, version } = request.into_inner();
        let what = "there is no older version to go back to";
        let refuse = |code, grpc, text| Err(status::failure_as(code, grpc, text, what));
        match DowngradeAction::try_from(action) {
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) if !is_version(&version) => {
                refuse(
                    ErrorCode::InvalidArgument,
                    Code::InvalidArgument,
                    "etcdserver: wrong downgrade target version format",
                )
            }
            Ok(DowngradeAction::Validate | DowngradeAction::Enable) => refuse(
                ErrorCode::Unsupported,
                Code::InvalidArgument,
                "etcdserver: invalid downgrade target version",
            ),
            Ok(DowngradeAction::Cancel) => refuse(
                ErrorCode::Unsupported,
                Code::FailedPrecondition,
                "etcdserver: no inflight downgrade job",
            ),
            Err(_unknown) => refuse(
                ErrorCode::InvalidArgument,
                Code::Unknown,
                "etcdserver: unknown method",
            ),
        }
    }
}

fn alarm_member(alarm: Alarm) -> AlarmMember {
    let kind = match alarm.kind {
        AlarmKind::NoSpace => AlarmType::Nospace,
        AlarmKind::Corrupt => AlarmType::Corrupt,
    };
    AlarmMember {
        member_id: alarm.node.0,
        alarm: kind.into(),
    }
}

/// The compaction point as etcd says it: what was never compacted has one below zero.
fn compact_revision(compacted: Revision) -> i64 {
    if compacted > Revision(0) {
        compacted.0
    } else {
        -1
    }
}

fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Whether a text is a version as etcd reads one: two or three numbers.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| part.parse::<u32>().is_ok();
    (2..=3).contains(&parts.len()) && parts.iter().all(is_number)
}
