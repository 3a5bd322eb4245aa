//! hstore's Cluster service: who is in the cluster, how it grows and shrinks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use hstore_core::check;
use hstore_core::error::ErrorCode;
use hstore_core::id::{Incarnation, NodeId};
use hstore_core::membership::Member;
use hstore_core::settings::Settings;
use hstore_node::{JoinProgress, Node, NodeError, Standing};
use hstore_proto::convert::request::RequestError;
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::cluster_server::Cluster;
use hstore_proto::hstore::v1::{
    AddMemberProgress, AddMemberRequest, AllocateNodeRequest, AllocateNodeResponse,
    ClusterDescription, DescribeRequest, RemoveMemberRequest, RemoveMemberResponse,
    TransferLeaderRequest, TransferLeaderResponse, add_member_progress,
};
use hstore_proto::status;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::auth::check_root_now;
use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::render;

/// How long a node may take to catch up when the caller does not say; asking again resumes.
const JOIN_TIMEOUT_DEFAULT: Duration = Duration::from_mins(10);

/// How long the members have to say how they are; those that take longer are rows without an
/// answer.
const MEMBER_ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// How often a watcher of the cluster hears of changes that are not changes of leader or
/// membership.
const DESCRIBE_INTERVAL: Duration = Duration::from_secs(1);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// hstore's Cluster service over a node.
#[derive(Clone, Debug)]
pub(super) struct ClusterDoor {
    pub(super) node: Node,
}

