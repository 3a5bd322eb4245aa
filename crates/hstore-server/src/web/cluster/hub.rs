//! One look at the cluster for all who watch it.
//!
//! However many watch, the members are asked once: the newest look is kept, and each listener takes
//! it when its connection has room. Invariants: (1) nobody asks the members while nobody watches;
//! (2) a member that died is seen as dead within [`INTERVAL`] and the time that members have for
//! their answer, which is less than two seconds; (3) there is a bound to the listeners.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hstore_core::id::{ClusterId, NodeId};
use hstore_node::{Node, Standing};
use hstore_proto::hstore::v1::ClusterDescription;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::now_ms;
use super::scene::{Election, Known, Scene};
use crate::grpc::{Lifecycle, description};

/// The pause between two looks.
const INTERVAL: Duration = Duration::from_millis(600);

/// How long the members have to say how they are.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(800);

/// The most listeners.
const LISTENERS_MAX: usize = 64;

/// How many elections are remembered.
const ELECTIONS_MAX: usize = 64;

/// What is known of the cluster, and who wants to know.
pub(in crate::web) struct Hub {
    node: Node,
    lifecycle: Arc<dyn Lifecycle>,
    looks: watch::Sender<Option<Arc<Scene>>>,
    wanted: Notify,
    places: Arc<Semaphore>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    elections: VecDeque<Election>,
    heard: BTreeMap<u64, Instant>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// A place among the listeners.
pub(super) struct Listening {
    /// The newest look; none until there is one.
    pub(super) looks: watch::Receiver<Option<Arc<Scene>>>,
    /// Role, term and leader of this node, as they change.
    pub(super) standing: watch::Receiver<Standing>,
    _place: OwnedSemaphorePermit,
}

impl Hub {
    /// A hub over a node; it works when it is run.
    pub(in crate::web) fn new(node: Node, lifecycle: Arc<dyn Lifecycle>) -> Arc<Hub> {
        Arc::new(Hub {
            node,
            lifecycle,
            looks: watch::Sender::new(None),
            wanted: Notify::new(),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
            memory: Mutex::default(),
        })
    }

    /// A place among the listeners; none when all are taken.
    pub(super) fn listen(&self) -> Option<Listening> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let listening = Listening {
            looks: self.looks.subscribe(),
            standing: self.node.standing(),
            _place: place,
        };
        self.wanted.notify_one();
        Some(listening)
    }

    /// Looks while anybody listens, and notes elections always; does not end.
    pub(in crate::web) async fn run(&self) {
        let mut standing = self.node.standing();
        self.note(&standing.borrow_and_update());
        loop {
            if self.looks.receiver_count() == 0 {
                // What is old is told to nobody.
                self.looks.send_replace(None);
                tokio::select! {
                    () = self.wanted.notified() => {}
                    changed = standing.changed() => {
                        if changed.is_err() {
                            std::future::pending::<()>().await;
                        }
                        self.note(&standing.borrow_and_update());
                        continue;
                    }
                }
            }
            let scene = self.look().await;
            self.looks.send_replace(Some(Arc::new(scene)));
            let pause = sleep(INTERVAL);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.wanted.notified() => break,
                    changed = standing.changed() => {
                        if changed.is_err() {
                            std::future::pending::<()>().await;
                        }
                        self.note(&standing.borrow_and_update());
                    }
                }
            }
        }
    }

    /// The cluster as of now.
    pub(super) async fn look(&self) -> Scene {
        let told = self.describe().await;
        let now = Instant::now();
        let up = told.members.iter().filter(|member| member.reachable);
        let up = up.filter_map(|member| Some(member.member.as_ref()?.node_id));
        let mut memory = self.memory();
        for node in up {
            memory.heard.insert(node, now);
        }
        // Ids are never used twice, so who left is not asked for again.
        let ids = told.members.iter().filter_map(|row| row.member.as_ref());
        let ids: Vec<u64> = ids.map(|member| member.node_id).collect();
        memory.heard.retain(|node, _| ids.contains(node));
        let seen = Seen {
            cluster: ClusterId(told.cluster_id),
            heard: memory.heard.clone(),
            now,
            lifecycle: &*self.lifecycle,
        };
        let elections: Vec<Election> = memory.elections.iter().copied().collect();
        drop(memory);
        Scene::of(&told, elections.into_iter(), &seen)
    }

    /// The members, asked now.
    pub(super) async fn describe(&self) -> ClusterDescription {
        let members = self.node.cluster(Instant::now() + ANSWER_TIMEOUT).await;
        description(self.node.status(), members, true)
    }

    fn note(&self, standing: &Standing) {
        let Some(leader) = standing.leader else {
            return;
        };
        let election = Election {
            at_ms: now_ms(),
            term: standing.term.0,
            leader: leader.0,
        };
        let elections = &mut self.memory().elections;
        if elections
            .back()
            .is_some_and(|last| last.term >= election.term)
        {
            return;
        }
        if elections.len() == ELECTIONS_MAX {
            elections.pop_front();
        }
        elections.push_back(election);
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this node knows of the members beside what they say.
struct Seen<'a> {
    cluster: ClusterId,
    heard: BTreeMap<u64, Instant>,
    now: Instant,
    lifecycle: &'a dyn Lifecycle,
}

impl Known for Seen<'_> {
    fn heard(&self, node: u64) -> Option<Duration> {
        let heard = self.heard.get(&node)?;
        Some(self.now.saturating_duration_since(*heard))
    }

    fn is_stopped_here(&self, node: u64) -> bool {
        self.lifecycle.is_stopped_here(self.cluster, NodeId(node))
    }
}
