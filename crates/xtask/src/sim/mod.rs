//! `cargo xtask sim`: many seeds of the simulator, each in a process of its own.
//!
//! Invariants: (1) seeds that once failed run first; (2) a seed that fails prints the one command
//! that runs it again; (3) an invalid run is counted as such, never as passed; (4) a process that
//! does not end is ended, and counts as failed.

mod child;
mod found;
mod planted;
mod reduce;
mod weather;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use self::child::{Child, Choice, Outcome};
use crate::shell;

/// The seeds that failed once.
const REGRESSIONS: &str = "crates/hstore-sim/regressions.txt";

/// The scenario when none is named.
const SWARM: &str = "swarm";

/// The name that stands for every scenario.
const ALL: &str = "all";

/// How often progress is printed, in seeds.
const PROGRESS: usize = 100;

/// What `sim` takes.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    task: Option<Task>,
    /// How many seeds of each scenario.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// The scenario; `list` names them, and `all` is every one.
    #[arg(long, default_value = SWARM)]
    scenario: String,
    /// How many processes at a time; as many as there are cores if not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Leave out the consensus library's check of its whole state whenever it looks at it: 1.7
    /// times as many seeds in the same time, and the same traces.
    #[arg(long)]
    long: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Run one seed and keep its trace and its schedule.
    Record(One),
    /// Run seeds twice, each in fresh processes, and see that both runs are the same.
    Replay {
        #[command(flatten)]
        one: One,
        /// How many seeds from this one on.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
    },
    /// Leave out of the schedule of a failing seed whatever it fails without.
    Reduce(One),
    /// Prove that bugs are found: plant one after the other and look for each.
    Planted(planted::Options),
    /// Print every scenario.
    List,
    /// Run seeds with everything that is between a program and a node, on a simulated network.
    Weather(weather::Options),
}

/// One seed.
#[derive(Args)]
struct One {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// The scenario.
    #[arg(long, default_value = SWARM)]
    scenario: String,
}

impl One {
    fn choice(&self) -> Choice {
        Choice {
            seed: self.seed,
            scenario: self.scenario.clone(),
        }
    }
}

/// Does what was asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.task {
        Some(Task::Planted(options)) => planted::run(options),
        Some(Task::Weather(options)) => weather::run(options),
        Some(Task::Record(one)) => record(&build()?, &one.choice()),
        Some(Task::Replay { one, seeds }) => {
            let child = build()?;
            for seed in one.seed..one.seed + seeds {
                let scenario = one.scenario.clone();
                replay(&child, &Choice { seed, scenario })?;
            }
            println!("{seeds} passed, 0 failed");
            Ok(())
        }
        Some(Task::Reduce(one)) => reduce::run(&build()?, &one.choice(), &folder()?),
        Some(Task::List) => build()?.list(),
        None if options.long => many(&build_as("sim-long")?, options),
        None => many(&build()?, options),
    }
}

/// Builds the simulator with every check that a debug build has.
fn build() -> Result<Child> {
    build_as("sim")
}

/// Builds the simulator with a profile of the workspace.
fn build_as(profile: &str) -> Result<Child> {
    let arguments = ["build", "--package", "hstore-sim", "--profile", profile];
    shell::run(shell::cargo().args(arguments).arg("--locked"))?;
    Ok(Child::new(
        shell::target()?.join(profile).join("hstore-sim"),
    ))
}

