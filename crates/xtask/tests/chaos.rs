//! The chaos task itself, on real processes: it ends well, and it leaves nothing behind.
//!
//! Invariant: a run has its temporary files in a folder of the test's own, so that what it leaves
//! is found by that folder's name.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests of processes run on real clocks, and a failing one panics"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

/// Longer than a run takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

struct Run {
    folder: TempDir,
    child: Child,
}

impl Run {
    fn start(arguments: &[&str]) -> Run {
        let folder = TempDir::with_prefix("hstore-xtask-test-").unwrap();
        let talk = fs::File::create(folder.path().join("talk")).unwrap();
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["chaos", "--built", "--server"])
            .arg(server())
            .args(arguments)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(talk.try_clone().unwrap())
            .stderr(talk)
            .spawn()
            .unwrap();
        Run { folder, child }
    }

    fn talk(&self) -> String {
        fs::read_to_string(self.folder.path().join("talk")).unwrap()
    }

    /// Waits for its end, and whether it was a good one.
    fn end(&mut self) -> bool {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(
                begin.elapsed() < DEADLINE,
                "it does not end: {}",
                self.talk()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a process that it started is there.
    fn has_processes(&self) -> bool {
        let name = self.folder.path().to_string_lossy().into_owned();
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&name)
        })
    }

    fn left_nothing(&self) {
        assert!(!self.has_processes(), "no process is left");
        let name = self.folder.path().to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&name), "no mount is left: {mounts}");
        let left: Vec<_> = fs::read_dir(self.folder.path().join("tmp"))
            .unwrap()
            .collect();
        assert!(left.is_empty(), "no file is left: {left:?}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let id = Pid::from_raw(self.child.id() as i32).unwrap();
            let _gone = rustix::process::kill_process(id, Signal::TERM);
            drop(self.child.wait());
        }
    }
}

/// The server beside this task. Cargo builds it with the workspace, but not with this crate alone;
/// then it is built here.
fn server() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_xtask")).with_file_name("hstore-server");
    if !path.exists() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--package", "hstore-server", "--bins"]);
        assert!(build.status().unwrap().success(), "hstore-server builds");
    }
    path
}

#[test]
fn a_short_storm_ends_well_and_leaves_nothing_behind() {
    let faults = ["--faults", "kill-leader,kill-follower,pause,net-cut"];
    let mut run = Run::start(&[&["--duration", "10s", "--seed", "1"][..], &faults].concat());
    let ended_well = run.end();
    let talk = run.talk();
    assert!(ended_well, "{talk}");
    assert!(talk.contains("verdict      good"), "{talk}");
    run.left_nothing();
}

#[test]
fn an_interrupted_storm_leaves_nothing_behind() {
    let mut run = Run::start(&["--duration", "10m"]);
    let begin = Instant::now();
    while !run.has_processes() {
        assert!(begin.elapsed() < DEADLINE, "nodes start: {}", run.talk());
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = Pid::from_raw(run.child.id() as i32).unwrap();
    rustix::process::kill_process(id, Signal::INT).unwrap();
    assert!(!run.end(), "an interrupted run is no good one");
    assert!(run.talk().contains("interrupted"), "{}", run.talk());
    run.left_nothing();
}

#[test]
fn an_unknown_fault_is_refused_before_anything_starts() {
    let mut run = Run::start(&["--faults", "kill,earthquake"]);
    assert!(!run.end());
    assert!(
        run.talk().contains("no fault `earthquake`"),
        "{}",
        run.talk()
    );
    run.left_nothing();
}
