//! The way between nodes: a connection of ours carried over one stream of gRPC in both
//! directions, each with an HTTP/2 connection of its own.
//!
//! This room carries frames and never reads one. Invariants: (1) frames arrive in order or the
//! connection ends; (2) when one direction ends the other ends too; (3) a frame that was handed
//! over before the end still goes out.

mod accept;
mod carry;
#[cfg(test)]
mod tests;
mod transport;

use std::time::Duration;

use hstore_node::FRAME_BYTES_MAX;

#[cfg(test)]
use accept::Accept;
pub(crate) use accept::{builder, door};
pub use transport::PeerTransport;

/// How much of one connection's frames may be on their way; then the sender waits.
const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How often a connection is asked whether its other end is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// How long the other end has for that answer; then the connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest message: a frame and its framing.
const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX + 64;
