//! A cluster in one thread on a clock that only moves when everybody waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::command::{Command, Proposal, Put, RequestId};
use hstore_core::id::{ClusterId, Incarnation, NodeId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::membership::Member;
use hstore_core::outcome::{Outcome, Reply};
use hstore_core::range::Range;
use hstore_node::{
    Consistency, Env, Identity, InlineLanes, Job, JoinProgress, Lane, LaneClosed, Lanes, Node,
    NodeConfig, NodeError, Role, StartError, StopReason, WallClock,
};
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::RngSeed;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::net::Net;

/// How long anything in a healthy cluster may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs one seed: a world of its own in a runtime of its own.
pub(crate) fn run<T>(seed: u64, scenario: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .unwrap();
    runtime.block_on(scenario(World::new(seed)))
}

/// What the clock of the wall says: nothing that matters.
struct Wall;

impl WallClock for Wall {
    fn since_epoch(&self) -> Duration {
        Duration::from_secs(1_700_000_000)
    }
}

/// Lanes whose jobs take a while, so that work really waits for the disk.
struct SlowLanes {
    rng: Arc<Mutex<StdRng>>,
    job_max: Duration,
}

impl Lanes for SlowLanes {
    fn lane(&self, _name: &'static str) -> Lane {
        let (tx, mut rx) = mpsc::channel::<Job>(4096);
        let rng = self.rng.clone();
        let job_max = self.job_max;
        tokio::spawn(async move {
            while let Some(job) = rx.recv().await {
                let pause = rng.lock().unwrap().random_range(Duration::ZERO..job_max);
                sleep(pause).await;
                job();
            }
        });
        Lane::new(move |job| tx.try_send(job).map_err(|_closed| LaneClosed))
    }

    fn read(&self, job: Job) -> Result<(), LaneClosed> {
        InlineLanes.read(job)
    }
}

/// A place where a node runs: its disk, its engines, its address.
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) disk: MemoryDisk,
    pub(crate) engines: Arc<MemorySource>,
    pub(crate) node: Option<Node>,
    pub(crate) id: NodeId,
    incarnation: Incarnation,
}

/// The whole world of one seed.
pub(crate) struct World {
    pub(crate) net: Net,
    pub(crate) seats: Vec<Seat>,
    pub(crate) trace: Trace,
    rng: StdRng,
    /// Set before a node starts to change its settings.
    pub(crate) settings: fn(&mut NodeConfig),
}

impl World {
    fn new(seed: u64) -> World {
        World {
            net: Net::new(seed ^ 0x6e65_7400),
            seats: Vec::new(),
            trace: Trace::default(),
            rng: StdRng::seed_from_u64(seed),
            settings: |_config| {},
        }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.rng.random()
    }

    /// A new, empty place; its number.
    pub(crate) fn seat(&mut self) -> usize {
        let number = self.seats.len();
        let incarnation = Incarnation(self.draw() | 1);
        self.seats.push(Seat {
            name: format!("n{number}"),
            address: format!("n{number}:1"),
            disk: MemoryDisk::new(),
            engines: Arc::new(MemorySource::new()),
            node: None,
            id: NodeId(0),
            incarnation,
        });
        number
    }

    /// The disk of a seat is wiped: nothing is left of the node but its name.
    pub(crate) fn wipe(&mut self, at: usize) {
        let incarnation = Incarnation(self.draw() | 1);
        let seat = &mut self.seats[at];
        seat.disk = MemoryDisk::new();
        seat.engines = Arc::new(MemorySource::new());
        seat.incarnation = incarnation;
    }

    fn config(&self, at: usize) -> NodeConfig {
        let seat = &self.seats[at];
        let mut config = NodeConfig::new(
            data_dir(),
            seat.name.clone(),
            seat.address.clone(),
            format!("{}:2", seat.name),
        );
        config.segment_bytes = 256 * 1024;
        (self.settings)(&mut config);
        config
    }

