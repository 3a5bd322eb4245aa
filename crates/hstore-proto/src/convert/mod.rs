//! Between the wire and the words of the core: `request` on the way in, with every check of the
//! door; `answer` on the way out, and `reply` back from there; `keys` both ways.
//!
//! Invariant: a function of `request` answers a value that the state machine takes as it is, or
//! why there is none; nobody checks again.

pub mod answer;
pub mod keys;
pub mod permission;
pub mod reply;
pub mod request;
pub mod watch;
