//! Bringing a running etcd over: its keys, revisions, versions and leases, then its changes as they
//! happen, until a person says that it is time to change over (docs/adr/0017).
//!
//! Invariants: (1) etcd is only read; (2) the store stands at etcd's own revisions, or the import ends
//! with a clear word; (3) no client of hstore can write meanwhile, since no door is open; (4) what was
//! interrupted goes on where it stopped.

mod compare;
mod follow;
mod knock;
mod place;
mod proof;
mod seed;
mod source;
mod target;
mod tls;
mod told;

use std::collections::BTreeSet;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::LogIndex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use self::follow::Follower;
use self::source::{Etcd, PATIENCE, Standing};
use self::target::{CHANGE_MAX, Target};
pub(crate) use self::tls::Files;
use self::told::Told;
use crate::fault::Fault;
use crate::manager;
use crate::nursery::{Nursery, Wish};

/// What the folder is marked with.
pub(crate) const VERB: &str = "hstore-server import-etcd";

/// How often etcd is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// When it is time to change over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When everything is here that etcd had when it was first asked.
    Once,
    /// When nothing has changed in etcd for so long.
    Idle(Duration),
    /// When the person says so.
    Told,
}

/// What was brought over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Keys that were compared.
    pub(crate) keys: u64,
    /// The revision at which they were.
    pub(crate) revision: i64,
    /// Leases.
    pub(crate) leases: u64,
    /// Revisions that were taken over one by one.
    pub(crate) followed: u64,
    /// Revisions that etcd went on by while it was compared; they were taken over, too.
    pub(crate) later: i64,
}

/// Brings an etcd over into the folder.
pub(crate) async fn run(
    endpoints: &[String],
    files: &Files,
    wish: &Wish,
    until: Until,
) -> Result<(Nursery, Imported), Fault> {
    let mut stop = signal(SignalKind::interrupt())
        .map_err(|error| Fault::new(ErrorCode::Internal, format!("no signals: {error}")))?;
    let mut told = Told::new();
    let etcd = tokio::select! {
        etcd = Etcd::at(endpoints, files, manager::named_proof()) => etcd?,
        _ = stop.recv() => return Err(interrupted("nothing was brought over yet")),
    };
    if until == Until::Told {
        told.say("Ctrl-C changes over; a second one leaves at once, to be resumed");
    }
    let begun = tokio::select! {
        begun = begin(&etcd, endpoints, wish, &mut told) => begun?,
        _ = stop.recv() => return Err(interrupted("nothing was brought over yet")),
    };
    let (nursery, first) = begun;
    let target = Target::start(&nursery).await?;
    let work = Work {
        etcd: &etcd,
        target: &target,
        until,
        first,
    };
    let result = work.finish(&mut stop, &mut told).await;
    let stopped = target.stop().await;
    match result {
        Ok(imported) => {
            stopped?;
            nursery.finish()?;
            Ok((nursery, imported))
        }
        Err(fault) => {
            if matches!(fault.code, ErrorCode::Internal | ErrorCode::DataCorrupt) {
                nursery.spoil()?;
            }
            Err(fault)
        }
    }
}

fn interrupted(what: &str) -> Fault {
    Fault::new(ErrorCode::Interrupted, format!("interrupted; {what}"))
        .hint("the same command goes on where it stopped")
}

/// Makes the folder, or finds it as it was left; and where etcd stood then.
async fn begin(
    etcd: &Etcd,
    endpoints: &[String],
    wish: &Wish,
    told: &mut Told,
) -> Result<(Nursery, Standing), Fault> {
    let standing = etcd.standing().await?;
    if let Some(nursery) = Nursery::resume(wish, VERB, standing.cluster)? {
        told.say(format_args!(
            "going on with {} in {}",
            etcd.name,
            crate::screen::path(&nursery.data)
        ));
        return Ok((nursery, standing));
    }
    let nursery = Nursery::take(wish, VERB, &endpoints.join(","))?;
    told.say(format_args!(
        "reading {} keys of {} at revision {}",
        standing.keys, etcd.name, standing.revision
    ));
    let founding = nursery.founding(LogIndex(1));
    let keys = seed::seed(etcd, &nursery, &founding, standing.revision, told).await?;
    nursery.follow(standing.cluster)?;
    nursery.settle(&founding)?;
    told.say(format_args!(
        "{keys} keys are here at revision {}; following",
        standing.revision
    ));
    Ok((nursery, standing))
}

