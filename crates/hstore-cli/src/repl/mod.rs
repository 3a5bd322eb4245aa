//! The shell: lines with the grammar of the command line, from a person or from a script.
//!
//! Invariants: (1) a line that fails never ends the shell of a person; (2) a script ends at the
//! first line that fails, unless it was told to go on, and its exit code is that failure's.

mod cluster;
mod editor;
mod grammar;
mod helper;
mod keys;
mod notes;
mod remembered;
pub(crate) mod words;

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use hstore_client::Client;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use self::cluster::Cluster;
use self::editor::{Editor, Printer, Told};
use self::grammar::Grammar;
use self::helper::Helper;
use self::keys::Keys;
use self::notes::Seen;
use self::words::BadLine;
use crate::app::{self, App};
use crate::args::{Command, Global, Line, ShellCommand, followed_by};
use crate::failure::{Exit, Failure};

/// A command that takes longer is told of, with how the cluster is doing.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a line turned out to be.
enum Typed {
    /// Nothing, or a remark.
    Nothing,
    /// Help, which is to be shown.
    Help(clap::Error),
    /// The end.
    Exit,
    /// A command, with its own options.
    Command(Box<(Global, Command)>),
}

/// Reads a line.
fn parse(line: &str) -> Result<Typed, Failure> {
    let words = words::split(line).map_err(|error: BadLine| Failure::Usage(error.to_string()))?;
    if words.is_empty() {
        return Ok(Typed::Nothing);
    }
    typed(&words)
}

fn typed(words: &[OsString]) -> Result<Typed, Failure> {
    match Line::read(words) {
        Ok(Line {
            command: ShellCommand::Exit,
            ..
        }) => Ok(Typed::Exit),
        Ok(Line {
            command: ShellCommand::List { .. },
            global,
        }) => Ok(Typed::Command(Box::new((global, Command::Nodes)))),
        Ok(Line {
            command: ShellCommand::Common(command),
            global,
        }) => Ok(Typed::Command(Box::new((global, command)))),
        Err(error) if !error.use_stderr() => Ok(Typed::Help(error)),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let what = followed_by(&Line::grammar(), words);
            Err(Failure::Usage(format!("{what}; `help` tells more")))
        }
        Err(error) => Err(Failure::Usage(app::usage(&error))),
    }
}

/// The shell of a person.
pub(crate) async fn interactive(app: &App, client: Client) -> Exit {
    let cluster = Arc::new(Cluster::follow(client.clone()));
    cluster.first_word().await;
    let color = app.color_of_errors();
    let helper = Helper {
        grammar: Grammar::new(),
        keys: Keys::new(client.clone(), Handle::current()),
        cluster: Arc::clone(&cluster),
        color,
    };
    let mut editor = match Editor::start(helper, remembered::file()) {
        Ok(editor) => editor,
        Err(failure) => return app.tell(&failure),
    };
    eprintln!(
        "hstore {}. `help` tells more, Ctrl-D leaves.",
        env!("CARGO_PKG_VERSION")
    );
    if !cluster.connected() {
        let tried: Vec<String> = client.addresses().iter().map(ToString::to_string).collect();
        eprintln!(
            "note: no node answers at {}; trying again",
            tried.join(", ")
        );
    }
    let told = tell_changes(Arc::clone(&cluster), editor.printer());
    loop {
        match editor.line(cluster.prompt()).await {
            Told::Line(line) => match parse(&line) {
                Ok(Typed::Nothing) => {}
                Ok(Typed::Exit) => break,
                Ok(Typed::Help(help)) => app::print_help(&help),
                Ok(Typed::Command(command)) => {
                    let (global, command) = *command;
                    let waiting = tell_of_waiting(&command, Arc::clone(&cluster));
                    let done = app.run_line(&client, &global, &command, false).await;
                    waiting.abort();
                    if let Err(failure) = done {
                        app.with(&global).tell(&failure);
                    }
                }
                Err(failure) => {
                    app.tell(&failure);
                }
            },
            Told::Dropped => {}
            Told::End => {
                eprintln!();
                break;
            }
            Told::Broken(why) => {
                let error = std::io::Error::other(why);
                told.abort();
                return app.tell(&Failure::File {
                    what: "the terminal".to_owned(),
                    error,
                });
            }
        }
    }
    told.abort();
    Exit::Ok
}

