//! Clients that lock through the claims of the nodes, under everything that takes their node, their
//! lease or their way from them.

use super::Scenario;
use super::family::Shape;
use crate::nemesis::Kind;
use crate::plan::Plan;
use crate::workload::{Mix, Watching};

/// What strikes: nothing that writes or drops history, since the laws read all of it.
const KINDS: &[Kind] = &[
    Kind::Jitter,
    Kind::Break,
    Kind::Lose,
    Kind::Isolate,
    Kind::Split,
    Kind::OneWay,
    Kind::Flap,
    Kind::HalfOpen,
    Kind::Kill,
    Kind::Crash,
    Kind::Pause,
    Kind::Stop,
    Kind::Transfer,
];

const SHAPE: Shape = Shape {
    name: "locks",
    nodes: 3,
    clients: 0,
    keys: 1,
    kinds: KINDS,
    every_ms: 1_800,
};

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: SHAPE.name,
        about: "locks with fencing tokens: holders and waiters that lose their node, lease or way",
        plan,
    }
}

fn plan(seed: u64) -> Plan {
    // A few of the kinds for each seed, or hardly anything of the rest would happen.
    let mut plan = SHAPE.plan(seed);
    let kinds: Vec<Kind> = KINDS
        .iter()
        .copied()
        .cycle()
        .skip(seed as usize % KINDS.len())
        .step_by(3)
        .take(4)
        .collect();
    plan.strikes.retain(|strike| kinds.contains(&strike.kind));
    plan.mix = Mix {
        lockers: 4 + (seed % 4) as u32,
        tenants: 0,
        watching: Watching {
            watchers: 0,
            ..plan.mix.watching
        },
        ..plan.mix
    };
    plan.writes_min = 3;
    plan
}
