//! The store's lower floor: an ordered map of bytes that may be lost at any time.
//!
//! This room knows keys and values as bytes, nothing of records, revisions or the log. What is
//! durable in hstore is the log and the snapshot files (DESIGN.md, D2); an engine is what they can
//! be turned into again, so it never needs to be synced while it is in use.
//!
//! # The contract, held by `contract.rs` for every engine
//!
//! 1. A batch is seen by `get` and `scan` as soon as `write` returns.
//! 2. When an engine is opened again after its process died, it holds what a prefix of the batches
//!    made, in the order of their `write`; each batch wholly or not at all. After `close` it holds
//!    all of them, power loss included.
//! 3. `scan` visits in ascending byte order. It is no point-in-time view: a batch that is written
//!    meanwhile may be seen in part. Callers keep out of each other's way.
//! 4. Keys are at most [`KEY_BYTES_MAX`] long, values at most [`VALUE_BYTES_MAX`].
//! 5. A fault means that the folder can no longer be trusted; the caller stops using it.

#[cfg(test)]
mod contract;
#[cfg(feature = "os")]
pub mod folders;
pub mod memory;
#[cfg(feature = "os")]
pub mod sled;

use std::fmt::{self, Debug};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::error::ErrorCode;

/// The longest key that an engine takes; a caller never passes a longer one.
pub const KEY_BYTES_MAX: usize = 64;

/// The largest value that an engine takes: a block of one record and the record's own limit of
/// 1.5 MiB fit with room to spare. A caller never passes a larger one.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Hears each pair of a scan and says whether to go on.
pub type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// A [`Visitor`] that is called on another thread.
pub type SendVisitor<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + Send + 'v;

/// An ordered map of bytes on the disk. See the contract at the head of this file.
pub trait Engine: Send + Sync + Debug {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineFault>;

    /// Visits the pairs with `key >= start` in order until told to stop.
    fn scan(&self, start: &[u8], visit: &mut Visitor<'_>) -> Result<(), EngineFault>;

    /// Does all of a batch or nothing of it.
    fn write(&self, batch: WriteBatch) -> Result<(), EngineFault>;

    /// Hands everything written so far to the operating system and waits for the disk.
    fn sync(&self) -> Result<(), EngineFault>;

    /// How many bytes the engine takes on the disk, roughly.
    fn size_on_disk(&self) -> Result<u64, EngineFault>;
}

/// Changes that are made together.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    changes: Vec<(Bytes, Option<Bytes>)>,
    bytes: usize,
}

impl WriteBatch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        debug_assert!(key.len() <= KEY_BYTES_MAX && value.len() <= VALUE_BYTES_MAX);
        self.bytes += key.len() + value.len();
        self.changes.push((key, Some(value)));
    }

    /// Removes `key`; removing what is not there is no fault.
    pub fn delete(&mut self, key: Bytes) {
        self.bytes += key.len();
        self.changes.push((key, None));
    }

    /// How many bytes of keys and values the batch holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was put into the batch.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes in the order they were made; a later change of a key replaces an earlier one.
    pub fn into_changes(self) -> Vec<(Bytes, Option<Bytes>)> {
        self.changes
    }
}

/// The number of an engine's folder; each is used for one engine and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineNumber(pub u64);

impl fmt::Display for EngineNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine-{}", self.0)
    }
}

/// Keeps engines side by side, a marker beside each, and a pointer to the one in use.
///
/// Invariants: (1) `switch` and `save_marker` are durable and atomic when they return: after a
/// crash the old or the new is found; (2) `open` and `create` never panic, whatever the folder
/// holds; (3) an engine is open once at a time.
pub trait EngineSource: Send + Sync + Debug {
    /// Every folder there is, half-made ones too, in ascending order.
    fn list(&self) -> Result<Vec<EngineNumber>, EngineFault>;

    /// The folder in use.
    fn current(&self) -> Result<Option<EngineNumber>, EngineFault>;

    /// What was last saved beside a folder.
    fn marker(&self, number: EngineNumber) -> Result<Option<Bytes>, EngineFault>;

    /// Saves a marker beside a folder.
    fn save_marker(&self, number: EngineNumber, marker: &[u8]) -> Result<(), EngineFault>;

    /// Makes a new, empty engine that is not in use yet.
    fn create(&self) -> Result<(EngineNumber, Arc<dyn Engine>), EngineFault>;

    /// Opens a folder and visits every pair in it in order, so that whatever is wrong with the
    /// folder shows here and is a fault, not a surprise later. A visitor that breaks off says
    /// that it has seen enough; the engine is opened all the same.
    fn open(
        &self,
        number: EngineNumber,
        visit: &mut SendVisitor<'_>,
    ) -> Result<Arc<dyn Engine>, EngineFault>;

    /// Makes a folder the one in use.
    fn switch(&self, number: EngineNumber) -> Result<(), EngineFault>;

    /// Ends the use of an engine: all of it is on the disk when this returns `true`. `false`
    /// when somebody else still holds the engine, which then cannot be vouched for.
    fn close(&self, number: EngineNumber, engine: Arc<dyn Engine>) -> Result<bool, EngineFault>;

    /// Removes a folder and its marker.
    fn remove(&self, number: EngineNumber) -> Result<(), EngineFault>;

    /// Names the present boot of the machine, so that a process crash (nothing lost: the
    /// operating system has the bytes) can be told from a power loss.
    fn boot_id(&self) -> String;
}

/// Why an engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EngineFault {
    /// The folder holds something that the engine did not write.
    #[error("the engine's folder is damaged: {what}")]
    Damaged {
        /// What was found, for a person.
        what: String,
    },
    /// The disk refused.
    #[error("cannot {action} the engine's folder")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl EngineFault {
    /// The stable code of the fault.
    pub fn code(&self) -> ErrorCode {
        match self {
            EngineFault::Damaged { .. } => ErrorCode::DataCorrupt,
            EngineFault::Io { source, .. } => io_code(source),
        }
    }
}

/// The code of a refusal of the disk.
pub(crate) fn io_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
        _ => ErrorCode::DiskFailed,
    }
}
