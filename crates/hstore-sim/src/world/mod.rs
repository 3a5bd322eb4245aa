//! A cluster in one thread on a clock that only moves when everybody waits.
//!
//! Invariants: (1) every random choice descends from the seed, and one seed is run in one fresh
//! process, so a run can be repeated line by line; (2) a machine that lost its power answers
//! nothing any more, and nothing of it reaches its disk; (3) a data folder's id is never used by
//! another folder.

mod clock;
mod lanes;
mod seat;
mod wait;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::id::{ClusterId, Incarnation, NodeId};
use hstore_core::membership::Member;
use hstore_node::{
    Env, Gate, Identity, JoinProgress, Node, NodeConfig, NodeError, Role, StartError, StopReason,
};
use hstore_storage::disk::memory::MemoryDisk;
use hstore_storage::engine::memory::MemorySource;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::RngSeed;
use tokio::time::{Instant, sleep};

pub use self::clock::Wall;
pub use self::lanes::{JOB_MAX, Weather};
use self::seat::Seat;
pub use self::wait::{
    PATIENCE, data_dir, ended, everything, put, soon, until, within, write, write_by,
};
use crate::net::Net;
use crate::trace::Trace;

/// How long the tasks of a dead process may take to notice that it is dead.
const AFTERLIFE: Duration = Duration::from_millis(5);

/// Changes the settings of every node that starts.
pub type Settings = Arc<dyn Fn(&mut NodeConfig) + Send + Sync>;

struct State {
    rng: StdRng,
    began: Instant,
    seats: Vec<Seat>,
    settings: Settings,
}

/// The whole world of one seed. Clones are the same world.
#[derive(Clone)]
pub struct World {
    /// The network between the seats.
    pub net: Net,
    /// What happened.
    pub trace: Trace,
    state: Arc<Mutex<State>>,
}

/// Runs one seed: a world of its own in a runtime of its own, its story kept.
pub fn run<T>(seed: u64, scenario: impl AsyncFnOnce(World) -> T) -> T {
    run_with(seed, true, scenario)
}

/// The same; the story's lines are kept only if somebody wants to read them.
pub fn run_with<T>(seed: u64, keep_trace: bool, scenario: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&seed.to_le_bytes()))
        .build()
        .expect("a runtime without sockets needs nothing of the system");
    runtime.block_on(async { scenario(World::new(seed, keep_trace)).await })
}

