//! The last minutes of a node, as figures that are drawn: a row every few seconds, in memory alone.
//!
//! Invariants: (1) there are [`ROWS_MAX`] rows at most, so a node keeps a few kilobytes of them; (2) a row
//! says how long ago it was, not when: whoever draws it has a clock of its own.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_proto::hstore::v1::{PastResponse, PastRow, Vitals};
use tokio::time::Instant;

/// How far rows are apart.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);

/// How many are kept: ten minutes.
pub(crate) const ROWS_MAX: usize = 200;

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Past {
    rows: Mutex<VecDeque<(Instant, PastRow)>>,
}

impl Past {
    /// Takes a row, if the last one is long enough ago; the oldest goes when there are too many.
    pub(super) fn add(&self, now: Instant, told: &Vitals, lag: u64) {
        let mut rows = self.rows();
        // A look that comes a little early is the one that is due.
        let early = INTERVAL / 6;
        let is_due = |last: &(Instant, PastRow)| now.duration_since(last.0) + early >= INTERVAL;
        if !rows.back().is_none_or(is_due) {
            return;
        }
        if rows.len() == ROWS_MAX {
            rows.pop_front();
        }
        rows.push_back((now, row(told, lag)));
    }

    /// All of them as of now, the oldest first.
    pub(crate) fn told(&self, node_id: u64) -> PastResponse {
        let now = Instant::now();
        let rows = self.rows();
        let rows = rows.iter().map(|(at, row)| PastRow {
            ago_ms: now.saturating_duration_since(*at).as_millis() as u64,
            ..*row
        });
        PastResponse {
            node_id,
            interval_ms: INTERVAL.as_millis() as u64,
            rows: rows.collect(),
        }
    }

    fn rows(&self) -> MutexGuard<'_, VecDeque<(Instant, PastRow)>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(told: &Vitals, lag: u64) -> PastRow {
    let called = |names: &[&str]| {
        let calls = told.calls.iter();
        let calls = calls.filter(|call| names.contains(&call.call.as_str()));
        calls.map(|call| call.per_second).sum()
    };
    let requests = told.requests.unwrap_or_default();
    let log_sync = told.log_sync.unwrap_or_default();
    PastRow {
        ago_ms: 0,
        requests_per_second: told.requests_per_second,
        reads_per_second: called(&["etcdserverpb.KV/Range"]),
        writes_per_second: called(&[
            "etcdserverpb.KV/Put",
            "etcdserverpb.KV/DeleteRange",
            "etcdserverpb.KV/Txn",
        ]),
        requests_p50_us: requests.p50_us,
        requests_p99_us: requests.p99_us,
        log_sync_p50_us: log_sync.p50_us,
        log_sync_p99_us: log_sync.p99_us,
        lag,
        resident_bytes: told.resident_bytes,
        cpu_thousandths: told.cpu_thousandths,
    }
}

#[cfg(test)]
mod tests {
    use hstore_proto::hstore::v1::{CallRate, Timing};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_are_kept_and_each_row_says_how_long_ago_it_was() {
        let past = Past::default();
        assert_eq!(past.told(7).rows, []);
        let call = |name: &str, per_second| CallRate {
            call: format!("etcdserverpb.KV/{name}"),
            per_second,
            ..CallRate::default()
        };
        for second in 0..1000 {
            let told = Vitals {
                requests_per_second: f64::from(second),
                calls: vec![call("Range", 5.0), call("Put", 2.0), call("Txn", 1.0)],
                log_sync: Some(Timing {
                    p99_us: 900,
                    ..Timing::default()
                }),
                ..Vitals::default()
            };
            past.add(Instant::now(), &told, 4);
            advance(Duration::from_secs(1)).await;
        }
        let told = past.told(7);
        assert_eq!((told.node_id, told.interval_ms), (7, 3000));
        assert_eq!(told.rows.len(), ROWS_MAX);
        let ago: Vec<u64> = told.rows.iter().map(|row| row.ago_ms).collect();
        assert_eq!((ago[0], ago[ROWS_MAX - 1]), (598_000, 1000));
        assert!(ago.is_sorted_by(|a, b| *a == b + 3000), "{ago:?}");
        let last = told.rows[ROWS_MAX - 1];
        assert!((last.requests_per_second - 999.0).abs() < 1e-9);
        assert!((last.reads_per_second - 5.0).abs() < 1e-9);
        assert!((last.writes_per_second - 3.0).abs() < 1e-9);
        assert_eq!((last.log_sync_p99_us, last.lag), (900, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn looks_that_are_late_and_early_make_no_row_too_many() {
        let past = Past::default();
        for pause in [2_900, 2_000, 1_100, 10_000, 10] {
            past.add(Instant::now(), &Vitals::default(), 0);
            advance(Duration::from_millis(pause)).await;
        }
        past.add(Instant::now(), &Vitals::default(), 0);
        let ago: Vec<u64> = past.told(1).rows.iter().map(|row| row.ago_ms).collect();
        assert_eq!(ago, [16_010, 13_110, 10_010, 10]);
    }
}
