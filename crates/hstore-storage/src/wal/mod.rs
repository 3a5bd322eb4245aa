//! The write-ahead log: entries, votes, truncations and purges in one ordered sequence of records,
//! cut into segments. It is the durable truth of a node, beside the snapshot files.
//!
//! One owner writes ([`Wal`]), any thread reads ([`WalReader`]). Records gather in memory until
//! [`Wal::sync`], which writes them at once and makes them durable at once; until then they may or
//! may not survive a crash, in order: what survives is a prefix of what was written. This room must
//! never know what entries and votes mean.
//!
//! Invariants:
//! 1. What was synced is there after any crash, or opening refuses: it is never silently shorter.
//! 2. What was not written never appears, whatever stood in a recycled file before.
//! 3. Entries have no hole between the purged one and the last one.
//! 4. A failed write or sync ends the log for this process; nothing is tried twice.
//!
//! The bytes are drawn in `docs/formats.md`. In reading order: `record`, `head`, `scan`, `replay`,
//! `recovery`, `active`, `writer`, then `index`, `log` and `reader` for the reading side.

mod active;
mod error;
mod folder;
mod head;
mod index;
mod log;
mod reader;
mod record;
mod recovery;
mod replay;
mod scan;
mod writer;

use bytes::Bytes;
use hstore_core::id::LogId;

pub use self::{error::WalError, reader::WalReader, writer::Wal};

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
            tail_bytes_max: 4 << 20,
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
    /// Bytes of the segments that are still needed, up to their last record.
    pub bytes: u64,
    /// Segment files, spare ones included.
    pub segments: u64,
    /// Syncs since the log was opened.
    pub syncs: u64,
    /// Bytes of records written since the log was opened.
    pub written_bytes: u64,
}
