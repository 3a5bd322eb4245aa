//! A disk in memory that forgets, on a crash, what was never synced, and fails on request.

use std::{io, path::Path, sync::Arc};

use super::{Disk, File, OpenMode};

/// What an operation is, for counting and for failing the nth of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`File::read_at`].
    Read,
    /// [`File::write_at`], [`File::set_len`] and [`File::allocate`].
    Write,
    /// [`File::sync_data`].
    Sync,
    /// [`Disk::open`] that makes a file, rename, remove.
    Folder,
    /// [`Disk::sync_dir`].
    SyncFolder,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error (EIO).
    Broken,
    /// No space left (ENOSPC).
    Full,
}

/// An in-memory disk; cheap to clone, clones share the contents.
#[derive(Clone)]
pub struct MemoryDisk {}

impl MemoryDisk {
    /// An empty disk without bounds or faults.
    pub fn new() -> Self {
        todo!()
    }
    /// Power loss: the returned disk holds what was synced and a part, drawn from the seed, of the
    /// rest. This disk and every file opened through it fail from now on.
    #[must_use]
    pub fn crash(&self, _seed: u64) -> MemoryDisk {
        todo!()
    }
    /// The end of the process alone: nothing written is lost, but this disk and its files fail
    /// from now on.
    #[must_use]
    pub fn kill(&self) -> MemoryDisk {
        todo!()
    }
    /// Fails the nth operation of a kind from now on (1 is the next), once.
    pub fn fail(&self, _operation: Operation, _nth: u64, _fault: Fault) {
        todo!()
    }
    /// Bounds the bytes that files may hold together; `None` lifts the bound.
    pub fn set_capacity(&self, _bytes: Option<u64>) {
        todo!()
    }
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, _path: &Path, _mode: OpenMode) -> io::Result<Arc<dyn File>> {
        todo!()
    }
    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        todo!()
    }
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        todo!()
    }
    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        todo!()
    }
    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        todo!()
    }
    fn remove_dir_all(&self, _dir: &Path) -> io::Result<()> {
        todo!()
    }
    fn exists(&self, _path: &Path) -> io::Result<bool> {
        todo!()
    }
    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        todo!()
    }
    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        todo!()
    }
}
