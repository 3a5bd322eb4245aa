//! A node that follows a script: each request takes the next step of it; writes are noted with the
//! name they came with and, when they were answered, the keys they wrote. What it pretends to hold
//! is nothing but a revision that grows.
#![allow(
    dead_code,
    reason = "every test that includes it uses its own part of it"
)]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hstore_core::command::RequestId;
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::kv_server::{Kv, KvServer};
use hstore_proto::etcdserverpb::request_op::Request as Operation;
use hstore_proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RangeStreamResponse, ResponseHeader, TxnRequest,
    TxnResponse,
};
use hstore_proto::hstore::v1;
use hstore_proto::hstore::v1::cluster_server::{Cluster, ClusterServer};
use hstore_proto::hstore::v1::node_server::{Node, NodeServer};
use hstore_proto::metadata;
use hstore_proto::status::failure;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// It is done.
    Answer,
    /// The connection breaks, as far as the client can tell.
    Break,
    /// The node refuses with this code.
    Refuse(ErrorCode),
    /// No answer ever comes.
    Hang,
}

#[derive(Default)]
struct Inner {
    steps: Mutex<VecDeque<Step>>,
    names: Mutex<Vec<Option<RequestId>>>,
    written: Mutex<Vec<Vec<String>>>,
    reads: Mutex<u64>,
    sessions: Mutex<u64>,
    members: Mutex<Vec<String>>,
    meant: Mutex<Vec<Option<String>>>,
    cluster: Mutex<u64>,
    down: AtomicBool,
    is_hstore: bool,
}

/// The scripted node. It ends with the value.
pub(crate) struct Fake {
    inner: Arc<Inner>,
    pub(crate) address: String,
    server: JoinHandle<()>,
}

impl Fake {
    /// A node that does as `steps` say, then answers.
    pub(crate) async fn start(steps: &[Step]) -> Fake {
        Fake::with(steps, true).await
    }

    /// The same, of a node that does not know hstore's own services.
    pub(crate) async fn start_plain(steps: &[Step]) -> Fake {
        Fake::with(steps, false).await
    }

    async fn with(steps: &[Step], is_hstore: bool) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let inner = Arc::new(Inner {
            steps: Mutex::new(steps.iter().copied().collect()),
            is_hstore,
            ..Inner::default()
        });
        let mut router =
            tonic::transport::Server::builder().add_service(KvServer::new(Door(inner.clone())));
        if is_hstore {
            router = router
                .add_service(NodeServer::new(Door(inner.clone())))
                .add_service(ClusterServer::new(Door(inner.clone())));
        }
        let server = tokio::spawn(async move {
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("the listener works");
        });
        Fake {
            inner,
            address,
            server,
        }
    }

    /// The names of the writes that came, in order.
    pub(crate) fn names(&self) -> Vec<Option<RequestId>> {
        self.inner.names.lock().unwrap().clone()
    }

    /// The keys of each write that was answered, in order.
    pub(crate) fn written(&self) -> Vec<Vec<String>> {
        self.inner.written.lock().unwrap().clone()
    }

    /// How many reads came.
    pub(crate) fn reads(&self) -> u64 {
        *self.inner.reads.lock().unwrap()
    }

    /// How often a session was begun here.
    pub(crate) fn sessions(&self) -> u64 {
        *self.inner.sessions.lock().unwrap()
    }

    /// What the node says of the client addresses of the cluster.
    pub(crate) fn set_members(&self, members: &[&Fake]) {
        *self.inner.members.lock().unwrap() = members
            .iter()
            .map(|member| member.address.clone())
            .collect();
    }

    /// What the node says of the cluster that it is of.
    pub(crate) fn set_cluster(&self, cluster: u64) {
        *self.inner.cluster.lock().unwrap() = cluster;
    }

    /// Which cluster the reads and writes that came were for, in order.
    pub(crate) fn meant(&self) -> Vec<Option<String>> {
        self.inner.meant.lock().unwrap().clone()
    }

    /// From now on every connection to the node breaks.
    pub(crate) fn break_down(&self) {
        self.inner.down.store(true, Ordering::SeqCst);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A door of the node.
struct Door(Arc<Inner>);

impl Door {
    async fn step(&self) -> Result<(), Status> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("connection reset"));
        }
        let step = self
            .0
            .steps
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Step::Answer);
        match step {
            Step::Answer => Ok(()),
            Step::Break => Err(Status::unavailable("connection reset")),
            Step::Refuse(code) => Err(failure(code, "as the script says")),
            Step::Hang => std::future::pending().await,
        }
    }

    fn hear<Q>(&self, request: &Request<Q>) {
        let meant = request.metadata().get(metadata::CLUSTER);
        let meant = meant.map(|value| value.to_str().expect("plain").to_owned());
        self.0.meant.lock().unwrap().push(meant);
    }

    fn note(&self, puts: Vec<PutRequest>) {
        let keys = puts
            .into_iter()
            .map(|put| String::from_utf8_lossy(&put.key).into_owned());
        self.0.written.lock().unwrap().push(keys.collect());
    }

    async fn write<Q>(&self, request: &Request<Q>) -> Result<Option<ResponseHeader>, Status> {
        let name = request.metadata().get(metadata::REQUEST).map(|value| {
            metadata::decode_request_id(value.to_str().expect("plain")).expect("a request id")
        });
        self.0.names.lock().unwrap().push(name);
        self.hear(request);
        self.step().await?;
        let revision = 1 + self.0.names.lock().unwrap().len() as i64;
        Ok(Some(ResponseHeader {
            revision,
            ..ResponseHeader::default()
        }))
    }
}

