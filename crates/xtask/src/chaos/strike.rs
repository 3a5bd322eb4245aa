//! The strikes themselves: finding a victim, doing it, undoing it.
//!
//! Invariant: when a strike ends, its rules are taken away, its stopped processes go on, its disks
//! have room and its nodes were started again. An error is of this tool or of the machine, and ends
//! the run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};

use super::fault::Fault;
use super::nemesis::{Hit, World};
use super::plan::Strike;
use crate::fleet::{Fleet, LOOK, Node, cut_power};
use hstore_links::{Break, Harm, between};

/// How long a strike keeps its victim at most until it is back among the others.
const BACK: Duration = Duration::from_secs(3);
/// How long a strike that needs a leader waits for one.
const LED: Duration = Duration::from_secs(2);
/// How long a new node may take to join.
const JOINED: Duration = Duration::from_secs(20);
/// How long a removal is tried.
const REMOVED: Duration = Duration::from_secs(10);
/// How long a node may take to end after its disk failed.
const ENDS: Duration = Duration::from_secs(5);

type Held = OwnedMutexGuard<Node>;

/// Strikes.
pub(super) async fn strike(world: &World, strike: &Strike) -> Result<Hit> {
    match strike.fault {
        Fault::KillLeader | Fault::KillFollower => kill_one(world, strike).await,
        Fault::KillAll => kill_all(world, strike).await,
        Fault::PauseLeader | Fault::PauseFollower => pause(world, strike).await,
        Fault::RestartRolling => restart(world).await,
        Fault::MoveLeader => transfer(world, strike).await,
        Fault::PowerOne => power_one(world, strike).await,
        Fault::PowerAll => power_all(world, strike).await,
        Fault::DiskFull => disk_full(world, strike).await,
        Fault::SyncSlow => sync_slow(world, strike).await,
        Fault::SyncFails => sync_fails(world, strike).await,
        Fault::NetCut
        | Fault::NetOneWay
        | Fault::NetDelay
        | Fault::NetReset
        | Fault::NetHalfOpen
        | Fault::NetIsolate => network(world, strike).await,
        Fault::Replace => replace(world, strike).await,
        Fault::Clock => clock(world, strike).await,
    }
}

/// The place of a node among the seats.
pub(super) fn place(node: &Node) -> usize {
    node.number() as usize - 1
}

/// Where the other nodes are told to be, those that run first.
pub(super) async fn others(fleet: &Fleet, number: u32) -> Vec<SocketAddr> {
    let statuses = fleet.statuses().await;
    let mut others: Vec<(bool, SocketAddr)> = Vec::new();
    for (place, status) in statuses.iter().enumerate() {
        if place + 1 != number as usize {
            others.push((status.is_none(), fleet.doors[place]));
        }
    }
    others.sort_unstable();
    others.into_iter().map(|(_, address)| address).collect()
}

fn missed(why: &str) -> Hit {
    Hit::Missed(why.to_owned())
}

/// Any node that is not in the hands of another strike.
fn any(world: &World, dice: u64) -> Option<Held> {
    let seats = &world.fleet.seats;
    let count = seats.len() as u64;
    (0..count).find_map(|step| {
        let seat = &seats[((dice.wrapping_add(step)) % count) as usize];
        free(seat.clone().try_lock_owned().ok()?)
    })
}

fn free(mut node: Held) -> Option<Held> {
    (node.runs() && node.joined).then_some(node)
}

/// The leader, or a follower.
async fn by_role(world: &World, leads: bool, dice: u64) -> Result<Held, Hit> {
    let Some(leader) = a_leader(world).await else {
        return Err(missed("no node led"));
    };
    let seats = &world.fleet.seats;
    let count = seats.len();
    let steps: Vec<usize> = if leads {
        vec![0]
    } else {
        let others = count - 1;
        let first = (dice % others as u64) as usize;
        (0..others).map(|n| 1 + (first + n) % others).collect()
    };
    let held = steps.into_iter().find_map(|step| {
        let seat = seats[(leader + step) % count].clone();
        free(seat.try_lock_owned().ok()?)
    });
    held.ok_or_else(|| missed("another strike had it"))
}

/// The place of the leader, if there is one soon.
async fn a_leader(world: &World) -> Option<usize> {
    let begin = Instant::now();
    loop {
        let leader = world.fleet.leader().await;
        if leader.is_some() || begin.elapsed() > LED {
            return leader;
        }
        sleep(LOOK).await;
    }
}

