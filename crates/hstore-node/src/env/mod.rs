//! The ports: everything a node cannot compute comes through here, so that the same node runs in
//! the real world and in the simulator.
//!
//! Invariants: (1) no port is ever reached but through [`Env`]; (2) time that is measured comes
//! from tokio's clock, which can be paused, and only time that is shown comes from [`WallClock`];
//! (3) every random number of a node descends from [`Env::seed`].

mod gate;
mod lanes;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hstore_storage::disk::Disk;
use hstore_storage::engine::EngineSource;

pub use gate::Gate;
pub use lanes::{InlineLanes, Job, Lane, LaneClosed, Lanes};
pub use transport::{
    Class, Duplex, FRAME_BYTES_MAX, FRAMES_IN_FLIGHT_MAX, Hello, HelloError, PeerAddress,
    Transport, TransportError,
};

/// The time of day, for screens and never for decisions.
pub trait WallClock: Send + Sync {
    /// The time since 1970-01-01 00:00 UTC.
    fn since_epoch(&self) -> Duration;
}

/// The ports of one node.
#[derive(Clone)]
pub struct Env {
    /// The way to the peers.
    pub transport: Arc<dyn Transport>,
    /// The disk that holds the log, the snapshot files and the identity.
    pub disk: Arc<dyn Disk>,
    /// The ordered queues on which blocking work runs.
    pub lanes: Arc<dyn Lanes>,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// What opens the store's engines.
    pub engine: Arc<dyn EngineSource>,
    /// Where every random number of the node begins.
    pub seed: u64,
    /// What holds all tasks of the node while its process is meant to stand still.
    pub gate: Option<Gate>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
