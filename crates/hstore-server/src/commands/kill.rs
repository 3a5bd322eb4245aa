//! `kill`: an end without a word. Nothing that was acknowledged is lost; the next start puts the
//! folder in order.

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::many::{Done, Tally};
use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Targets};
use crate::remote::Remote;
use crate::target::{self, Target};

/// Kills nodes.
pub(super) async fn run(targets: &Targets, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    let here = super::here()?;
    let mut tally = Tally::new(output);
    for word in &targets.nodes {
        let found = target::find(word, targets.cluster.as_deref(), &registry, &here).await;
        tally.note(match found {
            Ok(target) => kill_one(target, Instant::now() + targets.timeout).await,
            Err(fault) => Err(fault),
        });
    }
    tally.close()
}

async fn kill_one(target: Target, deadline: Instant) -> Result<Done, Fault> {
    let node = target.name().to_owned();
    let what = match target {
        Target::Stopped(_) => "is stopped already",
        Target::Running(node) => {
            signal(&node, Signal::KILL)?;
            super::stop::wait_until_gone(&node, deadline).await?;
            "killed"
        }
        Target::Elsewhere { host, .. } => {
            Remote::connect(&host).await?.kill().await?;
            super::stop::wait_until_silent(&host, deadline).await?;
            "killed"
        }
    };
    Ok(Done {
        node,
        what,
        more: None,
    })
}

/// Sends a signal to a node of this machine. A process that is gone got what it should get.
pub(super) fn signal(node: &RunningNode, signal: Signal) -> Result<(), Fault> {
    let pid = i32::try_from(node.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| node.is_alive()) else {
        return Ok(());
    };
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            let fault = Fault::new(
                ErrorCode::Internal,
                format!(
                    "node {} (process {}) cannot be signalled: {error}",
                    node.name, node.pid
                ),
            );
            Err(if error == rustix::io::Errno::PERM {
                fault.exit(Exit::Permission)
            } else {
                fault
            })
        }
    }
}
