//! One seed in two fresh processes is the same run, any part of its schedule is a schedule, and a
//! set-up that is wrong on purpose is caught.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

fn simulator(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_hstore-sim"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_seed_is_the_same_run_in_every_process_and_another_seed_is_another_run() {
    let run = |seed: &str| simulator(&["run", "--seed", seed, "--scenario", "c1n3k1.losing"]);
    let one = run("3");
    assert_eq!(one, run("3"));
    assert!(!one.contains("\"windows\":0,"), "the search looked: {one}");
    assert_ne!(one, run("4"));
}

#[test]
fn a_run_takes_a_part_of_its_schedule() {
    let choice = ["--seed", "5", "--scenario", "c2n3k2.losing"];
    let schedule = simulator(&[&["schedule"], &choice[..]].concat());
    let part: Vec<&str> = schedule.lines().take(2).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    std::fs::write(&path, part.join("\n")).unwrap();
    let path = path.to_str().unwrap();
    let report = simulator(&[&["run"], &choice[..], &["--schedule", path]].concat());
    assert!(report.contains("\"verdict\":\"ok\"") || report.contains("\"verdict\":\"invalid\""));
}

#[test]
fn a_set_up_that_is_wrong_on_purpose_is_caught() {
    let report = simulator(&["run", "--seed", "1", "--scenario", "c2n3k2.losing.i"]);
    assert!(report.contains("\"verdict\":\"ok\""), "{report}");
}

#[test]
fn the_list_names_every_scenario() {
    let list = simulator(&["list"]);
    for name in ["swarm", "etcd-20418", "etcd-14571", "users", "quota"] {
        let named = |line: &str| line.split_whitespace().next() == Some(name);
        assert!(list.lines().any(named), "{name}");
    }
}