/// All nodes at once, waited for.
async fn all(world: &World) -> Vec<Held> {
    let mut held = Vec::new();
    for seat in &world.fleet.seats {
        held.push(seat.clone().lock_owned().await);
    }
    held
}

/// Waits until a node is a voter that knows a leader, but not for long: the others may be away.
async fn back(world: &World, node: &mut Node, at_most: Duration) -> bool {
    let begin = Instant::now();
    let asker = &world.fleet.askers[place(node)];
    while begin.elapsed() < at_most {
        let status = asker.status().await;
        if status.is_some_and(|status| status.voter && status.leader != 0) {
            return true;
        }
        if !node.runs() {
            return false;
        }
        sleep(LOOK).await;
    }
    false
}

async fn kill_one(world: &World, strike: &Strike) -> Result<Hit> {
    let leads = strike.fault == Fault::KillLeader;
    let mut node = match by_role(world, leads, strike.dice).await {
        Ok(node) => node,
        Err(miss) => return Ok(miss),
    };
    node.kill()?;
    sleep(strike.lasts).await;
    node.resume(&[])?;
    back(world, &mut node, BACK).await;
    Ok(Hit::Struck(1))
}

async fn kill_all(world: &World, strike: &Strike) -> Result<Hit> {
    let mut nodes = all(world).await;
    for node in &mut nodes {
        node.kill()?;
    }
    sleep(strike.lasts).await;
    resume_all(world, nodes).await
}

async fn resume_all(world: &World, mut nodes: Vec<Held>) -> Result<Hit> {
    let mut struck = 0;
    for node in &mut nodes {
        if node.joined {
            node.resume(&[])?;
        } else {
            let through = others(&world.fleet, node.number()).await;
            node.resume(&through)?;
        }
        struck += 1;
    }
    for node in &mut nodes {
        back(world, node, BACK).await;
    }
    Ok(Hit::Struck(struck))
}

async fn pause(world: &World, strike: &Strike) -> Result<Hit> {
    let leads = strike.fault == Fault::PauseLeader;
    let node = match by_role(world, leads, strike.dice).await {
        Ok(node) => node,
        Err(miss) => return Ok(miss),
    };
    node.pause()?;
    sleep(strike.lasts).await;
    node.unpause()?;
    Ok(Hit::Struck(1))
}

async fn restart(world: &World) -> Result<Hit> {
    let mut struck = 0;
    for seat in &world.fleet.seats {
        let Some(mut node) = free(seat.clone().lock_owned().await) else {
            continue;
        };
        if let Err(error) = node.stop().await {
            world
                .tally()
                .ended
                .push(format!("{error:#}\n{}", node.tail()));
        }
        node.resume(&[])?;
        back(world, &mut node, BACK).await;
        struck += 1;
    }
    Ok(Hit::Struck(struck))
}

async fn transfer(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(leader) = a_leader(world).await else {
        return Ok(missed("no node led"));
    };
    let count = world.fleet.seats.len();
    let target = (leader + 1 + (strike.dice % (count as u64 - 1)) as usize) % count;
    let Some(to) = id(world, target).await else {
        return Ok(missed("the follower did not answer"));
    };
    match world.fleet.askers[leader].transfer(to).await {
        Ok(()) => Ok(Hit::Struck(1)),
        Err(_refused) => Ok(missed("the cluster refused")),
    }
}

async fn id(world: &World, place: usize) -> Option<u64> {
    let status = world.fleet.askers[place].status().await?;
    Some(status.member?.node_id)
}

async fn power_one(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(mut node) = any(world, strike.dice) else {
        return Ok(missed("no node was free"));
    };
    lose_power(&mut [&mut node])?;
    sleep(strike.lasts).await;
    node.resume(&[])?;
    back(world, &mut node, BACK).await;
    Ok(Hit::Struck(1))
}

async fn power_all(world: &World, strike: &Strike) -> Result<Hit> {
    let mut nodes = all(world).await;
    lose_power(&mut nodes.iter_mut().map(|node| &mut **node).collect::<Vec<_>>())?;
    sleep(strike.lasts).await;
    resume_all(world, nodes).await
}

/// First the disks, while the processes still write; then the processes.
fn lose_power(nodes: &mut [&mut Node]) -> Result<()> {
    tokio::task::block_in_place(|| {
        let disks: Vec<&Path> = nodes.iter().map(|node| node.disk.path()).collect();
        cut_power(&disks)?;
        for node in &mut *nodes {
            node.kill()?;
        }
        for node in nodes {
            node.disk.unmount()?;
            node.disk.mount()?;
        }
        Ok(())
    })
}

