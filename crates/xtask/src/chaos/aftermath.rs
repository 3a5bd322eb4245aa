//! After the storm: everything is healed, and every node must serve, agree and show what it has.
//!
//! Invariant: nothing is asked of a node here that a healthy one does not do within seconds; the
//! limits are for busy machines.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hstore_check::history::ClientId;
use hstore_core::id::Revision;
use tokio::time::sleep;

use super::ask::Ask;
use super::load::{self, KEYS, LEASED};
use super::nemesis::World;
use super::people::Gate;
use crate::fleet::LOOK;

/// How long the healed cluster may take to be whole.
const WHOLE: Duration = Duration::from_mins(1);
/// How many writes and how many reads each node must serve.
const SERVED: u64 = 10;
/// How long it may take to serve them.
const SERVES: Duration = Duration::from_secs(30);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How long all nodes may take to have applied the same.
const CONVERGED: Duration = Duration::from_secs(30);

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Resident memory.
    pub(super) resident_bytes: u64,
    /// Open files and sockets, but for those of the log.
    pub(super) handles: usize,
    /// Open segments of the log: one for each start since the log was last purged, and one for
    /// each that was full.
    pub(super) segments: usize,
}

/// Takes every rule away, lets every process go on, and waits until the cluster is whole.
pub(super) async fn heal(world: &World) -> Result<()> {
    world.fleet.proxy.links().mend_all();
    let begin = Instant::now();
    loop {
        world.tend().await?;
        if world.fleet.is_whole().await {
            return Ok(());
        }
        if begin.elapsed() > WHOLE {
            let tails = world.fleet.tails().await;
            bail!("the cluster is not whole {WHOLE:?} after everything was healed\n{tails}");
        }
        sleep(LOOK).await;
    }
}

/// What each node's process uses.
pub(super) async fn measure(world: &World) -> Result<Vec<Use>> {
    let mut uses = Vec::new();
    for seat in &world.fleet.seats {
        let node = seat.lock().await;
        let process = node.process().context("a healed node runs")?;
        let (segments, handles) = process.open_handles("wal")?;
        uses.push(Use {
            resident_bytes: process.resident_bytes()?,
            handles,
            segments,
        });
    }
    Ok(uses)
}

/// Has every node serve writes and reads, as operations of the history.
pub(super) async fn serve(world: &World, clients: u64) -> Result<()> {
    for (place, asker) in world.fleet.askers.iter().enumerate() {
        let client = ClientId(clients + 1 + place as u64);
        let begin = Instant::now();
        let (mut writes, mut reads, mut tries) = (0, 0, 0);
        while writes < SERVED || reads < SERVED {
            tries += 1;
            let key = Bytes::from_static(KEYS[tries as usize % KEYS.len()].as_bytes());
            let ask = if writes < SERVED {
                Ask::Put(load::put(key, format!("n{}.{tries}", place + 1).into()))
            } else {
                Ask::Range(load::get(key))
            };
            let is_write = ask.is_write();
            let answer = world
                .book
                .ask(client, ask, |ask| ask.send_to(asker, CALL))
                .await?;
            match answer {
                Ok(_) if is_write => writes += 1,
                Ok(_) => reads += 1,
                Err(code) if begin.elapsed() > SERVES => {
                    bail!(
                        "n{} served {writes} writes and {reads} reads in {SERVES:?}; its last \
                         word was {code}",
                        place + 1
                    );
                }
                Err(_not_yet) => sleep(LOOK).await,
            }
        }
    }
    Ok(())
}

/// Writes every key one last time, as operations of the history; where each was written.
pub(super) async fn write_last(
    world: &World,
    client: ClientId,
    gate: &Gate,
) -> Result<Vec<(Bytes, Revision)>> {
    let asker = gate.crew()?;
    let begin = Instant::now();
    let mut made = Vec::new();
    for (place, key) in KEYS.into_iter().chain(LEASED).enumerate() {
        let key = Bytes::from_static(key.as_bytes());
        loop {
            let tried = begin.elapsed().as_nanos();
            let value = format!("last.{place}.{tried}");
            let ask = Ask::Put(load::put(key.clone(), value.into()));
            let answer = world.book.ask(client, ask, |ask| ask.send(&asker)).await?;
            match answer {
                Ok((revision, _)) => {
                    made.push((key, revision));
                    break;
                }
                Err(code) if begin.elapsed() > SERVES => {
                    bail!("a healed cluster took no last write; its last word was {code}");
                }
                Err(_not_yet) => sleep(LOOK).await,
            }
        }
    }
    Ok(made)
}

/// Waits until all nodes have applied the same, and holds their states together.
pub(super) async fn converge(world: &World) -> Result<()> {
    let begin = Instant::now();
    loop {
        let statuses = world.fleet.statuses().await;
        let states: Option<Vec<(u64, u64)>> = statuses
            .into_iter()
            .map(|status| {
                let status = status?;
                Some((status.log?.applied_index, status.store?.state_hash))
            })
            .collect();
        if let Some(states) = &states
            && states.iter().all(|(index, _)| *index == states[0].0)
        {
            if states.iter().any(|(_, hash)| *hash != states[0].1) {
                bail!("the nodes applied the same log to different states: {states:x?}");
            }
            return Ok(());
        }
        if begin.elapsed() > CONVERGED {
            bail!("the nodes have not applied the same after {CONVERGED:?}: {states:?}");
        }
        sleep(LOOK).await;
    }
}