impl World {
    fn new(seed: u64, keep_trace: bool) -> World {
        World {
            net: Net::new(seed ^ 0x6e65_7400),
            trace: Trace::new(keep_trace),
            state: Arc::new(Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                began: Instant::now(),
                seats: Vec::new(),
                settings: Arc::new(|_config| {}),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A random number.
    pub fn draw(&self) -> u64 {
        self.state().rng.random()
    }

    /// Changes the settings of every node that starts from now on.
    pub fn set(&self, settings: impl Fn(&mut NodeConfig) + Send + Sync + 'static) {
        self.state().settings = Arc::new(settings);
    }

    /// A new, empty place; its number.
    pub fn seat(&self) -> usize {
        let incarnation = Incarnation(self.draw() | 1);
        let seed = self.draw();
        let mut state = self.state();
        let number = state.seats.len();
        let wall = Wall::new(state.began);
        state.seats.push(Seat::new(number, incarnation, seed, wall));
        number
    }

    /// How many places there are.
    pub fn seats(&self) -> usize {
        self.state().seats.len()
    }

    /// The address of a place.
    pub fn address(&self, at: usize) -> String {
        self.state().seats[at].address.clone()
    }

    /// The addresses of all places.
    pub fn addresses(&self) -> Vec<String> {
        let state = self.state();
        let addresses = state.seats.iter().map(|seat| seat.address.clone());
        addresses.collect()
    }

    /// The id of the node that lives, or lived last, in a place.
    pub fn id(&self, at: usize) -> NodeId {
        self.state().seats[at].id
    }

    /// The node that runs in a place.
    pub fn node(&self, at: usize) -> Option<Node> {
        self.state().seats[at].node.clone()
    }

    /// The disk of a place.
    pub fn disk(&self, at: usize) -> MemoryDisk {
        self.state().seats[at].disk.clone()
    }

    /// The weather over the disk of a place, in the present life of its process.
    pub fn weather(&self, at: usize) -> Weather {
        self.state().seats[at].weather.clone()
    }

    /// The clock on the wall of a place.
    pub fn wall(&self, at: usize) -> Wall {
        self.state().seats[at].wall.clone()
    }

    /// How often the node of a place was started.
    pub fn starts(&self, at: usize) -> u64 {
        self.state().seats[at].starts
    }

    /// The number of the present life of a place: it changes whenever a process there begins or
    /// ends.
    pub fn life(&self, at: usize) -> u64 {
        *self.state().seats[at].life.borrow()
    }

    /// Gives the next node of a place another name.
    pub fn rename(&self, at: usize, name: &str) {
        name.clone_into(&mut self.state().seats[at].name);
    }

    /// Moves a place to another address, for its next start.
    pub fn move_to(&self, at: usize, address: &str) {
        address.clone_into(&mut self.state().seats[at].address);
    }

    /// The disk of a place is wiped: nothing is left of the node but its name.
    pub fn wipe(&self, at: usize) {
        let incarnation = Incarnation(self.draw() | 1);
        let mut state = self.state();
        let seat = &mut state.seats[at];
        seat.turn();
        seat.disk = MemoryDisk::new();
        seat.engines = Arc::new(MemorySource::new());
        seat.incarnation = incarnation;
    }

    /// Starts the node of a seat that has an identity.
    pub async fn start(&self, at: usize) -> Node {
        self.try_start(at).await.expect("the node starts")
    }

    /// Starts the node of a seat if it can be started. A start whose machine loses its power
    /// meanwhile fails.
    pub async fn try_start(&self, at: usize) -> Result<Node, StartError> {
        let seed = self.draw();
        let (config, env, life, mut lives) = {
            let mut state = self.state();
            let settings = state.settings.clone();
            let seat = &mut state.seats[at];
            let life = seat.turn();
            seat.starts += 1;
            seat.weather = Weather::new(seed ^ 1);
            seat.gate = Gate::default();
            let mut config = NodeConfig::new(
                data_dir(),
                seat.name.clone(),
                seat.address.clone(),
                format!("{}:2", seat.name),
            );
            config.segment_bytes = 256 * 1024;
            settings(&mut config);
            let env = Env {
                transport: self.net.transport(&seat.address, life),
                disk: Arc::new(seat.disk.clone()),
                lanes: seat.weather.lanes(),
                clock: Arc::new(seat.wall.clone()),
                engine: seat.engines.clone(),
                seed,
                gate: Some(seat.gate.clone()),
            };
            self.net.power_on(&seat.address, life);
            (config, env, life, seat.life.subscribe())
        };
        let lost = || StartError::Internal("the machine lost its power".to_owned());
        let node = tokio::select! {
            biased;
            _ended = lives.wait_for(|now| *now != life) => return Err(lost()),
            started = Node::start(config, env) => started?,
        };
        let mut state = self.state();
        let seat = &mut state.seats[at];
        if *seat.life.borrow() != life {
            node.abort();
            return Err(lost());
        }
        self.net.listen(&seat.address, node.clone());
        seat.node = Some(node.clone());
        Ok(node)
    }

    /// Gives a place the identity of a founder.
    pub fn found_at(&self, at: usize) {
        let cluster = ClusterId(self.draw() | 1);
        let mut state = self.state();
        let seat = &mut state.seats[at];
        seat.id = NodeId(1);
        Identity::found(cluster, "sim".to_owned(), seat.incarnation)
            .write(&seat.disk, &data_dir())
            .expect("a new disk takes an identity");
    }

    /// Founds a cluster with one node.
    pub async fn found(&self) -> Node {
        let at = self.seat();
        self.found_at(at);
        let node = self.start(at).await;
        self.led().await;
        node
    }

    /// What the cluster should know of a seat.
    pub fn member(&self, at: usize) -> Member {
        let state = self.state();
        let seat = &state.seats[at];
        Member {
            name: seat.name.clone(),
            started_as: None,
            peer_address: seat.address.clone(),
            client_address: format!("{}:2", seat.name),
            incarnation: seat.incarnation,
        }
    }

    /// Gets a seat its id through a node, and writes it down. Asking again gets the same id.
    pub async fn allocate(
        &self,
        at: usize,
        through: &Node,
        deadline: Instant,
    ) -> Result<NodeId, NodeError> {
        let (incarnation, address) = {
            let state = self.state();
            let seat = &state.seats[at];
            (seat.incarnation, seat.address.clone())
        };
        let allocation = through
            .allocate(&Author::Node, incarnation, &address, deadline)
            .await?;
        let mut state = self.state();
        let seat = &mut state.seats[at];
        if seat.id == allocation.node || seat.incarnation != incarnation {
            return Ok(allocation.node);
        }
        Identity::draw(incarnation)
            .join(allocation.cluster, allocation.cluster_name, allocation.node)
            .write(&seat.disk, &data_dir())
            .map_err(|_error| NodeError::Invalid("the disk took no identity"))?;
        seat.id = allocation.node;
        Ok(allocation.node)
    }

    /// Whether the cluster gave the data folder of a place its id.
    pub fn has_id(&self, at: usize) -> bool {
        let state = self.state();
        let seat = &state.seats[at];
        let identity = Identity::read(&seat.disk, &data_dir());
        let joined = |identity: Identity| {
            (identity.node, identity.incarnation) == (seat.id, seat.incarnation)
        };
        identity.ok().flatten().is_some_and(joined)
    }

    /// Joins a seat through a node, up to its vote.
    pub async fn join(&self, at: usize, through: &Node) -> Node {
        let first = self.allocate(at, through, soon()).await;
        let again = self.allocate(at, through, soon()).await;
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(first, again, "the same folder gets the same id");
        let node = self.start(at).await;
        let added = self.add_member(at, through, soon()).await;
        assert_eq!(added, Ok(()));
        node
    }

    /// Has the cluster add the node of a seat, up to its vote.
    pub async fn add_member(
        &self,
        at: usize,
        through: &Node,
        deadline: Instant,
    ) -> Result<(), NodeError> {
        let mut events = through.add_member(self.id(at), self.member(at), deadline);
        let mut last = None;
        while let Some(event) = events.recv().await {
            self.trace.say(&format!("join {at}: {event:?}"));
            last = Some(event?);
        }
        match last {
            Some(JoinProgress::Voter) => Ok(()),
            _ => Err(NodeError::ShuttingDown),
        }
    }

    /// A cluster of `size` voters.
    pub async fn cluster(&self, size: usize) -> Vec<Node> {
        let mut nodes = vec![self.found().await];
        while nodes.len() < size {
            let at = self.seat();
            let through = nodes[nodes.len() - 1].clone();
            nodes.push(self.join(at, &through).await);
        }
        nodes
    }

    /// The power of a seat fails: what was not synced may be gone.
    pub async fn crash(&self, at: usize) {
        self.cut_power(at);
        sleep(AFTERLIFE).await;
    }

    /// The same, without waiting for the tasks of the dead process to notice.
    pub fn cut_power(&self, at: usize) {
        let seed = self.draw();
        self.net.go_dark(&self.address(at));
        self.end(at, |seat| {
            seat.disk = seat.disk.crash(seed);
            seat.engines.lose_power(seed ^ 0x656e_6769);
        });
        self.trace.say(&format!("crash {at}"));
    }

    /// The process of a seat is killed: what was written is there, synced or not.
    pub async fn kill(&self, at: usize) {
        self.kill_now(at);
        sleep(AFTERLIFE).await;
    }

    /// The same, without waiting for the tasks of the dead process to notice.
    pub fn kill_now(&self, at: usize) {
        self.end(at, |seat| seat.disk = seat.disk.kill());
        self.trace.say(&format!("kill {at}"));
    }

    /// A node that ended by itself leaves its seat.
    pub fn leave(&self, at: usize) {
        let mut state = self.state();
        let seat = &mut state.seats[at];
        self.net.power_off(&seat.address);
        seat.node = None;
    }

    fn end(&self, at: usize, disk: impl FnOnce(&mut Seat)) {
        let mut state = self.state();
        let seat = &mut state.seats[at];
        seat.turn();
        self.net.power_off(&seat.address);
        // The disk goes first: nothing of the old process reaches the new one's files.
        seat.engines = Arc::new(seat.engines.kill());
        disk(seat);
        if let Some(node) = seat.node.take() {
            node.abort();
        }
        seat.weather.calm();
        seat.paused.send_replace(0);
        // What is left of the process must run to its end to go away.
        seat.gate.open();
    }

    /// The process of a seat stands still, for one more reason: none of its tasks runs, so no
    /// timer fires, and no frame, no job of its disk and no request goes in or out.
    pub fn pause(&self, at: usize) {
        let state = self.state();
        let seat = &state.seats[at];
        seat.paused.send_modify(|reasons| *reasons += 1);
        seat.gate.close();
        seat.weather.stick();
        self.net.pause(&seat.address);
    }

    /// One reason to stand still is gone; it counts only in the life that it was given in.
    pub fn resume(&self, at: usize, life: u64) {
        let state = self.state();
        let seat = &state.seats[at];
        if *seat.life.borrow() != life {
            return;
        }
        seat.paused
            .send_modify(|reasons| *reasons = reasons.saturating_sub(1));
        seat.weather.unstick();
        if *seat.paused.borrow() == 0 {
            seat.gate.open();
            self.net.resume(&seat.address);
        }
    }

    /// Waits while the process of a seat stands still: what a client does before it is heard and
    /// before it hears.
    pub async fn awake(&self, at: usize) {
        let mut paused = self.state().seats[at].paused.subscribe();
        // The sender is in the seat, which is never taken away.
        let _awake = paused.wait_for(|reasons| *reasons == 0).await;
    }

    /// Waits until a life of a place is over.
    pub async fn outlived(&self, at: usize, life: u64) {
        let mut lives = self.state().seats[at].life.subscribe();
        // The sender is in the seat, which is never taken away.
        let _over = lives.wait_for(|now| *now != life).await;
    }

    /// The nodes that run.
    pub fn running(&self) -> Vec<Node> {
        let state = self.state();
        let nodes = state.seats.iter().filter_map(|seat| seat.node.clone());
        nodes.collect()
    }

    /// The seats whose nodes run.
    pub fn running_at(&self) -> Vec<usize> {
        let state = self.state();
        let seats = state.seats.iter().enumerate();
        seats
            .filter(|(_at, seat)| seat.node.is_some())
            .map(|(at, _seat)| at)
            .collect()
    }

    /// Where somebody leads with a quorum, if anybody does.
    pub fn leads(&self) -> Option<usize> {
        let state = self.state();
        state.seats.iter().position(|seat| {
            seat.node.as_ref().is_some_and(|node| {
                let standing = node.standing().borrow().clone();
                standing.role == Role::Leader && standing.quorum
            })
        })
    }

    /// Waits until somebody leads with a quorum; where it sits.
    pub async fn led(&self) -> usize {
        until("somebody leads", || self.leads_now()).await
    }

    fn leads_now(&self) -> Option<usize> {
        let state = self.state();
        state.seats.iter().position(|seat| {
            seat.node.as_ref().is_some_and(|node| {
                let standing = node.status().standing;
                standing.role == Role::Leader && standing.quorum
            })
        })
    }

    /// Waits until all that run have applied the same entries, and checks that they are equal.
    pub async fn settle(&self) {
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
    pub async fn check(&self, expected: &BTreeMap<Bytes, Bytes>) {
        for node in self.running() {
            let found = everything(&node).await;
            for (key, value) in expected {
                assert_eq!(found.get(key), Some(value), "{key:?} on {node:?}");
            }
        }
    }

    /// Why the node of a seat has ended, if it has.
    pub fn ended(&self, at: usize) -> Option<StopReason> {
        use futures::FutureExt;
        let node = self.node(at)?;
        node.failed().now_or_never()
    }
}
