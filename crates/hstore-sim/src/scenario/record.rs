//! The correctness bugs that etcd has on record, by their numbers there: each is a scenario that
//! would show the same mistake in a store like ours.

use std::time::Duration;

use super::Scenario;
use super::family::Shape;
use super::rights;
use crate::nemesis::Kind;
use crate::plan::Plan;
use crate::workload::Watching;

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
            plan: |seed| $change(SHAPE.plan(seed)),
        }
    }};
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
        runs!(
            shape(
                "etcd-14571",
                3,
                &[Kind::Kill, Kind::Crash, Kind::Stop],
                1_000
            ),
            "users: enabling them makes members differ after a restart",
            with_users
        ),
        runs!(
            shape("etcd-15220", 3, &[Kind::Burst, Kind::Pause], 1_500),
            "watch: a progress notice overtakes its events",
            noticing
        ),
        runs!(
            shape(
                "etcd-15247",
                3,
                &[Kind::SlowDisk, Kind::StuckDisk, Kind::Transfer],
                2_000
            ),
            "lease: a leader on a slow disk goes on revoking",
            leasing
        ),
        runs!(
            shape(
                "etcd-15271",
                3,
                &[Kind::Isolate, Kind::Pair, Kind::OneWay, Kind::Split],
                1_500
            ),
            "watch: it goes back in time after a partition",
            watching
        ),
        runs!(
            shape("etcd-17247", 3, &[Kind::Kill, Kind::Burst], 1_200),
            "watch: an event comes twice",
            starving
        ),
        runs!(
            shape("etcd-17529", 3, &[Kind::Burst, Kind::Bulk], 800),
            "watch: events are lost when a stream starves",
            starving
        ),
        runs!(
            shape("etcd-18089", 3, &[Kind::Compact, Kind::Kill], 900),
            "watch: an event is dropped by a compaction on a deletion",
            at_the_edge
        ),
        runs!(
            shape("etcd-19179", 3, &[Kind::Compact, Kind::Crash], 900),
            "watch: a deletion is missing at the compacted revision",
            at_the_edge
        ),
        runs!(
            shape(
                "etcd-20221-events",
                3,
                &[Kind::Isolate, Kind::Kill, Kind::Burst],
                1_500
            ),
            "watch: of a future revision, it gives old events",
            foreseeing
        ),
        runs!(
            shape(
                "etcd-20221-notices",
                3,
                &[Kind::Isolate, Kind::Pause, Kind::Transfer],
                1_500
            ),
            "watch: of a future revision, it gives old notices",
            foreseeing
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

/// Restarts leave less time to be refused something.
fn with_users(plan: Plan) -> Plan {
    let mut plan = rights::with_users(plan);
    plan.denied_min = 1;
    plan
}

fn leasing(mut plan: Plan) -> Plan {
    plan.mix.tenants = 5;
    busy(plan)
}

/// Many who watch, from all places of history.
fn watching(mut plan: Plan) -> Plan {
    plan.mix.watching = Watching {
        watchers: 5,
        past_percent: 40,
        lasts: Duration::from_secs(15),
        ..plan.mix.watching
    };
    busy(plan)
}

/// Many reports of progress, while readers are slow and little may wait for them.
fn noticing(mut plan: Plan) -> Plan {
    plan.knobs.watch_bytes = 2 * 1024;
    plan.knobs.watch_progress = Duration::from_millis(50);
    let mut plan = watching(plan);
    plan.mix.watching.slow_percent = 60;
    plan.mix.watching.asks_every = Duration::from_millis(100);
    plan
}

/// Slow readers who fall behind and catch up all the time.
fn starving(mut plan: Plan) -> Plan {
    plan.knobs.watch_bytes = 2 * 1024;
    let mut plan = watching(plan);
    plan.mix.watching.slow_percent = 80;
    plan
}

/// Watches that begin where history was compacted last, of keys that are deleted all the time.
fn at_the_edge(plan: Plan) -> Plan {
    let mut plan = compacting(watching(plan));
    plan.mix.deletes_percent = 35;
    plan.mix.watching.past_percent = 30;
    plan.mix.watching.edge_percent = 50;
    plan.mix.watching.lasts = Duration::from_secs(5);
    plan
}

/// Watches of the future, with many questions of how far they are.
fn foreseeing(mut plan: Plan) -> Plan {
    plan.knobs.watch_progress = Duration::from_millis(50);
    let mut plan = watching(plan);
    plan.mix.watching.past_percent = 10;
    plan.mix.watching.future_percent = 80;
    plan.mix.watching.asks_every = Duration::from_millis(100);
    plan.mix.watching.lasts = Duration::from_secs(6);
    plan
}

fn reading(mut plan: Plan) -> Plan {
    plan.mix.reads_percent = 70;
    plan.mix.serializable_percent = 0;
    busy(plan)
}
