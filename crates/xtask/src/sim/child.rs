//! One run of the simulator: a process, and its one line.
//!
//! Invariant: whatever becomes of the process there is an outcome; one that died, or that did not
//! end, is a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use hstore_core::planted::Bug;

use crate::shell;

/// How long one seed may take in real time before it counts as stuck.
const WALL_MAX: Duration = Duration::from_mins(5);

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Which run.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) seed: u64,
    pub(super) scenario: String,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) verdict: String,
    pub(super) reason: String,
    pub(super) sim_seconds: f64,
    pub(super) ops: u64,
    pub(super) windows: u64,
    pub(super) undecided: u64,
    pub(super) struck: BTreeMap<String, u64>,
    pub(super) hash: Option<String>,
    /// What it printed.
    pub(super) line: String,
}

/// The parts of the simulator's line that are read here.
#[derive(serde::Deserialize)]
struct Line {
    verdict: String,
    reasons: Vec<String>,
    sim_seconds: f64,
    ops: u64,
    windows: u64,
    undecided: u64,
    struck: BTreeMap<String, u64>,
    trace_hash: String,
}

/// The simulator as it was built.
pub(super) struct Child {
    program: PathBuf,
    /// The bug that its nodes have.
    bug: Option<Bug>,
}

impl Child {
    pub(super) fn new(program: PathBuf) -> Child {
        Child { program, bug: None }
    }

    /// The same program, its nodes with a bug; it must have been built for that.
    pub(super) fn with(&self, bug: Bug) -> Child {
        Child {
            program: self.program.clone(),
            bug: Some(bug),
        }
    }

    fn command(&self, task: &str, choice: &Choice) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(task)
            .args(["--seed", &choice.seed.to_string()])
            .args(["--scenario", &choice.scenario]);
        command
    }

    /// Prints every scenario.
    pub(super) fn list(&self) -> Result<()> {
        shell::run(Command::new(&self.program).arg("list"))
    }

    /// The names of all scenarios.
    pub(super) fn scenarios(&self) -> Result<Vec<String>> {
        let list = shell::read(Command::new(&self.program).arg("list"))?;
        let names = list
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// What would strike when.
    pub(super) fn schedule(&self, choice: &Choice) -> Result<String> {
        shell::read(&mut self.command("schedule", choice))
    }

    /// Runs one seed, on another schedule if one is given.
    pub(super) fn run(
        &self,
        choice: &Choice,
        schedule: Option<&Path>,
        trace: Option<&Path>,
    ) -> Outcome {
        let mut command = self.command("run", choice);
        if let Some(bug) = self.bug {
            command.args(["--planted", bug.as_str()]);
        }
        if let Some(path) = schedule {
            command.arg("--schedule").arg(path);
        }
        if let Some(path) = trace {
            command.arg("--trace").arg(path);
        }
        match watched(&mut command) {
            Ok(line) => outcome(line),
            Err(why) => Outcome {
                verdict: "died".to_owned(),
                reason: why.clone(),
                line: why,
                ..Outcome::default()
            },
        }
    }
}

fn outcome(line: String) -> Outcome {
    match serde_json::from_str::<Line>(&line) {
        Ok(parsed) => Outcome {
            verdict: parsed.verdict,
            reason: parsed.reasons.join("; "),
            sim_seconds: parsed.sim_seconds,
            ops: parsed.ops,
            windows: parsed.windows,
            undecided: parsed.undecided,
            struck: parsed.struck,
            hash: Some(parsed.trace_hash),
            line,
        },
        Err(error) => Outcome {
            verdict: "died".to_owned(),
            reason: format!("it printed no report ({error})"),
            line,
            ..Outcome::default()
        },
    }
}

/// Runs a command to its end, or ends it; what it printed, or why there is nothing.
fn watched(command: &mut Command) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("it did not start: {error}"))?;
    let began = Instant::now();
    // One line fits into the pipe, so the process can end before anybody reads.
    let ended = loop {
        match child.try_wait() {
            Ok(Some(_status)) => break true,
            Ok(None) if began.elapsed() > WALL_MAX => break false,
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(format!("it was lost: {error}")),
        }
    };
    if !ended {
        drop(child.kill());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("it was lost: {error}"))?;
    if !ended {
        return Err(format!("it did not end within {} s", WALL_MAX.as_secs()));
    }
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if text.is_empty() {
        let talk = String::from_utf8_lossy(&output.stderr);
        let talk: Vec<&str> = talk.lines().take(6).collect();
        return Err(format!("it died ({}): {}", output.status, talk.join(" | ")));
    }
    Ok(text)
}
