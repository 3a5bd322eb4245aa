//! Proposals on their way into the log: they wait in one bounded queue, travel together, and come
//! back with an outcome or with the truth about what is known of them.
//!
//! A lone proposal leaves at once; those that arrive while an entry is in flight are packed into
//! the next one. A node that does not lead sends them on to the leader over one stream.

mod batch;
mod forward;
mod pending;
mod proposer;
mod queue;
mod serve;
mod wire;

pub(crate) use proposer::Proposer;
pub(crate) use queue::{Bounds, Queue};
pub(crate) use serve::serve_forwards;
