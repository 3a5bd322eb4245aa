//! etcd's Lease service.

use std::pin::Pin;

use futures::{Stream, StreamExt as _, stream};
use hstore_core::check;
use hstore_core::command::{Command, GrantLease, RequestId};
use hstore_core::error::ErrorCode;
use hstore_core::outcome::{LeaseReply, Refusal, Reply};
use hstore_node::Node;
use hstore_proto::convert::request::RequestError;
use hstore_proto::etcdserverpb::lease_server::Lease;
use hstore_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use hstore_proto::status;
use rand::RngExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::auth::{Unknown, identify};
use super::call::{Call, TIMEOUT_DEFAULT, leader_lost, node_error};
use super::propose::propose;
use super::render;

/// How many renewals of one stream are under way at a time; one more waits in the stream.
const RENEWALS_MAX: usize = 64;

/// What the time to live says of a lease that is not there, as in etcd.
const NO_LEASE: i64 = -1;

/// etcd's Lease service over a node.
#[derive(Clone, Debug)]
pub(super) struct LeaseDoor {
    pub(super) node: Node,
}

impl LeaseDoor {
    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }
}

#[tonic::async_trait]
impl Lease for LeaseDoor {
    type LeaseKeepAliveStream =
        Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let call = self.call(&request)?;
        let LeaseGrantRequest { ttl, id } = request.into_inner();
        let grant = GrantLease {
            lease: if id == 0 { id_for(call.request) } else { id },
            ttl,
        };
        check::grant_lease(grant)
            .map_err(|violation| status::refused_request(&RequestError::Check(violation)))?;
        match propose(&self.node, call, Command::GrantLease(grant)).await? {
            (header, Ok(Reply::Lease(LeaseReply::Granted { ttl }))) => {
                Ok(Response::new(LeaseGrantResponse {
                    header: Some(render::header(header)),
                    id: grant.lease,
                    ttl,
                    error: String::new(),
                }))
            }
            (_header, result) => Err(refused(result)),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let call = self.call(&request)?;
        let lease = request.into_inner().id;
        match propose(&self.node, call, Command::RevokeLease { lease }).await? {
            (header, Ok(Reply::Lease(LeaseReply::Revoked))) => {
                Ok(Response::new(LeaseRevokeResponse {
                    header: Some(render::header(header)),
                }))
            }
            (_header, result) => Err(refused(result)),
        }
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        // The metadata counts for the stream; each renewal has the time that a call has.
        let call = self.call(&request)?;
        let metadata = request.metadata().clone();
        let node = self.node.clone();
        let asked = request.into_inner();
        // Renewals are answered in the order in which they were asked for.
        let answers = asked
            .map(move |message| {
                let node = node.clone();
                // A stream may outlive the right to it.
                let known = identify(metadata.as_ref(), node.cluster_id(), &node.auth());
                let call = known
                    .map_err(Unknown::status)
                    .and_then(|_author| Call::read(&metadata, &node, TIMEOUT_DEFAULT));
                async move { keep_alive(&node, call?, message?.id).await }
            })
            .buffered(RENEWALS_MAX);
        let ending = self.node.clone();
        let lost = leader_lost(&self.node, &call);
        let end = stream::once(async move {
            tokio::select! {
                biased;
                _reason = ending.failed() => {
                    Err(status::failure(ErrorCode::ShuttingDown, "the node stops"))
                }
                lost = lost => Err(lost),
            }
        });
        Ok(Response::new(Box::pin(until_error(answers, end))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let call = self.call(&request)?;
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let (header, found) = self
            .node
            .lease(&call.author, id, keys, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        let answer = LeaseTimeToLiveResponse {
            header: Some(render::header(header)),
            id,
            ttl: NO_LEASE,
            ..LeaseTimeToLiveResponse::default()
        };
        Ok(Response::new(match found {
            None => answer,
            Some(lease) => LeaseTimeToLiveResponse {
                ttl: lease.remaining.as_secs() as i64,
                granted_ttl: lease.ttl,
                keys: lease.keys,
                ..answer
            },
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let call = self.call(&request)?;
        let (header, leases) = self
            .node
            .leases(&call.author, call.deadline)
            .await
            .map_err(|error| node_error(&error))?;
        let leases = leases.into_iter().map(|id| LeaseStatus { id });
        Ok(Response::new(LeaseLeasesResponse {
            header: Some(render::header(header)),
            leases: leases.collect(),
        }))
    }
}

/// Gives a lease its full time; one that is not there has no time, which is no error.
async fn keep_alive(node: &Node, call: Call, lease: i64) -> Result<LeaseKeepAliveResponse, Status> {
    let (header, result) = propose(node, call, Command::RenewLease { lease }).await?;
    let ttl = match result {
        Ok(Reply::Lease(LeaseReply::Renewed { ttl })) => ttl,
        Err(Refusal::LeaseNotFound) => 0,
        result => return Err(refused(result)),
    };
    Ok(LeaseKeepAliveResponse {
        header: Some(render::header(header)),
        id: lease,
        ttl,
    })
}

/// The items of a stream up to its end or its first error, or up to what `end` says.
pub(super) fn until_error<T: Send + 'static>(
    items: impl Stream<Item = Result<T, Status>> + Send + 'static,
    end: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
    let items = items.map(Some).chain(stream::once(async { None }));
    let both = stream::select(items, end.map(Some));
    both.take_while(|item| std::future::ready(item.is_some()))
        .filter_map(std::future::ready)
        .scan(false, |over, item| {
            let next = if *over { None } else { Some(item) };
            *over = next.as_ref().is_some_and(Result::is_err);
            std::future::ready(next)
        })
}

/// A refusal of the machine, or an answer that no such command has.
fn refused(result: Result<Reply, Refusal>) -> Status {
    match result {
        Err(refusal) => status::refused_command(&refusal),
        Ok(_other) => status::failure(ErrorCode::Internal, "an answer of another kind"),
    }
}

/// An id for a lease whose caller names none. A request with a name gets the same one from every node:
/// when its first attempt was done and its answer lost, another node is told what came of that and
/// not which lease it was.
fn id_for(request: Option<RequestId>) -> i64 {
    let Some(RequestId {
        client, sequence, ..
    }) = request
    else {
        return draw_id();
    };
    // Every bit of the name counts (the mixer of splitmix64); the client's number was drawn at random.
    let mut mixed = client ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 1).max(1).cast_signed()
}

/// An id that no lease has, but for a chance of one in 2^63 for each; positive, as etcd's are.
pub(super) fn draw_id() -> i64 {
    rand::rng().random_range(1..=i64::MAX)
}
