//! etcd's Lock service, and what it shares with the Election service: a call that waits.

use std::sync::Arc;

use bytes::Bytes;
use hstore_core::check;
use hstore_core::command::{Command, Delete};
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_node::{Claim, ClaimError, ClaimKind, ClaimLease, Holding, Node};
use hstore_proto::convert::request::RequestError;
use hstore_proto::status;
use hstore_proto::v3lockpb::lock_server::Lock;
use hstore_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use tonic::{Request, Response, Status};

use super::budget::Share;
use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::lease::draw_id;
use super::propose::propose;
use super::render;

/// etcd's Lock service over a node.
#[derive(Clone, Debug)]
pub(super) struct LockDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
}

#[tonic::async_trait]
impl Lock for LockDoor {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let share = share_of(&request);
        let LockRequest { name, lease } = request.into_inner();
        let claim = Claim {
            author: call.author.clone(),
            name,
            lease: lease_of(lease),
            kind: ClaimKind::Lock,
        };
        let holding = stand(&self.node, &self.limits, call, claim, share).await?;
        Ok(Response::new(LockResponse {
            header: Some(render::header(holding.header)),
            key: holding.key,
        }))
    }

    async fn unlock(
        &self,
        request: Request<UnlockRequest>,
    ) -> Result<Response<UnlockResponse>, Status> {
        let call = Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)?;
        let delete = Delete {
            keys: KeyRange::One(request.into_inner().key),
            prev_kv: false,
        };
        check::delete(&delete, &self.limits)
            .map_err(|violation| status::refused_request(&RequestError::Check(violation)))?;
        let (header, result) = propose(&self.node, call, Command::Delete(delete)).await?;
        // A key that is not there is given back already.
        result.map_err(|refusal| status::refused_command(&refusal))?;
        Ok(Response::new(UnlockResponse {
            header: Some(render::header(header)),
        }))
    }
}

/// Stands in line until the claim is granted. What the request took of the memory for requests is
/// given back as soon as it stands there: it may wait for long.
pub(super) async fn stand(
    node: &Node,
    limits: &Limits,
    call: Call,
    claim: Claim,
    share: Option<Arc<Share>>,
) -> Result<Holding, Status> {
    claim
        .check(limits)
        .map_err(|violation| status::refused_request(&RequestError::Check(violation)))?;
    // What decides about the words of an error; the value goes with the claim.
    let kind = match claim.kind {
        ClaimKind::Campaign(_) => ClaimKind::Campaign(Bytes::new()),
        ClaimKind::Lock => ClaimKind::Lock,
    };
    let claiming = node.claim(claim, call.own_deadline, call.needs_leader);
    let mut claiming = claiming.map_err(|error| node_error(&error))?;
    claiming.joined().await;
    if let Some(share) = share {
        share.give_back();
    }
    let answer = claiming.answer().await;
    answer.map_err(|error| claim_error(&error, &kind))
}

/// An error of a claim on its way to the client.
pub(super) fn claim_error(error: &ClaimError, kind: &ClaimKind) -> Status {
    match error {
        ClaimError::NotInTime => status::not_won_in_time(),
        ClaimError::Lost | ClaimError::Node(_) | ClaimError::Refused(_) => {
            status::failure(error.code(kind), error)
        }
    }
}

/// The lease that a request names; a new one when it names none.
pub(super) fn lease_of(lease: i64) -> ClaimLease {
    match lease {
        0 => ClaimLease::Fresh(draw_id()),
        named => ClaimLease::Named(named),
    }
}

/// What the request took of the memory for requests.
pub(super) fn share_of<T>(request: &Request<T>) -> Option<Arc<Share>> {
    request.extensions().get::<Arc<Share>>().cloned()
}
