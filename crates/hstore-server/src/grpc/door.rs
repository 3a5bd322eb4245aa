//! The services of gRPC at the client port: finds the service that a call names, and gives a stable
//! code to the errors that are made before a handler runs.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hstore_core::error::ErrorCode;
use hstore_core::limits::Limits;
use hstore_node::{Journey, Node};
use hstore_proto::etcdserverpb::auth_server::AuthServer as EtcdAuthServer;
use hstore_proto::etcdserverpb::cluster_server::ClusterServer as EtcdClusterServer;
use hstore_proto::etcdserverpb::kv_server::{Kv as _, KvServer as EtcdKvServer};
use hstore_proto::etcdserverpb::lease_server::LeaseServer as EtcdLeaseServer;
use hstore_proto::etcdserverpb::maintenance_server::MaintenanceServer as EtcdMaintenanceServer;
use hstore_proto::etcdserverpb::watch_server::WatchServer as EtcdWatchServer;
use hstore_proto::grpc::health::v1::health_server::HealthServer;
use hstore_proto::grpc::reflection::v1::server_reflection_server::ServerReflectionServer;
use hstore_proto::hstore::v1::cluster_server::ClusterServer;
use hstore_proto::hstore::v1::kv_server::KvServer;
use hstore_proto::hstore::v1::node_server::NodeServer;
use hstore_proto::hstore::v1::settings_server::SettingsServer;
use hstore_proto::v3electionpb::election_server::ElectionServer as EtcdElectionServer;
use hstore_proto::v3lockpb::lock_server::LockServer as EtcdLockServer;
use hstore_proto::{metadata, status};
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Uri};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::Lifecycle;
use super::access::{self, Need};
use super::auth::{AuthDoor, Doubt, Verdict, check_caller, settle_caller};
use super::budget::{Bounded, Budget, Share, Source, Whole};
use super::cluster::ClusterDoor;
use super::election::ElectionDoor;
use super::health::HealthDoor;
use super::history::HistoryDoor;
use super::kv::KvDoor;
use super::lease::LeaseDoor;
use super::lock::LockDoor;
use super::maintenance::MaintenanceDoor;
use super::meant;
use super::member::NodeDoor;
use super::members::MembersDoor;
use super::methods::is_stream;
use super::reflection::ReflectionDoor;
use super::settings::{SettingsDoor, StartSettings};
use super::unary::{self, Light};
use super::watch::WatchDoor;
use crate::examine::Examiner;
use crate::meter::{Call, Told};
use crate::otlp::{self, Followed};
use crate::vitals::Past;

/// What a message may be larger than the request it carries, as in etcd.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = 512 * 1024;

/// What a request to watch may be larger than its two keys. It is small, so that what many streams
/// have half sent is.
const WATCH_REQUEST_OVERHEAD_BYTES: usize = 4 * 1024;

/// What a request to lock may be larger than its name.
const CLAIM_OVERHEAD_BYTES: usize = 4 * 1024;

/// How many bytes of requests may be here at a time; one more byte and its request is refused as
/// overloaded. Twice what may wait in the node, and room for what is on its way there.
const REQUESTS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What the body of a call may be larger than its message.
const BODY_OVERHEAD_BYTES: usize = 64 * 1024;

/// The largest message of a service whose messages are small.
const SMALL_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Calls that bring small messages for as long as they like: each message is bounded, few of them
/// are here at a time, and all that ever came is no measure of anything.
const STREAMS: [&str; 4] = [
    "/etcdserverpb.Lease/LeaseKeepAlive",
    "/etcdserverpb.Watch/Watch",
    REFLECTION_PATH,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Reflection is the same under both of its names but for the name.
const REFLECTION: &str = ServerReflectionServer::<ReflectionDoor>::NAME;
const REFLECTION_BEFORE: &str = "grpc.reflection.v1alpha.ServerReflection";
const REFLECTION_PATH: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// How much larger a request may be as text than as a message.
const TEXT_FACTOR: usize = 2;
/// What etcd's learners serve; of Range only what is serializable.
const SERVED_BY_LEARNERS: [&str; 3] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Maintenance/Snapshot",
    "/etcdserverpb.Maintenance/Status",
];

