//! One seed in a process of its own: what is chosen by the thread or the process would differ in
//! the second run of one process.
//!
//! Invariants: (1) a child that does not end is ended, and counts as dead; (2) a seed that fails
//! prints the command that runs it again, and leaves its history.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clients::Lie;
use crate::run::{Report, run};

/// Which seed a child runs, and whether its clients lie.
const SEED: &str = "HSTORE_WEATHER_SEED";
const LIE: &str = "HSTORE_WEATHER_LIE";

/// How many seeds, from which one on.
const SEEDS: &str = "HSTORE_WEATHER_SEEDS";
const FROM: &str = "HSTORE_WEATHER_FROM";

/// How many seeds when nobody says.
const SEEDS_DEFAULT: u64 = 20;

/// The seeds that failed once.
const REGRESSIONS: &str = include_str!("regressions.txt");

/// The longest that one run may take on any machine.
const WALL_MAX: Duration = Duration::from_mins(3);

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How many children run at a time.
const AT_ONCE: usize = 2;

/// How the line begins on which a child prints its report.
const PREFIX: &str = "report: ";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The seeds that failed once, then those that were asked for.
pub(crate) fn seeds() -> Vec<u64> {
    let lines = REGRESSIONS
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let failed = lines.filter(|line| !line.is_empty());
    let failed = failed.map(|line| line.parse().expect("regressions.txt has a seed a line"));
    let from = number(FROM).unwrap_or(1);
    let asked = from..from + number(SEEDS).unwrap_or(SEEDS_DEFAULT);
    failed.chain(asked).collect()
}

/// Runs the seed that the environment names, here.
pub(crate) fn run_here() {
    let seed = number(SEED).unwrap_or(1);
    let lie = match std::env::var(LIE).as_deref() {
        Ok("blind") => Lie::BlindRetries,
        Ok("stale") => Lie::StaleReads,
        _ => Lie::None,
    };
    if std::env::var("RUST_LOG").is_ok() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_ansi(false)
            .with_timer(SimTime)
            .init();
    }
    let ran = run(seed, lie);
    if ran.report.verdict == "violation" && lie == Lie::None {
        let path = history_of(seed);
        let mut file = BufWriter::new(File::create(&path).unwrap());
        ran.history.write(&mut file).unwrap();
        println!("history: {}", path.display());
        for line in &ran.story {
            println!("{line}");
        }
    }
    println!("{PREFIX}{}", serde_json::to_string(&ran.report).unwrap());
}

struct SimTime;

impl tracing_subscriber::fmt::time::FormatTime for SimTime {
    fn format_time(
        &self,
        to: &mut tracing_subscriber::fmt::format::Writer<'_>,
    ) -> std::fmt::Result {
        write!(to, "{:?}", turmoil::sim_elapsed().unwrap_or_default())
    }
}

fn history_of(seed: u64) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("weather-{seed}.jsonl"))
}

/// Runs seeds, each in a process of its own; their reports, in the order of the seeds.
pub(crate) fn run_all(seeds: &[u64], lie: &str) -> Vec<Report> {
    let queue: Mutex<VecDeque<(usize, u64)>> =
        Mutex::new(seeds.iter().copied().enumerate().collect());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((place, seed)) = next else { return };
                    let report = run_child(seed, lie);
                    if lie == "none" && ["violation", "died"].contains(&report.verdict.as_str()) {
                        println!(
                            "weather: seed {seed} failed: {}",
                            report.reasons.join("\n  ")
                        );
                        println!("  cargo xtask sim weather --seed {seed}");
                    }
                    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
                    reports.push((place, report));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(place, _)| *place);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn run_child(seed: u64, lie: &str) -> Report {
    let died = |why: String| Report {
        seed,
        verdict: "died".to_owned(),
        reasons: vec![why],
        ..Report::default()
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_seed", "--ignored", "--nocapture"])
        .env(SEED, seed.to_string())
        .env(LIE, lie)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    let reader = |from: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        let _broken = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    std::thread::scope(|scope| {
        let out = scope.spawn(move || reader(&mut out));
        let err = scope.spawn(move || reader(&mut err));
        let began = Instant::now();
        loop {
            match child.try_wait().unwrap() {
                Some(_status) => break,
                None if began.elapsed() > WALL_MAX => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    return died(format!("it did not end within {} s", WALL_MAX.as_secs()));
                }
                None => std::thread::sleep(LOOK),
            }
        }
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let line = out.lines().find_map(|line| line.strip_prefix(PREFIX));
        match line.and_then(|line| serde_json::from_str(line).ok()) {
            Some(report) => report,
            None => died(format!("it printed no report: {out}{err}")),
        }
    })
}
