//! What the writer and the readers share: where the entries lie, the newest ones themselves, and
//! the open files.
//!
//! Invariants:
//! 1. `tail` holds the newest entries without a hole, up to the last; every entry that is not
//!    durable is in it, so a reader never needs bytes that may not be in a file yet.
//! 2. `files` has every segment that the index points to. A file leaves it before it is recycled,
//!    and is recycled only when no reader holds it any more.
//! 3. Once `failed` is set nothing is read any more: what was appended may never become durable.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hstore_core::id::LogId;

use super::{LogEntry, LogState, WalError, index::Index};
use crate::disk::File;

/// What an entry takes in memory beside its payload, about.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The shared part of the log behind its lock, which is never held across a disk operation.
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    log: Mutex<Log>,
}

#[derive(Default)]
pub(super) struct Log {
    pub(super) state: LogState,
    pub(super) index: Index,
    pub(super) tail: VecDeque<LogEntry>,
    tail_bytes: usize,
    /// The last entry that is durable; older ones may leave the tail.
    durable: Option<u64>,
    pub(super) files: BTreeMap<u64, Arc<dyn File>>,
    pub(super) failed: Option<WalError>,
}

impl Shared {
    pub(super) fn new(dir: PathBuf, log: Log) -> Self {
        Shared {
            dir,
            log: Mutex::new(log),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        // A panic ends the process; until then a half made change must not end it twice.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// The log as it is when opened: all of it in files, and durable.
    pub(super) fn opened(
        state: LogState,
        index: Index,
        files: BTreeMap<u64, Arc<dyn File>>,
    ) -> Self {
        let durable = state.last.map(|last| last.index.0);
        Log {
            state,
            index,
            durable,
            files,
            ..Log::default()
        }
    }

    pub(super) fn push_tail(&mut self, entry: LogEntry) {
        self.tail_bytes += weight(&entry);
        self.state.last = Some(entry.id);
        self.tail.push_back(entry);
    }

    pub(super) fn cut_after(&mut self, last: Option<LogId>) {
        let next = last.map_or(0, |last| last.index.0 + 1);
        self.state.last = last;
        self.index.cut_from(next);
        while self
            .tail
            .back()
            .is_some_and(|entry| entry.id.index.0 >= next)
        {
            let gone = self.tail.pop_back().expect("law: the tail was not empty");
            self.tail_bytes -= weight(&gone);
        }
        self.durable = self.durable.min(next.checked_sub(1));
    }

    pub(super) fn drop_upto(&mut self, purged: LogId) {
        self.state.purged = Some(purged);
        self.index.drop_upto(purged.index.0);
        while self
            .tail
            .front()
            .is_some_and(|entry| entry.id.index <= purged.index)
        {
            self.pop_front();
        }
        if self
            .state
            .last
            .is_none_or(|last| last.index <= purged.index)
        {
            self.state.last = Some(purged);
        }
    }

    /// Everything is durable now; lets go of the oldest entries beyond the bound.
    pub(super) fn settle(&mut self, tail_bytes_max: usize) {
        self.durable = self.state.last.map(|last| last.index.0);
        while self.tail_bytes > tail_bytes_max
            && self
                .tail
                .front()
                .is_some_and(|entry| Some(entry.id.index.0) <= self.durable)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(gone) = self.tail.pop_front() {
            self.tail_bytes -= weight(&gone);
        }
    }
}

fn weight(entry: &LogEntry) -> usize {
    entry.payload.len() + ENTRY_OVERHEAD_BYTES
}
