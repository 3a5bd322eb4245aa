//! Histories made up from a seed: good ones, and ones with a planted violation.
//!
//! Judges are tested with these. A simulated world runs the model with clients that overlap, whose
//! requests are refused, or get lost on the way there or back.
//!
//! Invariants: (1) the same seed and the same plan give the same history, for ever: the generator
//! of random numbers is our own; (2) a history without a planted violation is one that a correct
//! store can make.

mod calls;
mod chance;
mod locks;
mod plant;
mod rights;
mod watch_plant;
mod watches;
mod world;

pub use chance::Chance;
pub use locks::PlantedLock;
pub use plant::Planted;
pub use rights::PlantedRight;
pub use watch_plant::PlantedWatch;

use crate::history::History;
use crate::rights::Rights;
use watches::Truth;
use world::World;

/// What a made up run is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Clients, each with one operation under way.
    pub clients: u64,
    /// Operations in all.
    pub operations: u64,
    /// Keys.
    pub keys: u64,
    /// How many of a hundred operations nobody learns the outcome of; half of them happen.
    pub unknown_percent: u64,
    /// How many of a hundred operations are refused.
    pub refused_percent: u64,
    /// Which calls there are.
    pub calls: Calls,
    /// Whether each value is written by one operation only.
    pub unique_values: bool,
    /// What of the log is recorded.
    pub log: Log,
}

/// Which calls a made up run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All that the store knows.
    All,
    /// Put, get, delete and compare-and-swap of one key, with nothing about revisions in them.
    OneKey,
}

/// What of the log a made up run records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    None,
    /// The records.
    Nameless,
    /// The records, and which operation each is from.
    Named,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            clients: 5,
            operations: 200,
            keys: 4,
            unknown_percent: 3,
            refused_percent: 3,
            calls: Calls::All,
            unique_values: true,
            log: Log::Named,
        }
    }
}

/// A good history.
pub fn good(seed: u64, plan: &Plan) -> History {
    let mut world = World::new(seed, plan);
    world.run(plan.operations);
    world.finish()
}

/// A history with one violation in its middle.
pub fn bad(seed: u64, plan: &Plan, planted: Planted) -> History {
    let mut world = World::new(seed, plan);
    world.run(plan.operations / 2);
    planted.plant(&mut world);
    world.run(plan.operations - plan.operations / 2);
    world.finish()
}

/// A good history with so many watches of it. The plan must have a log.
pub fn good_with_watches(seed: u64, plan: &Plan, watches: u64) -> History {
    let mut history = good(seed, plan);
    watches::add(&mut history, seed, watches);
    history
}

/// A good history with one watch that was told something wrong. None when this run has no place
/// for it. The plan must have a log.
pub fn bad_watch(seed: u64, plan: &Plan, planted: PlantedWatch) -> Option<History> {
    let mut history = good(seed, plan);
    let truth = Truth::of(&history);
    let written = history.operations.iter().find_map(|operation| {
        let (revision, reply) = operation.answer()?;
        let wrote = crate::witness::wrote(reply);
        wrote.then_some((revision, operation.invoked))
    });
    let watch = planted.bend(watches::of_everything(&truth), &truth, written)?;
    history.watches.push(watch);
    Some(history)
}

/// A good run of a lock, of about so many revisions.
pub fn good_lock(seed: u64, revisions: u64) -> History {
    locks::good(seed, revisions)
}

/// The same with one violation at its end.
pub fn bad_lock(seed: u64, revisions: u64, planted: PlantedLock) -> History {
    locks::bad(seed, revisions, planted)
}

/// A good run of users whose rights change so often.
pub fn good_rights(seed: u64, changes: u64) -> Rights {
    rights::good(seed, changes)
}

/// The same with one violation at its end.
pub fn bad_rights(seed: u64, changes: u64, planted: PlantedRight) -> Rights {
    let mut rights = rights::good(seed, changes);
    planted.plant(&mut rights);
    rights
}
