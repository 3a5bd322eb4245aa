//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// Long enough for anything that is going to happen at all on a busy machine of two cores.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// The pause between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until `look` finds something; panics with `what` when it does not in time.
#[track_caller]
pub(crate) fn until<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begin.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        std::thread::sleep(PAUSE);
    }
}
