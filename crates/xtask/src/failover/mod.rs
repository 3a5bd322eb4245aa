//! How long no write succeeds when something happens to a node: hstore beside etcd, in one run.
//!
//! Invariants: (1) load, events and their order are the same for both systems, with their defaults;
//! (2) a gap begins with the last write that was acknowledged before the event; (3) what cannot be
//! measured here is said in the table's place.

mod cluster;
mod events;
mod load;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result};

use self::cluster::System;
use self::events::Gaps;
use crate::{interrupt, shell};

/// What `failover` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each event happens.
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// Measure only this system.
    #[arg(long, value_parser = ["etcd", "hstore"])]
    only: Option<String>,
    /// This binary is built for release already, and so are the others beside it.
    #[arg(long, hide = true)]
    built: bool,
    /// The server's binary, when it is not beside this one.
    #[arg(long, hide = true, requires = "built")]
    server: Option<PathBuf>,
}

/// Measures, and prints the table.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.built {
        return shell::build_for_release_and_run_again();
    }
    let runtime = shell::two_workers()?;
    let table = runtime.block_on(interrupt::or(measure(options)))?;
    println!("\n{table}");
    Ok(())
}

async fn measure(options: &Options) -> Result<String> {
    let server = match &options.server {
        Some(server) => server.clone(),
        None => shell::beside("hstore-server")?,
    };
    let only = options.only.as_deref();
    let is_wanted = |system: &System| only.is_none_or(|only| only == system.name());
    let systems = [System::Hstore(server), System::Etcd];
    let mut columns = Vec::new();
    let mut notes = Vec::new();
    for system in systems.into_iter().filter(is_wanted) {
        if system == System::Etcd && !shell::works("etcd", &["--version"]) {
            notes.push("etcd: not run, it is not installed (Debian: etcd-server)".to_owned());
            continue;
        }
        let name = system.name();
        let gaps: Gaps = events::all(&system, options.rounds).await.context(name)?;
        columns.push((name, gaps));
    }
    Ok(table::render(&columns, options.rounds, &notes))
}
