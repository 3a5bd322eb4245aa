//! The program as scripts see it: what it prints where, and its exit code.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::PathBuf;
use std::process::{Command, Output};

use hstore_check::generate::{self, Plan, Planted, PlantedLock, PlantedWatch};
use hstore_check::history::History;
use serde_json::Value;
use tempfile::TempDir;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hstore-check"))
        .args(arguments)
        .output()
        .unwrap()
}

fn file(folder: &TempDir, name: &str, history: &History) -> PathBuf {
    let path = folder.path().join(name);
    let mut written = Vec::new();
    history.write(&mut written).unwrap();
    std::fs::write(&path, written).unwrap();
    path
}

#[test]
fn the_exit_code_says_good_wrong_or_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let good = file(&folder, "good", &generate::good(1, &plan));
    let bad = file(&folder, "bad", &generate::bad(1, &plan, Planted::StaleRead));
    let torn = folder.path().join("torn");
    std::fs::write(&torn, "{\"header\":{\"version\":1}}\n{\"operation\":").unwrap();
    let [good, bad, torn] = [&good, &bad, &torn].map(|path| path.to_str().unwrap());

    let output = run(&[good]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("verdict     good\n"));

    let output = run(&[good, bad]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("revision_went_back: operation"), "{text}");
    assert!(text.contains("not_linearizable: no order"), "{text}");

    let output = run(&[torn, bad]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("torn: line 2: "), "{text}");
    assert_eq!(run(&["missing"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn the_json_report_has_what_the_text_has() {
    let folder = tempfile::tempdir().unwrap();
    let history = generate::bad(2, &Plan::default(), Planted::WrongVersion);
    let path = file(&folder, "bad", &history);
    let output = run(&[path.to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["good"], false);
    assert_eq!(report["operations"], history.operations.len());
    assert_eq!(report["violations"][0]["kind"], "wrong_version");
}

#[test]
fn a_watch_that_was_told_something_wrong_is_a_violation() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let good = file(&folder, "good", &generate::good_with_watches(1, &plan, 3));
    let bad = generate::bad_watch(1, &plan, PlantedWatch::Missed).unwrap();
    let bad = file(&folder, "bad", &bad);
    assert_eq!(run(&[good.to_str().unwrap()]).status.code(), Some(0));
    let output = run(&[bad.to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["watches"], 1);
    assert_eq!(report["violations"][0]["kind"], "watch_missed");
    assert_eq!(report["violations"][0]["watch"], 1);
}

#[test]
fn a_lock_that_two_were_told_to_hold_is_a_violation() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good", &generate::good_lock(1, 60));
    let bad = generate::bad_lock(1, 60, PlantedLock::SecondHolds);
    let bad = file(&folder, "bad", &bad);
    assert_eq!(run(&[good.to_str().unwrap()]).status.code(), Some(0));
    let output = run(&[bad.to_str().unwrap(), "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["locks"], 1);
    assert_eq!(report["violations"][0]["kind"], "lock_shared");
}
