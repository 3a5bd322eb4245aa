//! Proves that the simulator finds bugs: plants one after the other and runs seeds until one is
//! caught.
//!
//! Invariants: (1) a run that says too little, ends in silence or breaks down counts for nothing:
//! a bug is found when a law or a judge says what was broken; (2) without a bug the same seeds are
//! good, so that what was found was the bug; (3) the list names every bug of the catalogue once.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use hstore_core::planted::Bug;

use super::child::{Child, Choice, Outcome};
use super::found::{Found, List};
use crate::shell;

/// So much is shown of what a run said.
const SHOWN_CHARS: usize = 160;

/// What `sim planted` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many seeds are tried for each bug.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// How many seeds are run without a bug.
    #[arg(long, default_value_t = 4)]
    clean: u64,
    /// The scenario of seeds that nobody wrote down.
    #[arg(long, default_value = super::SWARM)]
    scenario: String,
    /// Only bugs whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// How many runs at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Write down what was found. Writes to the tree.
    #[arg(long)]
    record: bool,
}

/// What one run came to.
enum Ended {
    /// Something was broken: which law, and how.
    Caught(String),
    /// All was well.
    Good,
    /// It says nothing.
    Nothing(String),
}

/// Builds the simulator with all bugs in it and looks for each.
pub(crate) fn run(options: &Options) -> Result<()> {
    let began = Instant::now();
    let child = Child::new(build()?);
    println!("planted: built in {} s", began.elapsed().as_secs());
    let path = shell::root().join("crates/hstore-sim/planted.txt");
    let list = List::read(&fs::read_to_string(&path).context("crates/hstore-sim/planted.txt")?)?;
    let began = Instant::now();
    check_clean(options, &child)?;
    let wanted: Vec<Bug> = Bug::ALL
        .iter()
        .copied()
        .filter(|bug| {
            let part = options.only.as_deref().unwrap_or_default();
            bug.as_str().contains(part)
        })
        .collect();
    let results = look_for_all(options, &child, &list, &wanted);
    let missed: Vec<&str> = results
        .iter()
        .filter(|(_bug, found)| found.is_none())
        .map(|(bug, _found)| bug.as_str())
        .collect();
    println!(
        "planted: {} of {} bugs were found, in {} s",
        results.len() - missed.len(),
        results.len(),
        began.elapsed().as_secs()
    );
    if options.record {
        let news = results.iter().filter_map(|(_bug, found)| found.clone());
        fs::write(&path, list.with(news).text())?;
    }
    if !missed.is_empty() {
        bail!(
            "{} bugs were not found in {} seeds: {}; ask what the simulator lacks",
            missed.len(),
            options.seeds,
            missed.join(", ")
        );
    }
    Ok(())
}

/// The program under a name of its own, since the simulator without bugs has the same.
fn build() -> Result<PathBuf> {
    let arguments = ["build", "--package", "hstore-sim", "--profile", "sim"];
    shell::run(
        shell::cargo()
            .args(arguments)
            .args(["--features", "planted", "--locked"]),
    )?;
    let folder = shell::target()?.join("sim");
    let program = folder.join("hstore-sim-planted");
    fs::copy(folder.join("hstore-sim"), &program).context("copy the simulator")?;
    Ok(program)
}

fn check_clean(options: &Options, child: &Child) -> Result<()> {
    for seed in 1..=options.clean {
        match run_one(child, seed, &options.scenario) {
            Ended::Good => {}
            Ended::Nothing(why) => println!("clean: seed {seed} says nothing: {why}"),
            Ended::Caught(how) => bail!("without a bug seed {seed} is not good: {how}"),
        }
    }
    println!("clean: {} seeds are good without a bug", options.clean);
    Ok(())
}

fn look_for_all(
    options: &Options,
    child: &Child,
    list: &List,
    wanted: &[Bug],
) -> Vec<(Bug, Option<Found>)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while let Some(bug) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = look_for(options, child, list, *bug);
                    let mut results = results.lock().expect("no thread panics while it holds it");
                    results.push((*bug, found));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .expect("no thread panics while it holds it");
    results.sort_by_key(|(bug, _found)| *bug);
    results
}

/// The seeds that are tried: the one that was written down, then all others.
fn look_for(options: &Options, child: &Child, list: &List, bug: Bug) -> Option<Found> {
    let began = Instant::now();
    let child = child.with(bug);
    let recorded = list
        .of(bug)
        .map(|found| (found.seed, found.scenario.clone()));
    let others = (1..=options.seeds).map(|seed| (seed, options.scenario.clone()));
    let mut nothing = 0;
    for (seed, scenario) in recorded.into_iter().chain(others) {
        match run_one(&child, seed, &scenario) {
            Ended::Caught(how) => {
                println!(
                    "{bug}: seed {seed} of {scenario} in {} ms: {}",
                    began.elapsed().as_millis(),
                    shown(&how)
                );
                return Some(Found::new(bug, seed, &scenario, &how));
            }
            Ended::Good => {}
            Ended::Nothing(why) => {
                nothing += 1;
                println!(
                    "{bug}: seed {seed} of {scenario} says nothing: {}",
                    shown(&why)
                );
            }
        }
    }
    println!(
        "{bug}: not found in {} seeds, {nothing} of which say nothing",
        options.seeds
    );
    None
}

/// The beginning of what a run said.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

fn run_one(child: &Child, seed: u64, scenario: &str) -> Ended {
    let choice = Choice {
        seed,
        scenario: scenario.to_owned(),
    };
    ended(child.run(&choice, None, None))
}

fn ended(outcome: Outcome) -> Ended {
    match outcome.verdict.as_str() {
        "ok" => Ended::Good,
        "violation" => Ended::Caught(outcome.reason),
        other => Ended::Nothing(format!("{other}: {}", outcome.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_violation_counts() {
        let outcome = |verdict: &str| {
            ended(Outcome {
                verdict: verdict.to_owned(),
                reason: "judge: lost".to_owned(),
                ..Outcome::default()
            })
        };
        assert!(matches!(outcome("violation"), Ended::Caught(how) if how == "judge: lost"));
        assert!(matches!(outcome("ok"), Ended::Good));
        for verdict in ["invalid", "died"] {
            assert!(matches!(outcome(verdict), Ended::Nothing(_)), "{verdict}");
        }
    }
}
