//! Lanes: where blocking work runs, so that a runtime thread never waits for a disk.
//!
//! Invariants: (1) the jobs of one lane run one after the other, in the order they were given;
//! (2) a job that was accepted runs, also when nobody waits for it any more; (3) the jobs of
//! [`Lanes::read`] may run in any order and at the same time.

use std::fmt;
use std::sync::Arc;

/// A piece of blocking work.
pub type Job = Box<dyn FnOnce() + Send>;

/// Opens lanes: threads in the server, inline in the simulator.
pub trait Lanes: Send + Sync {
    /// Opens an ordered lane of its own. It ends when the last clone of it is dropped.
    fn lane(&self, name: &'static str) -> Lane;

    /// Runs a read of the disk, in no order. When all readers are busy the job waits in a queue
    /// whose length the caller bounds (see `read::READS_ON_LANES_MAX`).
    fn read(&self, job: Job) -> Result<(), LaneClosed>;
}

/// An ordered queue of blocking work. Its users bound what they put in: each keeps at most a
/// fixed number of jobs in it, so it needs no bound of its own.
#[derive(Clone)]
pub struct Lane {
    submit: Arc<dyn Fn(Job) -> Result<(), LaneClosed> + Send + Sync>,
}

impl Lane {
    /// A lane out of what submits a job to it.
    pub fn new(submit: impl Fn(Job) -> Result<(), LaneClosed> + Send + Sync + 'static) -> Lane {
        Lane {
            submit: Arc::new(submit),
        }
    }

    /// Hands over a job without waiting for it.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), LaneClosed> {
        (self.submit)(Box::new(job))
    }

    /// Runs a job and waits for its answer. When the caller goes away the job still runs.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LaneClosed> {
        let (answer, wait) = tokio::sync::oneshot::channel();
        self.submit(move || {
            // Nobody waits any more: the work is done all the same, its answer is not needed.
            let _gone = answer.send(job());
        })?;
        wait.await.map_err(|_closed| LaneClosed)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").finish_non_exhaustive()
    }
}

/// The lane's thread is gone, or the job died on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lane is closed")]
pub struct LaneClosed;

/// Lanes that run each job at once, on the caller: for the simulator, where a disk never blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineLanes;

impl Lanes for InlineLanes {
    fn lane(&self, _name: &'static str) -> Lane {
        Lane::new(|job| {
            job();
            Ok(())
        })
    }

    fn read(&self, job: Job) -> Result<(), LaneClosed> {
        job();
        Ok(())
    }
}
