//! The twelve scenarios of Gryadka's simulation, the first of its kind, in our words: a name says
//! how many clients, nodes and keys, and the trouble. `.i` is a set-up that is wrong on purpose and
//! must be caught: a judge that always says yes would pass everything else.

use super::Scenario;
use super::family::Shape;
use crate::nemesis::Kind;
use crate::plan::Plan;

const LOSING: &[Kind] = &[Kind::Lose, Kind::Break];
const SHUFFLING: &[Kind] = &[Kind::Jitter, Kind::Echo];
const PARTITIONING: &[Kind] = &[Kind::Pair, Kind::OneWay, Kind::Isolate, Kind::Split];

const fn shape(
    name: &'static str,
    clients: usize,
    keys: u32,
    kinds: &'static [Kind],
    every_ms: u64,
) -> Shape {
    Shape {
        name,
        nodes: 3,
        clients,
        keys,
        kinds,
        every_ms,
    }
}

macro_rules! scenario {
    ($shape:expr, $about:literal) => {
        scenario!($shape, $about, |plan: Plan| plan)
    };
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
        scenario!(
            shape("c1n3k1.losing", 1, 1, LOSING, 1_500),
            "frames and connections are lost"
        ),
        scenario!(
            shape("c2n3k2.losing", 2, 2, LOSING, 1_500),
            "the same, two clients"
        ),
        scenario!(
            shape("c6n3k2.losing", 6, 2, LOSING, 1_500),
            "the same, six clients"
        ),
        scenario!(
            shape("c2n3k2.losing.i", 2, 2, &[Kind::Isolate, Kind::Lose], 1_500),
            "must be caught: old reads are passed off as fresh",
            lie
        ),
        scenario!(
            shape("c1n3k1.shuffling", 1, 1, SHUFFLING, 2_000),
            "connections overtake each other, old words come late",
            one_door
        ),
        scenario!(
            shape("c1n3k2.shuffling", 1, 2, SHUFFLING, 2_000),
            "the same, through every node"
        ),
        scenario!(
            shape("c2n3k2.shuffling", 2, 2, SHUFFLING, 2_000),
            "the same, two clients through one node",
            one_door
        ),
        scenario!(
            shape("c2n3k1.shuffling", 2, 1, SHUFFLING, 2_000),
            "the same, two clients on one key"
        ),
        scenario!(
            shape("c1n3k1.partitioning", 1, 1, PARTITIONING, 3_000),
            "links are cut",
            one_door
        ),
        scenario!(
            shape("c2n3k2.partitioning", 2, 2, PARTITIONING, 2_500),
            "partial cuts that overlap"
        ),
        scenario!(
            shape("c2n3k2.a3.a4", 2, 2, &[Kind::Grow], 20_000),
            "the cluster grows while it is written to"
        ),
        scenario!(
            shape("c2n3k2.flux", 2, 2, &[Kind::Grow, Kind::Shrink], 5_000),
            "the cluster grows and shrinks, again and again"
        ),
    ]
}

fn one_door(mut plan: Plan) -> Plan {
    plan.mix.doors = Some(1);
    plan
}

fn lie(mut plan: Plan) -> Plan {
    plan.must_fail = true;
    plan.mix.lie = true;
    plan.mix.serializable_percent = 100;
    plan
}
