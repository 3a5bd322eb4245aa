//! Users whose rights change while they ask, and clusters that have little room.

use std::time::Duration;

use super::Scenario;
use super::family::Shape;
use crate::nemesis::Kind;
use crate::plan::Plan;

const USERS: Shape = Shape {
    name: "users",
    nodes: 3,
    clients: 6,
    keys: 4,
    kinds: &[
        Kind::Jitter,
        Kind::Isolate,
        Kind::Kill,
        Kind::Crash,
        Kind::Pause,
        Kind::Transfer,
    ],
    every_ms: 1_800,
};

const QUOTA: Shape = Shape {
    name: "quota",
    nodes: 3,
    clients: 6,
    keys: 6,
    kinds: &[Kind::Kill, Kind::Crash, Kind::Compact, Kind::Transfer],
    every_ms: 1_800,
};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario {
            name: USERS.name,
            about: "users whose rights come and go while they read, write and watch",
            plan: users,
        },
        Scenario {
            name: QUOTA.name,
            about: "little room: alarms come and go, and nothing is lost",
            plan: quota,
        },
    ]
}

/// Bounds so small that snapshots are made, and read back, all the time.
fn users(seed: u64) -> Plan {
    with_users(USERS.plan(seed))
}

/// Two who change rights, and those who watch, read and write are users.
pub(super) fn with_users(plan: Plan) -> Plan {
    let mut plan = plan.with_users(2);
    plan.knobs.snapshot_log_bytes = 4 * 1024;
    plan.knobs.watch_progress = Duration::from_millis(500);
    plan.mix.watching.watchers = 4;
    plan.mix.watching.lasts = Duration::from_secs(20);
    plan.mix.pause = Duration::from_millis(40);
    plan.mix.compacts_permille = 10;
    plan.denied_min = 5;
    plan
}

fn quota(seed: u64) -> Plan {
    let mut plan = QUOTA.plan(seed).with_quota(64 * 1024);
    plan.knobs.snapshot_log_bytes = 4 * 1024;
    plan.knobs.recent_bytes = 16 * 1024;
    plan.mix.pause = Duration::from_millis(30);
    plan.mix.reads_percent = 25;
    plan.mix.deletes_percent = 15;
    plan.full_min = 5;
    plan
}
