//! The node's task group: the only place that spawns.
//!
//! Invariants: (1) every task has a name and ends with the node; (2) a task that panics ends the
//! node; (3) every task has a random sequence of its own that descends from the node's seed, so
//! one seed is one run.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::env::Gate;
use crate::error::StopReason;
use crate::fate::Fate;
use crate::raft::Runtime;

/// A source of seeds; clones continue the same sequence.
#[derive(Clone, Debug)]
pub(crate) struct Seeds {
    next: Arc<AtomicU64>,
}

impl Seeds {
    pub(crate) fn new(seed: u64) -> Seeds {
        Seeds {
            next: Arc::new(AtomicU64::new(seed)),
        }
    }

    /// The next seed: a counter through a bijective mixer (Steele et al., SplitMix).
    pub(crate) fn draw(&self) -> u64 {
        let counter = self
            .next
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The tasks of one node.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    fate: Fate,
    seeds: Seeds,
    gate: Option<Gate>,
}

impl Tasks {
    pub(crate) fn new(fate: Fate, seeds: Seeds, gate: Option<Gate>) -> Tasks {
        Tasks {
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            fate,
            seeds,
            gate,
        }
    }

    /// Spawns a task that may end by itself, such as one connection.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_with(name, false, task);
    }

    /// Spawns a task that the node cannot live without: its end is the node's end.
    pub(crate) fn spawn_vital(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.spawn_with(name, true, task);
    }

    fn spawn_with(
        &self,
        name: &'static str,
        vital: bool,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        let fate = self.fate.clone();
        let watched = async move {
            let task = AssertUnwindSafe(task).catch_unwind();
            tokio::select! {
                // Stopping comes first, so that a busy task cannot put it off.
                biased;
                () = stop.cancelled() => {}
                ended = task => match ended {
                    Ok(()) if vital => {
                        fate.end(StopReason::Internal(format!("the task {name} ended")));
                    }
                    Ok(()) => {}
                    Err(_panic) => {
                        fate.end(StopReason::Internal(format!("the task {name} panicked")));
                    }
                },
            }
        };
        let task = Runtime::scope(self.seeds.draw(), watched);
        self.detach(self.tracker.track_future(task));
    }

    /// Spawns the task that ends the others: it outlives `stop`, and `ended` does not wait for it.
    pub(crate) fn spawn_last(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.detach(Runtime::scope(self.seeds.draw(), task));
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the task group that everybody else uses"
    )]
    fn detach(&self, task: impl Future<Output = ()> + Send + 'static) {
        let _detached = match &self.gate {
            Some(gate) => tokio::spawn(gate.clone().before(task)),
            None => tokio::spawn(task),
        };
    }

    /// Runs a future of a caller outside of the group with the node's randomness.
    pub(crate) async fn seeded<T>(&self, future: impl Future<Output = T>) -> T {
        let future = Runtime::scope(self.seeds.draw(), future);
        match &self.gate {
            Some(gate) => Box::pin(gate.clone().beside(future)).await,
            None => future.await,
        }
    }

    /// Whether the group was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop.
    pub(crate) fn stop(&self) {
        self.tracker.close();
        self.stop.cancel();
    }

    /// Waits until every task has ended; only after `stop`.
    pub(crate) async fn ended(&self) {
        self.tracker.wait().await;
    }
}
