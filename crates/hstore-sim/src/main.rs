//! Runs one seed in this process, and prints what came of it as one line of JSON.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a tool for a terminal: its output is what it is for"
)]

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
#[cfg(feature = "planted")]
use hstore_core::planted::{self, Bug};
use hstore_sim::nemesis::{of_text, to_text};
use hstore_sim::plan::Plan;
use hstore_sim::report::Verdict;
use hstore_sim::run::run_plan;
use hstore_sim::scenario;

/// Whole clusters on a clock that the simulator moves.
#[derive(Parser)]
#[command(name = "hstore-sim", version, about)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Print every scenario.
    List,
    /// Run one seed.
    Run(RunOptions),
    /// Print what would strike when, one strike a line.
    Schedule(Choice),
}

#[derive(clap::Args)]
struct Choice {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// The scenario.
    #[arg(long, default_value = scenario::DEFAULT)]
    scenario: String,
}

#[derive(clap::Args)]
struct RunOptions {
    #[command(flatten)]
    choice: Choice,
    /// Write the trace to this file.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Strike what this file says instead of what the seed says.
    #[arg(long)]
    schedule: Option<PathBuf>,
    /// Give all nodes this bug.
    #[cfg(feature = "planted")]
    #[arg(long, value_parser = bug)]
    planted: Option<Bug>,
    /// Print what the nodes log.
    #[arg(long)]
    log: bool,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Run(options) => run(&options),
        Task::Schedule(choice) => plan(&choice).map(|plan| {
            print!("{}", to_text(&plan.strikes));
            ExitCode::SUCCESS
        }),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

fn plan(choice: &Choice) -> Result<Plan> {
    let name = &choice.scenario;
    let scenario = scenario::find(name)
        .with_context(|| format!("there is no scenario {name}; `hstore-sim list` names them"))?;
    Ok((scenario.plan)(choice.seed))
}

fn run(options: &RunOptions) -> Result<ExitCode> {
    if options.log {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .without_time()
            .init();
    }
    #[cfg(feature = "planted")]
    if let Some(bug) = options.planted {
        anyhow::ensure!(planted::set(bug), "a process has one bug at most");
    }
    let mut plan = plan(&options.choice)?;
    if let Some(path) = &options.schedule {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        plan.strikes = of_text(&text).with_context(|| path.display().to_string())?;
    }
    let (report, trace) = run_plan(options.choice.seed, &plan, options.trace.is_some());
    if let Some(path) = &options.trace {
        fs::write(path, trace).with_context(|| path.display().to_string())?;
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(match report.verdict {
        Verdict::Ok | Verdict::Invalid => ExitCode::SUCCESS,
        Verdict::Violation => ExitCode::FAILURE,
    })
}

fn list() {
    for scenario in scenario::all() {
        println!("{:<28} {}", scenario.name, scenario.about);
    }
}

#[cfg(feature = "planted")]
fn bug(name: &str) -> Result<Bug, String> {
    Bug::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.as_str()).collect();
        format!("there is no such bug; the bugs are {}", names.join(", "))
    })
}
