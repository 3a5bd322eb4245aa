//! Words and laws of hstore: keys, ranges, limits, revisions, commands, outcomes, the state
//! machine that turns one into the other, their codec, and the error codes.
//!
//! This room is pure: it knows no file, socket, clock, thread or random number, and it must never
//! learn of one. The same input gives the same bytes on every node, for ever.

pub mod alarm;
pub mod auth;
pub mod check;
pub mod claim;
pub mod codec;
pub mod command;
pub mod error;
pub mod id;
pub mod key;
pub mod limits;
pub mod machine;
pub mod membership;
pub mod outcome;
pub mod planted;
pub mod range;
pub mod record;
pub mod settings;
mod spans;
pub mod testing;
