//! The time of day, for screens.

use std::time::{Duration, SystemTime};

use hstore_node::WallClock;

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl WallClock for SystemClock {
    fn since_epoch(&self) -> Duration {
        // A clock before 1970 is not worth a failure: it is shown, never decided on.
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }
}
