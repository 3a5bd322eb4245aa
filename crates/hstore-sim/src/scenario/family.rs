//! The two families of named scenarios share a beginning: a small cluster, few keys, one kind of
//! trouble.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::nemesis::{Kind, Storm};
use crate::plan::{Knobs, Plan};
use crate::workload::{Mix, Watching};

/// What a named scenario says.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) nodes: usize,
    pub(super) clients: usize,
    pub(super) keys: u32,
    pub(super) kinds: &'static [Kind],
    /// The mean time between two strikes.
    pub(super) every_ms: u64,
}

impl Shape {
    /// The plan of a seed.
    pub(super) fn plan(&self, seed: u64) -> Plan {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x7368_6170);
        let storm = Storm {
            kinds: self.kinds.to_vec(),
            lasts_ms: 27_000,
            every_ms: self.every_ms,
            strength_max: 60,
        };
        Plan {
            scenario: self.name.to_owned(),
            nodes: self.nodes,
            clients: self.clients,
            mix: Mix {
                keys: self.keys,
                watching: Watching {
                    salt: seed,
                    ..Watching::default()
                },
                ..Mix::default()
            },
            knobs: Knobs::default(),
            storm: Duration::from_secs(30),
            strikes: storm.draw(&mut rng),
            writes_min: 30,
            denied_min: 0,
            full_min: 0,
            settings_min: 0,
            must_fail: false,
        }
    }
}
