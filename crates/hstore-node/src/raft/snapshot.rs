//! Snapshot files as consensus handles them: built on a lane, kept on a shelf, received beside
//! and taken in only when consensus says so.
//!
//! Invariants: (1) the shelf names only whole, synced files; (2) a received file gets its final
//! name in `install`, after openraft has saved the vote and cut the conflicting log, so that a
//! crash in between leaves the old state; (3) the newest file always stays.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hstore_core::error::ErrorCode;
use hstore_core::id::LogId;
use hstore_core::membership::Membership;
use hstore_storage::disk::Disk;
use hstore_storage::snapshot::{self, Receiver, SnapshotError, SnapshotHeader};
use hstore_storage::store::Store;
use openraft::storage::{RaftSnapshotBuilder, SnapshotMeta};

use super::types::{LeaderId, TypeConfig, raft_log_id, stored_membership};
use crate::env::Lane;
use crate::fate::{Fate, io_error, reason_of};

/// How many snapshot files stay in the folder: the newest, and the one before it for whoever is
/// just reading it.
const SNAPSHOTS_KEPT: usize = 2;

/// What openraft calls a snapshot.
pub(crate) type Snapshot =
    openraft::storage::Snapshot<LeaderId, u64, hstore_core::membership::Member, SnapshotData>;
/// What openraft knows of a snapshot.
pub(crate) type Meta = SnapshotMeta<LeaderId, u64, hstore_core::membership::Member>;

/// The content of a snapshot on its way through consensus.
pub(crate) enum SnapshotData {
    /// A file of this node.
    File(PathBuf),
    /// No file: nothing was applied, so there is nothing to put into one.
    Nothing,
    /// Bytes that a peer sent, whole and checked, without a final name.
    Received(Received),
}

/// A received file that goes away when nobody installs it. That is only tidiness: what is left
/// over is removed at the next start.
pub(crate) struct Received(Option<Receiver>);

impl Received {
    pub(super) fn new(receiver: Receiver) -> Received {
        Received(Some(receiver))
    }

    fn finish(mut self) -> Result<PathBuf, SnapshotError> {
        let receiver = self.0.take().expect("only `finish` and `drop` take it");
        receiver.finish().map(|(path, _header)| path)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(receiver) = self.0.take()
            && let Err(error) = receiver.abandon()
        {
            tracing::warn!("a received snapshot stays until the next start: {error}");
        }
    }
}

/// The snapshot files of a node.
#[derive(Clone)]
pub(crate) struct Shelf {
    newest: Arc<Mutex<Option<(PathBuf, SnapshotHeader)>>>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    lane: Lane,
    fate: Fate,
}

impl Shelf {
    pub(crate) fn new(
        newest: Option<(PathBuf, SnapshotHeader)>,
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        lane: Lane,
        fate: Fate,
    ) -> Shelf {
        Shelf {
            newest: Arc::new(Mutex::new(newest)),
            disk,
            dir,
            lane,
            fate,
        }
    }

    /// The newest file.
    pub(crate) fn newest(&self) -> Option<(PathBuf, SnapshotHeader)> {
        self.newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The last entry that the newest file covers.
    pub(crate) fn covered(&self) -> Option<LogId> {
        self.newest().map(|(_path, header)| header.last)
    }

    /// The newest file as consensus wants it.
    pub(crate) fn current(&self) -> io::Result<Option<Snapshot>> {
        self.newest()
            .map(|(path, header)| {
                Ok(Snapshot {
                    meta: meta(header.last, &header.membership)?,
                    snapshot: SnapshotData::File(path),
                })
            })
            .transpose()
    }

    /// Begins to receive a file.
    pub(crate) fn receive(&self) -> Result<Receiver, SnapshotError> {
        Receiver::create(self.disk.clone(), &self.dir)
    }

    /// The disk that the files are on.
    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The lane on which files are read and written.
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Replaces the state of the store by that of a snapshot. Crash-atomic: the file is durable
    /// under its name before the store turns to it, and a start finds either.
    pub(crate) async fn install(&self, store: Arc<Store>, data: SnapshotData) -> io::Result<()> {
        let shelf = self.clone();
        self.run(move || {
            let path = match data {
                SnapshotData::File(path) => path,
                SnapshotData::Nothing => return Ok(()),
                SnapshotData::Received(received) => {
                    received.finish().map_err(|error| shelf.damaged(&error))?
                }
            };
            let header = store.install_snapshot(&path).map_err(|error| {
                shelf.fate.end(reason_of(error.code(), &error));
                io_error(error.code(), &error)
            })?;
            shelf.put(path, header);
            Ok(())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.lane
            .run(job)
            .await
            .map_err(|closed| io::Error::other(closed.to_string()))?
    }

    fn put(&self, path: PathBuf, header: SnapshotHeader) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some((path, header));
        // A file too many does no harm; the next snapshot tries again.
        if let Err(error) = snapshot::remove_older(&*self.disk, &self.dir, SNAPSHOTS_KEPT) {
            tracing::warn!("old snapshot files stay: {error}");
        }
    }

    fn damaged(&self, error: &SnapshotError) -> io::Error {
        let code = snapshot_code(error);
        self.fate.end(reason_of(code, error));
        io_error(code, &error)
    }
}

/// Builds one snapshot.
pub(crate) struct Builder {
    pub(crate) store: Arc<Store>,
    pub(crate) shelf: Shelf,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        if self.store.applied().0.is_none() {
            return Ok(Snapshot {
                meta: Meta::default(),
                snapshot: SnapshotData::Nothing,
            });
        }
        let shelf = self.shelf.clone();
        let store = self.store.clone();
        self.shelf
            .run(move || {
                let (path, header) = store.write_snapshot().map_err(|fault| {
                    shelf.fate.end(reason_of(fault.code(), &fault));
                    io_error(fault.code(), &fault)
                })?;
                let snapshot = Snapshot {
                    meta: meta(header.last, &header.membership)?,
                    snapshot: SnapshotData::File(path.clone()),
                };
                shelf.put(path, header);
                Ok(snapshot)
            })
            .await
    }
}

/// What openraft knows of a snapshot that ends at `last`.
pub(crate) fn meta(last: LogId, membership: &Membership) -> io::Result<Meta> {
    let last_membership = stored_membership(membership).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a snapshot's membership has a voter that is no member",
        )
    })?;
    Ok(Meta {
        last_log_id: Some(raft_log_id(last)),
        last_membership,
    })
}

/// The stable code of a failure of a snapshot file.
pub(crate) fn snapshot_code(error: &SnapshotError) -> ErrorCode {
    match error {
        SnapshotError::Io { .. } if error.is_disk_full() => ErrorCode::DiskFull,
        SnapshotError::Io { .. } => ErrorCode::DiskFailed,
        SnapshotError::Damaged { .. } => ErrorCode::DataCorrupt,
        SnapshotError::Foreign { .. } => ErrorCode::FileUnusable,
        SnapshotError::TooNew { .. } => ErrorCode::FormatTooNew,
        SnapshotError::ChunkTooLarge { .. }
        | SnapshotError::ReservedKind { .. }
        | SnapshotError::Gap { .. } => ErrorCode::Internal,
    }
}
