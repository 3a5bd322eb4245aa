//! The command line client and the shell: grammar, one file a verb, rendering.
//!
//! It knows the client library and the words of the core, nothing of what is behind the wire. Data
//! goes to the standard output, everything else to the standard error.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program for people: it prints, and it runs on the real clock"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod app;
mod args;
mod failure;
mod hosts;
mod input;
mod lines;
mod render;
mod repl;
mod run;
mod secret;
mod text;

use std::ffi::OsString;
use std::process::ExitCode;

pub use failure::Exit;
pub use secret::ask as ask_secret;

/// Runs the command line client with the arguments of a process, its own name first.
pub async fn main_with(arguments: Vec<OsString>) -> ExitCode {
    app::main(arguments).await
}

/// The shell, also for programs that carry one beside their own work.
pub mod shell {
    use std::process::ExitCode;

    /// Runs the shell against the nodes at `hosts` (`host:port`) until the person leaves it, and
    /// answers the exit code that is due. Without a terminal it runs the lines of the standard
    /// input.
    ///
    /// The terminal belongs to the shell as long as it runs; Ctrl-C during a command ends the
    /// command.
    pub async fn run(hosts: Vec<String>) -> ExitCode {
        crate::app::shell(hosts).await.into()
    }
}
