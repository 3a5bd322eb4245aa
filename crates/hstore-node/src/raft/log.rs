//! The log as consensus sees it: our write-ahead log, with the entries that are on their way to
//! it laid on top.
//!
//! Invariants: (1) entries are readable when `append` returns and never leave a hole; (2) a read
//! for peers is bounded in bytes and never empty when there is something to read; (3) a read that
//! needs the disk runs on a read lane.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use hstore_core::id::{LogId, LogIndex};
use hstore_core::planted::{self, Bug};
use hstore_storage::wal::{LogEntry, Recovered, WalError, WalReader};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, OptionalSync};
use tokio::sync::oneshot;

use super::codec;
use super::log_writer::{LogWriter, wal_code};
use super::types::{Entry, RaftLogId, TypeConfig, Vote, log_id_of, raft_log_id};
use crate::env::Lanes;
use crate::fate::{Fate, io_error, reason_of};

/// The most bytes of entries that one read for a peer returns, unless the first one is larger.
pub(crate) const READ_BYTES_MAX: usize = 1024 * 1024;

/// Where the log begins and ends, counting what is on its way.
#[derive(Clone, Copy, Default)]
struct Extent {
    purged: Option<LogId>,
    /// Where a log began that was empty at the start and nothing was purged from.
    first: u64,
    last: Option<LogId>,
    /// Bytes of entry payloads that were appended since the start, for the snapshot trigger.
    appended_bytes: u64,
}

/// The log. Clones are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    reader: WalReader,
    writer: LogWriter,
    lanes: Arc<dyn Lanes>,
    fate: Fate,
    extent: Arc<Mutex<Extent>>,
    vote: Arc<Mutex<Option<Vote>>>,
}

impl Log {
    /// The log over an opened write-ahead log.
    pub(crate) fn new(
        reader: WalReader,
        writer: LogWriter,
        lanes: Arc<dyn Lanes>,
        fate: Fate,
        recovered: &Recovered,
    ) -> Result<Log, codec::CodecError> {
        let vote = recovered
            .vote
            .as_deref()
            .map(codec::decode_vote)
            .transpose()?;
        Ok(Log {
            reader,
            writer,
            lanes,
            fate,
            extent: Arc::new(Mutex::new(Extent {
                purged: recovered.purged,
                first: 0,
                last: recovered.last,
                appended_bytes: 0,
            })),
            vote: Arc::new(Mutex::new(vote)),
        })
    }

    /// The writer below, for figures and for closing.
    pub(crate) fn writer(&self) -> &LogWriter {
        &self.writer
    }

    /// The last entry that readers can see.
    pub(crate) fn last(&self) -> Option<LogIndex> {
        self.extent().last.map(|last| last.index)
    }

    /// Bytes of entry payloads that were appended since the start.
    pub(crate) fn appended_bytes(&self) -> u64 {
        self.extent().appended_bytes
    }

    /// Where the log begins and ends.
    pub(crate) fn bounds(&self) -> (Option<LogId>, Option<LogId>) {
        let extent = *self.extent();
        (extent.purged, extent.last)
    }

