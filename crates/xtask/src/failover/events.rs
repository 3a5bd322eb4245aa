//! The events: what happens to a cluster, and the gap that it makes.
//!
//! Invariant: an event begins when all nodes take part and writes are acknowledged, and the next one
//! begins when that is so again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;
use tokio::time::sleep;

use super::cluster::{Cluster, NODES, System};
use super::load::{EVERY, Load};
use hstore_links::{Harm, between};

/// How long after an event it is looked for gaps at least.
const WINDOW: Duration = Duration::from_millis(1_500);
/// How long a node is away before it comes back.
const AWAY: Duration = Duration::from_secs(1);
/// Writes flow when half of those that were sent in this time are acknowledged.
const FLOWS: Duration = Duration::from_millis(300);
/// How long writes may take to flow again.
const RECOVERS: Duration = Duration::from_mins(1);

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What happens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Event { $($(#[$doc])* $name,)* }

        impl Event {
            /// All, in the order of the table.
            pub(super) const ALL: &'static [Event] = &[$(Event::$name,)*];

            /// What the table calls it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Event::$name => $text,)* }
            }
        }
    };
}

events! {
    /// What the measurement itself sees.
    Nothing = "nothing happens";
    /// SIGKILL.
    Killed = "leader killed (kill -9)";
    /// A start after that.
    Back = "killed node comes back";
    /// SIGSTOP.
    Paused = "leader stands still (SIGSTOP)";
    /// SIGCONT.
    Unpaused = "it goes on (SIGCONT)";
    /// No byte passes between it and the others.
    Cut = "leader cut off from the others";
    /// Bytes pass again.
    Healed = "the cut heals";
    /// Leadership is handed over.
    Moved = "planned move of leadership";
    /// Each node in turn.
    Rolling = "rolling restart of all three nodes";
}

/// The gaps of each event.
pub(super) type Gaps = BTreeMap<Event, Vec<Duration>>;

/// Has everything happen so many times to a system.
pub(super) async fn all(system: &System, rounds: usize) -> Result<Gaps> {
    let mut gaps = Gaps::new();
    let mut cluster = Cluster::start(system.clone(), false).await?;
    let mut load = Load::start(cluster.channels());
    flow(&load).await?;
    for round in 1..=rounds {
        let begin = Instant::now();
        sleep(FLOWS).await;
        note(&mut gaps, Event::Nothing, &load, begin);
        killed(&mut cluster, &load, &mut gaps).await?;
        paused(&cluster, &load, &mut gaps).await?;
        moved(&cluster, &load, &mut gaps).await?;
        rolling(&mut cluster, &load, &mut gaps).await?;
        load.forget_before(begin);
        println!("{}: round {round} of {rounds}", system.name());
    }
    // The same nodes through the proxy would be measured with its latency, so these are others.
    drop(load);
    drop(cluster);
    cluster = Cluster::start(system.clone(), true).await?;
    load = Load::start(cluster.channels());
    flow(&load).await?;
    for round in 1..=rounds {
        let begin = Instant::now();
        cut(&cluster, &load, &mut gaps).await?;
        load.forget_before(begin);
        println!("{}: cut {round} of {rounds}", system.name());
    }
    Ok(gaps)
}

async fn killed(cluster: &mut Cluster, load: &Load, gaps: &mut Gaps) -> Result<()> {
    let leader = cluster.leader().await?;
    let begin = Instant::now();
    cluster.kill(leader)?;
    recover(load, begin).await?;
    note(gaps, Event::Killed, load, begin);
    let begin = Instant::now();
    cluster.spawn(leader)?;
    cluster.await_whole(NODES as usize).await?;
    recover(load, begin).await?;
    note(gaps, Event::Back, load, begin);
    Ok(())
}

async fn paused(cluster: &Cluster, load: &Load, gaps: &mut Gaps) -> Result<()> {
    let leader = cluster.leader().await?;
    let begin = Instant::now();
    cluster.signal(leader, Signal::STOP)?;
    let recovered = recover(load, begin).await;
    note(gaps, Event::Paused, load, begin);
    sleep(AWAY).await;
    let begin = Instant::now();
    cluster.signal(leader, Signal::CONT)?;
    recovered?;
    cluster.await_whole(NODES as usize).await?;
    recover(load, begin).await?;
    note(gaps, Event::Unpaused, load, begin);
    Ok(())
}

async fn cut(cluster: &Cluster, load: &Load, gaps: &mut Gaps) -> Result<()> {
    let leader = cluster.leader().await? as u32 + 1;
    let all: Vec<u32> = (1..=NODES).collect();
    let begin = Instant::now();
    let rule = cluster
        .proxy
        .links()
        .harm(between(&[leader], &all), Harm::Cut);
    recover(load, begin).await?;
    note(gaps, Event::Cut, load, begin);
    sleep(AWAY).await;
    let begin = Instant::now();
    cluster.proxy.links().mend(rule);
    cluster.await_whole(NODES as usize).await?;
    recover(load, begin).await?;
    note(gaps, Event::Healed, load, begin);
    Ok(())
}

async fn moved(cluster: &Cluster, load: &Load, gaps: &mut Gaps) -> Result<()> {
    let leader = cluster.leader().await?;
    let begin = Instant::now();
    cluster
        .transfer(leader, (leader + 1) % NODES as usize)
        .await?;
    recover(load, begin).await?;
    note(gaps, Event::Moved, load, begin);
    Ok(())
}

async fn rolling(cluster: &mut Cluster, load: &Load, gaps: &mut Gaps) -> Result<()> {
    let begin = Instant::now();
    for place in 0..NODES as usize {
        cluster.stop(place).await?;
        cluster.spawn(place)?;
        cluster.await_whole(NODES as usize).await?;
        flow(load).await?;
    }
    recover(load, begin).await?;
    note(gaps, Event::Rolling, load, begin);
    Ok(())
}

fn note(gaps: &mut Gaps, event: Event, load: &Load, begin: Instant) {
    let gap = load.gap(begin, Instant::now());
    gaps.entry(event).or_default().push(gap);
}

/// Waits until writes flow, and at least for the window.
async fn recover(load: &Load, begin: Instant) -> Result<()> {
    sleep(WINDOW.saturating_sub(begin.elapsed())).await;
    flow(load).await
}

async fn flow(load: &Load) -> Result<()> {
    let begin = Instant::now();
    let wanted = (FLOWS.as_micros() / EVERY.as_micros() / 2) as usize;
    while load.count_within(FLOWS) < wanted {
        if begin.elapsed() > RECOVERS {
            bail!("writes do not flow again within {RECOVERS:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
