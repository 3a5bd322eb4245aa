//! Judges what was recorded of a run: whether a store kept its promises.
//!
//! A history is what clients asked and were answered, and when (docs/history-format.md). Two judges
//! read the operations: the witness believes the revisions in the answers and replays all writes in
//! their order; the search believes nothing but times and values, and looks for any order that
//! explains them. The laws of watches hold what watches were told against the log, and the laws of locks
//! who was told to hold one. The laws of rights judge what is in no history file: who might do what.
//!
//! This room knows no store, no node, no clock and no network. The binary alone opens files.
//!
//! Invariants: (1) a history that a correct store can make is never refused; (2) what could not be
//! judged is counted, never passed over; (3) the same history gives the same report; (4) no history
//! makes a judge panic.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

pub mod brute;
pub mod generate;
pub mod history;
pub mod judge;
pub mod lock;
pub mod model;
pub mod recorder;
pub mod rights;
pub mod search;
pub mod violation;
pub mod watch;
pub mod witness;

mod words;
