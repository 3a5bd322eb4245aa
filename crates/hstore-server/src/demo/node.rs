//! A node of the demo, seen from inside: a node as any other, but for the brake on its disk, the
//! host that it speaks from, and the tether to the demo.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use hstore_core::error::ErrorCode;

use super::brake::{Brake, DiskMode};
use super::tether::Tether;
use crate::fault::{Exit, Fault};
use crate::grammar::DemoNode;
use crate::place::Intent;
use crate::serve::{self, Ended, Order, Voice};
use crate::settings::Sources;

/// The option that names whom to join through.
const JOIN: &str = "--join";

/// Runs the node until it or the demo ends.
pub(crate) async fn run(node: DemoNode) -> Result<Exit, Fault> {
    let tether = Tether::take()?;
    let brake = Arc::new(Brake::default());
    listen(tether, Arc::clone(&brake))?;
    let intent = match node.join {
        Some(host) => Intent::Join { host: Some(host) },
        None => Intent::Start,
    };
    let ended = serve::run(Order {
        intent,
        sources: Sources::of_process(node.flags.0, None),
        recorded: false,
        background: false,
        shell: false,
        voice: Voice::Json,
        brake: Some(brake),
        speaks_from: node.speak_from,
    })
    .await?;
    match ended {
        Ended::Stopped => Ok(Exit::Ok),
        Ended::Restart { .. } => Err(start_again()),
    }
}

/// Obeys the words of the demo, and ends with it.
fn listen(mut tether: Tether, brake: Arc<Brake>) -> Result<(), Fault> {
    let listening = move || {
        while let Some(word) = tether.hear() {
            if let Some(mode) = DiskMode::of_word(&word) {
                tracing::info!(disk = mode.word(), "the demo changes the disk");
                brake.set(mode);
            } else {
                tracing::warn!(word, "the demo says what nobody understands");
            }
        }
        // The demo is gone, and its folder is about to go: there is nothing to close in order.
        let own = rustix::process::getpid();
        let killed = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        if killed.is_err() {
            std::process::abort();
        }
    };
    std::thread::Builder::new()
        .name("tether".to_owned())
        .spawn(listening)
        .map(drop)
        .map_err(|error| {
            let what = format!("the system gives no thread: {error}");
            Fault::new(ErrorCode::Internal, what)
        })
}

/// The same process again, with the same tether: what it has become a member of it does not join.
fn start_again() -> Fault {
    let mut arguments = Vec::new();
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        if argument == JOIN {
            let _host = given.next();
        } else {
            arguments.push(argument);
        }
    }
    let error = Command::new("/proc/self/exe").args(arguments).exec();
    Fault::new(
        ErrorCode::Internal,
        format!("the node has stopped and cannot start again: {error}"),
    )
}
