//! Real threads for blocking work: one thread an ordered lane, a small pool for reads.
//!
//! Invariants: (1) the jobs of a lane run in order, on one thread; (2) a lane ends when its last
//! handle is dropped and its last job has run; (3) `Threads::wait` returns when every lane has
//! ended, so that nothing writes to the data folder after its lock is gone.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use hstore_node::{Job, Lane, LaneClosed, Lanes};

use crate::meter::STORE_COMMIT;

/// Threads that read blocks. Reads wait for the disk most of the time, so there are more of them
/// than processors.
const READERS: usize = 4;

/// The lane that writes the store down.
const STORE_LANE: &str = "flush";

/// The lanes of one node.
pub(crate) struct Threads {
    /// Jobs are bounded by those who submit them, see `hstore_node::Lanes`.
    reads: Mutex<Option<Sender<Job>>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts the readers.
    pub(crate) fn start() -> std::io::Result<Arc<Threads>> {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut running = Vec::new();
        for index in 0..READERS {
            let jobs = Arc::clone(&receiver);
            let name = format!("read-{index}");
            running.push(Builder::new().name(name).spawn(move || read_all(&jobs))?);
        }
        Ok(Arc::new(Threads {
            reads: Mutex::new(Some(sender)),
            running: Mutex::new(running),
        }))
    }

    /// Waits until every lane has ended, or the time is over; says whether all have.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        drop(locked(&self.reads).take());
        let mut running = std::mem::take(&mut *locked(&self.running));
        while Instant::now() < deadline {
            running.retain(|thread| !thread.is_finished());
            if running.is_empty() {
                return true;
            }
            // Threads have no join with a deadline, and this is the last thing a process does.
            std::thread::park_timeout(Duration::from_millis(2));
        }
        running.iter().all(JoinHandle::is_finished)
    }
}

impl Lanes for Threads {
    fn lane(&self, name: &'static str) -> Lane {
        let (sender, receiver) = channel::<Job>();
        let spawned = Builder::new().name(name.to_owned()).spawn(move || {
            while let Ok(job) = receiver.recv() {
                let began = Instant::now();
                job();
                if name == STORE_LANE {
                    STORE_COMMIT.add(began.elapsed());
                }
            }
        });
        match spawned {
            Ok(thread) => locked(&self.running).push(thread),
            // The receiver is gone with the closure: every job is refused as closed.
            Err(error) => tracing::error!(name, %error, "the system gives no thread"),
        }
        let sender = Mutex::new(sender);
        Lane::new(move |job| locked(&sender).send(job).map_err(|_refused| LaneClosed))
    }

    fn read(&self, job: Job) -> Result<(), LaneClosed> {
        let reads = locked(&self.reads);
        let sender = reads.as_ref().ok_or(LaneClosed)?;
        sender.send(job).map_err(|_refused| LaneClosed)
    }
}

fn read_all(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = locked(jobs).recv();
        match job {
            Ok(job) => job(),
            Err(_closed) => return,
        }
    }
}

/// A panic on a lane aborts the process, so a poisoned lock has no witness.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_of_a_lane_run_in_order_and_answer() {
        let threads = Threads::start().unwrap();
        let lane = threads.lane("log");
        let seen = Arc::new(Mutex::new(Vec::new()));
        for number in 0..100 {
            let seen = Arc::clone(&seen);
            lane.submit(move || seen.lock().unwrap().push(number))
                .unwrap();
        }
        assert_eq!(lane.run(|| 7).await, Ok(7));
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<_>>());
        drop(lane);
        assert!(threads.wait(Duration::from_secs(20)));
    }

    #[test]
    fn a_lane_that_is_held_keeps_the_wait_until_its_end() {
        let threads = Threads::start().unwrap();
        let lane = threads.lane("log");
        assert!(!threads.wait(Duration::from_millis(20)));
        drop(lane);
    }

    #[test]
    fn reads_run_at_the_same_time_and_are_refused_after_the_end() {
        let threads = Threads::start().unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(READERS));
        let (done, wait) = channel();
        for _ in 0..READERS {
            let (barrier, done) = (Arc::clone(&barrier), done.clone());
            // Each waits for all others: it only ends if they run at the same time.
            let job = move || {
                barrier.wait();
                done.send(()).unwrap();
            };
            threads.read(Box::new(job)).unwrap();
        }
        for _ in 0..READERS {
            wait.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert!(threads.wait(Duration::from_secs(20)));
        assert_eq!(threads.read(Box::new(|| ())), Err(LaneClosed));
    }
}
