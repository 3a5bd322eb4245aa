//! This node's reading of the clock that the leases end by.
//!
//! The clock is what the leader stamped the log with, and the time that passed here since. A
//! follower takes over each stamp that it applies; a leader goes on from what it read when it began
//! to lead. A stamp is applied later than it was made, so a reading is never ahead of the clock of
//! the leader before: a lease never ends early because the leader changed. It is behind by no more
//! than a stamp took to arrive.
//!
//! That holds for whoever has applied all that was stamped before. A node that has not may still read
//! the clock of a leader before the last, which may be ahead; so a leader stamps nothing
//! until it has applied an entry of its own term (ADR 0034).
//!
//! Invariants: (1) a reading goes back only to the stamp of another node; (2) only time that passed while
//! this process ran is added: what a cluster slept is not counted against anybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hstore_core::id::LeaseTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// A reading of the clock and when it was right.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    time: LeaseTime,
    at: Instant,
}

impl Anchor {
    fn read(self) -> LeaseTime {
        let passed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        LeaseTime(self.time.0.saturating_add(passed))
    }
}

/// The clock of one node. Clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct LeaseClock {
    anchor: Arc<Mutex<Anchor>>,
    /// Whether time passes on it.
    runs: bool,
    next_end: watch::Sender<Option<LeaseTime>>,
}

impl LeaseClock {
    /// The clock of a node whose store was opened with this time.
    pub(super) fn new(time: LeaseTime, next_end: Option<LeaseTime>, runs: bool) -> LeaseClock {
        let at = Instant::now();
        LeaseClock {
            anchor: Arc::new(Mutex::new(Anchor { time, at })),
            runs,
            next_end: watch::Sender::new(next_end),
        }
    }

    /// What it shows now.
    pub(crate) fn now(&self) -> LeaseTime {
        let anchor = *self.lock();
        if self.runs {
            anchor.read()
        } else {
            anchor.time
        }
    }

    /// Follows when the next lease ends.
    pub(crate) fn next_end(&self) -> watch::Receiver<Option<LeaseTime>> {
        self.next_end.subscribe()
    }

    /// Entries were applied, up to this time: all of them stamped by this very node, or some by
    /// another.
    pub(super) fn applied(&self, time: LeaseTime, own: bool, next_end: Option<LeaseTime>) {
        {
            let mut anchor = self.lock();
            if !own || time > anchor.read() {
                let at = Instant::now();
                *anchor = Anchor { time, at };
            }
        }
        self.next_end.send_if_modified(|known| {
            let changed = *known != next_end;
            *known = next_end;
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        self.anchor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_from_the_stamps_of_others_and_never_back_for_its_own() {
        let clock = LeaseClock::new(LeaseTime(1000), None, true);
        advance(Duration::from_millis(500)).await;
        assert_eq!(clock.now(), LeaseTime(1500));
        // Its own stamp comes back from the log a little later.
        clock.applied(LeaseTime(1400), true, None);
        assert_eq!(clock.now(), LeaseTime(1500));
        // Somebody else leads, and its word counts, whatever was thought here.
        clock.applied(LeaseTime(1200), false, None);
        assert_eq!(clock.now(), LeaseTime(1200));
        // A log that is read again at a start has stamps of this node that are ahead of it.
        clock.applied(LeaseTime(9000), true, None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(clock.now(), LeaseTime(9001));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_does_not_run_shows_the_last_stamp() {
        let clock = LeaseClock::new(LeaseTime(1000), None, false);
        advance(Duration::from_secs(500)).await;
        assert_eq!(clock.now(), LeaseTime(1000));
        clock.applied(LeaseTime(1000), true, None);
        advance(Duration::from_secs(500)).await;
        assert_eq!(clock.now(), LeaseTime(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_next_end_hears_of_changes_only() {
        let clock = LeaseClock::new(LeaseTime(0), None, true);
        let mut next = clock.next_end();
        clock.applied(LeaseTime(1), false, None);
        assert!(!next.has_changed().unwrap_or(true));
        clock.applied(LeaseTime(2), false, Some(LeaseTime(7)));
        assert!(next.has_changed().unwrap_or(false));
        assert_eq!(*next.borrow_and_update(), Some(LeaseTime(7)));
    }
}
