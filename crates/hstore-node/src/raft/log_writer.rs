//! The log's one writer: everything that changes the log or the vote goes through one queue onto
//! one lane, and all that waits there shares one sync.
//!
//! Invariants: (1) what was submitted first is written first (openraft, protocol/io_ordering);
//! (2) nobody hears "done" before the sync that covers it returned; (3) an entry is readable from
//! the moment it was submitted: it stays in `unwritten` until the log below can read it; (4) after
//! one failure nothing is written any more, and the node ends.
//!
//! The queue is bounded by openraft: it waits for a vote, a truncation and its own appends, and
//! keeps at most as many entries in flight as proposals and the peers' windows allow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogId, LogIndex};
use hstore_core::planted::{self, Bug};
use hstore_storage::wal::{LogEntry, Wal, WalError, WalStats};
use openraft::storage::IOFlushed;
use tokio::sync::oneshot;

use super::types::TypeConfig;
use crate::env::Lane;
use crate::error::StopReason;
use crate::fate::{Fate, io_error, reason_of};
use crate::follow::Timeline;

/// Who waits for a change to be durable.
type Done = oneshot::Sender<Result<(), std::io::Error>>;

/// A change of the log.
enum Change {
    Append(Vec<LogEntry>, IOFlushed<TypeConfig>),
    Vote(Bytes, Done),
    Truncate(Option<LogId>, Done),
    Purge(LogId),
}

/// What readers and the lane share.
#[derive(Default)]
struct Queue {
    /// Changes that the lane has not taken yet.
    waiting: Vec<Change>,
    /// Whether a job is on the lane that will take them.
    scheduled: bool,
    /// Entries that were submitted and that the log below cannot read yet, in order.
    unwritten: VecDeque<LogEntry>,
    /// Figures as of the last sync.
    stats: WalStats,
}

/// The writer. Clones share the queue.
#[derive(Clone)]
pub(crate) struct LogWriter {
    queue: Arc<Mutex<Queue>>,
    wal: Arc<Mutex<Option<Wal>>>,
    lane: Lane,
    fate: Fate,
    timeline: Timeline,
}

impl LogWriter {
    pub(crate) fn new(wal: Wal, lane: Lane, fate: Fate) -> LogWriter {
        let stats = wal.stats();
        LogWriter {
            queue: Arc::new(Mutex::new(Queue {
                stats,
                ..Queue::default()
            })),
            wal: Arc::new(Mutex::new(Some(wal))),
            lane,
            fate,
            timeline: Timeline::default(),
        }
    }

    /// The same, writing down when entries were where.
    pub(crate) fn timed(self, timeline: Timeline) -> LogWriter {
        LogWriter { timeline, ..self }
    }

    /// Appends entries, which are readable when this returns; `done` is called when they are
    /// durable.
    pub(crate) fn append(&self, entries: Vec<LogEntry>, done: IOFlushed<TypeConfig>) {
        if let Some(last) = entries.last() {
            self.timeline.logged(last.id.index);
        }
        let mut queue = self.queue();
        queue.unwritten.extend(entries.iter().cloned());
        self.submit(queue, Change::Append(entries, done));
    }

    /// Saves a vote; it is durable when this returns.
    pub(crate) async fn save_vote(&self, vote: Bytes) -> Result<(), std::io::Error> {
        let (done, wait) = oneshot::channel();
        self.submit(self.queue(), Change::Vote(vote, done));
        wait.await.map_err(|_closed| gone())?
    }

    /// Forgets every entry after this one.
    pub(crate) async fn truncate_after(&self, last: Option<LogId>) -> Result<(), std::io::Error> {
        let (done, wait) = oneshot::channel();
        self.submit(self.queue(), Change::Truncate(last, done));
        wait.await.map_err(|_closed| gone())?
    }

    /// Forgets every entry up to this one, some time later: nothing depends on when.
    pub(crate) fn purge(&self, upto: LogId) {
        self.submit(self.queue(), Change::Purge(upto));
    }

    /// The entries from `start` on that the log below cannot read yet, and the first index among
    /// them (or among those to come).
    pub(crate) fn unwritten(&self, start: u64, end: u64) -> (Option<u64>, Vec<LogEntry>) {
        let queue = self.queue();
        let first = queue.unwritten.front().map(|entry| entry.id.index.0);
        let skip = first.map_or(0, |first| start.saturating_sub(first) as usize);
        let entries = queue
            .unwritten
            .iter()
            .skip(skip)
            .take_while(|entry| entry.id.index.0 < end)
            .cloned()
            .collect();
        (first, entries)
    }

    /// Figures as of the last sync.
    pub(crate) fn stats(&self) -> WalStats {
        self.queue().stats
    }

