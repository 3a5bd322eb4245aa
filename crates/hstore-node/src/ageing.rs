//! Automatic compaction: the leader proposes to drop history that is older, or more, than the
//! settings keep.
//!
//! How old history is says the clock in the log (ADR 0016), so whoever leads comes to the same
//! answer, and a proposal that is late, repeated or from a leader of former days drops nothing that
//! was to be kept.
//!
//! Invariants: (1) what was written within the age that is kept stays, unless there are more
//! revisions than are kept; (2) steps are small: a twentieth of what is kept at a time, so that the
//! sweep behind them never has much to do at once.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, Compact, Proposal};
use hstore_core::id::{LeaseTime, Revision};
use tokio::time::{Instant, sleep};

use crate::config::KeepHistory;
use crate::env::Lane;
use crate::inner::Inner;

/// How often a leader looks.
const LOOK: Duration = Duration::from_secs(1);

/// History that is too old goes in so many steps.
const STEPS: u32 = 20;

/// The longest pause between two steps by age.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// How long one proposal may wait for its outcome.
const PROPOSE_MAX: Duration = Duration::from_secs(2);

/// Runs until the node ends.
pub(crate) async fn age(inner: Arc<Inner>, lane: Lane) {
    let mut settings = inner.consensus.settings();
    let mut aged_at: Option<Instant> = None;
    loop {
        settings.borrow_and_update();
        let keep = inner.effective().keep_history;
        if keep == KeepHistory::default() {
            if settings.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        }
        let pause = keep.age.map_or(LOOK, |age| (age / STEPS).min(PAUSE_MAX));
        sleep(LOOK).await;
        if inner.consensus.leader() != Some(inner.identity.node) {
            continue;
        }
        let store = inner.consensus.store().clone();
        let (revision, compacted) = (store.revision(), store.compacted());
        let mut target = keep
            .revisions
            .and_then(|kept| beyond(kept, revision, compacted));
        if let Some(age) = keep.age
            && aged_at.is_none_or(|at| at.elapsed() >= pause)
        {
            let now = inner.consensus.lease_clock().now();
            if let Some(then) = before(now, age) {
                let old = lane.run(move || store.revision_as_of(then)).await;
                let Ok(old) = old else {
                    return std::future::pending().await;
                };
                target = target.max(old);
            }
            aged_at = Some(Instant::now());
        }
        if let Some(target) = target.filter(|target| *target > compacted) {
            propose(&inner, target).await;
        }
    }
}

/// The point that leaves so many revisions, if enough are beyond it.
fn beyond(kept: u64, revision: Revision, compacted: Revision) -> Option<Revision> {
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    let target = revision.0.checked_sub(kept)?;
    let step = (kept / i64::from(STEPS)).max(1);
    (target >= compacted.0.saturating_add(step)).then_some(Revision(target))
}

/// The time that was so long ago, if the clock was running then.
fn before(now: LeaseTime, age: Duration) -> Option<LeaseTime> {
    let age = u64::try_from(age.as_millis()).ok()?;
    now.0.checked_sub(age).map(LeaseTime)
}

async fn propose(inner: &Inner, revision: Revision) {
    let bytes = encode_proposal(&Proposal {
        request: None,
        author: Author::Node,
        command: Command::Compact(Compact { revision }),
    });
    let deadline = Instant::now() + PROPOSE_MAX;
    match inner.queue.propose(bytes, false, deadline).await {
        Ok(_outcome) => tracing::debug!(%revision, "old history was compacted"),
        // The next look finds the same, or another leader does.
        Err(error) => tracing::debug!("old history was not compacted: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_go_in_steps_and_never_more_than_promised() {
        let table = [
            (100, 50, 0, None),
            (100, 100, 0, None),
            (100, 104, 0, None),
            (100, 105, 0, Some(5)),
            (100, 109, 5, None),
            (100, 110, 5, Some(10)),
            (1, 3, 1, Some(2)),
            (1, 2, 1, None),
            (u64::MAX, i64::MAX, 0, None),
        ];
        for (kept, revision, compacted, expected) in table {
            let found = beyond(kept, Revision(revision), Revision(compacted));
            assert_eq!(found, expected.map(Revision), "{kept} {revision}");
        }
    }

    #[test]
    fn nothing_is_as_old_as_a_clock_that_did_not_run_yet() {
        let hour = Duration::from_hours(1);
        assert_eq!(before(LeaseTime(3_599_999), hour), None);
        assert_eq!(before(LeaseTime(3_600_001), hour), Some(LeaseTime(1)));
    }
}
