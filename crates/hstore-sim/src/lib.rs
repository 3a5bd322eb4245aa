//! The simulator: whole clusters in one thread on a clock that it moves, a nemesis that breaks
//! what may break, clients that write down what they saw, and laws that must hold whatever
//! happened.
//!
//! A node in here is the very node that the server runs; only its ports lead elsewhere. One seed
//! is one run, and one run is one process: the same seed in a fresh process is the same run, line
//! by line.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the world that the node's ports lead to; its tasks end with its runtime"
)]

pub mod content;
pub mod invariants;
pub mod ledger;
pub mod nemesis;
pub mod net;
pub mod observer;
pub mod plan;
pub mod report;
pub mod run;
pub mod scenario;
pub mod steward;
pub mod stranger;
pub mod trace;
pub mod workload;
pub mod world;