async fn disk_full(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(mut node) = any(world, strike.dice) else {
        return Ok(missed("no node was free"));
    };
    tokio::task::block_in_place(|| node.disk.fill())?;
    sleep(strike.lasts / 2).await;
    // The log's files were made before; a start needs room of its own.
    node.kill()?;
    node.resume(&[])?;
    sleep(strike.lasts / 2).await;
    node.disk.make_room()?;
    if !node.runs() {
        node.resume(&[])?;
    }
    back(world, &mut node, BACK).await;
    if !node.runs() {
        // It ended of the full disk after there was room again.
        node.resume(&[])?;
    }
    Ok(Hit::Struck(1))
}

async fn sync_slow(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(mut node) = any(world, strike.dice) else {
        return Ok(missed("no node was free"));
    };
    let micros = 20_000 + strike.dice % 480_000;
    node.trace(&format!("delay_enter={micros}"))?;
    sleep(strike.lasts).await;
    node.untrace();
    Ok(Hit::Struck(1))
}

async fn sync_fails(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(mut node) = any(world, strike.dice) else {
        return Ok(missed("no node was free"));
    };
    node.trace("error=EIO")?;
    let ended = node.ends_within(strike.lasts.max(ENDS)).await;
    node.kill()?;
    node.resume(&[])?;
    back(world, &mut node, BACK).await;
    Ok(if ended {
        Hit::Struck(1)
    } else {
        missed("it synced nothing meanwhile")
    })
}

async fn network(world: &World, strike: &Strike) -> Result<Hit> {
    let links = world.fleet.proxy.links();
    let count = world.fleet.seats.len() as u32;
    let a = 1 + (strike.dice % u64::from(count)) as u32;
    let b = 1 + (a - 1 + 1 + (strike.dice / 64 % u64::from(count - 1)) as u32) % count;
    let rule = match strike.fault {
        Fault::NetReset | Fault::NetHalfOpen => {
            let half_open = strike.fault == Fault::NetHalfOpen;
            links.break_now(Break { a, b, half_open });
            return Ok(Hit::Struck(1));
        }
        Fault::NetIsolate => {
            let Some(leader) = a_leader(world).await else {
                return Ok(missed("no node led"));
            };
            let all: Vec<u32> = (1..=count).collect();
            links.harm(between(&[leader as u32 + 1], &all), Harm::Cut)
        }
        Fault::NetOneWay => links.harm(vec![(a, b)], Harm::Cut),
        Fault::NetDelay => {
            let delay = Duration::from_millis(10 + strike.dice / 4096 % 290);
            links.harm(between(&[a], &[b]), Harm::Delay(delay))
        }
        _ => links.harm(between(&[a], &[b]), Harm::Cut),
    };
    sleep(strike.lasts).await;
    links.mend(rule);
    Ok(Hit::Struck(1))
}

async fn replace(world: &World, strike: &Strike) -> Result<Hit> {
    let mut node = match by_role(world, false, strike.dice).await {
        Ok(node) => node,
        Err(miss) => return Ok(miss),
    };
    let Some(old) = id(world, place(&node)).await else {
        return Ok(missed("it did not answer"));
    };
    node.kill()?;
    node.expelled = true;
    let begin = Instant::now();
    let mut removed = false;
    while !removed && begin.elapsed() < REMOVED {
        for (at, asker) in world.fleet.askers.iter().enumerate() {
            if at != place(&node) && asker.remove(old).await.is_ok() {
                removed = true;
                break;
            }
        }
        sleep(LOOK).await;
    }
    if !removed {
        // Perhaps it is removed nevertheless; then it says so and ends, and is tended to.
        node.resume(&[])?;
        return Ok(missed("the cluster did not remove it in time"));
    }
    node.wipe()?;
    node.expelled = false;
    sleep(strike.lasts / 4).await;
    let through = others(&world.fleet, node.number()).await;
    node.resume(&through)?;
    node.joined = back(world, &mut node, JOINED).await;
    Ok(Hit::Struck(1))
}

async fn clock(world: &World, strike: &Strike) -> Result<Hit> {
    let Some(mut node) = any(world, strike.dice) else {
        return Ok(missed("no node was free"));
    };
    let shift = (strike.dice % 7_200) as i64 - 3_600;
    node.shift_clock(shift)?;
    sleep(strike.lasts).await;
    node.shift_clock(0)?;
    Ok(Hit::Struck(1))
}
