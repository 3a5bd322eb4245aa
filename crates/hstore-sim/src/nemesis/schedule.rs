//! What is done when: drawn from the seed before the run begins, so that it can be written down,
//! cut shorter, and given back.
//!
//! Invariants: (1) a strike says everything about itself and heals by itself, so any part of a
//! schedule is a schedule; (2) what a strike draws while it runs it draws from its own salt, so
//! leaving one out changes no other.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::kind::Kind;

/// One fault at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// When, in milliseconds after the cluster was ready.
    pub at_ms: u64,
    /// For how long.
    pub lasts_ms: u64,
    /// What.
    pub kind: Kind,
    /// To whom.
    pub whom: Whom,
    /// How hard, 1 to 100.
    pub strength: u32,
    /// Where its random numbers begin.
    pub salt: u64,
}

/// To whom something is done, looked up when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// Whoever leads; anybody when nobody does.
    Leader,
    /// Somebody who does not lead.
    Follower,
    /// Anybody.
    Anybody,
}

/// Which faults, how dense, for how long.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The kinds that may strike.
    pub kinds: Vec<Kind>,
    /// How long strikes are begun.
    pub lasts_ms: u64,
    /// The mean time between two strikes.
    pub every_ms: u64,
    /// The hardest strike, 1 to 100.
    pub strength_max: u32,
}

/// The longest that one fault lasts.
const LASTS_MAX_MS: u64 = 9_000;

impl Storm {
    /// The strikes of this storm in the order of time. Every kind strikes at least twice, so that
    /// a kind that finds nobody to strike at one moment finds somebody at another.
    pub fn draw(&self, rng: &mut StdRng) -> Vec<Strike> {
        if self.kinds.is_empty() {
            return Vec::new();
        }
        let wanted = (self.lasts_ms / self.every_ms.max(1)) as usize;
        let count = wanted.max(2 * self.kinds.len());
        let mut strikes: Vec<Strike> = (0..count)
            .map(|nth| {
                let kind = if nth < 2 * self.kinds.len() {
                    self.kinds[nth % self.kinds.len()]
                } else {
                    self.kinds[rng.random_range(0..self.kinds.len())]
                };
                self.strike(kind, rng)
            })
            .collect();
        strikes.sort_by_key(|strike| strike.at_ms);
        strikes
    }

    fn strike(&self, kind: Kind, rng: &mut StdRng) -> Strike {
        let short = rng.random_bool(0.5);
        let lasts_max = if short { 800 } else { LASTS_MAX_MS };
        Strike {
            at_ms: rng.random_range(0..self.lasts_ms.max(1)),
            lasts_ms: rng.random_range(20..lasts_max),
            kind,
            whom: match rng.random_range(0..5) {
                0 | 1 => Whom::Leader,
                2 | 3 => Whom::Anybody,
                _ => Whom::Follower,
            },
            strength: rng.random_range(1..=self.strength_max.max(1)),
            salt: rng.random(),
        }
    }
}

impl Strike {
    /// The random numbers of this strike.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.salt)
    }
}

/// The schedule as text, one strike a line.
pub fn to_text(strikes: &[Strike]) -> String {
    let mut text = String::new();
    for strike in strikes {
        let line = serde_json::to_string(strike).expect("numbers and names are always JSON");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The schedule in a text; empty lines and those that begin with `#` are passed over.
pub fn of_text(text: &str) -> Result<Vec<Strike>, serde_json::Error> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(serde_json::from_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_storm_strikes_and_the_text_gives_the_same_schedule_back() {
        let storm = Storm {
            kinds: Kind::ALL.to_vec(),
            lasts_ms: 50_000,
            every_ms: 1000,
            strength_max: 100,
        };
        let strikes = storm.draw(&mut StdRng::seed_from_u64(1));
        for kind in Kind::ALL {
            assert!(strikes.iter().filter(|strike| strike.kind == *kind).count() >= 2);
        }
        let again = storm.draw(&mut StdRng::seed_from_u64(1));
        assert_eq!(strikes, again);
        let text = to_text(&strikes);
        assert_eq!(of_text(&text).ok(), Some(strikes));
        assert!(of_text("nonsense").is_err());
    }
}