    fn extent(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part of `start..end` that the log has.
    fn clamp(&self, start: u64, end: u64) -> (u64, u64) {
        let extent = self.extent();
        let first = extent
            .purged
            .map_or(extent.first, |purged| purged.index.0 + 1);
        let next = extent.last.map_or(0, |last| last.index.0 + 1);
        (start.max(first), end.min(next))
    }

    /// Entries from `start` on, at least one, at most `bytes_max` of them unless the first is
    /// larger. `start..end` must lie within the log, and nobody lets go of what is read for a
    /// peer or for the state machine: if it is gone the node ends.
    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<LogEntry>> {
        let found = self.read_if_there(start, end, bytes_max).await?;
        found.ok_or_else(|| {
            let index = LogIndex(start);
            self.failed(&WalError::Purged { index })
        })
    }

    /// The same; none when the log has let go of `start` meanwhile.
    async fn read_if_there(
        &self,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> io::Result<Option<Vec<LogEntry>>> {
        let (first_unwritten, unwritten) = self.writer.unwritten(start, end);
        let written_end = first_unwritten.map_or(end, |first| first.min(end));
        let mut entries = if start < written_end {
            match self.read_written(start, written_end, bytes_max).await? {
                Some(entries) => entries,
                None => return Ok(None),
            }
        } else {
            Vec::new()
        };
        let mut bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        let next = entries.last().map_or(start, |last| last.id.index.0 + 1);
        for (next, entry) in (next..).zip(unwritten) {
            bytes += entry.payload.len();
            if entry.id.index.0 != next || (bytes > bytes_max && !entries.is_empty()) {
                break;
            }
            entries.push(entry);
        }
        if entries.is_empty() {
            let (purged, last) = self.bounds();
            if purged.is_some_and(|purged| purged.index.0 >= start) {
                return Ok(None);
            }
            let what = format!("the log has no entry {start}: it holds {purged:?} to {last:?}");
            return Err(io::Error::other(what));
        }
        Ok(Some(entries))
    }

    async fn read_written(
        &self,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> io::Result<Option<Vec<LogEntry>>> {
        let reader = self.reader.clone();
        let range = LogIndex(start)..LogIndex(end);
        let result = if reader.is_in_memory(range.start) {
            reader.read(range, bytes_max)
        } else {
            let (answer, wait) = oneshot::channel();
            let job = Box::new(move || {
                // Whoever asked may be gone.
                let _gone = answer.send(reader.read(range, bytes_max));
            });
            let closed = |_closed| io::Error::other("the read lanes are closed");
            self.lanes
                .read(job)
                .map_err(|closed| io::Error::other(closed.to_string()))?;
            wait.await.map_err(closed)?
        };
        match result {
            Ok(entries) => Ok(Some(entries)),
            Err(WalError::Purged { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// A fault of the log ends the node.
    fn failed(&self, error: &WalError) -> io::Error {
        let code = wal_code(error);
        self.fate.end(reason_of(code, error));
        io_error(code, error)
    }

    fn decode(&self, entries: Vec<LogEntry>) -> io::Result<Vec<Entry>> {
        entries
            .into_iter()
            .map(|entry| codec::decode_entry(raft_log_id(entry.id), entry.payload))
            .collect::<Result<_, _>>()
            .map_err(|error| {
                let code = hstore_core::error::ErrorCode::DataCorrupt;
                self.fate.end(reason_of(code, &error));
                io_error(code, &error)
            })
    }

    /// How many bytes of payload the entries of a range take, read from the newest down until
    /// `bytes_max` or `entries_max` is reached: the first index that still fits. The log may be let
    /// go of meanwhile: then what is left counts.
    pub(crate) async fn keep_from(
        &self,
        upto: u64,
        entries_max: u64,
        bytes_max: u64,
    ) -> io::Result<u64> {
        let (start, end) = self.clamp(upto.saturating_sub(entries_max), upto + 1);
        let mut sizes = Vec::new();
        let mut next = start;
        while next < end {
            if let Some(entries) = self.read_if_there(next, end, READ_BYTES_MAX).await? {
                next += entries.len() as u64;
                sizes.extend(entries.iter().map(|entry| entry.payload.len() as u64));
            } else {
                sizes.clear();
                next = self.clamp(next, end).0.max(next + 1);
            }
        }
        let mut first = end;
        let mut bytes = 0;
        for size in sizes.into_iter().rev() {
            bytes += size;
            if bytes > bytes_max {
                break;
            }
            first -= 1;
        }
        Ok(first)
    }
}

fn bounds_of(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<TypeConfig> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end) = bounds_of(&range);
        let (mut next, end) = self.clamp(start, end);
        let mut all = Vec::new();
        while next < end {
            let entries = self.read(next, end, READ_BYTES_MAX).await?;
            next += entries.len() as u64;
            all.extend(self.decode(entries)?);
        }
        Ok(all)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds_of(&range);
        let (start, end) = self.clamp(start, end);
        let log = self.clone();
        futures::stream::unfold(start, move |next| {
            let log = log.clone();
            async move {
                if next >= end {
                    return None;
                }
                let entries = match log.read(next, end, READ_BYTES_MAX).await {
                    Ok(entries) => log.decode(entries),
                    Err(error) => Err(error),
                };
                Some(match entries {
                    Ok(entries) => {
                        let read = entries.len() as u64;
                        let entries: Vec<_> = entries.into_iter().map(Ok).collect();
                        (futures::stream::iter(entries), next + read)
                    }
                    Err(error) => (futures::stream::iter(vec![Err(error)]), end),
                })
            }
        })
        .flatten()
        .boxed()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(*self.vote.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        let (first, end) = self.clamp(start, end);
        // Entries that follow a purged one would leave a hole between it and them; nothing at
        // all makes openraft ask again and find that it needs a snapshot.
        if first != start || start >= end {
            return Ok(Vec::new());
        }
        let entries = self.read(start, end, READ_BYTES_MAX).await?;
        self.decode(entries)
    }
}

impl RaftLogStorage<TypeConfig> for Log
where
    Log: OptionalSend + OptionalSync,
{
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let (purged, last) = self.bounds();
        Ok(LogState {
            last_purged_log_id: purged.map(raft_log_id),
            last_log_id: last.map(raft_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        if !planted::is(Bug::VoteNotPersisted) {
            self.writer.save_vote(codec::encode_vote(vote)).await?;
        }
        *self.vote.lock().unwrap_or_else(PoisonError::into_inner) = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries
            .into_iter()
            .map(|entry| LogEntry {
                id: log_id_of(&entry.log_id),
                payload: codec::encode_payload(&entry.payload),
            })
            .collect();
        let first = entries.first().map(|entry| entry.id.index.0);
        let last = entries.last().map(|entry| entry.id);
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        // First the entries, then the extent that promises them to readers.
        self.writer.append(entries, callback);
        let mut extent = self.extent();
        if let (None, Some(first)) = (extent.last, first) {
            extent.first = first;
        }
        extent.last = last.or(extent.last);
        extent.appended_bytes += bytes as u64;
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> Result<(), io::Error> {
        let last = last_log_id.as_ref().map(log_id_of);
        let present = self.extent().last;
        if present.map(|id| id.index) <= last.map(|id| id.index) {
            // There is nothing after it.
            return Ok(());
        }
        self.writer.truncate_after(last).await?;
        let mut extent = self.extent();
        extent.last = last.max(extent.purged);
        Ok(())
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), io::Error> {
        let upto = log_id_of(&log_id);
        {
            let mut extent = self.extent();
            if extent
                .purged
                .is_some_and(|purged| purged.index >= upto.index)
            {
                return Ok(());
            }
            extent.purged = Some(upto);
            if extent.last.is_none_or(|last| last.index < upto.index) {
                extent.last = Some(upto);
            }
        }
        self.writer.purge(upto);
        Ok(())
    }
}
