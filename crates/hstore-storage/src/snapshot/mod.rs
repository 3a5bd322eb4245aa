//! Snapshot files: one container for catching up a follower, rebuilding the store, and backup.

mod error;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use hstore_core::{
    id::{ClusterId, LogId, LogIndex, Revision, Term},
    membership::Membership,
};

pub use self::error::SnapshotError;
use crate::disk::Disk;

/// The longest chunk payload.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// What a snapshot file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The cluster it belongs to.
    pub cluster_id: ClusterId,
    /// The last entry whose effect is in it.
    pub last: LogId,
    /// The membership as of that entry.
    pub membership: Membership,
    /// The store's revision.
    pub revision: Revision,
    /// Up to which revision history was compacted.
    pub compacted: Revision,
}

/// One piece of a snapshot; what the kinds mean is the store's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What it holds, 1 to 254.
    pub kind: u8,
    /// Its bytes, at most [`CHUNK_BYTES_MAX`].
    pub payload: Bytes,
}

/// Writes a snapshot file beside its final name; nothing counts until `finish`.
pub struct SnapshotWriter {}

/// Reads a snapshot file.
pub struct SnapshotReader {}

/// Takes in a snapshot file that a peer streams.
pub struct Receiver {}

/// What `newest_valid` found.
#[derive(Debug, Default)]
pub struct Newest {
    /// The newest whole snapshot.
    pub snapshot: Option<(PathBuf, SnapshotHeader)>,
    /// Newer ones that are damaged, with what is wrong.
    pub damaged: Vec<(PathBuf, SnapshotError)>,
}

impl SnapshotWriter {
    /// Begins a file in the folder.
    pub fn create(
        _disk: Arc<dyn Disk>,
        _dir: &Path,
        _header: &SnapshotHeader,
    ) -> Result<Self, SnapshotError> {
        todo!()
    }
    /// Adds a chunk.
    pub fn chunk(&mut self, _kind: u8, _payload: &[u8]) -> Result<(), SnapshotError> {
        todo!()
    }
    /// Writes the footer, syncs, renames, syncs the folder; the path is durable when it returns.
    pub fn finish(self) -> Result<PathBuf, SnapshotError> {
        todo!()
    }
    /// Gives up and removes what was written.
    pub fn abandon(self) -> Result<(), SnapshotError> {
        todo!()
    }
}

impl SnapshotReader {
    /// Opens a file and checks its header.
    pub fn open(_disk: &dyn Disk, _path: &Path) -> Result<Self, SnapshotError> {
        todo!()
    }
    /// What the file says of itself.
    pub fn header(&self) -> &SnapshotHeader {
        todo!()
    }
    /// The next chunk, checked; `None` after the footer was checked too.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, SnapshotError> {
        todo!()
    }
    /// Reads and checks all that is left.
    pub fn verify(self) -> Result<SnapshotHeader, SnapshotError> {
        todo!()
    }
    /// The file's length.
    pub fn len_bytes(&self) -> u64 {
        todo!()
    }
    /// Bytes of the file as they are, for a peer; shorter at the end, empty after it.
    pub fn read_raw(&self, _offset: u64, _bytes_max: usize) -> Result<Bytes, SnapshotError> {
        todo!()
    }
}

impl Receiver {
    /// Begins to take in a snapshot.
    pub fn create(_disk: Arc<dyn Disk>, _dir: &Path) -> Result<Self, SnapshotError> {
        todo!()
    }
    /// How many bytes have come, without a gap; where the sender goes on.
    pub fn received_bytes(&self) -> u64 {
        todo!()
    }
    /// Takes bytes at an offset; they must touch what is there already.
    pub fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> Result<(), SnapshotError> {
        todo!()
    }
    /// Syncs, checks everything, renames, syncs the folder.
    pub fn finish(self) -> Result<(PathBuf, SnapshotHeader), SnapshotError> {
        todo!()
    }
    /// Gives up and removes what came.
    pub fn abandon(self) -> Result<(), SnapshotError> {
        todo!()
    }
}

/// The file name of a snapshot up to this entry.
pub fn file_name(last: LogId) -> String {
    format!("{:020}-{:020}.snap", last.index.0, last.term.0)
}

/// What a file name says; `None` if it names no snapshot.
pub fn parse_file_name(_name: &str) -> Option<(LogIndex, Term)> {
    todo!()
}

/// The newest snapshot in the folder that is whole, damaged ones skipped and told.
pub fn newest_valid(_disk: &dyn Disk, _dir: &Path) -> Result<Newest, SnapshotError> {
    todo!()
}

/// Removes all snapshots but the newest `keep`; says how many went.
pub fn remove_older(_disk: &dyn Disk, _dir: &Path, _keep: usize) -> Result<usize, SnapshotError> {
    todo!()
}

/// Removes what writers and receivers left unfinished; for start-up, when none can be running.
pub fn remove_unfinished(_disk: &dyn Disk, _dir: &Path) -> Result<usize, SnapshotError> {
    todo!()
}
