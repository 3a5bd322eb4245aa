//! The life of a server process: take the data folder, bind the ports, found, resume or join,
//! open the doors, wait for the end, close everything in order.
//!
//! Invariants: (1) the folder's lock is taken before anything in it is read and held until the
//! last thread that writes has ended; (2) nothing is announced before it is true; (3) the end has
//! a bound: what is not done by then is left to the next start, which loses nothing.

mod as_set;
mod background;
mod end;
mod enrol;
mod plan;
mod ready;
mod signals;
mod start;
mod supervisor;
mod voice;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hstore_client::local::Registry;
use tokio::sync::mpsc;

pub(crate) use background::{program, recorded, spawn, start_again};
pub(crate) use start::{cannot_lock, cluster_name, random};
pub(crate) use voice::Voice;

use self::supervisor::Supervisor;
use crate::control::{Control, Ending};
use crate::demo::Brake;
use crate::fault::Fault;
use crate::place::Intent;
use crate::settings::Sources;

/// How a server is wanted.
#[derive(Debug)]
pub(crate) struct Order {
    /// Found, resume or join.
    pub(crate) intent: Intent,
    /// Flags, environment, file.
    pub(crate) sources: Sources,
    /// Take every setting of the last start.
    pub(crate) recorded: bool,
    /// This is the process in the background.
    pub(crate) background: bool,
    /// With a shell in the terminal.
    pub(crate) shell: bool,
    /// How it tells how it gets on.
    pub(crate) voice: Voice,
    /// What holds its disk back. Only a node of the demo has one (docs/adr/0031).
    pub(crate) brake: Option<Arc<Brake>>,
    /// The host that its connections to peers come from, if the system does not choose. Only a node of
    /// the demo is told (docs/adr/0038).
    pub(crate) speaks_from: Option<IpAddr>,
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As it was asked to.
    Stopped,
    /// It is to be started again in place.
    Restart {
        /// Its data folder.
        data: PathBuf,
    },
}

/// Runs a server until it ends.
pub(crate) async fn run(order: Order) -> Result<Ended, Fault> {
    let registry = Registry::of_this_user();
    let (control, asked): (Control, mpsc::Receiver<Ending>) = Control::new();
    let voice = order.voice;
    let supervisor = Supervisor::of_environment();
    let life = async {
        // Boxed: each is large, and is held by everything that calls this.
        let started = Box::pin(start::start(&order, &registry, control)).await?;
        Box::pin(end::wait(started, asked, &order, &registry, &supervisor)).await
    };
    let result = tokio::select! {
        // The end comes first: nobody is told that a process lives that is about to end.
        biased;
        result = life => result,
        () = supervisor.pulse() => unreachable!("it never ends"),
    };
    if let Err(fault) = &result {
        voice.failed(fault);
    }
    result
}