/// Where traces and schedules are kept.
fn folder() -> Result<PathBuf> {
    let folder = shell::target()?.join("sim-records");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn record(child: &Child, choice: &Choice) -> Result<()> {
    let name = format!("{}-{}", choice.scenario, choice.seed);
    let trace = folder()?.join(format!("{name}.trace"));
    let schedule = folder()?.join(format!("{name}.schedule"));
    std::fs::write(&schedule, child.schedule(choice)?)?;
    let outcome = child.run(choice, None, Some(&trace));
    println!("{}", outcome.line);
    println!("trace: {}", trace.display());
    println!("schedule: {}", schedule.display());
    Ok(())
}

fn replay(child: &Child, choice: &Choice) -> Result<()> {
    let one = child.run(choice, None, None);
    let two = child.run(choice, None, None);
    println!("{}", one.line);
    if one.hash.is_some() && one.hash == two.hash {
        println!("replay: both runs are the same");
        return Ok(());
    }
    println!("{}", two.line);
    bail!("the second run of {} was another one", choice.seed)
}

/// The seeds that failed once, then the seeds that were asked for.
fn choices(child: &Child, options: &Options) -> Result<VecDeque<Choice>> {
    if let Some(seed) = options.seed {
        return Ok(VecDeque::from([Choice {
            seed,
            scenario: options.scenario.clone(),
        }]));
    }
    let text = std::fs::read_to_string(shell::root().join(REGRESSIONS))?;
    let mut choices = regressions(&text)?;
    let scenarios = if options.scenario == ALL {
        child.scenarios()?
    } else {
        vec![options.scenario.clone()]
    };
    for scenario in scenarios {
        let seeds = options.from..options.from + options.seeds;
        choices.extend(seeds.map(|seed| Choice {
            seed,
            scenario: scenario.clone(),
        }));
    }
    Ok(choices)
}

/// Lines of a scenario and a seed; what follows a `#` is for people.
fn regressions(text: &str) -> Result<VecDeque<Choice>> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let mut choices = VecDeque::new();
    for line in lines.map(str::trim).filter(|line| !line.is_empty()) {
        let Some((scenario, seed)) = line.split_once(' ') else {
            bail!("{REGRESSIONS}: `{line}` is no scenario and seed");
        };
        choices.push_back(Choice {
            seed: seed.trim().parse()?,
            scenario: scenario.to_owned(),
        });
    }
    Ok(choices)
}

/// What many runs came to.
#[derive(Default)]
struct Sum {
    passed: usize,
    invalid: usize,
    failed: Vec<(Choice, String)>,
    sim_seconds: f64,
    ops: u64,
    windows: u64,
    undecided: u64,
    struck: BTreeMap<String, u64>,
}

impl Sum {
    fn add(&mut self, choice: Choice, outcome: Outcome) {
        self.sim_seconds += outcome.sim_seconds;
        self.ops += outcome.ops;
        self.windows += outcome.windows;
        self.undecided += outcome.undecided;
        for (kind, count) in outcome.struck {
            *self.struck.entry(kind).or_default() += count;
        }
        match outcome.verdict.as_str() {
            "ok" => self.passed += 1,
            "invalid" => self.invalid += 1,
            _ => {
                let (seed, scenario) = (choice.seed, &choice.scenario);
                println!("sim: seed {seed} of {scenario} failed: {}", outcome.reason);
                println!("  cargo xtask sim --seed {seed} --scenario {scenario}");
                self.failed.push((choice, outcome.line));
            }
        }
    }

    fn runs(&self) -> usize {
        self.passed + self.invalid + self.failed.len()
    }
}

fn many(child: &Child, options: &Options) -> Result<()> {
    let queue = Mutex::new(choices(child, options)?);
    let total = queue.lock().unwrap_or_else(PoisonError::into_inner).len();
    let sum = Mutex::new(Sum::default());
    let began = Instant::now();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..options.jobs.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(choice) = next else { return };
                    let outcome = child.run(&choice, None, None);
                    if options.seed.is_some() {
                        println!("{}", outcome.line);
                    }
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.add(choice, outcome);
                    if sum.runs().is_multiple_of(PROGRESS) {
                        println!(
                            "sim: {} of {total} seeds after {} s",
                            sum.runs(),
                            began.elapsed().as_secs()
                        );
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&sum, began.elapsed().as_secs_f64());
    if sum.failed.is_empty() {
        return Ok(());
    }
    bail!("{} seeds failed", sum.failed.len())
}

fn report(sum: &Sum, seconds: f64) {
    let kinds: Vec<String> = sum
        .struck
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    println!(
        "faults that struck ({} kinds): {}",
        kinds.len(),
        kinds.join(", ")
    );
    println!(
        "sim: {:.2} simulated hours in {:.0} s ({:.0}x), {} operations judged, {} of {} windows undecided, {} invalid",
        sum.sim_seconds / 3600.0,
        seconds,
        sum.sim_seconds / seconds.max(0.001),
        sum.ops,
        sum.undecided,
        sum.windows,
        sum.invalid
    );
    println!("{} passed, {} failed", sum.passed, sum.failed.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regressions_are_a_scenario_and_a_seed_a_line() {
        let text = "# what for\n\nswarm 24 # a join that never ended\netcd-20418 7\n";
        let choices = regressions(text).unwrap();
        let found: Vec<(&str, u64)> = choices
            .iter()
            .map(|choice| (choice.scenario.as_str(), choice.seed))
            .collect();
        assert_eq!(found, [("swarm", 24), ("etcd-20418", 7)]);
        assert!(regressions("24").is_err());
        assert!(regressions("swarm x").is_err());
    }
}