#[tonic::async_trait]
impl Cluster for ClusterDoor {
    type DescribeStream = Answers<ClusterDescription>;
    type AddMemberStream = Answers<AddMemberProgress>;

    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<Self::DescribeStream>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let DescribeRequest { watch, vitals } = request.into_inner();
        if watch {
            let watcher = Watcher {
                standing: self.node.standing(),
                settings: self.node.follow_settings(),
                node: self.node.clone(),
                vitals,
                told: None,
            };
            let answers = stream::unfold(watcher, |mut watcher| async {
                let description = watcher.next().await?;
                Some((Ok(description), watcher))
            });
            return Ok(Response::new(answers.boxed()));
        }
        let deadline = call.deadline.min(Instant::now() + MEMBER_ANSWER_TIMEOUT);
        let description = describe(&self.node, vitals, deadline).await;
        Ok(Response::new(stream::iter([Ok(description)]).boxed()))
    }

    async fn allocate_node(
        &self,
        request: Request<AllocateNodeRequest>,
    ) -> Result<Response<AllocateNodeResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let request = request.into_inner();
        let incarnation = Incarnation(request.incarnation);
        self.check_names(&request, incarnation)?;
        check::address(&request.peer_address)
            .map_err(|violation| status::refused_request(&RequestError::Check(violation)))?;
        let allocation = self
            .node
            .allocate(
                &call.author,
                incarnation,
                &request.peer_address,
                call.deadline,
            )
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(AllocateNodeResponse {
            cluster_id: allocation.cluster.0,
            cluster_name: allocation.cluster_name,
            node_id: allocation.node.0,
            members: allocation
                .membership
                .members
                .into_iter()
                .map(|(node, member)| render::member(node, member))
                .collect(),
        }))
    }

    async fn add_member(
        &self,
        request: Request<AddMemberRequest>,
    ) -> Result<Response<Self::AddMemberStream>, Status> {
        let call = Call::read(request.metadata(), &self.node, JOIN_TIMEOUT_DEFAULT)?;
        let (node, member) = parse_member(request.into_inner())?;
        check_root_now(&self.node, &call.author, call.deadline).await?;
        let progress = self.node.add_member(node, member, call.deadline);
        let answers = ReceiverStream::new(progress).map(|step| match step {
            Ok(step) => Ok(render_progress(step)),
            Err(error) => Err(node_error(&error)),
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        check_root_now(&self.node, &call.author, call.deadline).await?;
        self.node
            .remove_member(NodeId(request.into_inner().node_id), call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(RemoveMemberResponse {}))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let to = match request.into_inner().node_id {
            0 => None,
            node => Some(NodeId(node)),
        };
        check_root_now(&self.node, &call.author, call.deadline).await?;
        let leader = self
            .node
            .transfer_leader(to, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        Ok(Response::new(TransferLeaderResponse { leader: leader.0 }))
    }
}

impl ClusterDoor {
    /// Tells a wrong cluster or a taken name before an id is spent; the node checks the name
    /// again when the member is added.
    fn check_names(
        &self,
        request: &AllocateNodeRequest,
        incarnation: Incarnation,
    ) -> Result<(), Status> {
        let status = self.node.status();
        if !request.cluster_name.is_empty() && request.cluster_name != status.cluster_name {
            let what = format!("this cluster is named {}", status.cluster_name);
            return Err(status::failure(ErrorCode::ClusterMismatch, what));
        }
        let holder = status
            .standing
            .membership
            .members
            .into_iter()
            .find(|(_, member)| {
                let names = [member.name.as_str(), member.own_name()];
                names.contains(&request.name.as_str()) && member.incarnation != incarnation
            });
        match holder {
            None => Ok(()),
            Some((holder, _)) => Err(node_error(&NodeError::NameTaken {
                name: request.name.clone(),
                holder,
            })),
        }
    }
}

/// One watcher of the cluster.
struct Watcher {
    node: Node,
    standing: watch::Receiver<Standing>,
    vitals: bool,
    settings: watch::Receiver<Arc<Settings>>,
    /// What it was told last, without the uptimes, which always change.
    told: Option<ClusterDescription>,
}

impl Watcher {
    /// The next description that differs from the last one; none when the node has stopped.
    async fn next(&mut self) -> Option<ClusterDescription> {
        loop {
            if self.told.is_some() {
                tokio::select! {
                    biased; // The end comes first: nothing is told of a node that stopped.
                    _reason = self.node.failed() => return None,
                    changed = self.standing.changed() => changed.ok()?,
                    changed = self.settings.changed() => changed.ok()?,
                    () = tokio::time::sleep(DESCRIBE_INTERVAL) => {}
                }
            }
            let deadline = Instant::now() + MEMBER_ANSWER_TIMEOUT;
            let description = describe(&self.node, self.vitals, deadline).await;
            let mut timeless = description.clone();
            for row in &mut timeless.members {
                row.uptime_ms = 0;
            }
            if self.told.as_ref() != Some(&timeless) {
                self.told = Some(timeless);
                return Some(description);
            }
        }
    }
}

async fn describe(node: &Node, vitals: bool, deadline: Instant) -> ClusterDescription {
    let members = node.cluster(deadline).await;
    render::description(node.status(), members, vitals)
}

fn parse_member(request: AddMemberRequest) -> Result<(NodeId, Member), Status> {
    let v1::Member {
        node_id,
        name,
        peer_address,
        client_address,
        incarnation,
        // What it is called beside that is for the cluster to say.
        started_as: _,
    } = request.member.ok_or_else(|| missing("the member"))?;
    let table = [
        (node_id == 0, "the node id"),
        (incarnation == 0, "the incarnation"),
        (name.is_empty(), "the name"),
        (peer_address.is_empty(), "the peer address"),
        (client_address.is_empty(), "the client address"),
    ];
    if let Some((_, what)) = table.into_iter().find(|(is_missing, _)| *is_missing) {
        return Err(missing(what));
    }
    let member = Member {
        name,
        started_as: None,
        peer_address,
        client_address,
        incarnation: Incarnation(incarnation),
    };
    Ok((NodeId(node_id), member))
}

fn missing(what: &str) -> Status {
    status::failure(ErrorCode::InvalidArgument, format!("{what} is missing"))
}

fn render_progress(step: JoinProgress) -> AddMemberProgress {
    use add_member_progress::{CatchingUp, Learner, Step, Voter, Waits};
    let step = match step {
        JoinProgress::Learner => Step::Learner(Learner {}),
        JoinProgress::CatchingUp { behind } => Step::CatchingUp(CatchingUp { behind }),
        JoinProgress::Voter => Step::Voter(Voter {}),
        JoinProgress::Waits => Step::Waits(Waits {}),
    };
    AddMemberProgress { step: Some(step) }
}
