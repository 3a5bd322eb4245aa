//! The plan of a run: which fault strikes when, for how long, drawn from a seed.
//!
//! Invariants: (1) the same seed, faults and duration give the same plan; (2) every fault comes
//! before any comes again; (3) a strike chooses its victim by its dice alone, from what it finds.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::fault::Fault;

/// The time between two strikes; shorter than most strikes, so that several are there at once.
const GAP_MS: std::ops::Range<u64> = 300..2_500;
/// How long a strike lasts.
const LASTS_MS: std::ops::Range<u64> = 300..4_000;
/// How long a victim is away in a counted round.
const ROUND_LASTS_MS: std::ops::Range<u64> = 20..250;
/// How long nothing is struck after every fault came once.
const CALM: Duration = Duration::from_secs(4);
/// At the end of a run nothing new begins for so long.
const LAST: Duration = Duration::from_secs(3);

/// One strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    /// When, from the beginning of the run.
    pub(super) at: Duration,
    /// What.
    pub(super) fault: Fault,
    /// For how long; what happens at once has its effects anyhow.
    pub(super) lasts: Duration,
    /// Decides who is struck, and how hard.
    pub(super) dice: u64,
}

/// So many strikes of each of some kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rounds {
    /// What was asked for, as it was written.
    pub(super) word: String,
    /// The kinds that take turns.
    pub(super) faults: Vec<Fault>,
    /// How many victims are wanted.
    pub(super) victims: u64,
}

/// Strikes by the clock, several at once.
pub(super) fn by_the_clock(seed: u64, faults: &[Fault], duration: Duration) -> Vec<Strike> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut plan = Vec::new();
    let mut bag: Vec<Fault> = Vec::new();
    let mut at = Duration::from_millis(rng.random_range(GAP_MS));
    while at + LAST < duration && !faults.is_empty() {
        if bag.is_empty() {
            bag.extend(faults);
            bag.shuffle(&mut rng);
            if !plan.is_empty() && faults.len() > 3 {
                at += CALM;
            }
        }
        let Some(fault) = bag.pop() else { break };
        plan.push(strike(&mut rng, at, fault, LASTS_MS));
        at += Duration::from_millis(rng.random_range(GAP_MS));
    }
    plan
}

/// The next strike of a counted round.
pub(super) fn of_a_round(rng: &mut StdRng, fault: Fault) -> Strike {
    strike(rng, Duration::ZERO, fault, ROUND_LASTS_MS)
}

fn strike(rng: &mut StdRng, at: Duration, fault: Fault, lasts: std::ops::Range<u64>) -> Strike {
    Strike {
        at,
        fault,
        lasts: Duration::from_millis(rng.random_range(lasts)),
        dice: rng.random_range(0..u64::MAX),
    }
}

/// `kill=200,power=60`.
pub(super) fn parse_rounds(text: &str) -> anyhow::Result<Vec<Rounds>> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| {
            let parts = item.split_once('=');
            let parts = parts.and_then(|(word, count)| Some((word, count.parse().ok()?)));
            let (word, victims) = parts.ok_or_else(|| {
                anyhow::anyhow!("`{item}` is no round: say FAULT=COUNT, such as kill=200")
            })?;
            Ok(Rounds {
                word: word.to_owned(),
                faults: Fault::parse(word)?,
                victims,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another_one() {
        let plan = |seed| by_the_clock(seed, Fault::ALL, Duration::from_mins(2));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn every_fault_comes_before_any_comes_again_and_in_order_of_time() {
        let plan = by_the_clock(3, Fault::ALL, Duration::from_mins(5));
        let mut first: Vec<_> = plan[..Fault::ALL.len()].iter().map(|s| s.fault).collect();
        first.sort_unstable();
        assert_eq!(first, Fault::ALL);
        assert!(plan.is_sorted_by_key(|strike| strike.at));
        assert!(plan.last().unwrap().at < Duration::from_mins(5));
        assert!(by_the_clock(3, &[], Duration::from_mins(5)).is_empty());
    }

    #[test]
    fn rounds_are_counts_of_kinds() {
        let rounds = parse_rounds("kill=200, power-all=5").unwrap();
        assert_eq!((rounds[0].victims, rounds[0].faults.len()), (200, 3));
        assert_eq!(rounds[1].faults, [Fault::PowerAll]);
        for wrong in ["kill", "kill=x", "nothing=3"] {
            assert!(parse_rounds(wrong).is_err(), "{wrong}");
        }
    }
}
