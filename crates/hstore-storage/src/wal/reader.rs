//! Reading entries beside the writer: the newest from memory, older ones from their segments.
//!
//! Invariants:
//! 1. An answer is a run of entries without a hole, as the log was at one moment.
//! 2. Every record read from a file is checked against its place, its index and its checksum.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use hstore_core::id::LogIndex;

use super::{
    LogEntry, LogState, WalError,
    folder::segment_name,
    index::Place,
    log::{Log, Shared},
    record::decode_entry,
};
use crate::disk::File;

/// Reads the log from any thread while the writer goes on.
#[derive(Clone)]
pub struct WalReader {
    shared: Arc<Shared>,
}

/// Neighbouring records of one segment, read at once.
struct Run {
    file: Arc<dyn File>,
    segment: u64,
    offset: u32,
    /// The index of the first one.
    index: u64,
    /// The length of each.
    records: Vec<u32>,
    /// The length of all.
    bytes: u32,
}

impl WalReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        WalReader { shared }
    }

    /// The entries of a range, from its start on, as many as fit the bytes but at least one if the
    /// start is in the log; shorter where the log ends. Never a hole.
    pub fn read(
        &self,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, WalError> {
        let (runs, tail) = {
            let log = self.shared.lock();
            plan(&log, range, bytes_max)?
        };
        let mut entries = Vec::new();
        for run in runs {
            self.read_run(&run, &mut entries)?;
        }
        entries.extend(tail);
        Ok(entries)
    }

    /// Whether the entries from this one on are all in memory, so that reading them cannot block.
    pub fn is_in_memory(&self, start: LogIndex) -> bool {
        let log = self.shared.lock();
        match log.tail.front() {
            Some(first) => first.id.index <= start,
            None => log.state.last.is_none_or(|last| last.index < start),
        }
    }

    /// Where the log begins and ends now.
    pub fn state(&self) -> LogState {
        self.shared.lock().state
    }

    fn read_run(&self, run: &Run, entries: &mut Vec<LogEntry>) -> Result<(), WalError> {
        let mut buffer = vec![0; run.bytes as usize];
        run.file
            .read_exact_at(run.offset.into(), &mut buffer)
            .map_err(|error| {
                WalError::io(
                    "read",
                    &self.shared.dir.join(segment_name(run.segment)),
                    error,
                )
            })?;
        let mut rest = Bytes::from(buffer);
        let mut offset = run.offset;
        for (index, &bytes) in (run.index..).zip(&run.records) {
            let record = rest.split_to(bytes as usize);
            let (id, payload) = decode_entry(&record, run.segment, offset)
                .filter(|(id, _)| id.index.0 == index)
                .ok_or(WalError::Corrupt {
                    segment: run.segment,
                    offset: offset.into(),
                })?;
            entries.push(LogEntry { id, payload });
            offset += bytes;
        }
        Ok(())
    }
}

/// What to read from files, and what memory has already.
fn plan(
    log: &Log,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<(Vec<Run>, Vec<LogEntry>), WalError> {
    if let Some(error) = &log.failed {
        return Err(error.clone());
    }
    let end = range
        .end
        .0
        .min(log.state.last.map_or(0, |last| last.index.0 + 1));
    if range.start.0 >= end {
        return Ok((Vec::new(), Vec::new()));
    }
    if log.index.get(range.start.0).is_none() {
        return Err(WalError::Purged { index: range.start });
    }
    let tail_first = log.tail.front().map_or(end, |entry| entry.id.index.0);
    let mut runs: Vec<Run> = Vec::new();
    let mut taken_bytes = 0;
    let mut index = range.start.0;
    while index < end {
        let place = log
            .index
            .get(index)
            .expect("law: the index has no holes up to the last entry");
        taken_bytes += place.bytes as usize;
        if index > range.start.0 && taken_bytes > bytes_max {
            break;
        }
        if index < tail_first {
            extend(&mut runs, log, index, place);
        }
        index += 1;
    }
    let from_tail = range.start.0.max(tail_first)..index;
    let tail = from_tail
        .map(|index| log.tail[(index - tail_first) as usize].clone())
        .collect();
    Ok((runs, tail))
}

fn extend(runs: &mut Vec<Run>, log: &Log, index: u64, place: Place) {
    if let Some(run) = runs.last_mut()
        && run.segment == place.segment
        && run.offset + run.bytes == place.offset
    {
        run.records.push(place.bytes);
        run.bytes += place.bytes;
        return;
    }
    let file = log
        .files
        .get(&place.segment)
        .expect("law: files has every segment of the index");
    runs.push(Run {
        file: file.clone(),
        segment: place.segment,
        offset: place.offset,
        index,
        records: vec![place.bytes],
        bytes: place.bytes,
    });
}
