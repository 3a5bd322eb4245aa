//! `restart`: a running node ends gracefully and starts again in its own place, terminal or
//! background; a stopped one of this machine starts in the background. Both with the settings of
//! their last start.

use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use tokio::time::{Instant, sleep};

use super::many::{Done, Tally};
use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Targets};
use crate::remote::Remote;
use crate::screen;
use crate::serve::{self, Voice};
use crate::target::{self, Target};

/// How often a node is asked whether it is back.
const LOOK: Duration = Duration::from_millis(50);

/// Restarts nodes.
pub(super) async fn run(targets: &Targets, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    let here = super::here()?;
    let mut tally = Tally::new(output);
    for word in &targets.nodes {
        let found = target::find(word, targets.cluster.as_deref(), &registry, &here).await;
        tally.note(match found {
            Ok(target) => restart_one(target, targets.timeout, output, &registry).await,
            Err(fault) => Err(fault),
        });
    }
    tally.close()
}

async fn restart_one(
    target: Target,
    at_most: Duration,
    output: Output,
    registry: &Registry,
) -> Result<Done, Fault> {
    let began = Instant::now();
    let name = target.name().to_owned();
    let (what, address) = match target {
        Target::Stopped(node) => {
            let voice = if output.is_json() {
                Voice::Json
            } else {
                Voice::Screen
            };
            let arguments = serve::recorded(&node.data);
            let block = tokio::task::block_in_place(|| serve::spawn(&arguments, voice))?;
            ("started", block.client)
        }
        Target::Running(node) => (
            "restarted",
            restart_here(&node, began + at_most, registry).await?,
        ),
        Target::Elsewhere { host, .. } => {
            restart_elsewhere(&host, began + at_most).await?;
            ("restarted", host)
        }
    };
    Ok(Done {
        node: name,
        what,
        more: Some(format!(
            "in {}, at {address}",
            screen::duration(began.elapsed())
        )),
    })
}

/// A process that starts again in its place keeps its number and its age, so that it is back is
/// told by the node itself: its uptime begins anew.
async fn restart_here(
    node: &RunningNode,
    deadline: Instant,
    registry: &Registry,
) -> Result<String, Fault> {
    let remote = Remote::connect(&node.client_address).await?;
    let mut watch = Watch::begin(&remote).await?;
    remote.restart().await?;
    loop {
        sleep(LOOK).await;
        // It may be back at another address, when somebody took its port meanwhile.
        let now = registry
            .known()
            .into_iter()
            .find(|other| other.cluster_id == node.cluster_id && other.node_id == node.node_id);
        let now = now.unwrap_or_else(|| node.clone());
        if now.is_alive() && watch.is_back(&now.client_address).await {
            return Ok(now.client_address);
        }
        if !node.is_alive() && !now.is_alive() {
            return Err(Fault::new(
                ErrorCode::Internal,
                format!("node {} has stopped and did not start again", node.name),
            )
            .hint(format!(
                "hstore-server restart {}   tries once more and says why",
                node.name
            )));
        }
        if Instant::now() >= deadline {
            return Err(late(&node.name));
        }
    }
}

async fn restart_elsewhere(host: &str, deadline: Instant) -> Result<(), Fault> {
    let remote = Remote::connect(host).await?;
    let mut watch = Watch::begin(&remote).await?;
    remote.restart().await?;
    loop {
        sleep(LOOK).await;
        if watch.is_back(host).await {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(late(host));
        }
    }
}

/// Tells a node that is back from one that has not gone yet.
struct Watch {
    began: Instant,
    before: Duration,
    was_away: bool,
}

impl Watch {
    async fn begin(remote: &Remote) -> Result<Watch, Fault> {
        let before = uptime(remote).await?;
        Ok(Watch {
            began: Instant::now(),
            before,
            was_away: false,
        })
    }

    async fn is_back(&mut self, host: &str) -> bool {
        let asked = async { uptime(&Remote::connect(host).await?).await };
        match asked.await {
            // A life that is shorter than the one before, or than the wait, is a new one; the old
            // one is always longer than both together.
            Ok(uptime) => self.was_away || uptime < self.before.max(self.began.elapsed() / 2),
            Err(_away) => {
                self.was_away = true;
                false
            }
        }
    }
}

async fn uptime(remote: &Remote) -> Result<Duration, Fault> {
    let status = remote.status().await?;
    let process = status.process.unwrap_or_default();
    Ok(Duration::from_millis(process.uptime_ms))
}

fn late(name: &str) -> Fault {
    Fault::new(ErrorCode::Timeout, format!("node {name} is not back yet"))
        .hint("hstore-server list   shows when it is")
}
