//! What this machine cannot do, said where it is seen.
//!
//! A runner hides what a passing test prints, so the note also goes to the file that
//! `HSTORE_NOT_RUN` names; `cargo xtask test` prints that file at its end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Says that a case is not run, and why.
pub(crate) fn not_run(case: &str, why: &str) {
    eprintln!("not run: {case}: {why}");
    let Some(path) = std::env::var_os("HSTORE_NOT_RUN") else {
        return;
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the file for notes can be written");
    writeln!(file, "{case}: {why}").expect("the file for notes can be written");
}

/// Whether a program starts and ends well with these arguments.
pub(crate) fn can_run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
