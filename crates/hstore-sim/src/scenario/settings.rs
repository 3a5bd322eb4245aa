//! Settings that change while leaders, disks and members come and go.

use std::time::Duration;

use super::Scenario;
use super::family::Shape;
use crate::nemesis::Kind;
use crate::plan::Plan;

const SHAPE: Shape = Shape {
    name: "settings",
    nodes: 3,
    clients: 4,
    keys: 4,
    kinds: &[
        Kind::Isolate,
        Kind::Kill,
        Kind::Crash,
        Kind::CrashAll,
        Kind::Pause,
        Kind::Transfer,
        Kind::Grow,
        Kind::Shrink,
    ],
    every_ms: 1_500,
};

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: SHAPE.name,
        about: "settings of the cluster and of nodes, votes among them, change all the time",
        plan,
    }
}

/// Bounds so small that snapshots are made, and read back, all the time.
fn plan(seed: u64) -> Plan {
    let mut plan = SHAPE.plan(seed).with_settings(2);
    plan.knobs.snapshot_log_bytes = 4 * 1024;
    plan.mix.pause = Duration::from_millis(40);
    plan.settings_min = 5;
    plan
}