/// What is left to do once the node runs.
struct Work<'a> {
    etcd: &'a Etcd,
    target: &'a Target,
    until: Until,
    first: Standing,
}

impl Work<'_> {
    async fn finish(&self, stop: &mut Signal, told: &mut Told) -> Result<Imported, Fault> {
        let listed = self
            .target
            .node
            .leases(&Author::Node, Instant::now() + CHANGE_MAX)
            .await;
        let (_header, leases) =
            listed.map_err(|error| Fault::new(error.code(), error.to_string()))?;
        let known: BTreeSet<i64> = leases.into_iter().collect();
        let mut follower = Follower::new(self.etcd, self.target, known);
        if follower.applied > self.first.revision {
            return Err(Fault::new(
                ErrorCode::ClusterMismatch,
                format!(
                    "the folder is at revision {}, {} at {}: it went back",
                    follower.applied, self.etcd.name, self.first.revision
                ),
            )
            .hint("remove the folder and begin anew"));
        }
        self.follow(&mut follower, stop, told).await?;
        tokio::select! {
            imported = self.change_over(&mut follower, told) => imported,
            _ = stop.recv() => Err(interrupted("the folder stays as far as it came")),
        }
    }

    /// Follows until it is time to change over.
    async fn follow(
        &self,
        follower: &mut Follower<'_>,
        stop: &mut Signal,
        told: &mut Told,
    ) -> Result<(), Fault> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet_since = Instant::now();
        let mut heard = Instant::now();
        let mut before = follower.applied;
        loop {
            if follower.applied != before {
                before = follower.applied;
                quiet_since = Instant::now();
            }
            let is_level = follower.is_settled() && follower.applied >= follower.seen;
            match self.until {
                Until::Once if follower.applied >= self.first.revision => return Ok(()),
                Until::Idle(time) if is_level && quiet_since.elapsed() >= time => return Ok(()),
                Until::Once | Until::Idle(_) | Until::Told => {}
            }
            tokio::select! {
                biased; // The person first, then the clock; news could come without end.
                _ = stop.recv() => return Ok(()),
                _ = looks.tick() => {
                    // A member that is away must not hold up the news of another for long.
                    match timeout(LOOK, self.etcd.standing()).await {
                        Ok(standing) => {
                            follower.seen = follower.seen.max(standing?.revision);
                            heard = Instant::now();
                        }
                        Err(_elapsed) if heard.elapsed() < PATIENCE => {}
                        Err(_elapsed) => return Err(self.etcd.is_silent()),
                    }
                    told.following(follower.applied, follower.seen);
                }
                stepped = follower.step() => stepped?,
            }
        }
    }

    /// Takes over what is left, compares, and sees to the leases.
    async fn change_over(
        &self,
        follower: &mut Follower<'_>,
        told: &mut Told,
    ) -> Result<Imported, Fault> {
        let at = self.etcd.standing().await?.revision;
        told.say(format_args!("taking over what is left up to revision {at}"));
        follower.reach(at).await?;
        // More may have come with it: the store has all of it or none.
        while !follower.is_settled() {
            follower.step().await?;
        }
        told.say(format_args!("comparing all keys at revision {at}"));
        let keys = compare::compare(self.etcd, self.target, at, told).await?;
        let leases = compare::settle_leases(self.etcd, self.target).await?;
        let end = self.etcd.standing().await?.revision;
        follower.reach(end).await?;
        while !follower.is_settled() {
            follower.step().await?;
        }
        Ok(Imported {
            keys,
            revision: at,
            leases,
            followed: follower.taken,
            later: follower.applied - at,
        })
    }
}
