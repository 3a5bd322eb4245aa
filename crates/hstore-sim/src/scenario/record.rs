//! The correctness bugs that etcd has on record, by their numbers there: each is a scenario that
//! would show the same mistake in a store like ours. Those about watches, leases and users wait
//! until hstore has them.

use std::time::Duration;

use super::Scenario;
use super::family::Shape;
use crate::nemesis::Kind;
use crate::plan::Plan;

const fn shape(name: &'static str, nodes: usize, kinds: &'static [Kind], every_ms: u64) -> Shape {
    Shape {
        name,
        nodes,
        clients: 5,
        keys: 3,
        kinds,
        every_ms,
    }
}

macro_rules! runs {
    ($shape:expr, $about:literal, $change:expr) => {{
        const SHAPE: Shape = $shape;
        Scenario {
            name: SHAPE.name,
            about: $about,
            plan: Some(|seed| $change(SHAPE.plan(seed))),
        }
    }};
}

const fn waits(name: &'static str, about: &'static str) -> Scenario {
    Scenario {
        name,
        about,
        plan: None,
    }
}

pub(super) fn all() -> Vec<Scenario> {
    vec![
        runs!(
            shape("etcd-13766", 3, &[Kind::Kill, Kind::Crash], 1_200),
            "the revision differs after a crash under load",
            busy
        ),
        runs!(
            shape(
                "etcd-14140",
                3,
                &[Kind::Crash, Kind::CrashAll, Kind::TornWrite],
                1_500
            ),
            "stale reads after unsynced writes were lost",
            busy
        ),
        runs!(
            shape("etcd-14370", 1, &[Kind::TornWrite, Kind::Crash], 1_500),
            "a single node acknowledges before its disk has the write",
            busy
        ),
        runs!(
            shape(
                "etcd-14685",
                3,
                &[Kind::KillLoop, Kind::Compact, Kind::Bulk],
                1_200
            ),
            "a crash while the store is rewritten",
            small
        ),
        runs!(
            shape(
                "etcd-17780",
                3,
                &[Kind::Compact, Kind::Crash, Kind::KillAll],
                1_000
            ),
            "the revision goes down after a crash in a compaction",
            small
        ),
        runs!(
            shape(
                "etcd-18055",
                3,
                &[Kind::Bulk, Kind::Crash, Kind::Isolate],
                1_000
            ),
            "two snapshots close together",
            small
        ),
        runs!(
            shape("etcd-18667", 3, &[Kind::Compact, Kind::Kill], 800),
            "reading a compacted revision inside a transaction makes members differ",
            compacting
        ),
        runs!(
            shape(
                "etcd-20271",
                3,
                &[Kind::TornWrite, Kind::KillLoop, Kind::Bulk],
                1_500
            ),
            "a page of the store is of another type after a crash",
            small
        ),
        runs!(
            shape(
                "etcd-20418",
                3,
                &[Kind::Pause, Kind::PauseAll, Kind::Transfer],
                1_200
            ),
            "stale reads after a process stood still",
            reading
        ),
        waits("etcd-14571", "users: enabling them makes members differ"),
        waits(
            "etcd-15220",
            "watch: a progress notice overtakes its events",
        ),
        waits(
            "etcd-15247",
            "lease: a leader on a slow disk goes on revoking",
        ),
        waits(
            "etcd-15271",
            "watch: it goes back in time after a partition",
        ),
        waits("etcd-17247", "watch: an event comes twice"),
        waits("etcd-17529", "watch: events are lost when a stream starves"),
        waits(
            "etcd-18089",
            "watch: an event is dropped by a compaction on a deletion",
        ),
        waits(
            "etcd-19179",
            "watch: a deletion is missing at the compacted revision",
        ),
        waits(
            "etcd-20221-events",
            "watch: of a future revision, it gives old events",
        ),
        waits(
            "etcd-20221-notices",
            "watch: of a future revision, it gives old notices",
        ),
    ]
}

fn busy(mut plan: Plan) -> Plan {
    plan.mix.pause = Duration::from_millis(25);
    plan
}

/// Bounds so small that everything is written down, let go and rewritten all the time.
fn small(mut plan: Plan) -> Plan {
    plan.knobs.snapshot_log_bytes = 4 * 1024;
    plan.knobs.keep_entries = 4;
    plan.knobs.keep_bytes = 1024;
    plan.knobs.recent_bytes = 32 * 1024;
    plan.knobs.block_bytes = 1024;
    plan.knobs.cache_bytes = 4 * 1024;
    plan.mix.value_bytes_max = 600;
    compacting(plan)
}

fn compacting(mut plan: Plan) -> Plan {
    plan.mix.compacts_permille = 30;
    plan.mix.reads_percent = 30;
    busy(plan)
}

fn reading(mut plan: Plan) -> Plan {
    plan.mix.reads_percent = 70;
    plan.mix.serializable_percent = 0;
    busy(plan)
}
