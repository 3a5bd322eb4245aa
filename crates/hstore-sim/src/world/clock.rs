//! The clock on a machine's wall: it may be wrong, and it may jump, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hstore_node::WallClock;
use tokio::time::Instant;

/// What a right clock says when the world begins, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_700_000_000_000;

/// The clock of one machine. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Wall {
    began: Instant,
    wrong_ms: Arc<AtomicI64>,
}

impl Wall {
    /// A clock that is right.
    pub fn new(began: Instant) -> Wall {
        Wall {
            began,
            wrong_ms: Arc::default(),
        }
    }

    /// Moves the hands.
    pub fn jump(&self, by_ms: i64) {
        self.wrong_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl WallClock for Wall {
    fn since_epoch(&self) -> Duration {
        let elapsed = self.began.elapsed().as_millis() as i64;
        let wrong = self.wrong_ms.load(Ordering::Relaxed);
        let now = BEGINNING_MS.saturating_add(elapsed).saturating_add(wrong);
        Duration::from_millis(now.max(0) as u64)
    }
}
