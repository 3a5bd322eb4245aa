//! `start`: a node in this terminal, in the background, or under a shell. `join` is the same with
//! another intent.

use crate::fault::{Exit, Fault};
use crate::grammar::{Launch, Output};
use crate::place::Intent;
use crate::serve::{self, Ended, Order, Voice};
use crate::settings::Sources;

/// Starts a node.
pub(super) async fn run(launch: Launch, output: Output) -> Result<Exit, Fault> {
    launch_node(launch, Intent::Start, output).await
}

/// Starts a node for what it is wanted.
pub(super) async fn launch_node(
    launch: Launch,
    intent: Intent,
    output: Output,
) -> Result<Exit, Fault> {
    let voice = match (launch.background, output) {
        (true, _) => Voice::Pipe,
        (false, Output::Json) => Voice::Json,
        (false, Output::Table) => Voice::Screen,
    };
    if launch.detach && !launch.background {
        let arguments = arguments_of_this_process();
        // The pipe is read on this thread: there is nothing else to do meanwhile.
        let block = tokio::task::block_in_place(|| serve::spawn(&arguments, voice))?;
        voice.ready(&block);
        return Ok(Exit::Ok);
    }
    let background = launch.background;
    let shell = launch.shell;
    let terminal = shell.then(Terminal::remember);
    let ended = serve::run(Order {
        intent,
        sources: Sources::of_process(launch.flags.0, launch.config),
        recorded: launch.recorded,
        background,
        shell,
        voice,
        brake: None,
        speaks_from: None,
    })
    .await;
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    match ended? {
        Ended::Stopped => Ok(Exit::Ok),
        Ended::Restart { data } => Err(serve::start_again(
            &data,
            background,
            shell,
            output.is_json(),
        )),
    }
}

/// What was typed, without what only concerns the process in front.
fn arguments_of_this_process() -> Vec<std::ffi::OsString> {
    std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--detach")
        .collect()
}

/// The state of the terminal before the shell took it: a node may end while the shell waits for a
/// key, and then nobody else puts the terminal right.
struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    fn remember() -> Terminal {
        Terminal(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }

    fn restore(self) {
        if let Some(state) = self.0 {
            let when = rustix::termios::OptionalActions::Now;
            if let Err(error) = rustix::termios::tcsetattr(std::io::stdin(), when, &state) {
                tracing::debug!(%error, "the terminal stays as it is");
            }
        }
    }
}