    /// Writes what waits and closes the log: the last thing a node does with it.
    pub(crate) async fn close(&self) -> Result<(), std::io::Error> {
        let this = self.clone();
        self.lane
            .run(move || {
                this.write_waiting();
                match this.wal().take().map(Wal::close) {
                    None | Some(Ok(())) => Ok(()),
                    Some(Err(error)) => Err(this.failed(&error)),
                }
            })
            .await
            .map_err(|_closed| gone())?
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wal(&self) -> MutexGuard<'_, Option<Wal>> {
        self.wal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a change into the queue and a job on the lane if none is there.
    fn submit(&self, mut queue: MutexGuard<'_, Queue>, change: Change) {
        queue.waiting.push(change);
        let schedule = !queue.scheduled;
        queue.scheduled = true;
        // An inline lane runs the job here and now, and the job takes the lock.
        drop(queue);
        if schedule {
            let this = self.clone();
            if self.lane.submit(move || this.write_waiting()).is_err() {
                self.fate.end(reason_of(
                    ErrorCode::Internal,
                    "the lane of the log is closed",
                ));
            }
        }
    }

    /// Runs on the lane: writes everything that waits, with one sync a round, until nothing waits.
    fn write_waiting(&self) {
        loop {
            let changes = {
                let mut queue = self.queue();
                if queue.waiting.is_empty() {
                    queue.scheduled = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            self.write(changes);
        }
    }

    fn write(&self, changes: Vec<Change>) {
        let mut wal = self.wal();
        let unsynced = is_left_unsynced(&changes);
        let last = self.timeline.is_on().then(|| last_of(&changes)).flatten();
        let mut waiting = Vec::with_capacity(changes.len());
        let mut result = match (self.fate.reason(), wal.as_ref()) {
            (None | Some(StopReason::Requested | StopReason::Removed), Some(_)) => Ok(()),
            // A node that failed writes nothing: what it would say can no longer be believed.
            _ => Err(gone()),
        };
        for mut change in changes {
            if let (Ok(()), Some(wal)) = (&result, wal.as_mut()) {
                let written = self.write_one(wal, &mut change);
                result = written.map_err(|error| self.failed(&error));
            }
            waiting.push(change);
        }
        if let (Ok(()), Some(wal), false) = (&result, wal.as_mut(), unsynced) {
            result = wal.sync().map_err(|error| self.failed(&error));
            self.queue().stats = wal.stats();
            if let (Ok(()), Some(last)) = (&result, last) {
                self.timeline.synced(last);
            }
        }
        drop(wal);
        for change in waiting {
            // Whoever waited may be gone; the change is durable all the same.
            match change {
                Change::Append(_, done) => done.io_completed(repeat(&result)),
                Change::Vote(_, done) | Change::Truncate(_, done) => {
                    let _gone = done.send(repeat(&result));
                }
                Change::Purge(_) => {}
            }
        }
    }

    fn write_one(&self, wal: &mut Wal, change: &mut Change) -> Result<(), WalError> {
        match change {
            Change::Append(entries, _) => {
                let count = entries.len();
                wal.append(std::mem::take(entries))?;
                let mut queue = self.queue();
                let written = count.min(queue.unwritten.len());
                queue.unwritten.drain(..written);
                Ok(())
            }
            Change::Vote(vote, _) => wal.save_vote(vote.clone()),
            Change::Truncate(last, _) => wal.truncate_after(*last),
            Change::Purge(upto) => wal.purge(*upto),
        }
    }

    /// Ends the node over a failure of the log.
    fn failed(&self, error: &WalError) -> std::io::Error {
        let code = wal_code(error);
        self.fate.end(reason_of(code, error));
        io_error(code, &error)
    }
}

/// The last entry that is appended.
fn last_of(changes: &[Change]) -> Option<LogIndex> {
    let entries = changes.iter().filter_map(|change| match change {
        Change::Append(entries, _) => entries.last(),
        Change::Vote(..) | Change::Truncate(..) | Change::Purge(_) => None,
    });
    entries.map(|entry| entry.id.index).max()
}

/// Whether a planted bug keeps these changes in memory until somebody else's sync.
fn is_left_unsynced(changes: &[Change]) -> bool {
    let mut changes = changes.iter();
    if planted::is(Bug::AcknowledgedBeforeSync) {
        return changes.all(|change| matches!(change, Change::Append(..)));
    }
    planted::is(Bug::VoteNotSynced) && changes.all(|change| matches!(change, Change::Vote(..)))
}

/// The stable code of a failure of the log.
pub(crate) fn wal_code(error: &WalError) -> ErrorCode {
    match error {
        WalError::Io { .. } if error.is_disk_full() => ErrorCode::DiskFull,
        WalError::Io { .. } => ErrorCode::DiskFailed,
        WalError::Corrupt { .. } | WalError::Missing { .. } => ErrorCode::DataCorrupt,
        WalError::TooNew { .. } => ErrorCode::FormatTooNew,
        WalError::Gap { .. } | WalError::TooLarge { .. } | WalError::Purged { .. } => {
            ErrorCode::Internal
        }
    }
}

fn repeat(result: &Result<(), std::io::Error>) -> Result<(), std::io::Error> {
    match result {
        Ok(()) => Ok(()),
        Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
    }
}

fn gone() -> std::io::Error {
    std::io::Error::other("the log is closed")
}
