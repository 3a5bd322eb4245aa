//! One node of the demo, seen from outside: its process through all its lives.
//!
//! Invariants: (1) at most one process runs on a data folder; (2) a process runs in a group of its
//! own, so that Ctrl-C reaches it through the demo alone; (3) nothing of the settings of this
//! machine's other nodes reaches it; (4) no node founds a cluster but the first one, the first time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hstore_core::error::ErrorCode;
use hstore_links::Addresses;
use rustix::process::{Pid, Signal};
use serde::Serialize;
use tokio::process::{Child, Command};

use super::brake::DiskMode;
use super::tether::Leash;
use crate::fault::Fault;

/// How many lines of a log are shown.
const TAIL_LINES: usize = 12;

/// Whether a node's process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Life {
    /// It does not.
    Dead,
    /// It stands still where it was.
    Paused,
    /// It does.
    Running,
}

/// What all nodes of a demo are started with.
#[derive(Clone, Debug)]
pub(super) struct Costume {
    /// The demo's folder.
    pub(super) folder: PathBuf,
    /// Settings, as flags.
    pub(super) flags: Vec<String>,
}

/// A node of the demo.
#[derive(Debug)]
pub(super) struct Seat {
    number: u8,
    addresses: Addresses,
    costume: Costume,
    child: Option<Child>,
    leash: Option<Leash>,
    was_started: bool,
    is_paused: bool,
    disk: DiskMode,
}

impl Seat {
    pub(super) fn new(number: u8, addresses: Addresses, costume: Costume) -> Seat {
        Seat {
            number,
            addresses,
            costume,
            child: None,
            leash: None,
            was_started: false,
            is_paused: false,
            disk: DiskMode::Free,
        }
    }

    /// Whether it was ever started.
    pub(super) fn was_started(&self) -> bool {
        self.was_started
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Whether its process runs.
    pub(super) fn life(&mut self) -> Life {
        let runs = match &mut self.child {
            None => false,
            Some(child) => matches!(child.try_wait(), Ok(None)),
        };
        if !runs {
            self.child = None;
            self.leash = None;
            self.is_paused = false;
            return Life::Dead;
        }
        if self.is_paused {
            Life::Paused
        } else {
            Life::Running
        }
    }

    /// How its disk is.
    pub(super) fn disk(&self) -> DiskMode {
        self.disk
    }

    /// Starts its process, which founds, joins through a host, or resumes; its process id. Does not
    /// wait until it is ready.
    pub(super) fn start(&mut self, join: Option<String>) -> Result<u32, Fault> {
        if self.life() != Life::Dead {
            return Err(conflict(format!("{} runs already", self.name())));
        }
        let cannot = |error: std::io::Error| {
            let what = format!("the process of a node does not start: {error}");
            Fault::new(ErrorCode::Internal, what)
        };
        let (mut leash, stdin) = Leash::pair().map_err(cannot)?;
        let of = &self.addresses;
        // This very program, also when its file was replaced meanwhile.
        let mut command = Command::new("/proc/self/exe");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HSTORE_") {
                command.env_remove(name);
            }
        }
        command
            .arg0("hstore-server")
            .args(["--output", "json", "demo-node", "--name", &self.name()])
            .args(["--speak-from", &of.own_host().to_string()])
            .arg("--data")
            .arg(self.data())
            .args(["--listen", &of.client.to_string()])
            .args(["--peer-listen", &of.peer.to_string()])
            .args(["--advertise", &of.client_told.ip().to_string()])
            .args(&self.costume.flags);
        // Who has a record is a member, or goes on to become one.
        if let Some(host) = join
            && !self.data().join("settings.toml").exists()
        {
            command.args(["--join", &host]);
        }
        // A registry of its own: it knows itself alone, so that no node starts another one that would
        // not be tied to the demo.
        let runtime = self.costume.folder.join(format!("{}.runtime", self.name()));
        let log = self.open_log().map_err(cannot)?;
        command
            .env("HSTORE_RUNTIME_DIR", &runtime)
            .env("XDG_STATE_HOME", &runtime)
            .env("NO_COLOR", "1")
            .current_dir(&self.costume.folder)
            .stdin(stdin)
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(cannot)?;
        let id = child.id().unwrap_or(0);
        if self.disk != DiskMode::Free {
            leash.say(self.disk.word()).map_err(cannot)?;
        }
        self.child = Some(child);
        self.leash = Some(leash);
        self.was_started = true;
        Ok(id)
    }

    /// Ends it as SIGKILL does, and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already needs no signal.
            let _gone = child.kill().await.is_err();
        }
        self.leash = None;
        self.is_paused = false;
    }

    /// Asks it to end gracefully, also when it stands still.
    pub(super) fn terminate(&mut self) -> Result<(), Fault> {
        self.resume()?;
        self.signal(Signal::TERM)
    }

    /// Stops its process where it stands.
    pub(super) fn pause(&mut self) -> Result<(), Fault> {
        self.signal(Signal::STOP)?;
        self.is_paused = true;
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn resume(&mut self) -> Result<(), Fault> {
        self.signal(Signal::CONT)?;
        self.is_paused = false;
        Ok(())
    }

    /// Makes its disk slow, stuck, or as it is.
    pub(super) fn set_disk(&mut self, disk: DiskMode) -> Result<(), Fault> {
        self.disk = disk;
        if self.life() == Life::Dead {
            // It hears of it when it starts.
            return Ok(());
        }
        let name = self.name();
        let told = self.leash.as_mut().map(|leash| leash.say(disk.word()));
        match told {
            Some(Ok(())) => Ok(()),
            _ => Err(Fault::new(
                ErrorCode::Internal,
                format!("{name} does not hear the demo"),
            )),
        }
    }

    /// The last lines of its log.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Fault> {
        if self.life() == Life::Dead {
            return Err(conflict(format!("{} does not run", self.name())));
        }
        let id = self.child.as_ref().and_then(Child::id);
        let id = id.and_then(|id| i32::try_from(id).ok());
        let Some(id) = id.and_then(Pid::from_raw) else {
            return Err(conflict(format!("{} does not run", self.name())));
        };
        rustix::process::kill_process(id, signal).map_err(|error| {
            let what = format!("{} takes no signal: {error}", self.name());
            Fault::new(ErrorCode::Internal, what)
        })
    }

    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
    }

    fn log(&self) -> PathBuf {
        self.costume.folder.join(format!("{}.log", self.name()))
    }

    fn data(&self) -> PathBuf {
        Path::new(&self.costume.folder).join(self.name())
    }
}

fn conflict(what: String) -> Fault {
    Fault::new(ErrorCode::Conflict, what)
}
