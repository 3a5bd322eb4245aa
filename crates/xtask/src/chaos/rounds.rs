//! Counted strikes, one after the other: what can be demanded of a run.
//!
//! Invariant: a round is counted only when writes were acknowledged after it, so that a count says
//! how often the cluster came back.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::fault::Fault;
use super::nemesis::{self, World};
use super::plan::{self, Rounds};
use super::strike;

/// How many writes must be acknowledged between two strikes.
const WRITES: u64 = 25;
/// How long that may take.
const PROGRESS: Duration = Duration::from_mins(1);
/// How many strikes in a row may find nobody.
const MISSES_MAX: u32 = 200;

/// Strikes until every count is reached.
pub(super) async fn run(world: &World, seed: u64, rounds: &[Rounds], able: &[Fault]) -> Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    for round in rounds {
        let faults: Vec<Fault> = round
            .faults
            .iter()
            .filter(|f| able.contains(f))
            .copied()
            .collect();
        if faults.is_empty() {
            // The summary says that it was not run, and fails.
            continue;
        }
        let (mut victims, mut misses, mut turn) = (0, 0, 0);
        while victims < round.victims {
            let strike = plan::of_a_round(&mut rng, faults[turn % faults.len()]);
            turn += 1;
            let hit = strike::strike(world, &strike).await?;
            let struck = world.note(strike.fault, hit);
            misses = if struck == 0 { misses + 1 } else { 0 };
            if misses > MISSES_MAX {
                bail!(
                    "{} found nobody to strike {MISSES_MAX} times in a row",
                    round.word
                );
            }
            if !nemesis::progress(world, WRITES, PROGRESS).await? {
                let tails = world.fleet.tails().await;
                bail!(
                    "no progress {PROGRESS:?} after {}\n{tails}",
                    strike.fault.name()
                );
            }
            victims += struck;
        }
        println!("{}: {victims} victims of {}", round.word, round.victims);
    }
    Ok(())
}
