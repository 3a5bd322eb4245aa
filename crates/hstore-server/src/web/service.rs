//! How a page calls the node: by a call of gRPC from within, through the very door that the wire
//! leads to. So what holds for a call holds for a page: rights, bounds, deadlines, codes.
//!
//! Invariant: a page calls the methods that its line in the table names, and no others.

use std::marker::PhantomData;
use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    AuthenticateRequest, AuthenticateResponse, DeleteRangeRequest, DeleteRangeResponse,
    MemberPromoteRequest, MemberPromoteResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RangeStreamResponse, SnapshotRequest, SnapshotResponse, TxnRequest, TxnResponse,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, ChangeSettingsResponse, HistoryRequest, HistoryResponse, KillRequest,
    KillResponse, LogsRequest, LogsResponse, PastRequest, PastResponse, RemoveMemberRequest,
    RemoveMemberResponse, RestartRequest, RestartResponse, StartRequest, StartResponse,
    StopRequest, StopResponse, TransferLeaderRequest, TransferLeaderResponse,
};
use hyper::HeaderMap;
use hyper::http::uri::PathAndQuery;
use prost::Message;

use super::call::{self, FRAME_HEAD_BYTES, Messages, Outgoing};
use super::problem::Problem;
use crate::grpc::Door;

/// A method of gRPC, with its messages.
#[derive(Debug)]
pub(super) struct Method<Q, A> {
    /// Its path.
    pub(super) path: &'static str,
    messages: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Method<Q, A> {
    /// The method of a path.
    pub(super) const fn at(path: &'static str) -> Method<Q, A> {
        Method {
            path,
            messages: PhantomData,
        }
    }
}

pub(super) const AUTHENTICATE: Method<AuthenticateRequest, AuthenticateResponse> =
    Method::at("/etcdserverpb.Auth/Authenticate");
pub(super) const CHANGE_SETTINGS: Method<ChangeSettingsRequest, ChangeSettingsResponse> =
    Method::at("/hstore.v1.Settings/Change");
pub(super) const DELETE: Method<DeleteRangeRequest, DeleteRangeResponse> =
    Method::at("/etcdserverpb.KV/DeleteRange");
pub(super) const HISTORY: Method<HistoryRequest, HistoryResponse> =
    Method::at("/hstore.v1.Kv/History");
pub(super) const KILL: Method<KillRequest, KillResponse> = Method::at("/hstore.v1.Node/Kill");
pub(super) const LOGS: Method<LogsRequest, LogsResponse> = Method::at("/hstore.v1.Node/Logs");
pub(super) const PAST: Method<PastRequest, PastResponse> = Method::at("/hstore.v1.Node/Past");
pub(super) const PROMOTE: Method<MemberPromoteRequest, MemberPromoteResponse> =
    Method::at("/etcdserverpb.Cluster/MemberPromote");
pub(super) const PUT: Method<PutRequest, PutResponse> = Method::at("/etcdserverpb.KV/Put");
pub(super) const RANGE: Method<RangeRequest, RangeResponse> = Method::at("/etcdserverpb.KV/Range");
pub(super) const RANGE_STREAM: Method<RangeRequest, RangeStreamResponse> =
    Method::at("/etcdserverpb.KV/RangeStream");
pub(super) const REMOVE_MEMBER: Method<RemoveMemberRequest, RemoveMemberResponse> =
    Method::at("/hstore.v1.Cluster/RemoveMember");
pub(super) const RESTART: Method<RestartRequest, RestartResponse> =
    Method::at("/hstore.v1.Node/Restart");
pub(super) const SNAPSHOT: Method<SnapshotRequest, SnapshotResponse> =
    Method::at("/etcdserverpb.Maintenance/Snapshot");
pub(super) const START: Method<StartRequest, StartResponse> = Method::at("/hstore.v1.Node/Start");
pub(super) const STOP: Method<StopRequest, StopResponse> = Method::at("/hstore.v1.Node/Stop");
pub(super) const TRANSFER_LEADER: Method<TransferLeaderRequest, TransferLeaderResponse> =
    Method::at("/hstore.v1.Cluster/TransferLeader");
pub(super) const TXN: Method<TxnRequest, TxnResponse> = Method::at("/etcdserverpb.KV/Txn");
pub(super) const WATCH: Method<WatchRequest, WatchResponse> =
    Method::at("/etcdserverpb.Watch/Watch");

/// The way from one request to the node.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) door: Door,
    /// What may be called.
    pub(super) calls: &'static [&'static str],
    /// Who asks, and what else they said beside their request.
    pub(super) headers: HeaderMap,
    /// Where the request came from.
    pub(super) from: Option<SocketAddr>,
}

impl Service {
    /// Calls a method that answers once.
    pub(super) async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &Method<Q, A>,
        question: &Q,
    ) -> Result<A, Problem> {
        let answers = self.begin(method, question, false).await?;
        let message = answers.messages.only().await?;
        A::decode(message).map_err(|error| malformed(&error))
    }

    /// Calls a method that answers for a while.
    pub(super) async fn stream<Q: Message, A: Message + Default>(
        &self,
        method: &Method<Q, A>,
        question: &Q,
    ) -> Result<Answers<A>, Problem> {
        self.begin(method, question, false).await
    }

    /// Begins a watch, which goes on until its answers are let go.
    pub(super) async fn watch(
        &self,
        create: WatchCreateRequest,
    ) -> Result<Answers<WatchResponse>, Problem> {
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        self.begin(&WATCH, &request, true).await
    }

    async fn begin<Q: Message, A>(
        &self,
        method: &Method<Q, A>,
        question: &Q,
        outlives_requests: bool,
    ) -> Result<Answers<A>, Problem> {
        if !self.calls.contains(&method.path) {
            let what = format!("the page is not known to call {}", method.path);
            return Err(Problem::new(ErrorCode::Internal, what));
        }
        let request = call::request(Outgoing {
            path: PathAndQuery::from_static(method.path),
            headers: &self.headers,
            from: self.from,
            messages: framed(question),
            outlives_requests,
        });
        let response = call::answer(&self.door, request).await?;
        Ok(Answers {
            messages: Messages::of(response.into_body()),
            kind: PhantomData,
        })
    }
}

/// A message as it travels.
fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encoded_len();
    let mut framed = BytesMut::with_capacity(FRAME_HEAD_BYTES + bytes);
    framed.put_u8(0);
    // A request is bounded far below.
    framed.put_u32(bytes as u32);
    message
        .encode(&mut framed)
        .expect("the buffer has room for all of it");
    framed.freeze()
}

fn malformed(error: &prost::DecodeError) -> Problem {
    let what = format!("an answer of the node is not what it should be: {error}");
    Problem::new(ErrorCode::Internal, what)
}

/// The answers of a call, one after the other.
pub(super) struct Answers<A> {
    messages: Messages,
    kind: PhantomData<fn() -> A>,
}

impl<A: Message + Default> Answers<A> {
    /// The next answer; none when the call went well and is over.
    ///
    /// Not cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<A>, Problem> {
        let Some(message) = self.messages.next().await? else {
            return Ok(None);
        };
        A::decode(message)
            .map(Some)
            .map_err(|error| malformed(&error))
    }
}
