//! A disk that can be made slow, or made to stand still, in a process of the demo.
//!
//! It sits between the node and its real disk and holds back what makes bytes durable: a sync waits
//! here, then happens. Nothing else is touched, so what a node acknowledges is as durable as ever.
//!
//! Invariants: (1) a node that the demo did not start has no such disk (docs/adr/0031); (2) a sync
//! that waits goes on as soon as the brake is released.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hstore_storage::disk::{Disk, File, OpenMode};
use serde::{Deserialize, Serialize};

/// How long a sync of a slow disk waits.
pub(super) const SLOW: Duration = Duration::from_millis(300);

/// How a disk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DiskMode {
    /// As it is.
    #[default]
    Free,
    /// Every sync takes [`SLOW`] longer.
    Slow,
    /// No sync ends.
    Stuck,
}

impl DiskMode {
    /// The word that travels to the node.
    pub(super) fn word(self) -> &'static str {
        match self {
            DiskMode::Free => "free",
            DiskMode::Slow => "slow",
            DiskMode::Stuck => "stuck",
        }
    }

    /// What a word means.
    pub(super) fn of_word(word: &str) -> Option<DiskMode> {
        let all = [DiskMode::Free, DiskMode::Slow, DiskMode::Stuck];
        all.into_iter().find(|mode| mode.word() == word)
    }
}

/// What holds the syncs of a process back.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    mode: Mutex<DiskMode>,
    changed: Condvar,
}

impl Brake {
    /// From now on the disk is like this.
    pub(super) fn set(&self, mode: DiskMode) {
        *self.mode() = mode;
        self.changed.notify_all();
    }

    /// Waits as long as the disk makes one wait.
    fn pass(&self) {
        let began = Instant::now();
        let mut mode = self.mode();
        loop {
            let waited = match *mode {
                DiskMode::Free => return,
                DiskMode::Stuck => self.changed.wait(mode),
                DiskMode::Slow => match SLOW.checked_sub(began.elapsed()) {
                    None | Some(Duration::ZERO) => return,
                    Some(left) => {
                        let waited = self.changed.wait_timeout(mode, left);
                        waited
                            .map(|(mode, _)| mode)
                            .map_err(|poisoned| PoisonError::new(poisoned.into_inner().0))
                    }
                },
            };
            mode = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn mode(&self) -> MutexGuard<'_, DiskMode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A disk behind a brake.
#[derive(Clone, Debug)]
pub(crate) struct BrakedDisk<D> {
    disk: D,
    brake: Arc<Brake>,
}

impl<D> BrakedDisk<D> {
    /// Puts a disk behind a brake.
    pub(crate) fn new(disk: D, brake: Arc<Brake>) -> BrakedDisk<D> {
        BrakedDisk { disk, brake }
    }
}

struct BrakedFile {
    file: Arc<dyn File>,
    brake: Arc<Brake>,
}

impl<D: Disk> Disk for BrakedDisk<D> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(BrakedFile {
            file: self.disk.open(path, mode)?,
            brake: Arc::clone(&self.brake),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.brake.pass();
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl File for BrakedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.brake.pass();
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use hstore_storage::disk::memory::MemoryDisk;

    use super::*;

    /// Longer than anything takes that happens at all.
    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_stuck_disk_syncs_nothing_until_it_is_free_and_a_slow_one_later() {
        let brake = Arc::new(Brake::default());
        let disk = BrakedDisk::new(MemoryDisk::new(), Arc::clone(&brake));
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/f"), OpenMode::Create).unwrap();
        file.write_at(0, b"x").unwrap();
        file.sync_data().unwrap();

        brake.set(DiskMode::Slow);
        let began = Instant::now();
        file.sync_data().unwrap();
        assert!(began.elapsed() >= SLOW);

        brake.set(DiskMode::Stuck);
        let (done, synced) = channel();
        let stuck = std::thread::spawn(move || done.send(file.sync_data().is_ok()));
        let early = synced.recv_timeout(Duration::from_millis(50));
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        brake.set(DiskMode::Free);
        assert_eq!(synced.recv_timeout(SOON), Ok(true));
        stuck.join().unwrap().unwrap();
    }

    #[test]
    fn every_mode_has_a_word_of_its_own() {
        for mode in [DiskMode::Free, DiskMode::Slow, DiskMode::Stuck] {
            assert_eq!(DiskMode::of_word(mode.word()), Some(mode));
        }
        assert_eq!(DiskMode::of_word("broken"), None);
    }
}
