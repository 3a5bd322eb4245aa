//! The program `hstore-check`: judges history files that somebody else recorded.
//!
//! Invariants: (1) the reports go to stdout, what is wrong with a file goes to stderr; (2) the exit
//! code is 0 when all files are good, 1 when one has a violation, 2 when the call or a file makes
//! no sense; 2 wins over 1.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program prints"
)]

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use hstore_check::history::{History, ReadError};
use hstore_check::judge::{self, Report};
use hstore_check::search::Limits;
use serde_json::{Value, json};

/// Judges recorded histories: whether the store kept its promises.
///
/// The format is described in docs/history-format.md.
#[derive(Parser)]
#[command(name = "hstore-check", version)]
struct Arguments {
    /// The history files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How the reports are printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Give up a window of the search after so many states.
    #[arg(long, default_value_t = Limits::default().steps_max)]
    steps: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A short block for each file.
    Text,
    /// One JSON object on a line for each file.
    Json,
}

const VIOLATION: u8 = 1;
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let limits = Limits {
        steps_max: arguments.steps,
        ..Limits::default()
    };
    let mut exit = 0;
    for file in &arguments.files {
        let code = match read(file) {
            Ok(history) => {
                let report = judge::judge_within(&history, &limits);
                match arguments.output {
                    Output::Text => println!("{}\n{report}", file.display()),
                    Output::Json => println!("{}", as_json(file, &report)),
                }
                if report.is_good() { 0 } else { VIOLATION }
            }
            Err(error) => {
                eprintln!("hstore-check: {}: {error}", file.display());
                UNUSABLE
            }
        };
        exit = exit.max(code);
    }
    ExitCode::from(exit)
}

fn read(file: &Path) -> Result<History, ReadError> {
    History::read(BufReader::with_capacity(1 << 20, File::open(file)?))
}

fn as_json(file: &Path, report: &Report) -> Value {
    let violations: Vec<Value> = report
        .violations
        .kept()
        .iter()
        .map(|violation| {
            json!({
                "kind": violation.kind.as_str(),
                "operations": violation.operations,
                "watch": violation.watch,
                "revision": violation.revision.map(|revision| revision.0),
                "sentence": violation.sentence,
            })
        })
        .collect();
    json!({
        "file": file.display().to_string(),
        "good": report.is_good(),
        "operations": report.operations,
        "answered": report.answered,
        "refused": report.refused,
        "unknown": report.unknown,
        "resolved": report.resolved,
        "log_entries": report.log_entries,
        "unchecked": report.unchecked,
        "windows": report.windows,
        "undecided": report.undecided,
        "watches": report.watches,
        "watch_streams": report.watch_streams,
        "watch_events": report.watch_events,
        "watch_marks": report.watch_marks,
        "watch_unchecked": report.watch_unchecked,
        "locks": report.locks,
        "lock_grants": report.lock_grants,
        "lock_writes": report.lock_writes,
        "lock_unchecked": report.lock_unchecked,
        "violation_count": report.violations.count(),
        "violations": violations,
    })
}
