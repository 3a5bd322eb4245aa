//! `stop`: a graceful end. The node hands its leadership over, drains and syncs; the command
//! returns when the process is gone.

use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use tokio::time::{Instant, sleep};

use super::many::{Done, Tally};
use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Stop};
use crate::remote::Remote;
use crate::screen;
use crate::target::{self, Target};

/// How often a process is looked at that is about to go.
const LOOK: Duration = Duration::from_millis(10);

/// Stops nodes.
pub(super) async fn run(stop: &Stop, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    let here = super::here()?;
    let mut tally = Tally::new(output);
    if stop.all {
        let mut running = registry.running();
        running.retain(|node| {
            let wanted = stop.cluster.as_deref();
            wanted.is_none_or(|wanted| node.cluster_name == wanted || node.cluster_id == wanted)
        });
        if running.is_empty() {
            screen::talk("no node runs on this machine");
        }
        for node in running {
            tally.note(stop_one(Target::Running(node), stop.timeout).await);
        }
        return tally.close();
    }
    for word in &stop.nodes {
        let found = target::find(word, stop.cluster.as_deref(), &registry, &here).await;
        tally.note(match found {
            Ok(target) => stop_one(target, stop.timeout).await,
            Err(fault) => Err(fault),
        });
    }
    tally.close()
}

async fn stop_one(target: Target, at_most: Duration) -> Result<Done, Fault> {
    let began = Instant::now();
    let name = target.name().to_owned();
    match target {
        Target::Stopped(_) => Ok(Done {
            node: name,
            what: "is stopped already",
            more: None,
        }),
        Target::Running(node) => {
            ask_to_stop(&node).await?;
            wait_until_gone(&node, began + at_most).await?;
            Ok(Done {
                node: name,
                what: "stopped",
                more: Some(format!("in {}", screen::duration(began.elapsed()))),
            })
        }
        Target::Elsewhere { host, .. } => {
            Remote::connect(&host).await?.stop().await?;
            wait_until_silent(&host, began + at_most).await?;
            Ok(Done {
                node: name,
                what: "stopped",
                more: Some(format!("in {}", screen::duration(began.elapsed()))),
            })
        }
    }
}

/// Asks through the node's own door; a node that does not answer there gets the signal that means
/// the same.
async fn ask_to_stop(node: &RunningNode) -> Result<(), Fault> {
    let asked = async { Remote::connect(&node.client_address).await?.stop().await };
    match asked.await {
        Ok(()) => Ok(()),
        Err(_) if !node.is_alive() => Ok(()),
        Err(fault) => {
            tracing::debug!(%fault, node = node.name, "asked by a signal instead");
            super::kill::signal(node, rustix::process::Signal::TERM)
        }
    }
}

/// Waits until a process of this machine is gone.
pub(super) async fn wait_until_gone(node: &RunningNode, deadline: Instant) -> Result<(), Fault> {
    while node.is_alive() {
        if Instant::now() >= deadline {
            return Err(Fault::new(
                ErrorCode::Timeout,
                format!(
                    "node {} (process {}) is still stopping",
                    node.name, node.pid
                ),
            )
            .hint(format!(
                "hstore-server kill {}   ends it at once; nothing acknowledged is lost",
                node.name
            )));
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// Waits until nobody answers at an address any more.
pub(super) async fn wait_until_silent(host: &str, deadline: Instant) -> Result<(), Fault> {
    while Remote::connect(host).await.is_ok() {
        if Instant::now() >= deadline {
            return Err(Fault::new(
                ErrorCode::Timeout,
                format!("the node at {host} is still stopping"),
            ));
        }
        sleep(LOOK * 10).await;
    }
    Ok(())
}
