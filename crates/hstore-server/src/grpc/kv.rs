//! etcd's KV service.

use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::outcome::Reply;
use hstore_node::{Consistency, Node};
use hstore_proto::convert::answer::{self, WrongReply};
use hstore_proto::convert::request;
use hstore_proto::etcdserverpb::kv_server::Kv;
use hstore_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use hstore_proto::status;
use tonic::{Request, Response, Status};

use super::call::{Call, TIMEOUT_DEFAULT, node_error};
use super::propose::propose;
use super::{range_stream, render};

/// etcd's KV service over a node.
#[derive(Clone, Debug)]
pub(super) struct KvDoor {
    pub(super) node: Node,
    pub(super) limits: Limits,
}

impl KvDoor {
    fn call<T>(&self, request: &Request<T>) -> Result<Call, Status> {
        Call::read(request.metadata(), &self.node, TIMEOUT_DEFAULT)
    }

    async fn propose(
        &self,
        call: Call,
        command: Command,
    ) -> Result<(ResponseHeader, Reply), Status> {
        let (header, result) = propose(&self.node, call, command).await?;
        let reply = result.map_err(|refusal| status::refused_command(&refusal))?;
        Ok((render::header(header), reply))
    }
}

#[tonic::async_trait]
impl Kv for KvDoor {
    type RangeStreamStream = range_stream::Answers;

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let call = self.call(&request)?;
        let request = request.into_inner();
        let consistency = if request.serializable {
            Consistency::Serializable
        } else if self.node.is_learner() {
            let what = "this node is a learner, which answers serializable reads only";
            return Err(status::failure(ErrorCode::NotForLearners, what));
        } else {
            Consistency::Linearizable
        };
        let range = request::range(request, &self.limits)
            .map_err(|error| status::refused_request(&error))?;
        // One value is bounded as a request is.
        let is_one = matches!(range.keys, KeyRange::One(_));
        let allowance = (!is_one).then(|| self.node.allowance());
        let room = allowance.clone();
        let (header, result) = self
            .node
            .range_within(&call.author, range, consistency, call.deadline, room)
            .await
            .map_err(|error| node_error(&error))?;
        let result = result.map_err(|refusal| status::refused_command(&refusal))?;
        let mut answer = Response::new(answer::range(render::header(header), result));
        if let Some(allowance) = allowance {
            answer.extensions_mut().insert(allowance);
        }
        Ok(answer)
    }

    async fn range_stream(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        range_stream::begin(&self.node, &self.limits, request).await
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let call = self.call(&request)?;
        let put = request::put(request.into_inner(), &self.limits)
            .map_err(|error| status::refused_request(&error))?;
        let (header, reply) = self.propose(call, Command::Put(put)).await?;
        render_reply(answer::put(header, reply))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let call = self.call(&request)?;
        let delete = request::delete(request.into_inner(), &self.limits)
            .map_err(|error| status::refused_request(&error))?;
        let (header, reply) = self.propose(call, Command::Delete(delete)).await?;
        render_reply(answer::delete(header, reply))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let call = self.call(&request)?;
        let txn = request::txn(request.into_inner(), &self.limits)
            .map_err(|error| status::refused_request(&error))?;
        let (header, reply) = self.propose(call, Command::Txn(txn)).await?;
        render_reply(answer::txn(header, reply))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let call = self.call(&request)?;
        let request = request.into_inner();
        let physical = request.physical;
        let deadline = call.deadline;
        let compact = request::compact(request, &self.limits)
            .map_err(|error| status::refused_request(&error))?;
        let (header, reply) = self.propose(call, Command::Compact(compact)).await?;
        if physical {
            self.node
                .reclaimed(compact.revision, deadline)
                .await
                .map_err(|error| node_error(&error))?;
        }
        render_reply(answer::compact(header, &reply))
    }
}

fn render_reply<T>(answer: Result<T, WrongReply>) -> Result<Response<T>, Status> {
    answer
        .map(Response::new)
        .map_err(|error| status::failure(ErrorCode::Internal, error))
}
