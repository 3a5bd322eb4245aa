//! Everything that happened, in order, as lines with the time of the simulation, and as one hash.
//!
//! Invariants: (1) a line holds nothing of the real world: no real time, no address of memory, no
//! order of a hash map; (2) the hash is over every line, whether lines are kept or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

struct Lines {
    began: Instant,
    hash: u64,
    count: u64,
    kept: Option<Vec<String>>,
}

/// The story of one run. Clones tell the same story.
#[derive(Clone)]
pub struct Trace {
    lines: Arc<Mutex<Lines>>,
}

impl Trace {
    /// An empty story that begins now; its lines are kept if somebody wants to read them.
    pub fn new(keep: bool) -> Trace {
        Trace {
            lines: Arc::new(Mutex::new(Lines {
                began: Instant::now(),
                // The offset basis of FNV-1a.
                hash: 0xcbf2_9ce4_8422_2325,
                count: 0,
                kept: keep.then(Vec::new),
            })),
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the run lasts already.
    pub fn elapsed(&self) -> Duration {
        self.lines().began.elapsed()
    }

    /// Adds a line.
    pub fn say(&self, what: &str) {
        let mut lines = self.lines();
        let line = format!("{:>12} {what}", lines.began.elapsed().as_micros());
        for byte in line.bytes().chain([b'\n']) {
            lines.hash = (lines.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        lines.count += 1;
        if let Some(kept) = &mut lines.kept {
            kept.push(line);
        }
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.lines().count
    }

    /// The hash over all lines so far.
    pub fn hash(&self) -> u64 {
        self.lines().hash
    }

    /// The lines, if they were kept.
    pub fn text(&self) -> String {
        let lines = self.lines();
        lines.kept.as_ref().map_or_else(String::new, |kept| {
            let mut text = kept.join("\n");
            text.push('\n');
            text
        })
    }
}