    /// Starts the node of a seat that has an identity.
    pub(crate) async fn start(&mut self, at: usize) -> Node {
        self.try_start(at).await.expect("the node starts")
    }

    /// Starts the node of a seat if it can be started.
    pub(crate) async fn try_start(&mut self, at: usize) -> Result<Node, StartError> {
        let seed = self.draw();
        let config = self.config(at);
        let seat = &self.seats[at];
        let env = Env {
            transport: self.net.transport(&seat.address),
            disk: Arc::new(seat.disk.clone()),
            lanes: Arc::new(SlowLanes {
                rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed ^ 1))),
                job_max: Duration::from_micros(900),
            }),
            clock: Arc::new(Wall),
            engine: seat.engines.clone(),
            seed,
        };
        let node = Node::start(config, env).await?;
        self.net.listen(&seat.address, node.clone());
        self.seats[at].node = Some(node.clone());
        Ok(node)
    }

    /// Founds a cluster with one node.
    pub(crate) async fn found(&mut self) -> Node {
        let at = self.seat();
        let cluster = ClusterId(self.draw() | 1);
        let incarnation = self.seats[at].incarnation;
        self.seats[at].id = NodeId(1);
        Identity::found(cluster, "sim".to_owned(), incarnation)
            .write(&self.seats[at].disk, &data_dir())
            .unwrap();
        let node = self.start(at).await;
        self.led().await;
        node
    }

    /// What the cluster should know of a seat.
    pub(crate) fn member(&self, at: usize) -> Member {
        let seat = &self.seats[at];
        Member {
            name: seat.name.clone(),
            peer_address: seat.address.clone(),
            client_address: format!("{}:2", seat.name),
            incarnation: seat.incarnation,
        }
    }

    /// Joins a seat through a node, up to its vote.
    pub(crate) async fn join(&mut self, at: usize, through: &Node) -> Node {
        let incarnation = self.seats[at].incarnation;
        let allocation = through.allocate(incarnation, soon()).await.unwrap();
        let again = through.allocate(incarnation, soon()).await.unwrap();
        assert_eq!(
            allocation.node, again.node,
            "the same folder gets the same id"
        );
        Identity::draw(incarnation)
            .join(allocation.cluster, allocation.cluster_name, allocation.node)
            .write(&self.seats[at].disk, &data_dir())
            .unwrap();
        self.seats[at].id = allocation.node;
        let node = self.start(at).await;
        let mut events = through.add_member(allocation.node, self.member(at), soon());
        let mut last = None;
        while let Some(event) = events.recv().await {
            let event = event.expect("the join goes on");
            self.trace.say(&format!("join {at}: {event:?}"));
            last = Some(event);
        }
        assert_eq!(last, Some(JoinProgress::Voter));
        node
    }

    /// A cluster of `size` voters.
    pub(crate) async fn cluster(&mut self, size: usize) -> Vec<Node> {
        let mut nodes = vec![self.found().await];
        while nodes.len() < size {
            let at = self.seat();
            let through = nodes[nodes.len() - 1].clone();
            nodes.push(self.join(at, &through).await);
        }
        nodes
    }

    /// The power of a seat fails: what was not synced may be gone.
    pub(crate) async fn crash(&mut self, at: usize) {
        let seed = self.draw();
        let seat = &mut self.seats[at];
        self.net.leave(&seat.address);
        if let Some(node) = seat.node.take() {
            seat.disk = seat.disk.crash(seed);
            seat.engines.crash_machine();
            node.abort();
        }
        self.trace.say(&format!("crash {at}"));
        // Its tasks notice.
        sleep(Duration::from_millis(5)).await;
    }

    /// The process of a seat is killed: what was written is there, synced or not.
    pub(crate) async fn kill(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        self.net.leave(&seat.address);
        if let Some(node) = seat.node.take() {
            seat.disk = seat.disk.kill();
            node.abort();
        }
        self.trace.say(&format!("kill {at}"));
        sleep(Duration::from_millis(5)).await;
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<Node> {
        let nodes = self.seats.iter().filter_map(|seat| seat.node.clone());
        nodes.collect()
    }

    /// Waits until somebody leads with a quorum; where it sits.
    pub(crate) async fn led(&self) -> usize {
        until("somebody leads", || {
            self.seats.iter().position(|seat| {
                seat.node.as_ref().is_some_and(|node| {
                    let standing = node.status().standing;
                    standing.role == Role::Leader && standing.quorum
                })
            })
        })
        .await
    }

    /// Waits until all that run have applied the same entries, and checks that they are equal.
    pub(crate) async fn settle(&mut self) {
        let nodes = self.running();
        let hash = until("all nodes have applied the same", || {
            let states: Vec<_> = nodes
                .iter()
                .map(|node| {
                    let status = node.status();
                    let applied = status.applied.map(|id| id.index);
                    (applied, status.last, status.store.state_hash)
                })
                .collect();
            let first = states[0];
            let same = states
                .iter()
                .all(|state| (state.0, state.1) == (first.0, first.1) && state.0 == state.1);
            same.then_some((states.clone(), first.2))
        })
        .await;
        for state in &hash.0 {
            assert_eq!(state.2, hash.1, "replicas differ: {:?}", hash.0);
        }
        self.trace.say(&format!("settled {:?}", hash.0[0]));
    }

    /// Checks that every node has these pairs, read linearizably.
    pub(crate) async fn check(&mut self, expected: &BTreeMap<Bytes, Bytes>) {
        for node in self.running() {
            let found = everything(&node).await;
            for (key, value) in expected {
                assert_eq!(found.get(key), Some(value), "{key:?} on {node:?}");
            }
        }
    }
}

