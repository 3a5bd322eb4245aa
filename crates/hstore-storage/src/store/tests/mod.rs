//! The store against a naive one: a list of every record that was ever written, under the same
//! machine. `world` runs both side by side through ends of the process and of the machine.

#![allow(clippy::unwrap_used, reason = "tests")]

mod compaction;
#[cfg(feature = "os")]
mod files;
mod hash;
mod naive;
mod random;
mod recall;
mod restart;
mod seed;
mod snapshots;
mod threads;
mod visible;
mod world;
