//! What a node keeps: the log, the snapshot files, and the working store above an engine.
//!
//! This room is synchronous and deterministic: it reaches files only through the [`disk::Disk`]
//! port (real files live in `os`, behind the feature of that name), and it must never know a
//! socket, a runtime or Raft's rules.

pub mod backup;
mod blocks;
mod cache;
pub mod disk;
pub mod engine;
mod index;
#[cfg(any(test, feature = "micro"))]
pub mod micro;
#[cfg(feature = "os")]
pub mod os;
mod recent;
pub mod snapshot;
pub mod store;
pub mod wal;
