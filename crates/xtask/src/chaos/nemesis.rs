//! The nemesis: strikes what the plan says, and brings nodes back that ended.
//!
//! Invariants: (1) a strike undoes all that it did before it ends; (2) a node is in the hands of one
//! strike at a time; (3) what was planned and did not happen is counted with its reason; (4) a node
//! that ends when nothing was done to its process or disk is a finding.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::book::Book;
use super::fault::Fault;
use super::plan::Strike;
use super::strike;
use crate::fleet::{Fleet, Node};

/// How often it is looked whether a node ended.
const HEALTH: Duration = Duration::from_millis(250);
/// So many nodes that ended by themselves are told of in words; the others are counted.
const KEPT_MAX: usize = 3;

/// What a run is about.
pub(super) struct World {
    /// The nodes.
    pub(super) fleet: Fleet,
    /// What the clients did.
    pub(super) book: SharedBook,
    /// What was struck.
    pub(super) tally: Mutex<Tally>,
}

/// The book, which the clients hold too.
pub(super) type SharedBook = Arc<Book>;

/// What was struck and what was not.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Strikes and their victims, by kind.
    pub(super) struck: BTreeMap<Fault, (u64, u64)>,
    /// Strikes that were planned and found nobody, by kind and reason.
    pub(super) missed: BTreeMap<(Fault, String), u64>,
    /// The first nodes that ended by themselves, in words.
    pub(super) ended: Vec<String>,
    /// How many there were.
    pub(super) ended_count: u64,
}

/// What came of a strike.
pub(super) enum Hit {
    /// So many victims.
    Struck(u64),
    /// Nobody was there to be struck.
    Missed(String),
}

impl World {
    /// Notes what came of a strike.
    pub(super) fn note(&self, fault: Fault, hit: Hit) -> u64 {
        let mut tally = self.tally();
        match hit {
            Hit::Struck(victims) => {
                let (strikes, all) = tally.struck.entry(fault).or_default();
                *strikes += 1;
                *all += victims;
                victims
            }
            Hit::Missed(why) => {
                *tally.missed.entry((fault, why)).or_default() += 1;
                0
            }
        }
    }

    pub(super) fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings back the nodes that ended, unless a strike has them in hand.
    pub(super) async fn tend(&self) -> Result<()> {
        for seat in &self.fleet.seats {
            let Ok(mut node) = seat.try_lock() else {
                continue;
            };
            if !node.joined
                && let Some(status) = self.fleet.askers[strike::place(&node)].status().await
            {
                node.joined = status.voter;
            }
            if node.process().is_none() || node.has_ended()? {
                self.bring_back(&mut node).await?;
            }
        }
        Ok(())
    }

    async fn bring_back(&self, node: &mut Node) -> Result<()> {
        let tail = node.tail();
        if node.expelled && tail.contains("node_removed") {
            // Its removal was not answered in time, but it happened.
            node.wipe()?;
            node.expelled = false;
        } else if node.joined && node.process().is_some() {
            let mut tally = self.tally();
            tally.ended_count += 1;
            if tally.ended.len() < KEPT_MAX {
                tally
                    .ended
                    .push(format!("{} ended by itself:\n{tail}", node.name()));
            }
        }
        node.resume(&strike::others(&self.fleet, node.number()).await)
    }
}

/// Strikes by the clock until the plan is done.
pub(super) async fn follow(world: &Arc<World>, plan: Vec<Strike>, until: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut plan = plan.into_iter().peekable();
    let mut under_way = JoinSet::new();
    let mut health = interval(HEALTH);
    health.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = plan.peek().map_or(until, |strike| strike.at);
        if begin.elapsed() >= until {
            break;
        }
        tokio::select! {
            () = sleep_until(begin + next) => {
                if let Some(strike) = plan.next() {
                    let world = Arc::clone(world);
                    under_way.spawn(async move {
                        let hit = strike::strike(&world, &strike).await?;
                        world.note(strike.fault, hit);
                        anyhow::Ok(())
                    });
                }
            }
            Some(ended) = under_way.join_next() => ended??,
            _at = health.tick() => world.tend().await?,
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits until so many more writes are acknowledged; false when they are not in time.
pub(super) async fn progress(world: &World, writes: u64, at_most: Duration) -> Result<bool> {
    let (begin, before) = (Instant::now(), world.book.acknowledged());
    while world.book.acknowledged() < before + writes {
        if begin.elapsed() > at_most {
            return Ok(false);
        }
        sleep(Duration::from_millis(5)).await;
        world.tend().await?;
    }
    Ok(true)
}