/// How etcd's services are named. hstore's own are served by learners, too.
const ETCD_SERVICES: [&str; 3] = ["/etcdserverpb.", "/v3electionpb.", "/v3lockpb."];

/// How tonic says that the bytes of a message are not one.
const MESSAGE_MALFORMED: &str = "failed to decode Protobuf message";

/// What the client port needs to know.
pub struct Doors {
    /// The node.
    pub node: Node,
    /// How large requests may be.
    pub limits: Limits,
    /// The end of the process.
    pub lifecycle: Arc<dyn Lifecycle>,
    /// The data folder, for screens.
    pub data_folder: String,
    /// What the node was started with.
    pub settings: StartSettings,
    /// Host names by which the node goes beside its own.
    pub allowed_hosts: Vec<String>,
    /// What looks at this machine.
    pub examiner: Examiner,
}

/// The services of gRPC at the client port.
#[derive(Clone)]
pub(crate) struct Door {
    services: Arc<Services>,
}

struct Services {
    replica: Node,
    budget: Arc<Budget>,
    /// How large the body of a call may be that is no stream.
    body_bytes_max: usize,
    /// For what is asked of every call.
    node_asked: Node,
    etcd_auth: EtcdAuthServer<AuthDoor>,
    kv_door: KvDoor,
    message_bytes_max: usize,
    etcd_kv: EtcdKvServer<KvDoor>,
    etcd_lease: EtcdLeaseServer<LeaseDoor>,
    etcd_cluster: EtcdClusterServer<MembersDoor>,
    etcd_maintenance: EtcdMaintenanceServer<MaintenanceDoor>,
    etcd_watch: EtcdWatchServer<WatchDoor>,
    etcd_lock: EtcdLockServer<LockDoor>,
    etcd_election: EtcdElectionServer<ElectionDoor>,
    cluster: ClusterServer<ClusterDoor>,
    node: NodeServer<NodeDoor>,
    kv: KvServer<HistoryDoor>,
    settings: SettingsServer<SettingsDoor>,
    health: HealthServer<HealthDoor>,
    reflection: ServerReflectionServer<ReflectionDoor>,
}

