//! Consensus. Everything that names openraft lives in this folder.

#![allow(dead_code, reason = "the replica above is on its way")]

mod codec;
mod log;
mod log_writer;
mod machine;
mod snapshot;
mod types;

pub(crate) use types::Runtime;
