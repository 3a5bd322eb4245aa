//! The server: settings, commands, doors and threads around one node, and the management of nodes
//! on this machine and elsewhere.
//!
//! This is the outermost room: sockets, files, threads, clocks and terminals are opened here and
//! handed down as ports. It must never hold a rule of the store.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is the real world: it opens what the deterministic rooms must not touch"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod commands;
mod control;
mod demo;
mod discover;
pub mod doors;
mod examine;
mod fault;
mod grammar;
mod grpc;
mod import;
mod logging;
mod manager;
mod meter;
mod nursery;
mod otlp;
mod peer;
mod place;
mod ports;
mod process;
mod remote;
mod runtime;
mod screen;
mod serve;
mod settings;
mod siblings;
mod target;
mod vitals;
mod web;

use std::process::ExitCode;

use clap::Parser as _;
use hstore_core::error::ErrorCode;

use fault::{Exit, Fault};
use grammar::{Line, Verb};

// Bugs are planted in the simulator alone.
const _: () = assert!(!hstore_core::planted::BUILT_IN);

/// Runs the program: reads the command line, does what it says, tells how it went.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => return ExitCode::from(misunderstood(&error) as u8),
    };
    let json = line.output.is_json();
    // In the background the pipe tells, and stderr is the log.
    let tells = !matches!(&line.verb, Verb::Start(launch) if launch.background)
        && !matches!(&line.verb, Verb::Join(join) if join.launch.background);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("hstore")
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(commands::run(line));
            // What still runs is of no use to anyone: it may be a prompt that waits for a key.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Fault::new(
            ErrorCode::Internal,
            format!("the system gives no threads: {error}"),
        )),
    };
    let exit = match ended {
        Ok(exit) => exit,
        Err(fault) => {
            if tells {
                fault.tell(json);
            } else {
                tracing::error!(code = %fault.code, "{fault}");
            }
            fault.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Tells why a command line was not understood, or what was asked about it.
fn misunderstood(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // A reader that has gone away has what it wanted.
        let _gone = error.print();
        return Exit::Ok;
    }
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--output=json")
        || arguments
            .windows(2)
            .any(|pair| pair == ["--output", "json"]);
    if json {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let sentence = first.strip_prefix("error: ").unwrap_or(first);
        Fault::new(ErrorCode::InvalidArgument, sentence).tell(true);
    } else {
        let text = error.render().to_string();
        let text = match text.strip_prefix("error: ") {
            Some(rest) => format!("error[{}]: {rest}", ErrorCode::InvalidArgument),
            None => text,
        };
        screen::talk(text.trim_end());
    }
    Exit::Usage
}
