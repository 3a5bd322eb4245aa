//! The connections of a port that are open, and who is shown out when all places are taken.
//!
//! A connection is at nothing while no call of it is at work: its client may say hello, answer pings
//! and go on saying nothing for as long as it likes, and cost a place. So when the last place is taken,
//! whoever has been at nothing for the longest time, and for [`IDLE_MIN`], has to leave it.
//!
//! Invariants: (1) who is at something is never shown out; (2) a call is at work until its answer is
//! gone, however it ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connection may be at nothing, whoever waits.
pub(super) const IDLE_MIN: Duration = Duration::from_secs(10);

/// All of them.
#[derive(Debug)]
pub(super) struct Seats {
    began: Instant,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug)]
struct State {
    /// How many calls are at work.
    calls: AtomicUsize,
    /// When there was one last, in milliseconds since the port was opened.
    last_ms: AtomicU64,
    leave: CancellationToken,
}

/// That of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    all: Arc<Seats>,
    number: u64,
    state: Arc<State>,
}

/// A call that is at work.
#[derive(Debug)]
pub(crate) struct AtWork {
    all: Arc<Seats>,
    state: Arc<State>,
}

impl Seats {
    /// Nobody is there.
    pub(super) fn new() -> Arc<Seats> {
        Arc::new(Seats {
            began: Instant::now(),
            taken: Mutex::default(),
        })
    }

    /// Takes a place.
    pub(super) fn take(self: &Arc<Seats>) -> Seat {
        let state = Arc::new(State {
            calls: AtomicUsize::new(0),
            last_ms: AtomicU64::new(self.now_ms()),
            leave: CancellationToken::new(),
        });
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&state));
        Seat {
            all: Arc::clone(self),
            number,
            state,
        }
    }

    /// Shows out whoever has been at nothing for the longest time, if that is long enough.
    pub(super) fn show_one_out(&self) {
        let now = self.now_ms();
        let taken = self.taken();
        let idle = taken.seats.values().filter(|state| {
            state.calls.load(Ordering::Acquire) == 0 && !state.leave.is_cancelled()
        });
        let longest = idle.min_by_key(|state| state.last_ms.load(Ordering::Relaxed));
        if let Some(state) = longest
            && now.saturating_sub(state.last_ms.load(Ordering::Relaxed))
                >= IDLE_MIN.as_millis() as u64
        {
            tracing::debug!("all places are taken: an idle connection has to leave");
            state.leave.cancel();
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// A call begins.
    pub(super) fn work(&self) -> AtWork {
        self.state.calls.fetch_add(1, Ordering::AcqRel);
        AtWork {
            all: Arc::clone(&self.all),
            state: Arc::clone(&self.state),
        }
    }

    /// Cancelled when the connection has to leave.
    pub(super) fn leave(&self) -> CancellationToken {
        self.state.leave.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.all.taken().seats.remove(&self.number);
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // First, so that nobody sees it at nothing since long ago.
        let now = self.all.now_ms();
        self.state.last_ms.store(now, Ordering::Relaxed);
        self.state.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_at_nothing_for_the_longest_time_leaves_and_nobody_who_is_at_something() {
        let seats = Seats::new();
        let (working, first, second) = (seats.take(), seats.take(), seats.take());
        let work = working.work();
        let leaves = || [&working, &first, &second].map(|seat| seat.leave().is_cancelled());
        advance(Duration::from_millis(9_999)).await;
        seats.show_one_out();
        assert_eq!(leaves(), [false; 3], "it was not long enough");
        drop(first.work());
        advance(Duration::from_millis(1)).await;
        seats.show_one_out();
        assert_eq!(leaves(), [false, false, true]);
        seats.show_one_out();
        assert_eq!(
            leaves(),
            [false, false, true],
            "the first has worked meanwhile"
        );
        drop(second);
        advance(IDLE_MIN).await;
        seats.show_one_out();
        seats.show_one_out();
        assert!(first.leave().is_cancelled() && !working.leave().is_cancelled());
        drop((work, first));
        advance(IDLE_MIN).await;
        seats.show_one_out();
        assert!(working.leave().is_cancelled());
        assert_eq!(seats.taken().seats.len(), 1);
    }
}
