//! A place where a node lives: its disk, which outlives its processes, and what every process there
//! does: take its identity, start the node, open both doors, become a member.
//!
//! Invariants: (1) the disk of an ended process is another one than that of the next, so that
//! nothing of the old process reaches it; (2) a node that ends by itself is noted, with its reason.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_core::id::{ClusterId, Incarnation, NodeId};
use hstore_core::limits::Limits;
use hstore_node::{Env, Identity, Node, NodeConfig, Stage, WallClock};
use hstore_proto::hstore::v1::add_member_progress::Step;
use hstore_proto::hstore::v1::cluster_client::ClusterClient;
use hstore_proto::hstore::v1::{AddMemberRequest, AllocateNodeRequest, Member};
use hstore_server::doors::{
    Doors, Examiner, Lifecycle, PeerTransport, StartSettings, serve_clients, serve_peers,
};
use hstore_sim::plan::Knobs;
use hstore_sim::world::Weather;
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::net::Net;

/// The ports of every node.
pub(crate) const CLIENT_PORT: u16 = 2379;
pub(crate) const PEER_PORT: u16 = 2380;

/// How many connections the client port takes at a time.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// How long to wait before a step of the joining is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long one step of the joining may take.
const STEP_MAX: Duration = Duration::from_secs(5);

/// What the nodes are called. The first one founds the cluster.
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];

struct State {
    disk: MemoryDisk,
    engines: Arc<MemorySource>,
    rng: StdRng,
    node: Option<Node>,
    is_member: bool,
    metrics: Option<RuntimeMetrics>,
    troubles: Vec<String>,
}

/// A place. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) name: &'static str,
    net: Net,
    incarnation: Incarnation,
    state: Arc<Mutex<State>>,
}

/// The time of day: that of the simulation.
struct SimClock;

impl WallClock for SimClock {
    fn since_epoch(&self) -> Duration {
        turmoil::since_epoch().unwrap_or_default()
    }
}

/// Nobody in here ends a process through the wire.
struct NoEnd;

impl Lifecycle for NoEnd {
    fn stop(&self, _graceful: bool) {}
    fn kill(&self) {}
    fn restart(&self) {}
}

fn data_dir() -> PathBuf {
    PathBuf::from("/data")
}

