//! The rest of a server's life: become a member, say that it is ready, wait for the end, and end
//! in order.
//!
//! The order of the end: the client door closes, the node stops (and hands its leadership over
//! through peer doors that are still open), the peer door closes, the threads that write end, the
//! folder is let go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hstore_client::local::{Registry, RunningNode, process_start};
use hstore_core::error::ErrorCode;
use hstore_node::StopReason;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::as_set;
use super::ready::{become_ready, keep_address};
use super::signals::Signals;
use super::start::Started;
use super::supervisor::{Supervisor, sentence};
use super::{Ended, Order};
use crate::control::Ending;
use crate::fault::{Exit, Fault};
use crate::runtime::{Last, panics_follow};
use crate::screen;

/// How long the doors may take to close after the node has stopped.
const DOORS_CLOSE: Duration = Duration::from_secs(1);

/// How long the threads that write may take to end after the node has stopped.
const THREADS_END: Duration = Duration::from_secs(5);

/// How long a node may take when it is told to stop without grace.
const NOW: Duration = Duration::from_millis(300);

/// Why the waiting is over.
enum Why {
    Asked(Ending),
    Signal(&'static str),
    Failed(StopReason),
    NotReady(Fault),
    ShellLeft,
}

/// Waits for the end of a node that has started.
pub(super) async fn wait(
    mut started: Started,
    mut asked: mpsc::Receiver<Ending>,
    order: &Order,
    registry: &Registry,
    supervisor: &Supervisor,
) -> Result<Ended, Fault> {
    let mut signals = Signals::listen(order.background).map_err(|error| {
        Fault::new(
            ErrorCode::Internal,
            format!("signals cannot be heard: {error}"),
        )
    })?;
    let (name, ended) = (started.member.name.clone(), started.node.end_reason());
    let (json, log) = (order.voice == super::Voice::Json, order.background);
    panics_follow(move || {
        let fault = failure(&name, &ended()?)?;
        Some(Last { fault, json, log })
    });
    let mut led = false;
    let why = live(
        &mut started,
        &mut asked,
        &mut signals,
        order,
        registry,
        supervisor,
        &mut led,
    )
    .await;
    let voice = order.voice;
    if order.shell && !matches!(why, Why::ShellLeft) {
        // The prompt waits for a key that nobody will press: begin a line of our own.
        let verb = match why {
            Why::Asked(Ending::Restart) => "restarts",
            _ => "stops",
        };
        screen::talk(format_args!("\nnode {} {verb}", started.member.name));
    }
    let (ending, told) = match why {
        Why::Asked(ending) => (ending, Ok(())),
        Why::Signal(name) => {
            tracing::info!(signal = name, "stopping");
            if voice == super::Voice::Screen && !order.shell {
                screen::talk(format_args!("{name}: stopping; once more ends it now"));
            }
            (Ending::Stop, Ok(()))
        }
        Why::ShellLeft => (Ending::Stop, Ok(())),
        Why::NotReady(fault) => (Ending::StopNow, Err(fault)),
        Why::Failed(reason) => (Ending::StopNow, of_reason(&reason, &started, registry, led)),
    };
    match ending {
        Ending::Restart => supervisor.restarting(),
        Ending::Kill | Ending::Stop | Ending::StopNow => supervisor.stopping(),
    }
    let data = started.data.clone();
    tokio::select! {
        // Whoever asks twice does not want to wait.
        biased;
        () = asked_to_hurry(&mut asked, &mut signals) => {
            tracing::warn!("ended before everything was closed; the next start puts it in order");
        }
        () = close(started, ending) => {}
    }
    told?;
    if ending == Ending::Restart {
        return Ok(Ended::Restart { data });
    }
    tracing::info!("stopped");
    Ok(Ended::Stopped)
}

/// Lives until there is a reason to end.
async fn live(
    started: &mut Started,
    asked: &mut mpsc::Receiver<Ending>,
    signals: &mut Signals,
    order: &Order,
    registry: &Registry,
    supervisor: &Supervisor,
    led: &mut bool,
) -> Why {
    let node = started.node.clone();
    // Ctrl-C in the shell means the command that runs there, not the node.
    let in_shell = AtomicBool::new(false);
    let mut end = std::pin::pin!(async {
        loop {
            tokio::select! {
                // A failure comes first: it is the truth about all that follows.
                biased;
                reason = node.failed() => return Why::Failed(reason),
                name = signals.next() => {
                    if name != "SIGINT" || !in_shell.load(Ordering::Relaxed) {
                        return Why::Signal(name);
                    }
                }
                Some(ending) = asked.recv() => return Why::Asked(ending),
            }
        }
    });
    let told = tokio::select! {
        biased;
        why = &mut end => return why,
        told = become_ready(started, order, registry, led) => told,
    };
    let running = match told {
        Ok(running) => running,
        Err(fault) => return Why::NotReady(fault),
    };
    let standing = node.standing();
    let cluster = &started.identity.cluster_name;
    supervisor.ready(&sentence(&standing.borrow(), cluster));
    let hosts = vec![running.client_address.clone()];
    let shell = async {
        if order.shell {
            in_shell.store(true, Ordering::Relaxed);
            hstore_cli::shell::run(hosts).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        why = &mut end => why,
        () = keep_address(started, registry) => unreachable!("it never ends"),
        () = as_set::follow(started, registry, running) => unreachable!("it never ends"),
        () = supervisor.follow(standing, cluster) => unreachable!("it never ends"),
        () = shell => Why::ShellLeft,
    }
}

/// A node that ended by itself: what to tell, and whether it was a failure. One that had a leader
/// and then was removed ends as it was asked to; one that was removed while it was away does not
/// get what it was started for.
fn of_reason(
    reason: &StopReason,
    started: &Started,
    registry: &Registry,
    led: bool,
) -> Result<(), Fault> {
    let name = started.member.name.clone();
    if *reason == StopReason::Removed {
        tracing::warn!(%reason, "stopping");
        if let Err(error) = registry.withdraw(&record(started)) {
            tracing::debug!(%error, "the record of the node stays");
        }
        if !led {
            return Err(
                stopped(&name, reason).hint("to be a member again, join with an empty folder")
            );
        }
        screen::talk(format_args!(
            "node {name} was removed from the cluster; its data folder {} may be deleted",
            screen::path(&started.data)
        ));
        return Ok(());
    }
    failure(&name, reason).map_or(Ok(()), Err)
}

fn stopped(name: &str, reason: &StopReason) -> Fault {
    Fault::new(reason.code(), format!("node {name} has stopped: {reason}"))
}

/// What to tell of a node that failed; none if it ended because somebody wanted it to.
pub(super) fn failure(name: &str, reason: &StopReason) -> Option<Fault> {
    let fault = stopped(name, reason).exit(Exit::Failure);
    match reason {
        StopReason::Requested | StopReason::Removed => None,
        StopReason::DiskFull(_) => Some(fault.hint(
            "nothing that was acknowledged is lost; make room on the disk, then start it again",
        )),
        StopReason::DiskFailed(_) => Some(
            fault
                .hint("nothing that was acknowledged is lost; check the disk, then start it again"),
        ),
        StopReason::DataCorrupt(_) => Some(
            fault.hint("with other nodes running, remove this one and join with an empty folder"),
        ),
        StopReason::Internal(_) => Some(fault),
    }
}

/// Resolves when the end is asked for again.
async fn asked_to_hurry(asked: &mut mpsc::Receiver<Ending>, signals: &mut Signals) {
    loop {
        tokio::select! {
            _name = signals.next() => std::process::exit(i32::from(Exit::Interrupted as u8)),
            Some(ending) = asked.recv() => match ending {
                Ending::Kill => end_at_once(),
                Ending::StopNow => return,
                Ending::Stop | Ending::Restart => {}
            },
        }
    }
}

/// As `SIGKILL` would: nothing is closed, nothing is written.
fn end_at_once() -> ! {
    let own = rustix::process::getpid();
    match rustix::process::kill_process(own, rustix::process::Signal::KILL) {
        Ok(()) => loop {
            std::thread::park();
        },
        Err(_refused) => std::process::abort(),
    }
}

/// Closes everything, in order, within the bound.
async fn close(started: Started, ending: Ending) {
    let Started {
        settings,
        node,
        clients,
        peers,
        mut servers,
        threads,
        lock,
        ..
    } = started;
    let bound = match ending {
        Ending::Kill => end_at_once(),
        Ending::StopNow => NOW,
        Ending::Restart | Ending::Stop => settings.stop_timeout,
    };
    let deadline = Instant::now() + bound;
    clients.cancel();
    // The node is let go with the call: its lanes end when nobody holds it any more.
    let stopped = async move { node.stop(deadline).await };
    if timeout_at(deadline + NOW, stopped).await.is_err() {
        tracing::warn!("the node did not stop in time; the next start puts it in order");
    }
    peers.cancel();
    let closed = timeout(DOORS_CLOSE, async {
        while servers.join_next().await.is_some() {}
    });
    if closed.await.is_err() {
        servers.shutdown().await;
    }
    let ended = tokio::task::spawn_blocking(move || threads.wait(THREADS_END)).await;
    if !ended.unwrap_or(false) {
        tracing::warn!("a thread did not end in time");
    }
    drop(lock);
}

/// The node as the other programs of its user know it.
pub(super) fn record(started: &Started) -> RunningNode {
    let pid = std::process::id();
    RunningNode {
        name: started.member.name.clone(),
        pid,
        process_start: process_start(pid).unwrap_or(0),
        client_address: started.member.client_address.clone(),
        peer_address: started.member.peer_address.clone(),
        cluster_id: started.identity.cluster.to_string(),
        cluster_name: started.identity.cluster_name.clone(),
        node_id: started.identity.node.0,
        data: started.data.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