/// Says above the prompt what changes in the cluster.
fn tell_changes(cluster: Arc<Cluster>, printer: Printer) -> JoinHandle<()> {
    tokio::spawn(async move {
        let seen =
            |cluster: &Cluster| Seen::new(cluster.connected(), cluster.description().as_ref());
        let mut before = seen(&cluster);
        let mut heard = cluster.changes();
        while heard.changed().await.is_ok() {
            let now = seen(&cluster);
            if let Some(note) = before.note(&now) {
                printer.say(&format!("note: {note}"));
            }
            before = now;
        }
    })
}

/// Says how the cluster is doing when a command takes long.
fn tell_of_waiting(command: &Command, cluster: Arc<Cluster>) -> JoinHandle<()> {
    let is_long = matches!(
        command,
        Command::Import(_)
            | Command::Export(_)
            | Command::Bench(_)
            | Command::Delete(_)
            | Command::Watch(_)
            | Command::Doctor(_)
            | Command::Top(_)
            | Command::Lock(_)
            | Command::Elect(_)
    );
    tokio::spawn(async move {
        if is_long {
            return;
        }
        tokio::time::sleep(PATIENCE).await;
        let state = match cluster.description() {
            Some(description) if cluster.connected() => cluster::sentence(&description),
            _ => "no node answers".to_owned(),
        };
        eprintln!("note: still waiting ({state})");
    })
}

/// The lines of the standard input, one after the other.
pub(crate) async fn script(app: &App, client: Client, keep_going: bool) -> Exit {
    let mut worst = Exit::Ok;
    let mut number = 0_u64;
    loop {
        let mut line = Vec::new();
        let failure = match std::io::stdin().lock().read_until(b'\n', &mut line) {
            Ok(0) => return worst,
            Ok(_) => run_script_line(app, &client, line).await,
            Err(error) => Err(Failure::File {
                what: "the standard input".to_owned(),
                error,
            }),
        };
        number += 1;
        match failure {
            Ok(true) => {}
            Ok(false) => return worst,
            Err(failure) if failure.is_broken_pipe() => return worst,
            Err(failure) => {
                let exit = app.tell_at(&failure, number);
                if !keep_going || exit == Exit::Interrupted {
                    return exit;
                }
                worst = if worst == Exit::Ok { exit } else { worst };
            }
        }
    }
}

/// Runs a line. Answers whether there may be another.
async fn run_script_line(app: &App, client: &Client, line: Vec<u8>) -> Result<bool, Failure> {
    let line = String::from_utf8(line).map_err(|_| {
        Failure::Usage("a line is UTF-8; other bytes are typed as \\xff".to_owned())
    })?;
    match parse(&line)? {
        Typed::Nothing => Ok(true),
        Typed::Exit => Ok(false),
        Typed::Help(help) => {
            app::print_help(&help);
            Ok(true)
        }
        Typed::Command(command) => {
            let (global, command) = *command;
            app.run_line(client, &global, &command, true)
                .await
                .map(|()| true)
        }
    }
}

/// Whether a person sits at both ends.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_remarks_help_or_the_end() {
        assert!(matches!(parse("  # x"), Ok(Typed::Nothing)));
        assert!(matches!(parse("exit"), Ok(Typed::Exit)));
        assert!(matches!(parse("help"), Ok(Typed::Help(_))));
        assert!(matches!(parse("set --help"), Ok(Typed::Help(_))));
        for line in ["nodes", "list nodes", "list"] {
            let Ok(Typed::Command(command)) = parse(line) else {
                panic!("{line}")
            };
            assert!(matches!(command.1, Command::Nodes), "{line}");
        }
        for line in ["set 'a", "nonsense", "get", "set a b c", "set a \\q"] {
            let Err(failure) = parse(line) else {
                panic!("{line}")
            };
            assert_eq!(failure.exit(), Exit::Usage, "{line}");
        }
    }
}
