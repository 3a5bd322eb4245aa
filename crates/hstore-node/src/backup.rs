//! Backups: the state of this node as of now, carried elsewhere.
//!
//! The state is first written to a file without a name, beside everything else, and read from
//! there: whoever fetches it slowly holds up neither compaction nor a write.
//!
//! Invariants: (1) at most a few backups are under way, one more is refused; (2) nothing is left of
//! one that nobody wants any more; (3) a disk without room for it refuses the backup and nothing
//! else: the node goes on.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::LogId;
use hstore_storage::backup::{Outgoing, TRAILER_BYTES};
use hstore_storage::snapshot::SnapshotError;
use hstore_storage::store::StoreFault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::env::Lane;
use crate::error::NodeError;
use crate::inner::Inner;
use crate::node::Node;
use crate::raft::snapshot_code;
use crate::status::Header;

/// How many backups may be under way: each takes the room of all data on the disk.
const BACKUPS_MAX: usize = 2;

/// How often a backup begins again because the state was replaced under it.
const RESTARTS_MAX: u32 = 3;

/// The places for backups, and where they are written.
pub(crate) struct Backups {
    places: Arc<Semaphore>,
    /// Made for the first one: most nodes are never asked.
    lane: OnceLock<Lane>,
}

impl Default for Backups {
    fn default() -> Backups {
        Backups {
            places: Arc::new(Semaphore::new(BACKUPS_MAX)),
            lane: OnceLock::new(),
        }
    }
}

/// A backup on its way to whoever asked for it. It ends with the value.
pub struct Backup {
    node: Node,
    /// None while a piece is being read, and when that did not end well.
    outgoing: Option<Outgoing>,
    header: Header,
    applied: LogId,
    _place: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup")
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// Says that a backup is not wanted any more when it goes.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Node {
    /// Begins a backup of what this node has applied, which may be behind what others have. Answers
    /// when the state is written down and can be read.
    pub async fn backup(&self, deadline: Instant) -> Result<Backup, NodeError> {
        self.check_working()?;
        let backups = &self.inner.backups;
        let Ok(place) = Arc::clone(&backups.places).try_acquire_owned() else {
            return Err(NodeError::Overloaded);
        };
        let open = || self.inner.env.lanes.lane("backup");
        let lane = backups.lane.get_or_init(open).clone();
        let outgoing = self.write_down(&lane, deadline).await?;
        let snapshot = outgoing.header();
        Ok(Backup {
            node: self.clone(),
            header: self.inner.header(snapshot.revision),
            applied: snapshot.last,
            outgoing: Some(outgoing),
            _place: place,
        })
    }

    async fn write_down(&self, lane: &Lane, deadline: Instant) -> Result<Outgoing, NodeError> {
        let mut restarts = 0;
        loop {
            let is_wanted = Arc::new(AtomicBool::new(true));
            let _wanted = Wanted(is_wanted.clone());
            let inner = self.inner.clone();
            let job = move || {
                let goes_on = || is_wanted.load(Ordering::Acquire) && goes_on(&inner);
                inner.consensus.store().spool_snapshot(&goes_on)
            };
            match timeout_at(deadline, lane.run(job)).await {
                Ok(Ok(Ok(reader))) => return Ok(Outgoing::of(reader)),
                Ok(Ok(Err(StoreFault::Replaced))) if restarts < RESTARTS_MAX => restarts += 1,
                Ok(Ok(Err(fault))) => return Err(self.refuse(&fault)),
                Ok(Err(_closed)) => return Err(self.stopped()),
                Err(_elapsed) => return Err(NodeError::Timeout),
            }
        }
    }

    /// What a fault means for a backup: only one of the store itself ends the node.
    fn refuse(&self, fault: &StoreFault) -> NodeError {
        match fault {
            StoreFault::Snapshot(error) => refused(error),
            StoreFault::NothingApplied => NodeError::NoQuorum,
            StoreFault::Replaced => NodeError::Overloaded,
            StoreFault::Unwanted | StoreFault::Closed => NodeError::ShuttingDown,
            StoreFault::Damaged { .. }
            | StoreFault::Engine(_)
            | StoreFault::Failed
            | StoreFault::OutOfOrder { .. } => self.failed_with(fault),
        }
    }
}

fn goes_on(inner: &Inner) -> bool {
    inner.fate.reason().is_none() && !inner.stopping.load(Ordering::SeqCst)
}

fn refused(error: &SnapshotError) -> NodeError {
    NodeError::Refused {
        code: snapshot_code(error),
        reason: match snapshot_code(error) {
            ErrorCode::DiskFull => {
                "the disk has no room for a backup beside what the node needs".to_owned()
            }
            _other => error.to_string(),
        },
    }
}

impl Backup {
    /// Whose state it is, and as of which revision.
    pub fn header(&self) -> Header {
        self.header
    }

    /// The last entry whose effect is in it.
    pub fn applied(&self) -> LogId {
        self.applied
    }

    /// How much is to come before the trailer.
    pub fn remaining_bytes(&self) -> u64 {
        self.outgoing.as_ref().map_or(0, Outgoing::remaining_bytes)
    }

    /// The next bytes; none when only the trailer is left. After an error, or when the future was
    /// dropped, the backup is over.
    pub async fn next(
        &mut self,
        bytes_max: usize,
        deadline: Instant,
    ) -> Result<Option<Bytes>, NodeError> {
        self.node.check_working()?;
        let Some(mut outgoing) = self.outgoing.take() else {
            return Err(NodeError::Invalid("the backup is over"));
        };
        let inner = &self.node.inner;
        let Ok(place) = timeout_at(deadline, inner.lane_reads.acquire()).await else {
            return Err(NodeError::Timeout);
        };
        // The semaphore is never closed.
        let _place = place;
        let (answer, wait) = oneshot::channel();
        let job = Box::new(move || {
            let piece = outgoing.next(bytes_max);
            // Whoever asked may be gone.
            let _gone = answer.send((piece, outgoing));
        });
        if inner.env.lanes.read(job).is_err() {
            return Err(self.node.stopped());
        }
        match timeout_at(deadline, wait).await {
            Ok(Ok((Ok(piece), outgoing))) => {
                self.outgoing = Some(outgoing);
                Ok(piece)
            }
            Ok(Ok((Err(error), _outgoing))) => Err(refused(&error)),
            Ok(Err(_closed)) => Err(self.node.stopped()),
            Err(_elapsed) => Err(NodeError::Timeout),
        }
    }

    /// The SHA-256 of all that was given out; none for a backup that is over already.
    pub fn trailer(self) -> Option<[u8; TRAILER_BYTES as usize]> {
        self.outgoing.map(Outgoing::trailer)
    }
}
