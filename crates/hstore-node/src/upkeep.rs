//! What has to be done now and then: writing records down, compacting, making snapshots, letting
//! go of the log.
//!
//! Invariants: (1) all of it runs on lanes, none of it holds up a write; (2) the log is let go
//! only up to a synced snapshot file; (3) a fault ends the node.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::id::LogId;
use hstore_storage::store::{Progress, StoreFault};
use tokio::time::Instant;

use crate::env::{Lane, LaneClosed};
use crate::fate::reason_of;
use crate::inner::Inner;

/// How often the flusher looks.
const FLUSH_LOOK: Duration = Duration::from_millis(100);

/// Records that wait are written down after this long at the latest, so that a restart after a
/// crash of the process has little to replay.
const FLUSH_AFTER: Duration = Duration::from_secs(5);

/// The pause between steps of compaction while there is more to do.
const COMPACT_PAUSE: Duration = Duration::from_millis(2);

/// How often compaction looks when there was nothing to do.
const COMPACT_LOOK: Duration = Duration::from_secs(1);

/// How often the log's size is looked at.
const LOG_LOOK: Duration = Duration::from_millis(250);

/// How long a snapshot may take before it is asked for again.
const SNAPSHOT_MAX: Duration = Duration::from_mins(10);

fn over(inner: &Inner, result: Result<Result<(), StoreFault>, LaneClosed>) {
    match result {
        Ok(Ok(())) | Err(LaneClosed) => {}
        Ok(Err(fault)) => inner.fate.end(reason_of(fault.code(), &fault)),
    }
}

/// Writes records down before they are too many, and before they are too old.
pub(crate) async fn flush(inner: Arc<Inner>, lane: Lane) {
    let mut flushed_at = Instant::now();
    let mut flushed: Option<LogId> = None;
    loop {
        tokio::time::sleep(FLUSH_LOOK).await;
        let store = inner.consensus.store().clone();
        let stats = store.stats();
        let many = stats.recent_bytes >= (inner.config.recent_bytes_max / 4) as u64;
        let old = flushed_at.elapsed() >= FLUSH_AFTER && stats.applied != flushed;
        if !many && !old {
            continue;
        }
        over(&inner, lane.run(move || store.flush()).await);
        flushed = stats.applied;
        flushed_at = Instant::now();
    }
}

/// Drops what compaction made unreadable, in small steps.
pub(crate) async fn compact(inner: Arc<Inner>, lane: Lane) {
    loop {
        let store = inner.consensus.store().clone();
        let progress = match lane.run(move || store.maintain()).await {
            Ok(Ok(progress)) => progress,
            Ok(Err(fault)) => {
                over(&inner, Ok(Err(fault)));
                return std::future::pending().await;
            }
            Err(LaneClosed) => return std::future::pending().await,
        };
        if progress == Progress::More {
            tokio::time::sleep(COMPACT_PAUSE).await;
            continue;
        }
        let reclaimed = inner.consensus.store().reclaimed();
        inner.reclaimed.send_if_modified(|known| {
            let moved = *known != reclaimed;
            *known = reclaimed;
            moved
        });
        tokio::select! {
            biased;
            () = inner.tidying.notified() => {}
            () = tokio::time::sleep(COMPACT_LOOK) => {}
        }
    }
}

/// Makes snapshots when the log has grown, and lets go of the log below them.
pub(crate) async fn tend_log(inner: Arc<Inner>) {
    let before = inner.consensus.log_stats().bytes;
    let mut covered = inner.consensus.covered();
    let mut mark = 0;
    let mut asked: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOG_LOOK).await;
        let grown = before + inner.consensus.appended_bytes();
        let now_covered = inner.consensus.covered();
        if now_covered != covered {
            // Made here or received: either way the log before it is superfluous.
            covered = now_covered;
            mark = grown;
            asked = None;
            let kept = inner.consensus.purge(
                inner.config.log_keep_entries_max,
                inner.config.log_keep_bytes_max,
            );
            if let Err(error) = kept.await {
                tracing::warn!("the log was not purged: {error}");
            }
        }
        let stats = inner.consensus.store().stats();
        let data = stats.engine_bytes + stats.recent_bytes;
        let due = inner.config.snapshot_log_bytes_min.max(data / 2);
        let waiting = asked.is_some_and(|at| at.elapsed() < SNAPSHOT_MAX);
        if grown.saturating_sub(mark) > due && stats.applied.is_some() && !waiting {
            tracing::info!(log_bytes = grown - mark, "a snapshot is due");
            asked = Some(Instant::now());
            inner.consensus.build_snapshot().await;
        }
    }
}