#[tonic::async_trait]
impl Kv for Door {
    type RangeStreamStream = tokio_stream::Empty<Result<RangeStreamResponse, Status>>;

    async fn range_stream(
        &self,
        _: Request<RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        *self.0.reads.lock().unwrap() += 1;
        self.hear(&request);
        self.step().await?;
        let header = Some(ResponseHeader {
            revision: 1,
            ..ResponseHeader::default()
        });
        Ok(Response::new(RangeResponse {
            header,
            ..RangeResponse::default()
        }))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let header = self.write(&request).await?;
        self.note(vec![request.into_inner()]);
        Ok(Response::new(PutResponse {
            header,
            prev_kv: None,
        }))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let header = self.write(&request).await?;
        Ok(Response::new(DeleteRangeResponse {
            header,
            ..DeleteRangeResponse::default()
        }))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let header = self.write(&request).await?;
        let steps = request.into_inner().success.into_iter();
        self.note(
            steps
                .filter_map(|step| match step.request {
                    Some(Operation::RequestPut(put)) => Some(put),
                    _ => None,
                })
                .collect(),
        );
        Ok(Response::new(TxnResponse {
            header,
            ..TxnResponse::default()
        }))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let header = self.write(&request).await?;
        Ok(Response::new(CompactionResponse { header }))
    }
}

#[tonic::async_trait]
impl Node for Door {
    async fn status(
        &self,
        _: Request<v1::NodeStatusRequest>,
    ) -> Result<Response<v1::NodeStatusResponse>, Status> {
        assert!(self.0.is_hstore);
        *self.0.sessions.lock().unwrap() += 1;
        Ok(Response::new(v1::NodeStatusResponse {
            log: Some(v1::LogStatus {
                applied_index: 40,
                ..v1::LogStatus::default()
            }),
            ..v1::NodeStatusResponse::default()
        }))
    }

    async fn examine(
        &self,
        _: Request<v1::ExamineRequest>,
    ) -> Result<Response<v1::ExamineResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn past(
        &self,
        _: Request<v1::PastRequest>,
    ) -> Result<Response<v1::PastResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn stop(
        &self,
        _: Request<v1::StopRequest>,
    ) -> Result<Response<v1::StopResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn kill(
        &self,
        _: Request<v1::KillRequest>,
    ) -> Result<Response<v1::KillResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn restart(
        &self,
        _: Request<v1::RestartRequest>,
    ) -> Result<Response<v1::RestartResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn start(
        &self,
        _: Request<v1::StartRequest>,
    ) -> Result<Response<v1::StartResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn logs(
        &self,
        _: Request<v1::LogsRequest>,
    ) -> Result<Response<v1::LogsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl Cluster for Door {
    type DescribeStream =
        tokio_stream::Iter<std::array::IntoIter<Result<v1::ClusterDescription, Status>, 1>>;
    type AddMemberStream = tokio_stream::Empty<Result<v1::AddMemberProgress, Status>>;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<Self::DescribeStream>, Status> {
        let members = self.0.members.lock().unwrap().clone();
        let members = members.into_iter().map(|client_address| v1::MemberStatus {
            member: Some(v1::Member {
                client_address,
                ..v1::Member::default()
            }),
            ..v1::MemberStatus::default()
        });
        let answer = v1::ClusterDescription {
            members: members.collect(),
            cluster_id: *self.0.cluster.lock().unwrap(),
            ..Default::default()
        };
        Ok(Response::new(tokio_stream::iter([Ok(answer)])))
    }

    async fn allocate_node(
        &self,
        _: Request<v1::AllocateNodeRequest>,
    ) -> Result<Response<v1::AllocateNodeResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn add_member(
        &self,
        _: Request<v1::AddMemberRequest>,
    ) -> Result<Response<Self::AddMemberStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn remove_member(
        &self,
        _: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn transfer_leader(
        &self,
        _: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}
