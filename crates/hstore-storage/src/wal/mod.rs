//! The write-ahead log: entries, votes, truncations and purges in one ordered sequence of segments.

mod error;

use std::{ops::Range, path::Path, sync::Arc};

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex};

pub use self::error::WalError;
use crate::disk::Disk;

/// One entry of the log; the payload is opaque here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its identity and place.
    pub id: LogId,
    /// What it says.
    pub payload: Bytes,
}

/// How the log uses the disk and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// How long a segment is; a longer entry gets a segment of its own.
    pub segment_bytes: u32,
    /// How many bytes of recent entries stay in memory for readers. When more, the oldest synced
    /// ones are read from the files instead; entries that are not synced always stay.
    pub tail_bytes_max: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            segment_bytes: 64 << 20,
            tail_bytes_max: 16 << 20,
        }
    }
}

/// What the log holds when it is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last saved vote.
    pub vote: Option<Bytes>,
    /// Up to where entries were purged.
    pub purged: Option<LogId>,
    /// The last entry, or `purged` when there is none after it.
    pub last: Option<LogId>,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Up to where entries were purged.
    pub purged: Option<LogId>,
    /// The last entry, or `purged` when there is none after it.
    pub last: Option<LogId>,
}

/// Figures for screens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Entries between `purged` and the end.
    pub entries: u64,
    /// Bytes of records since the first one that is still needed.
    pub bytes: u64,
    /// Segment files, spare ones included.
    pub segments: u64,
    /// Syncs since the log was opened.
    pub syncs: u64,
    /// Bytes written since the log was opened.
    pub written_bytes: u64,
}

/// The log's one writer.
pub struct Wal {}

/// Reads the log from any thread while the writer goes on.
#[derive(Clone)]
pub struct WalReader {}

impl Wal {
    /// Opens or founds the log in a folder.
    pub fn open(
        _disk: Arc<dyn Disk>,
        _dir: &Path,
        _options: WalOptions,
    ) -> Result<(Wal, Recovered), WalError> {
        todo!()
    }
    /// A reader of this log.
    pub fn reader(&self) -> WalReader {
        todo!()
    }
    /// Adds entries; each follows the one before it. Readable at once, durable after `sync`.
    pub fn append(&mut self, _entries: Vec<LogEntry>) -> Result<(), WalError> {
        todo!()
    }
    /// Records a vote; durable after `sync`.
    pub fn save_vote(&mut self, _vote: Bytes) -> Result<(), WalError> {
        todo!()
    }
    /// Forgets every entry after this one (`None`: every entry); durable after `sync`.
    pub fn truncate_after(&mut self, _last: Option<LogId>) -> Result<(), WalError> {
        todo!()
    }
    /// Forgets every entry up to and with this one. Durable when it returns.
    pub fn purge(&mut self, _upto: LogId) -> Result<(), WalError> {
        todo!()
    }
    /// Makes everything recorded so far durable: one write, one sync.
    pub fn sync(&mut self) -> Result<(), WalError> {
        todo!()
    }
    /// Figures for screens.
    pub fn stats(&self) -> WalStats {
        todo!()
    }
    /// Syncs and marks the end, so that the next open can prove that nothing is missing.
    pub fn close(self) -> Result<(), WalError> {
        todo!()
    }
}

impl WalReader {
    /// The entries of a range, from its start on, as many as fit the bytes but at least one if the
    /// start is in the log; shorter where the log ends. Never a hole.
    pub fn read(
        &self,
        _range: Range<LogIndex>,
        _bytes_max: usize,
    ) -> Result<Vec<LogEntry>, WalError> {
        todo!()
    }
    /// Where the log begins and ends now.
    pub fn state(&self) -> LogState {
        todo!()
    }
}