/// Everything in the store, read linearizably through a node.
pub(crate) async fn everything(node: &Node) -> BTreeMap<Bytes, Bytes> {
    let read = node.range(
        Range::of(KeyRange::all()),
        Consistency::Linearizable,
        soon(),
    );
    let (_header, result) = read.await.unwrap();
    let records = result.unwrap().records.into_iter();
    records.map(|record| (record.key, record.value)).collect()
}

pub(crate) fn data_dir() -> PathBuf {
    PathBuf::from("/data")
}

/// A deadline that nothing healthy misses.
pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Waits for a condition.
pub(crate) async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = timeout(PATIENCE, async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    let Ok(value) = waiting.await else {
        panic!("it never came about that {what}");
    };
    value
}

/// Waits until a node has ended by itself or by order.
pub(crate) async fn ended(node: &Node) -> StopReason {
    timeout(PATIENCE, node.failed())
        .await
        .expect("the node ends")
}

/// A write of one key.
pub(crate) fn put(key: &str, value: &str, request: Option<RequestId>) -> Proposal {
    Proposal {
        request,
        command: Command::Put(Put {
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        }),
    }
}

/// Writes one key; the revision that wrote it.
pub(crate) async fn write(node: &Node, key: &str, value: &str) -> Result<Revision, NodeError> {
    write_by(node, key, value, soon()).await
}

/// Writes one key by a deadline.
pub(crate) async fn write_by(
    node: &Node,
    key: &str,
    value: &str,
    deadline: Instant,
) -> Result<Revision, NodeError> {
    let (_header, outcome) = node.propose(put(key, value, None), deadline).await?;
    let Outcome { revision, result } = outcome;
    assert!(matches!(result, Ok(Reply::Put { .. })), "{result:?}");
    Ok(revision)
}

/// Everything that happened, in order, as one hash.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(crate) fn say(&self, what: &str) {
        let at = Instant::now();
        let line = format!("{:?} {what}", at.duration_since(start_of_time()));
        self.lines.lock().unwrap().push(line);
    }

    /// The whole trace.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

thread_local! {
    static START: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() };
}

fn start_of_time() -> Instant {
    START.with(|start| *start.get_or_init(Instant::now))
}
