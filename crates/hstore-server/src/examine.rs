//! What only a node's own machine can tell: its clock, and how long its disk takes to sync.
//!
//! It must never touch the node's data: what it writes is a file of its own that is gone afterwards,
//! and no error here ends the node.
//!
//! Invariants: (1) one look at the disk at a time, on a lane of its own; whoever asks within `FRESH`
//! of the last one gets its findings; (2) a look writes `BLOCKS` blocks at most and begins no sync
//! after `LOOK_MAX`; (3) a disk that does not answer holds that one lane, and nobody who asks for
//! longer than `PATIENCE`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hstore_node::{Lane, Lanes, WallClock as _};
use hstore_proto::hstore::v1::DiskExamination;
use hstore_storage::disk::{Disk, OpenMode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::runtime::SystemClock;

/// The file that is written, in the data folder. One that a crash left is written over.
const FILE: &str = "examine.tmp";

/// How much is written before each sync: about what a small entry of the log takes.
const BLOCK_BYTES: usize = 4096;

/// How many syncs a look measures at most.
const BLOCKS: usize = 10;

/// After so long a look begins no further sync.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// For how long findings are told again instead of looking anew.
const FRESH: Duration = Duration::from_secs(1);

/// How long whoever asks waits for a disk.
const PATIENCE: Duration = Duration::from_secs(4);

/// Looks at the machine of a node.
#[derive(Clone)]
pub struct Examiner {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    lanes: Arc<dyn Lanes>,
    /// Made for the first look: most nodes are never asked.
    lane: OnceLock<Lane>,
    folder: PathBuf,
    connections_max: usize,
    /// Whoever looks has the one permit, until the disk has answered.
    place: Arc<Semaphore>,
    last: Mutex<Option<(Instant, DiskExamination)>>,
}

impl std::fmt::Debug for Examiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examiner")
            .field("folder", &self.inner.folder)
            .finish_non_exhaustive()
    }
}

impl Examiner {
    /// Of the node whose data is in `folder` on `disk`, and which takes so many connections.
    pub fn new(
        disk: Arc<dyn Disk>,
        lanes: Arc<dyn Lanes>,
        folder: PathBuf,
        connections_max: usize,
    ) -> Examiner {
        Examiner {
            inner: Arc::new(Inner {
                disk,
                lanes,
                lane: OnceLock::new(),
                folder,
                connections_max,
                place: Arc::new(Semaphore::new(1)),
                last: Mutex::new(None),
            }),
        }
    }

    /// What the clock says, in microseconds since 1970.
    pub(crate) fn clock_us() -> u64 {
        SystemClock.since_epoch().as_micros() as u64
    }

    /// How many connections of clients the node takes.
    pub(crate) fn connections_max(&self) -> u64 {
        self.inner.connections_max as u64
    }

    /// Looks at the disk, or tells what the last look found if that is fresh.
    pub(crate) async fn disk(&self, deadline: Instant) -> DiskExamination {
        let asked = Instant::now();
        let deadline = deadline.min(asked + PATIENCE);
        let inner = &self.inner;
        let place = Arc::clone(&inner.place).acquire_owned();
        let Ok(place) = timeout_at(deadline, place).await else {
            return silent(asked.elapsed());
        };
        if let Some(fresh) = inner.fresh() {
            return fresh;
        }
        let open = || inner.lanes.lane("examine");
        let lane = inner.lane.get_or_init(open).clone();
        let job = {
            let inner = Arc::clone(inner);
            move || {
                let found = inner.look();
                *inner.last.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((Instant::now(), found.clone()));
                drop(place);
                found
            }
        };
        match timeout_at(deadline, lane.run(job)).await {
            Ok(Ok(found)) => found,
            Ok(Err(closed)) => trouble(closed.to_string()),
            Err(_elapsed) => silent(asked.elapsed()),
        }
    }
}

