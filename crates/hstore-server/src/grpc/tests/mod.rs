//! Every door, driven by real clients over a real socket, above a cluster of one node in memory.

pub(crate) mod auth;
mod client_locks;
mod elections;
mod kv;
mod leases;
mod locks;
mod maintenance;
mod nodes;
mod range_stream;
mod refusals;
mod rights;
mod settings;
mod snapshot;
mod standard;
mod watch;
mod watch_refusals;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::id::{ClusterId, Incarnation};
use hstore_core::limits::Limits;
use hstore_node::{
    Duplex, Env, Hello, Identity, InlineLanes, Node, NodeConfig, PeerAddress, Transport,
    TransportError,
};
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::hstore::v1;
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::{Doors, Lifecycle, StartSettings};
use crate::doors::serve_clients;
use crate::examine::Examiner;
use crate::runtime::SystemClock;

/// Far more than anything here takes; a test that needs it fails.
pub(crate) const LONG: Duration = Duration::from_secs(20);

const CONNECTIONS_MAX: usize = 64;

const CLUSTER: ClusterId = ClusterId(0xc1);

const LIMITS: Limits = Limits {
    request_bytes_max: 4096,
    key_bytes_max: 64,
    txn_operations_max: 8,
    txn_depth_max: 2,
};

/// A node that has no peers to talk to.
struct NoPeers;

impl Transport for NoPeers {
    fn connect(
        &self,
        to: PeerAddress,
        _hello: Hello,
    ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
        let reason = format!("nobody is at {}", to.address);
        async move { Err(TransportError::Unreachable { reason }) }.boxed()
    }
}

/// Writes down what it was asked for.
#[derive(Default)]
pub(crate) struct Asked {
    words: Mutex<Vec<&'static str>>,
}

impl Asked {
    fn note(&self, word: &'static str) {
        self.words.lock().unwrap().push(word);
    }
}

impl Lifecycle for Asked {
    fn stop(&self, graceful: bool) {
        self.note(if graceful { "stop" } else { "stop now" });
    }

    fn kill(&self) {
        self.note("kill");
    }

    fn restart(&self) {
        self.note("restart");
    }
}

pub(crate) struct World {
    pub(crate) node: Node,
    /// Where clients reach it.
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    asked: Arc<Asked>,
}

/// A cluster of one node that leads, behind its doors.
pub(crate) async fn world() -> World {
    world_with(|_config| {}).await
}

/// The same with other settings.
pub(crate) async fn world_with(settings: impl FnOnce(&mut NodeConfig)) -> World {
    let data_dir = Path::new("/data");
    let disk = Arc::new(MemoryDisk::new());
    Identity::found(CLUSTER, "test".to_owned(), Incarnation(7))
        .write(&*disk, data_dir)
        .unwrap();
    let mut config = NodeConfig::new(
        PathBuf::from(data_dir),
        "one".to_owned(),
        "127.0.0.1:12380".to_owned(),
        "127.0.0.1:12379".to_owned(),
    );
    settings(&mut config);
    let examined = Arc::clone(&disk);
    let env = Env {
        transport: Arc::new(NoPeers),
        disk,
        lanes: Arc::new(InlineLanes),
        clock: Arc::new(SystemClock),
        engine: Arc::new(MemorySource::new()),
        seed: 1,
        gate: None,
    };
    let node = Node::start(config, env).await.unwrap();
    let mut standing = node.standing();
    let led = standing.wait_for(|standing| standing.leader.is_some());
    drop(timeout(LONG, led).await.unwrap().unwrap());

    let asked = Arc::new(Asked::default());
    let doors = Doors {
        node: node.clone(),
        limits: LIMITS,
        lifecycle: Arc::clone(&asked) as Arc<dyn Lifecycle>,
        data_folder: "/data".to_owned(),
        settings: StartSettings::default(),
        allowed_hosts: Vec::new(),
        examiner: Examiner::new(
            examined,
            Arc::new(InlineLanes),
            data_dir.to_owned(),
            CONNECTIONS_MAX,
        ),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let closed = CancellationToken::new();
    tokio::spawn(serve_clients(listener, doors, CONNECTIONS_MAX, closed));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    World {
        node,
        address,
        channel,
        asked,
    }
}

impl World {
    /// What its process was asked for.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        self.asked.words.lock().unwrap().clone()
    }

    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    fn cluster(&self) -> v1::cluster_client::ClusterClient<Channel> {
        v1::cluster_client::ClusterClient::new(self.channel.clone())
    }
}

pub(crate) fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