impl Door {
    /// The service over a node, and what it was like.
    pub(crate) fn new(doors: Doors, past: Arc<Past>) -> Door {
        let Doors {
            node,
            limits,
            lifecycle,
            data_folder,
            settings,
            allowed_hosts: _,
            examiner,
        } = doors;
        let asked = node.clone();
        let auth = AuthDoor::new(node.clone(), limits);
        let members = MembersDoor { node: node.clone() };
        let maintenance = MaintenanceDoor { node: node.clone() };
        let replica = node.clone();
        let kv = KvDoor {
            node: node.clone(),
            limits,
        };
        let history = HistoryDoor {
            node: node.clone(),
            limits,
        };
        let lease = LeaseDoor { node: node.clone() };
        let watch = WatchDoor {
            node: node.clone(),
            limits,
        };
        let lock = LockDoor {
            node: node.clone(),
            limits,
        };
        let election = ElectionDoor {
            node: node.clone(),
            limits,
        };
        let cluster = ClusterDoor { node: node.clone() };
        let health = HealthDoor { node: node.clone() };
        let settings = SettingsDoor {
            node: node.clone(),
            start: settings,
        };
        let node = NodeDoor {
            node,
            lifecycle,
            data_folder,
            examiner,
            past,
        };
        // Answers may be of any size: they are bounded by what is stored and by the limit asked
        // for, as in etcd.
        let message_bytes_max = limits.request_bytes_max + MESSAGE_OVERHEAD_BYTES;
        Door {
            services: Arc::new(Services {
                replica,
                budget: Arc::new(Budget::new(REQUESTS_BYTES_MAX)),
                node_asked: asked,
                etcd_auth: EtcdAuthServer::new(auth)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(usize::MAX),
                body_bytes_max: message_bytes_max + BODY_OVERHEAD_BYTES,
                kv_door: kv.clone(),
                message_bytes_max,
                etcd_kv: EtcdKvServer::new(kv)
                    .max_decoding_message_size(message_bytes_max)
                    .max_encoding_message_size(usize::MAX),
                etcd_lease: EtcdLeaseServer::new(lease)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(usize::MAX),
                etcd_cluster: EtcdClusterServer::new(members)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
                etcd_maintenance: EtcdMaintenanceServer::new(maintenance)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
                etcd_watch: EtcdWatchServer::new(watch)
                    .max_decoding_message_size(
                        2 * limits.key_bytes_max + WATCH_REQUEST_OVERHEAD_BYTES,
                    )
                    .max_encoding_message_size(usize::MAX),
                etcd_lock: EtcdLockServer::new(lock)
                    .max_decoding_message_size(limits.key_bytes_max + CLAIM_OVERHEAD_BYTES),
                etcd_election: EtcdElectionServer::new(election)
                    .max_decoding_message_size(message_bytes_max)
                    .max_encoding_message_size(usize::MAX),
                cluster: ClusterServer::new(cluster),
                node: NodeServer::new(node),
                kv: KvServer::new(history)
                    .max_decoding_message_size(message_bytes_max)
                    .max_encoding_message_size(usize::MAX),
                settings: SettingsServer::new(settings)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
                health: HealthServer::new(health)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX),
                reflection: ServerReflectionServer::new(ReflectionDoor)
                    .max_decoding_message_size(SMALL_MESSAGE_BYTES_MAX)
                    .max_encoding_message_size(usize::MAX),
            }),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// Whether a request is a call of gRPC.
pub(crate) fn is_grpc<B>(request: &http::Request<B>) -> bool {
    request
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

impl Door {
    /// Reads a request that came as text, within the bounds of all requests.
    pub(crate) async fn read_whole(&self, source: Source) -> Result<Whole, Status> {
        let services = &self.services;
        let share = Share::new(&services.budget, TEXT_FACTOR * services.body_bytes_max);
        Whole::read(share, source).await
    }

    /// Lets somebody with these headers in to what needs this and is no call.
    pub(crate) async fn admit(&self, need: Need, headers: &HeaderMap) -> Result<(), Status> {
        let node = &self.services.node_asked;
        match check_caller(node, need, headers) {
            Verdict::Pass => Ok(()),
            Verdict::Doubt(doubt) => settle_caller(node, need, headers, doubt).await,
        }
    }

    /// Answers a call.
    pub(crate) fn answer(&self, request: http::Request<Source>) -> Answer {
        let Some(method) = access::place(request.uri().path()) else {
            return Answer::now(no_method(request.uri().path()));
        };
        if !is_for_learners(request.uri().path()) && self.services.replica.is_learner() {
            let what = "this node is a learner";
            return Answer::now(status::failure(ErrorCode::NotForLearners, what).into_http());
        }
        let cluster = self.services.replica.cluster_id();
        if let Err(refused) = meant::check(request.headers(), cluster) {
            return Answer::now(refused.into_http());
        }
        let (path, need) = access::TABLE[method];
        let mut call = Call::begin(method, request.headers());
        let mut way = Way::NotFollowed;
        if let Some(followed) = otlp::begin(path, request.headers()) {
            way = if is_stream(method) {
                let journey = followed.journey();
                call = call.followed(followed);
                Way::Along(journey)
            } else {
                Way::ToItsEnd(followed)
            };
        }
        match check_caller(&self.services.node_asked, need, request.headers()) {
            Verdict::Pass => {
                let (inner, share) = self.dispatch(method, request);
                let inner = follow(way, inner);
                Answer::later(inner, Some(share), call)
            }
            Verdict::Doubt(doubt) => {
                let inner = self.dispatch_later(method, need, request, doubt);
                Answer::later(follow(way, inner), None, call)
            }
        }
    }

    /// Passes a call on if it may after this node has caught up.
    fn dispatch_later(
        &self,
        method: usize,
        need: Need,
        request: http::Request<Source>,
        doubt: Doubt,
    ) -> Dispatched {
        let door = self.clone();
        Box::pin(async move {
            let node = &door.services.node_asked;
            let settled = settle_caller(node, need, request.headers(), doubt).await;
            if let Err(status) = settled {
                return Ok(status.into_http());
            }
            // The share is held as long as the request is at work.
            let (inner, _share) = door.dispatch(method, request);
            inner.await
        })
    }

    /// Passes a call on to the service that it names.
    fn dispatch(&self, method: usize, request: http::Request<Source>) -> (Dispatched, Arc<Share>) {
        let services = &self.services;
        let share = Share::new(&services.budget, services.body_bytes_max);
        let lasts = STREAMS.contains(&request.uri().path());
        let mut request = request;
        if !unary::is_light(request.uri().path()) {
            // For those that wait long after they have let go of their request.
            request.extensions_mut().insert(Arc::clone(&share));
        }
        let request = request.map(|source| {
            let body = if lasts {
                Bounded::lasting(source)
            } else {
                Bounded::by(Arc::clone(&share), source)
            };
            body.counted(method)
        });
        let inner = match service_name(request.uri().path()) {
            EtcdAuthServer::<AuthDoor>::NAME => services.etcd_auth.clone().call(request),
            EtcdKvServer::<KvDoor>::NAME => self.dispatch_kv(request),
            EtcdWatchServer::<WatchDoor>::NAME => services.etcd_watch.clone().call(request),
            EtcdLeaseServer::<LeaseDoor>::NAME => services.etcd_lease.clone().call(request),
            EtcdLockServer::<LockDoor>::NAME => services.etcd_lock.clone().call(request),
            EtcdElectionServer::<ElectionDoor>::NAME => {
                services.etcd_election.clone().call(request)
            }
            EtcdClusterServer::<MembersDoor>::NAME => services.etcd_cluster.clone().call(request),
            EtcdMaintenanceServer::<MaintenanceDoor>::NAME => {
                services.etcd_maintenance.clone().call(request)
            }
            ClusterServer::<ClusterDoor>::NAME => services.cluster.clone().call(request),
            NodeServer::<NodeDoor>::NAME => services.node.clone().call(request),
            KvServer::<HistoryDoor>::NAME => services.kv.clone().call(request),
            SettingsServer::<SettingsDoor>::NAME => services.settings.clone().call(request),
            HealthServer::<HealthDoor>::NAME => services.health.clone().call(request),
            REFLECTION => services.reflection.clone().call(request),
            REFLECTION_BEFORE => {
                let mut request = request;
                *request.uri_mut() = Uri::from_static(REFLECTION_PATH);
                services.reflection.clone().call(request)
            }
            _unknown => Box::pin(std::future::ready(Ok(no_method(request.uri().path())))),
        };
        (inner, share)
    }

    /// Answers a call of etcd's KV: those that are made all the time without the service.
    fn dispatch_kv(&self, request: http::Request<Bounded>) -> Dispatched {
        let mut service = self.services.etcd_kv.clone();
        let Some(method) = Light::of(request.uri().path()) else {
            return service.call(request);
        };
        let door = self.services.kv_door.clone();
        let bytes_max = self.services.message_bytes_max;
        let service = move |request| service.call(request);
        match method {
            Light::DeleteRange => {
                let method = move |request| async move { door.delete_range(request).await };
                Box::pin(unary::answer(request, bytes_max, method, service))
            }
            Light::Put => {
                let method = move |request| async move { door.put(request).await };
                Box::pin(unary::answer(request, bytes_max, method, service))
            }
            Light::Range => {
                let method = move |request| async move { door.range(request).await };
                Box::pin(unary::answer(request, bytes_max, method, service))
            }
            Light::Txn => {
                let method = move |request| async move { door.txn(request).await };
                Box::pin(unary::answer(request, bytes_max, method, service))
            }
        }
    }
}

/// What a service answers, before every error has a code.
type Dispatched = BoxFuture<http::Response<Body>, Infallible>;

/// Whether a call is followed.
enum Way {
    NotFollowed,
    /// A stream: until its answer begins. When it is over is seen where its answer is told.
    Along(Arc<Journey>),
    /// Any other call.
    ToItsEnd(Followed),
}

/// The same, as a call that is followed, if it is.
fn follow(way: Way, inner: Dispatched) -> Dispatched {
    match way {
        Way::NotFollowed => inner,
        Way::Along(journey) => Box::pin(hstore_node::follow(journey, inner)),
        Way::ToItsEnd(followed) => Box::pin(followed.run(inner, |answer| {
            let answered = answer.as_ref().ok();
            let refused = answered.and_then(|answer| Status::from_header_map(answer.headers()));
            refused.map_or(Code::Ok, |status| status.code())
        })),
    }
}

/// The answer of a service, with a code in every error.
pub(crate) struct Answer {
    inner: Dispatched,
    /// Held as long as the request is at work.
    _share: Option<Arc<Share>>,
    /// None when nothing was called, and behind the head of the answer.
    call: Option<Call>,
}

impl Answer {
    fn later(inner: Dispatched, share: Option<Arc<Share>>, call: Call) -> Answer {
        Answer {
            inner,
            _share: share,
            call: Some(call),
        }
    }

    fn now(response: http::Response<Body>) -> Answer {
        Answer {
            inner: Box::pin(std::future::ready(Ok(response))),
            _share: None,
            call: None,
        }
    }
}

impl Future for Answer {
    type Output = Result<http::Response<Told>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = std::task::ready!(self.inner.as_mut().poll(context));
        let answer = answer.map(with_code);
        Poll::Ready(answer.map(|answer| match self.call.take() {
            Some(call) => Told::to(call, answer),
            None => Told::plain(answer),
        }))
    }
}

/// Gives a code to an error that tonic made itself; everything else passes as it is.
fn with_code(response: http::Response<Body>) -> http::Response<Body> {
    let headers = response.headers();
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(metadata::CODE) {
        return response;
    }
    match Status::from_header_map(headers).and_then(|status| translate(&status)) {
        None => response,
        Some(status) => status.into_http(),
    }
}

/// The same error with a code, if tonic made it itself.
pub(super) fn translate(made: &Status) -> Option<Status> {
    let code = match made.code() {
        Code::Ok => return None,
        code if status::is_message_too_large(code, made.message()) => ErrorCode::RequestTooLarge,
        Code::Internal if made.message().starts_with(MESSAGE_MALFORMED) => {
            ErrorCode::InvalidArgument
        }
        Code::Unimplemented => ErrorCode::Unsupported,
        _other => return None,
    };
    let what = match made.message() {
        "" => "the call was refused before it was read",
        message => message,
    };
    Some(status::failure(code, what))
}

/// Whether a node without a vote serves a path.
fn is_for_learners(path: &str) -> bool {
    SERVED_BY_LEARNERS.contains(&path) || !ETCD_SERVICES.iter().any(|name| path.starts_with(name))
}

/// `/package.Service/Method` names a service.
fn service_name(path: &str) -> &str {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .map_or("", |(service, _method)| service)
}

fn no_method(path: &str) -> http::Response<Body> {
    let what = format!("there is no method {path}");
    status::failure(ErrorCode::Unsupported, what).into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_service() {
        let table = [
            ("/etcdserverpb.KV/Put", "etcdserverpb.KV"),
            ("/etcdserverpb.KV", ""),
            ("etcdserverpb.KV/Put", ""),
            ("/", ""),
            ("", ""),
        ];
        for (path, service) in table {
            assert_eq!(service_name(path), service, "{path}");
        }
    }

    #[test]
    fn learners_serve_what_etcds_learners_serve_and_all_that_is_ours() {
        let served = [
            "/etcdserverpb.KV/Range",
            "/etcdserverpb.Maintenance/Status",
            "/hstore.v1.Cluster/Describe",
        ];
        for path in served {
            assert!(is_for_learners(path), "{path}");
        }
        let etcds = access::TABLE.iter().map(|(path, _)| *path);
        for path in etcds.filter(|path| ETCD_SERVICES.iter().any(|name| path.starts_with(name))) {
            let is_served = SERVED_BY_LEARNERS.contains(&path);
            assert_eq!(is_for_learners(path), is_served, "{path}");
        }
    }

    #[test]
    fn what_tonic_refuses_itself_gets_a_code() {
        let too_large = "Error, decoded message length too large: found 9 bytes";
        let malformed = "failed to decode Protobuf message: invalid wire type";
        let table = [
            (
                Status::out_of_range(too_large),
                Some(ErrorCode::RequestTooLarge),
            ),
            (
                Status::internal(malformed),
                Some(ErrorCode::InvalidArgument),
            ),
            (Status::unimplemented(""), Some(ErrorCode::Unsupported)),
            (Status::internal("other"), None),
            (Status::ok(""), None),
        ];
        for (made, code) in table {
            let translated = translate(&made).map(|status| status::read(&status).code);
            assert_eq!(translated, code, "{made:?}");
        }
    }
}
