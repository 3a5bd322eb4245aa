//! Faults of the network.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Kind, Nemesis, Strike};
use crate::net::Rule;

/// Strikes; whether it had an effect.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    rng: &mut StdRng,
) -> bool {
    match strike.kind {
        Kind::HalfOpen => {
            let address = nemesis.world.address(at);
            nemesis.world.net.deaden(&address) > 0
        }
        Kind::Flap => flap(nemesis, strike, at, rng).await,
        Kind::Swizzle => swizzle(nemesis, strike, rng).await,
        _ => impose(nemesis, strike, &rules(nemesis, strike, at, rng)).await,
    }
}

/// Imposes rules for as long as the strike lasts; whether one of them had an effect.
async fn impose(nemesis: &Nemesis, strike: &Strike, rules: &[Rule]) -> bool {
    let net = &nemesis.world.net;
    let numbers: Vec<u64> = rules.iter().map(|rule| net.impose(rule.clone())).collect();
    nemesis.last(strike).await;
    let effects = numbers.into_iter().map(|number| net.lift(number));
    effects.sum::<u64>() > 0
}

fn rules(nemesis: &Nemesis, strike: &Strike, at: usize, rng: &mut StdRng) -> Vec<Rule> {
    let all = nemesis.world.addresses();
    let me = all[at].clone();
    let others: Vec<String> = all.iter().filter(|other| **other != me).cloned().collect();
    let other = others
        .get(rng.random_range(0..others.len().max(1)))
        .cloned()
        .unwrap_or_default();
    let strength = strike.strength;
    let millis = |ms: u32| Duration::from_millis(u64::from(ms));
    match strike.kind {
        Kind::Delay => vec![Rule::Delay {
            min: millis(strength),
            max: millis(strength + 20),
        }],
        Kind::Jitter => vec![Rule::Delay {
            min: Duration::ZERO,
            max: millis(8 * strength + 20),
        }],
        Kind::Break => vec![Rule::Break {
            ppm: 500 * strength + 2_000,
        }],
        Kind::Lose => vec![Rule::Lose {
            ppm: 3_000 * strength + 5_000,
            max: millis(20 * strength + 300),
        }],
        Kind::Echo => vec![
            Rule::Echo {
                percent: strength.max(40),
                late: millis(20 * strength + 1),
            },
            // Only new connections have an echo.
            Rule::Break { ppm: 20_000 },
        ],
        Kind::Isolate => both_ways(&[me], &others),
        Kind::Split => {
            let (left, right) = halves(&all, rng);
            both_ways(&left, &right)
        }
        Kind::OneWay => {
            let heard = rng.random_bool(0.5);
            let cut = |other: &String| {
                let (from, to) = if heard { (other, &me) } else { (&me, other) };
                Rule::Cut {
                    from: from.clone(),
                    to: to.clone(),
                }
            };
            others.iter().map(cut).collect()
        }
        Kind::Bridge => {
            let (left, right) = halves(&others, rng);
            both_ways(&left, &right)
        }
        Kind::Ring => ring(&all, rng),
        Kind::Pair => both_ways(&[me], &[other]),
        Kind::Clog => vec![Rule::Clog {
            from: me,
            to: other,
        }],
        Kind::Refuse => vec![
            Rule::Refuse { at: me },
            // What is connected must break now and then for anybody to notice.
            Rule::Break { ppm: 10_000 },
        ],
        Kind::Reset => {
            let reset = |(from, to): (&String, &String)| Rule::Reset {
                from: from.clone(),
                to: to.clone(),
            };
            [(&me, &other), (&other, &me)].map(reset).to_vec()
        }
        _ => Vec::new(),
    }
}

fn both_ways(left: &[String], right: &[String]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for one in left {
        for other in right {
            for (from, to) in [(one, other), (other, one)] {
                rules.push(Rule::Cut {
                    from: from.clone(),
                    to: to.clone(),
                });
            }
        }
    }
    rules
}

fn halves(all: &[String], rng: &mut StdRng) -> (Vec<String>, Vec<String>) {
    let mut all = all.to_vec();
    all.shuffle(rng);
    let middle = all.len().div_ceil(2);
    let right = all.split_off(middle);
    (all, right)
}

/// Cuts everything but the links between neighbours: every majority of five overlaps another and
/// none sees all of it. Of three nobody is cut; then one pair is.
fn ring(all: &[String], rng: &mut StdRng) -> Vec<Rule> {
    let mut ring = all.to_vec();
    ring.shuffle(rng);
    let len = ring.len();
    let mut rules = Vec::new();
    for one in 0..len {
        for other in one + 1..len {
            let apart = (other - one).min(len - (other - one));
            let cut = if len > 3 {
                apart > 1
            } else {
                (one, other) == (0, 1)
            };
            if cut {
                rules.extend(both_ways(&ring[one..=one], &ring[other..=other]));
            }
        }
    }
    rules
}

/// Cuts one machine off and brings it back, at least once.
async fn flap(nemesis: &Nemesis, strike: &Strike, at: usize, rng: &mut StdRng) -> bool {
    let net = &nemesis.world.net;
    let all = nemesis.world.addresses();
    let me = all[at].clone();
    let others: Vec<String> = all.into_iter().filter(|other| *other != me).collect();
    let rules = both_ways(&[me], &others);
    let mut effects = 0;
    let mut left_ms = strike.lasts_ms.max(300);
    while left_ms > 0 && !nemesis.is_over() {
        let numbers: Vec<u64> = rules.iter().map(|rule| net.impose(rule.clone())).collect();
        let (cut_ms, whole_ms) = (rng.random_range(50..700), rng.random_range(20..700));
        nemesis.wait(Duration::from_millis(cut_ms)).await;
        effects += numbers
            .into_iter()
            .map(|number| net.lift(number))
            .sum::<u64>();
        nemesis.wait(Duration::from_millis(whole_ms)).await;
        left_ms = left_ms.saturating_sub(cut_ms + whole_ms);
    }
    effects > 0
}

/// Clogs links one after the other, and frees them in another order.
async fn swizzle(nemesis: &Nemesis, strike: &Strike, rng: &mut StdRng) -> bool {
    let net = &nemesis.world.net;
    let all = nemesis.world.addresses();
    let mut rules = Vec::new();
    for from in &all {
        for to in &all {
            if from != to && rng.random_bool(0.5) {
                rules.push(Rule::Clog {
                    from: from.clone(),
                    to: to.clone(),
                });
            }
        }
    }
    rules.shuffle(rng);
    let step = Duration::from_millis(strike.lasts_ms / (2 * rules.len().max(1) as u64));
    let mut numbers = Vec::new();
    for rule in rules {
        numbers.push(net.impose(rule));
        nemesis.wait(step).await;
    }
    numbers.shuffle(rng);
    let mut effects = 0;
    for number in numbers {
        nemesis.wait(step).await;
        effects += net.lift(number);
    }
    effects > 0
}
