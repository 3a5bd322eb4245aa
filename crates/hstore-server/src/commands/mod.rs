//! The verbs of the command line, one file each. A verb parses nothing and draws nothing: it gets
//! what was typed, does it, and hands back what is to be shown.

mod cluster_config;
mod completion;
mod config;
mod demo;
mod import_etcd;
mod join;
mod kill;
mod list;
mod man;
mod many;
mod remove;
mod restart;
mod restore;
mod start;
mod status;
mod stop;

use crate::fault::{Exit, Fault};
use crate::grammar::{Line, Verb};
use crate::manager;

/// Does what was typed.
pub(crate) async fn run(line: Line) -> Result<Exit, Fault> {
    let output = line.output;
    manager::named(line.user.as_deref(), line.password_file.as_deref())?;
    match line.verb {
        Verb::Start(launch) => start::run(launch, output).await,
        Verb::Join(join) => join::run(join, output).await,
        Verb::List(list) => list::run(&list, output).await,
        Verb::Status(status) => status::run(&status, output).await,
        Verb::Stop(stop) => stop::run(&stop, output).await,
        Verb::Kill(targets) => kill::run(&targets, output).await,
        Verb::Restart(targets) => restart::run(&targets, output).await,
        Verb::Remove(remove) => remove::run(&remove, output).await,
        Verb::Restore(restore) => tokio::task::block_in_place(|| restore::run(&restore, output)),
        Verb::ImportEtcd(import) => Box::pin(import_etcd::run(&import, output)).await,
        Verb::Demo(demo) => demo::run(&demo, output).await,
        Verb::DemoNode(node) => demo::run_node(node).await,
        Verb::DemoWarden(warden) => demo::run_warden(&warden),
        Verb::Config(config) => config::run(config.verb, output).await,
        Verb::Completion { shell } => Ok(completion::run(shell)),
        Verb::Man { folder } => man::run(folder.as_deref()),
    }
}

/// The folder where the program was started.
fn here() -> Result<std::path::PathBuf, Fault> {
    std::env::current_dir().map_err(|error| Fault::of_file("the current folder", &error))
}