impl Inner {
    fn fresh(&self) -> Option<DiskExamination> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = last.as_ref()?;
        (at.elapsed() < FRESH).then(|| found.clone())
    }

    fn look(&self) -> DiskExamination {
        let path = self.folder.join(FILE);
        let synced = self.sync(&path);
        // It may never have been made; and a name that stays is written over by the next look.
        let _gone = self.disk.remove_file(&path);
        let free_bytes = self.disk.free_bytes(&self.folder).unwrap_or(0);
        let total_bytes = total_bytes(&self.folder);
        match synced {
            Ok(took) => DiskExamination {
                sync_us: took.iter().map(|took| took.as_micros() as u64).collect(),
                free_bytes,
                total_bytes,
                problem: String::new(),
            },
            Err(error) => DiskExamination {
                free_bytes,
                total_bytes,
                ..trouble(error.to_string())
            },
        }
    }

    /// Writes and syncs as the log does: into room that is there already.
    fn sync(&self, path: &Path) -> io::Result<Vec<Duration>> {
        let file = self.disk.open(path, OpenMode::Create)?;
        file.allocate((BLOCKS * BLOCK_BYTES) as u64)?;
        file.sync_data()?;
        let began = Instant::now();
        let mut took = Vec::with_capacity(BLOCKS);
        while took.len() < BLOCKS && (took.is_empty() || began.elapsed() < LOOK_MAX) {
            let at = took.len();
            let block = [at as u8 + 1; BLOCK_BYTES];
            file.write_at((at * BLOCK_BYTES) as u64, &block)?;
            let begins = Instant::now();
            file.sync_data()?;
            took.push(begins.elapsed());
        }
        Ok(took)
    }
}

/// What the file system of a folder holds in all; 0 when the system does not say.
fn total_bytes(folder: &Path) -> u64 {
    let told = rustix::fs::statvfs(folder);
    told.map_or(0, |told| told.f_blocks.saturating_mul(told.f_frsize))
}

fn silent(waited: Duration) -> DiskExamination {
    trouble(format!(
        "no sync ended within {:.1} s",
        waited.as_secs_f64()
    ))
}

fn trouble(problem: String) -> DiskExamination {
    DiskExamination {
        problem,
        ..DiskExamination::default()
    }
}

#[cfg(test)]
mod tests {
    use hstore_node::{InlineLanes, Job, LaneClosed};
    use hstore_storage::disk::memory::{Fault, MemoryDisk, Operation};

    use super::*;

    fn examiner(disk: &MemoryDisk, lanes: impl Lanes + 'static) -> Examiner {
        let folder = PathBuf::from("/data");
        disk.create_dir_all(&folder).unwrap();
        Examiner::new(Arc::new(disk.clone()), Arc::new(lanes), folder, 7)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_measures_real_syncs_leaves_nothing_and_is_told_again_for_a_second() {
        let disk = MemoryDisk::new();
        let examiner = examiner(&disk, InlineLanes);
        let found = examiner.disk(soon()).await;
        assert_eq!((found.sync_us.len(), &found.problem[..]), (BLOCKS, ""));
        let syncs = disk.count(Operation::Sync);
        assert_eq!(syncs, BLOCKS as u64 + 1);
        assert!(disk.list(Path::new("/data")).unwrap().is_empty());

        assert_eq!(examiner.disk(soon()).await, found);
        assert_eq!(disk.count(Operation::Sync), syncs, "told again");
        tokio::time::advance(FRESH).await;
        examiner.disk(soon()).await;
        assert_eq!(disk.count(Operation::Sync), 2 * syncs, "looked anew");
        assert_eq!(examiner.connections_max(), 7);
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_said_so_and_looked_at_again_later() {
        let disk = MemoryDisk::new();
        let examiner = examiner(&disk, InlineLanes);
        disk.fail(Operation::Sync, 2, Fault::Broken);
        let found = examiner.disk(soon()).await;
        assert!(!found.problem.is_empty(), "{found:?}");
        assert!(found.sync_us.is_empty());
        assert!(disk.list(Path::new("/data")).unwrap().is_empty());
    }

    /// Takes every job and runs none, as when a disk never answers.
    struct Stuck(Arc<Mutex<Vec<Job>>>);

    impl Lanes for Stuck {
        fn lane(&self, _name: &'static str) -> Lane {
            let jobs = Arc::clone(&self.0);
            Lane::new(move |job| {
                jobs.lock().unwrap().push(job);
                Ok(())
            })
        }

        fn read(&self, _job: Job) -> Result<(), LaneClosed> {
            Err(LaneClosed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_never_answers_holds_one_look_and_nobody_who_asks() {
        let disk = MemoryDisk::new();
        let jobs = Arc::new(Mutex::new(Vec::new()));
        let examiner = examiner(&disk, Stuck(Arc::clone(&jobs)));
        for _ in 0..3 {
            let found = examiner.disk(soon()).await;
            assert_eq!(found.problem, "no sync ended within 4.0 s");
        }
        assert_eq!(jobs.lock().unwrap().len(), 1, "no second look is begun");
        let late = jobs.lock().unwrap().pop().unwrap();
        late();
        let found = examiner.disk(soon()).await;
        assert_eq!(
            found.problem, "",
            "what came late is told while it is fresh"
        );
    }
}
