//! etcd's Election service.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use hstore_core::auth::Author;
use hstore_core::check;
use hstore_core::command::{Delete, Put};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_node::{Claim, ClaimError, ClaimKind, Node};
use hstore_proto::convert::answer;
use hstore_proto::convert::request::RequestError;
use hstore_proto::status;
use hstore_proto::v3electionpb::election_server::Election;
use hstore_proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::lock::{claim_error, lease_of, share_of, stand};
use super::render;

/// etcd's Election service over a node.
#[derive(Clone, Debug)]
pub(super) struct ElectionDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
}

impl ElectionDoor {
    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }

    /// Checks the name of an election, as the keys of its candidates would be.
    fn check_name(&self, name: &Bytes) -> Result<(), Status> {
        let claim = Claim {
            author: Author::Nobody,
            name: name.clone(),
            lease: hstore_node::ClaimLease::Named(0),
            kind: ClaimKind::Lock,
        };
        claim.check(&self.limits).map_err(refused)
    }
}

#[tonic::async_trait]
impl Election for ElectionDoor {
    type ObserveStream = Pin<Box<dyn Stream<Item = Result<LeaderResponse, Status>> + Send>>;

    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let call = self.call(&request)?;
        let share = share_of(&request);
        let CampaignRequest { name, lease, value } = request.into_inner();
        let claim = Claim {
            author: call.author.clone(),
            name: name.clone(),
            lease: lease_of(lease),
            kind: ClaimKind::Campaign(value),
        };
        let holding = stand(&self.node, &self.limits, call, claim, share).await?;
        // As in etcd the header is that of the moment in which the candidate stood for election.
        let header = self.node.header(holding.joined);
        Ok(Response::new(CampaignResponse {
            header: Some(render::header(header)),
            leader: Some(LeaderKey {
                name,
                key: holding.key,
                rev: holding.token.0,
                lease: holding.lease,
            }),
        }))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        let call = self.call(&request)?;
        let ProclaimRequest { leader, value } = request.into_inner();
        let leader = leader.ok_or_else(status::leader_missing)?;
        let put = Put {
            key: leader.key,
            value,
            lease: leader.lease,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        };
        check::put(&put, &self.limits).map_err(refused)?;
        let token = Revision(leader.rev);
        let proclaimed = self.node.proclaim(
            &call.author,
            put.key,
            token,
            put.value,
            put.lease,
            call.deadline,
        );
        let header = proclaimed.await.map_err(|error| failed(&error))?;
        Ok(Response::new(ProclaimResponse {
            header: Some(render::header(header)),
        }))
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().name;
        self.check_name(&name)?;
        let elected = self.node.elected(&call.author, &name, call.deadline).await;
        match elected.map_err(|error| failed(&error))? {
            (header, Some(record)) => Ok(Response::new(LeaderResponse {
                header: Some(render::header(header)),
                kv: Some(answer::key_value(record)),
            })),
            (_header, None) => {
                let what = "there is no key under the name of the election";
                Err(status::failure(ErrorCode::NobodyElected, what))
            }
        }
    }

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let call = self.call(&request)?;
        let name = request.into_inner().name;
        self.check_name(&name)?;
        let observation = self.node.observe(call.author, name);
        let observation = observation.map_err(|error| node_error(&error))?;
        let told = stream::unfold(Some(observation), |observation| async {
            let mut observation = observation?;
            match observation.next().await {
                Ok((header, record)) => {
                    let told = LeaderResponse {
                        header: Some(render::header(header)),
                        kv: Some(answer::key_value(record)),
                    };
                    Some((Ok(told), Some(observation)))
                }
                Err(error) => Some((Err(failed(&error)), None)),
            }
        });
        if !call.needs_leader {
            return Ok(Response::new(told.boxed()));
        }
        let node = self.node.clone();
        let leaderless = stream::once(async move {
            node.leader_lost().await;
            let what = "no leader has been known for three election timeouts";
            Err(status::failure(ErrorCode::NoQuorum, what))
        });
        Ok(Response::new(
            super::lease::until_error(told, leaderless).boxed(),
        ))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        let call = self.call(&request)?;
        let leader = request.into_inner().leader;
        let leader = leader.ok_or_else(status::leader_missing)?;
        let delete = Delete {
            keys: KeyRange::One(leader.key.clone()),
            prev_kv: false,
        };
        check::delete(&delete, &self.limits).map_err(refused)?;
        let token = Revision(leader.rev);
        let resigned = self
            .node
            .resign(&call.author, &leader.key, token, call.deadline)
            .await;
        let header = resigned.map_err(|error| failed(&error))?;
        Ok(Response::new(ResignResponse {
            header: Some(render::header(header)),
        }))
    }
}

fn refused(violation: check::Violation) -> Status {
    status::refused_request(&RequestError::Check(violation))
}

fn failed(error: &ClaimError) -> Status {
    claim_error(error, &ClaimKind::Campaign(Bytes::new()))
}
