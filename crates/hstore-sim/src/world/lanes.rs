//! Lanes whose jobs take a while, or for ever: work really waits for the disk.
//!
//! Invariants: (1) the jobs of one lane run in their order; (2) when the weather calms down,
//! whatever waited goes on; (3) a job runs whole at one moment: what interrupts it half way is a
//! fault of the disk (see `MemoryDisk::cut_power_after`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_node::{Job, Lane, LaneClosed, Lanes};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

/// The longest that a job of a healthy disk takes.
pub const JOB_MAX: Duration = Duration::from_micros(900);

/// The most jobs that wait on one lane; its users bound what they put in far below.
const JOBS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conditions {
    job_min: Duration,
    job_max: Duration,
    /// How many reasons there are to stand still.
    stuck: u32,
}

/// How the disk of one machine feels, in one life of its process. Clones are the same weather.
#[derive(Clone)]
pub struct Weather {
    conditions: Arc<watch::Sender<Conditions>>,
    rng: Arc<Mutex<StdRng>>,
}

impl Weather {
    /// A healthy disk.
    pub fn new(seed: u64) -> Weather {
        Weather {
            conditions: Arc::new(watch::Sender::new(Conditions {
                job_min: Duration::ZERO,
                job_max: JOB_MAX,
                stuck: 0,
            })),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// Every job takes between these from now on.
    pub fn slow(&self, job_min: Duration, job_max: Duration) {
        self.conditions.send_modify(|now| {
            now.job_min = job_min;
            now.job_max = job_max;
        });
    }

    /// Jobs are as fast as they should be.
    pub fn fast(&self) {
        self.slow(Duration::ZERO, JOB_MAX);
    }

    /// No job begins from now on, for one more reason.
    pub fn stick(&self) {
        self.conditions.send_modify(|now| now.stuck += 1);
    }

    /// One reason to stand still is gone.
    pub fn unstick(&self) {
        self.conditions
            .send_modify(|now| now.stuck = now.stuck.saturating_sub(1));
    }

    /// Everything is well: the machine was switched off, nobody may wait for this disk for ever.
    pub fn calm(&self) {
        self.conditions.send_modify(|now| {
            *now = Conditions {
                job_min: Duration::ZERO,
                job_max: JOB_MAX,
                stuck: 0,
            };
        });
    }

    /// Lanes under this weather, for a node that runs in this runtime.
    pub fn lanes(&self) -> Arc<dyn Lanes> {
        Arc::new(SlowLanes {
            weather: self.clone(),
        })
    }

    fn rng(&self) -> MutexGuard<'_, StdRng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as a job takes before it does its work.
    async fn pass(&self) {
        let now = *self.conditions.borrow();
        let pause = if now.job_max > now.job_min {
            self.rng().random_range(now.job_min..now.job_max)
        } else {
            now.job_min
        };
        sleep(pause).await;
        let mut changes = self.conditions.subscribe();
        // The sender is in this very value, so it cannot go away meanwhile.
        let _moves_again = changes.wait_for(|now| now.stuck == 0).await;
    }
}

/// Lanes under a weather.
struct SlowLanes {
    weather: Weather,
}

impl Lanes for SlowLanes {
    fn lane(&self, _name: &'static str) -> Lane {
        let (tx, mut rx) = mpsc::channel::<Job>(JOBS_MAX);
        let weather = self.weather.clone();
        tokio::spawn(async move {
            while let Some(job) = rx.recv().await {
                weather.pass().await;
                job();
            }
        });
        Lane::new(move |job| tx.try_send(job).map_err(|_closed| LaneClosed))
    }

    fn read(&self, job: Job) -> Result<(), LaneClosed> {
        let healthy = {
            let now = self.weather.conditions.borrow();
            now.stuck == 0 && now.job_max <= JOB_MAX
        };
        if healthy {
            job();
            return Ok(());
        }
        let weather = self.weather.clone();
        tokio::spawn(async move {
            weather.pass().await;
            job();
        });
        Ok(())
    }
}
