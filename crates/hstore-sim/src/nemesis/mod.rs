//! Whoever breaks things: it carries out a schedule, strike by strike, several at once.
//!
//! Invariants: (1) every strike heals by itself; (2) it never takes more than what a correct
//! cluster survives: the disks of at most one member are lost or damaged at a time, and only of a
//! cluster of three or more (see [`crate::steward`]); (3) a strike is counted when it had an
//! effect, not when it was tried.

mod clock;
mod disk;
mod kind;
mod load;
mod members;
mod network;
mod process;
mod schedule;
mod tally;

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use self::kind::{Family, Kind};
pub use self::members::MEMBERS_MAX;
pub use self::schedule::{Storm, Strike, Whom, of_text, to_text};
pub use self::tally::Tally;
use crate::steward::Steward;
use crate::workload::Clients;
use crate::world::World;

/// How often a strike without an effect is tried again.
const ATTEMPTS_MAX: u32 = 12;

/// The pause before it is.
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// How long it then lasts at least, in milliseconds: what breaks one frame in a hundred needs
/// frames.
const AGAIN_MIN_MS: u64 = 2_000;

/// Carries out a schedule. Clones are the same nemesis.
#[derive(Clone)]
pub struct Nemesis {
    /// What it breaks.
    pub world: World,
    /// Who puts machines back on their feet.
    pub steward: Steward,
    /// Who asks for more than usual.
    pub clients: Clients,
    /// What had an effect.
    pub tally: Tally,
    /// True when the storm is over: whatever lasts ends now.
    pub over: watch::Receiver<bool>,
}

impl Nemesis {
    /// Carries out all strikes; returns when the last one has healed.
    pub async fn run(self, strikes: Vec<Strike>) {
        let began = Instant::now();
        let mut under_way = JoinSet::new();
        for strike in strikes {
            sleep_until(began + Duration::from_millis(strike.at_ms)).await;
            let nemesis = self.clone();
            under_way.spawn(async move { nemesis.strike(strike).await });
        }
        while let Some(ended) = under_way.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Strikes; one that had no effect is tried again, on whoever is there and not too briefly.
    async fn strike(self, strike: Strike) {
        let mut rng = strike.rng();
        if self.attempt(&strike, &mut rng).await {
            return;
        }
        let again = Strike {
            whom: Whom::Anybody,
            lasts_ms: strike.lasts_ms.max(AGAIN_MIN_MS),
            ..strike
        };
        for _ in 0..ATTEMPTS_MAX {
            self.wait(ATTEMPT_PAUSE).await;
            if self.is_over() || self.attempt(&again, &mut rng).await {
                return;
            }
        }
    }

    /// Strikes once; whether it had an effect.
    async fn attempt(&self, strike: &Strike, rng: &mut StdRng) -> bool {
        let Some(at) = self.victim(strike.whom, rng) else {
            return false;
        };
        self.world.trace.say(&format!(
            "strike {} at {at} for {} ms by {}",
            strike.kind, strike.lasts_ms, strike.strength
        ));
        let struck = match strike.kind.family() {
            Family::Network => network::strike(self, strike, at, rng).await,
            Family::Disk => disk::strike(self, strike, at, rng).await,
            Family::Process => process::strike(self, strike, at, rng).await,
            Family::Clock => clock::strike(self, strike, at, rng).await,
            Family::Members => members::strike(self, strike, at, rng).await,
            Family::Load => load::strike(self, strike, at, rng).await,
        };
        if struck {
            self.tally.struck(strike.kind);
        }
        self.world
            .trace
            .say(&format!("healed {} at {at}: {struck}", strike.kind));
        struck
    }

    /// Whom a strike hits: somebody who runs.
    fn victim(&self, whom: Whom, rng: &mut StdRng) -> Option<usize> {
        let running = self.world.running_at();
        let leader = self.world.leads();
        let draw: u64 = rng.random();
        let pick = |from: &[usize]| -> Option<usize> {
            let len = from.len() as u64;
            (len > 0).then(|| from[(draw % len.max(1)) as usize])
        };
        match (whom, leader) {
            (Whom::Leader, Some(leader)) => Some(leader),
            (Whom::Follower, Some(leader)) => {
                let others: Vec<usize> = running.into_iter().filter(|at| *at != leader).collect();
                pick(&others)
            }
            _ => pick(&running),
        }
    }

    /// Waits as long as a strike lasts, at most until the storm is over.
    async fn last(&self, strike: &Strike) {
        self.wait(Duration::from_millis(strike.lasts_ms)).await;
    }

    async fn wait(&self, time: Duration) {
        let mut over = self.over.clone();
        tokio::select! {
            biased;
            _over = over.wait_for(|over| *over) => {}
            () = sleep(time) => {}
        }
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}
