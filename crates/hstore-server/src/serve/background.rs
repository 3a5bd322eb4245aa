//! Putting a node into the background: the same program again, in a session of its own, with a
//! pipe through which it says how it gets on until it is ready.
//!
//! Invariant: the process that was started by hand ends with the exit code of the start.

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hstore_core::error::ErrorCode;

use super::voice::{Voice, follow};
use crate::fault::{Exit, Fault};
use crate::manager;
use crate::screen::Block;

/// How a node is started in the background: the command line after the program's name.
pub(crate) fn spawn(arguments: &[std::ffi::OsString], voice: Voice) -> Result<Block, Fault> {
    let mut command = Command::new(program()?);
    manager::hand_over(&mut command);
    let mut child = command
        .args(arguments)
        .arg("--background")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            Fault::new(
                ErrorCode::Internal,
                format!("the node's process cannot be started: {error}"),
            )
        })?;
    let pipe = child.stdout.take().expect("stdout is a pipe, two lines up");
    let told = follow(BufReader::new(pipe), voice);
    if let Err(fault) = &told
        && fault.code == ErrorCode::Internal
        && let Ok(Some(status)) = child.try_wait()
    {
        tracing::debug!(%status, "the background process ended");
    }
    told
}

/// Where this program is. When it was replaced since it started, that is where the new one is: so
/// a restart is how a node gets a new version.
pub(crate) fn program() -> Result<PathBuf, Fault> {
    let program = std::env::current_exe().map_err(|error| {
        Fault::new(
            ErrorCode::Internal,
            format!("this program does not know where it is: {error}"),
        )
    })?;
    // What the kernel appends to the name of a file that is gone.
    let name = program.to_string_lossy();
    Ok(match name.strip_suffix(" (deleted)") {
        Some(former) if !program.exists() => PathBuf::from(former),
        _ => program,
    })
}

/// What a stopped node is started again with.
pub(crate) fn recorded(data: &Path) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> =
        ["start", "--recorded", "--data"].map(Into::into).to_vec();
    arguments.push(data.into());
    arguments
}

/// Leaves the terminal that started this process: from here on nothing that happens to it reaches
/// this process, and what it has to say goes to the log.
pub(crate) fn leave_terminal() -> Result<(), Fault> {
    match rustix::process::setsid() {
        // It leads a session already when it was started again in place.
        Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(Fault::new(
            ErrorCode::Internal,
            format!("the node cannot leave the terminal: {error}"),
        )),
    }
}

/// Sends stderr, with everything that libraries and panics write there, to the log.
pub(crate) fn redirect_stderr(log: &std::fs::File) -> std::io::Result<()> {
    rustix::stdio::dup2_stderr(log)?;
    Ok(())
}

/// Starts this program again in its own place, with the settings of the last start.
pub(crate) fn start_again(data: &Path, background: bool, shell: bool, json: bool) -> Fault {
    use std::os::unix::process::CommandExt as _;

    let program = match program() {
        Ok(program) => program,
        Err(fault) => return fault,
    };
    let mut command = Command::new(program);
    command.args(recorded(data));
    manager::hand_over(&mut command);
    if background {
        command.arg("--background");
    }
    if shell {
        command.arg("--shell");
    }
    if json {
        command.args(["--output", "json"]);
    }
    // It only returns when it fails.
    let error = command.exec();
    Fault::new(
        ErrorCode::Internal,
        format!("the node has stopped and cannot start again: {error}"),
    )
    .exit(Exit::Failure)
}
