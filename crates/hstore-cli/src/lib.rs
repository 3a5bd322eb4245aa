//! The command line client and the shell: grammar, one file a verb, rendering.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for people: it prints, and it runs on the real clock"
)]

pub mod shell;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line client with the arguments of a process, its own name first.
pub async fn main_with(args: Vec<OsString>) -> ExitCode {
    drop(args);
    ExitCode::SUCCESS
}