impl Place {
    /// An empty place, or that of a founder.
    pub(crate) fn new(name: &'static str, net: &Net, seed: u64) -> Place {
        let mut rng = StdRng::seed_from_u64(seed);
        let incarnation = Incarnation(rng.random::<u64>() | 1);
        let disk = MemoryDisk::new();
        let founds = name == NODES[0];
        if founds {
            let cluster = ClusterId(rng.random::<u64>() | 1);
            Identity::found(cluster, "weather".to_owned(), incarnation)
                .write(&disk, &data_dir())
                .expect("a new disk takes an identity");
        }
        Place {
            name,
            net: net.clone(),
            incarnation,
            state: Arc::new(Mutex::new(State {
                disk,
                engines: Arc::new(MemorySource::new()),
                rng,
                node: None,
                is_member: founds,
                metrics: None,
                troubles: Vec::new(),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node that runs here.
    pub(crate) fn node(&self) -> Option<Node> {
        self.state().node.clone()
    }

    /// Whether its node is a voter of the cluster.
    pub(crate) fn is_member(&self) -> bool {
        self.state().is_member
    }

    /// How many tasks its process has.
    pub(crate) fn tasks(&self) -> usize {
        let state = self.state();
        state
            .metrics
            .as_ref()
            .map_or(0, RuntimeMetrics::num_alive_tasks)
    }

    /// What went wrong here by itself.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.state().troubles.clone()
    }

    /// The process is about to end: what it wrote is there, synced or not.
    pub(crate) fn killed(&self) {
        let mut state = self.state();
        state.disk = state.disk.kill();
        state.metrics = None;
        let node = state.node.take();
        drop(state);
        drop(node);
    }

    /// The machine is about to lose its power: what was not synced may be gone.
    pub(crate) fn crashed(&self) {
        let mut state = self.state();
        let seed = state.rng.random();
        state.disk = state.disk.crash(seed);
        state.engines.crash_machine();
        state.metrics = None;
        let node = state.node.take();
        drop(state);
        drop(node);
    }

    /// One life of the process of this place.
    pub(crate) async fn live(self) -> turmoil::Result {
        if let Err(trouble) = self.run().await {
            let trouble = format!("{} at {:?}: {trouble}", self.name, turmoil::sim_elapsed());
            self.state().troubles.push(trouble);
        }
        Ok(())
    }

    async fn run(&self) -> anyhow::Result<()> {
        let (disk, engines, seed) = {
            let mut state = self.state();
            state.metrics = Some(Handle::current().metrics());
            (
                state.disk.clone(),
                state.engines.clone(),
                state.rng.random::<u64>(),
            )
        };
        let identity = Identity::read(&disk, &data_dir())?;
        if identity.is_none_or(|identity| identity.stage == Stage::Drawn) {
            self.enrol(&disk).await?;
        }
        let mut config = NodeConfig::new(
            data_dir(),
            self.name.to_owned(),
            format!("{}:{PEER_PORT}", self.name),
            format!("{}:{CLIENT_PORT}", self.name),
        );
        config.segment_bytes = 256 * 1024;
        Knobs::default().apply(&mut config);
        let env = Env {
            transport: Arc::new(PeerTransport::through(self.net.dialler(self.name))),
            disk: Arc::new(disk),
            lanes: Weather::new(seed ^ 1).lanes(),
            clock: Arc::new(SimClock),
            engine: engines,
            gate: None,
            seed,
        };
        let node = Node::start(config, env).await?;
        let peers = self.net.listen(self.name, PEER_PORT).await?;
        let clients = self.net.listen(self.name, CLIENT_PORT).await?;
        tokio::spawn(serve_peers(peers, node.clone(), CancellationToken::new()));
        let doors = Doors {
            node: node.clone(),
            limits: Limits::default(),
            lifecycle: Arc::new(NoEnd),
            data_folder: "/data".to_owned(),
            settings: StartSettings::default(),
            allowed_hosts: Vec::new(),
            examiner: Examiner::new(
                Arc::new(self.state().disk.clone()),
                Weather::new(seed ^ 2).lanes(),
                data_dir(),
                CONNECTIONS_MAX,
            ),
        };
        let closed = CancellationToken::new();
        tokio::spawn(serve_clients(clients, doors, CONNECTIONS_MAX, closed));
        self.state().node = Some(node.clone());
        if !self.is_member() {
            self.become_member(&node).await;
        }
        let reason = node.failed().await;
        anyhow::bail!("the node ended by itself: {reason}")
    }

    /// Gets an id from the cluster and writes it down.
    async fn enrol(&self, disk: &MemoryDisk) -> anyhow::Result<()> {
        let identity = Identity::draw(self.incarnation);
        let request = AllocateNodeRequest {
            incarnation: self.incarnation.0,
            name: self.name.to_owned(),
            cluster_name: String::new(),
            peer_address: String::new(),
        };
        loop {
            let mut cluster = ClusterClient::new(channel(&self.net, self.name, NODES[0])?);
            let asked = cluster.allocate_node(request.clone());
            if let Ok(Ok(answer)) = timeout(STEP_MAX, asked).await {
                let place = answer.into_inner();
                let cluster = ClusterId(place.cluster_id);
                identity
                    .join(cluster, place.cluster_name, NodeId(place.node_id))
                    .write(disk, &data_dir())?;
                return Ok(());
            }
            sleep(AGAIN).await;
        }
    }

    /// Has the cluster add the node, up to its vote.
    async fn become_member(&self, node: &Node) {
        let member = Member {
            node_id: node.status().node.0,
            name: self.name.to_owned(),
            peer_address: format!("{}:{PEER_PORT}", self.name),
            client_address: format!("{}:{CLIENT_PORT}", self.name),
            incarnation: self.incarnation.0,
            started_as: String::new(),
        };
        let request = AddMemberRequest {
            member: Some(member),
        };
        loop {
            let asked = async {
                let channel = channel(&self.net, self.name, NODES[0]).ok()?;
                let mut cluster = ClusterClient::new(channel);
                let mut steps = cluster.add_member(request.clone()).await.ok()?.into_inner();
                while let Ok(Some(progress)) = steps.message().await {
                    if matches!(progress.step, Some(Step::Voter(_))) {
                        return Some(());
                    }
                }
                None
            };
            if let Ok(Some(())) = timeout(STEP_MAX, asked).await {
                self.state().is_member = true;
                return;
            }
            sleep(AGAIN).await;
        }
    }
}

/// A connection from one host to the client port of a node, made when it is first used.
pub(crate) fn channel(net: &Net, from: &str, to: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{to}:{CLIENT_PORT}"))?
        .connect_timeout(Duration::from_secs(1));
    let connector = hstore_client::Connector::new(net.dialler(from));
    Ok(endpoint.connect_with_connector_lazy(connector))
}
