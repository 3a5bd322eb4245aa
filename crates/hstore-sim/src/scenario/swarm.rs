//! The swarm: each seed draws a cluster, its bounds, what clients ask, and a few kinds of faults
//! out of all of them, several at once. What no seed combines no seed finds, so none has them all.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::{DEFAULT, Scenario};
use crate::nemesis::{Kind, MEMBERS_MAX, Storm};
use crate::plan::{Knobs, Plan};
use crate::workload::{Mix, Watching};

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: DEFAULT,
        about: "everything, drawn anew for each seed",
        plan,
    }
}

/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(65);

/// Kinds that have nobody to strike in a cluster of one.
fn needs_company(kind: Kind) -> bool {
    use Kind::{
        Break, Bridge, Clog, Delay, Echo, Flap, FlipBits, HalfOpen, Isolate, Jitter, Lose, OneWay,
        Pair, Refuse, Replace, Reset, Ring, Shrink, Split, Swizzle, Transfer,
    };
    matches!(
        kind,
        Break
            | Bridge
            | Clog
            | Delay
            | Echo
            | Flap
            | FlipBits
            | HalfOpen
            | Isolate
            | Jitter
            | Lose
            | OneWay
            | Pair
            | Refuse
            | Replace
            | Reset
            | Ring
            | Shrink
            | Split
            | Swizzle
            | Transfer
    )
}

/// Kinds that need three members or more.
fn needs_three(kind: Kind) -> bool {
    use Kind::{Bridge, FlipBits, Replace, Shrink};
    matches!(kind, Bridge | FlipBits | Replace | Shrink)
}

fn plan(seed: u64) -> Plan {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x706c_616e);
    let rng = &mut rng;
    let nodes = match rng.random_range(0..20) {
        0 => 1,
        1 => 2,
        2 => 4,
        3 => 7,
        4..9 => 5,
        _ => 3,
    };
    let mut kinds: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| nodes > 1 || !needs_company(*kind))
        .filter(|kind| nodes > 2 || !needs_three(*kind))
        .filter(|kind| nodes < MEMBERS_MAX || *kind != Kind::Grow)
        .collect();
    kinds.shuffle(rng);
    kinds.truncate(rng.random_range(3..10));
    let storm = Storm {
        kinds,
        lasts_ms: STORM.as_millis() as u64 - 3_000,
        every_ms: rng.random_range(800..5_000),
        strength_max: rng.random_range(10..=100),
    };
    let mix = Mix {
        keys: rng.random_range(1..9),
        value_bytes_max: [16, 64, 600, 3_000][rng.random_range(0..4)],
        pause: Duration::from_millis(rng.random_range(20..120)),
        reads_percent: rng.random_range(20..60),
        serializable_percent: rng.random_range(0..40),
        deletes_percent: 10,
        compacts_permille: rng.random_range(0..20),
        lie: false,
        tenants: (seed % 3) as u32,
        lockers: 0,
        wardens: 0,
        tuners: 0,
        rough: false,
        watching: watching(seed),
        doors: None,
    };
    let plan = Plan {
        scenario: DEFAULT.to_owned(),
        nodes,
        clients: rng.random_range(2..8),
        mix,
        knobs: knobs(rng, seed),
        storm: STORM,
        strikes: storm.draw(rng),
        writes_min: 50,
        denied_min: 0,
        full_min: 0,
        settings_min: 0,
        must_fail: false,
    };
    with_settings(with_users_or_a_quota(plan, seed), seed)
}

/// Every sixth cluster has users, and every eighth a quota, some of them both. They are drawn apart
/// from the rest, as what came to this scenario later.
fn with_users_or_a_quota(mut plan: Plan, seed: u64) -> Plan {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x7573_6572_7321);
    if rng.random_range(0..6) == 0 {
        plan = plan.with_users(rng.random_range(1..3));
    }
    if rng.random_range(0..8) == 0 {
        plan = plan.with_quota([64, 128, 256][rng.random_range(0..3)] * 1024);
    }
    plan
}

/// Every sixth cluster has settings that change. They are drawn apart from the rest, as what came to this
/// scenario later, and none of the seeds that are written down has them: they are what they were.
fn with_settings(plan: Plan, seed: u64) -> Plan {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x7365_7474_696e_6714);
    if rng.random_range(0..6) == 0 {
        let tuners = rng.random_range(1..3);
        return plan.with_settings(tuners);
    }
    plan
}

/// Those who watch are drawn apart from the rest, as what came to this scenario later.
fn watching(seed: u64) -> Watching {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x7761_7463_6865_7273);
    Watching {
        watchers: rng.random_range(1..4),
        salt: rng.random(),
        past_percent: rng.random_range(10..60),
        edge_percent: rng.random_range(0..15),
        future_percent: rng.random_range(5..25),
        slow_percent: rng.random_range(0..60),
        asks_every: Duration::from_millis(rng.random_range(200..3_000)),
        lasts: Duration::from_secs(rng.random_range(4..40)),
    }
}

fn knobs(rng: &mut StdRng, seed: u64) -> Knobs {
    Knobs {
        snapshot_log_bytes: [4, 16, 64, 1024][rng.random_range(0..4)] * 1024,
        keep_entries: [0, 8, 64, 1000][rng.random_range(0..4)],
        keep_bytes: [1, 8, 64][rng.random_range(0..3)] * 1024,
        tail_bytes: [1, 32, 1024][rng.random_range(0..3)] * 1024,
        recent_bytes: [32, 256, 4096][rng.random_range(0..3)] * 1024,
        block_bytes: [1, 4, 64][rng.random_range(0..3)] * 1024,
        cache_bytes: [4, 64, 1024][rng.random_range(0..3)] * 1024,
        proposals: [16, 64, 1024][rng.random_range(0..3)],
        watch_bytes: [2, 16, 256][(seed % 3) as usize] * 1024,
        watch_progress: Duration::from_millis([100, 1_000, 5_000][(seed / 3 % 3) as usize]),
        heartbeat: Duration::from_millis([50, 100][rng.random_range(0..2)]),
        quota_bytes: None,
    }
}
