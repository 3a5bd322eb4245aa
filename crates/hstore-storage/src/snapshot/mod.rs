//! Snapshot files: one container for catching up a follower, rebuilding the store, and backup.
//!
//! A file holds a header, chunks of the store's own kinds, and a footer, each under a checksum. It
//! is written beside its final name ([`SnapshotWriter`]) or streamed from a peer ([`Receiver`]),
//! and gets that name only when it is whole and durable. This room must never know what the chunks
//! mean.
//!
//! Invariants:
//! 1. A file with a snapshot's name was once whole and durable.
//! 2. No changed byte is ever given out: it is damage, told by name.
//!
//! The bytes are drawn in `docs/formats.md`.

mod error;
mod folder;
mod format;
mod reader;
mod receiver;
mod writer;

use bytes::Bytes;
use hstore_core::{
    id::{ClusterId, LogId, Revision},
    membership::Membership,
};

use self::folder::TEMPORARY_SUFFIX;
pub(crate) use self::reader::check_kind;
pub use self::{
    error::SnapshotError,
    folder::{
        Newest, file_name, newest_unverified, newest_valid, parse_file_name, remove_older,
        remove_unfinished,
    },
    reader::SnapshotReader,
    receiver::Receiver,
    writer::SnapshotWriter,
};

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
