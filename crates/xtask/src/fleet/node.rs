//! One node of a fleet: its process through all its lives, its disk, who traces it.
//!
//! Invariants: (1) at most one process runs on a data folder; (2) a process that was stopped runs
//! again or is dead when the strike ends that stopped it; (3) no node founds a cluster but the
//! first one, the first time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::{Design, Disk, LOOK};
use crate::process::Server;
use hstore_links::{Addresses, Origins};

/// How many lines of a log are shown.
const TAIL_LINES: usize = 12;
/// How long a graceful stop may take: the node's own limit and a little more.
const STOP: Duration = Duration::from_secs(13);

/// How a node comes to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verb {
    /// It founds a cluster, or resumes.
    Start,
    /// It joins through another one.
    Join(SocketAddr),
}

/// A node of a fleet.
pub(crate) struct Node {
    // First, so that it is gone before its disk is.
    tracer: Option<Server>,
    process: Option<Server>,
    /// Its disk.
    pub(crate) disk: Disk,
    /// Where it is.
    pub(crate) addresses: Addresses,
    /// Whether its data folder is of a member.
    pub(crate) joined: bool,
    /// Whether it may have been removed from the cluster without anybody knowing.
    pub(crate) expelled: bool,
    number: u32,
    server: PathBuf,
    log: PathBuf,
    /// How long the log was when the process started.
    log_begin: u64,
    runtime: PathBuf,
    preload: Option<(PathBuf, PathBuf)>,
    manager: Option<(String, String)>,
    origins: Option<Arc<Origins>>,
}

impl Node {
    pub(super) fn new(
        number: u32,
        addresses: Addresses,
        design: &Design,
        within: &Path,
    ) -> Result<Node> {
        let name = format!("n{number}");
        let disk = if design.images {
            Disk::image(within, &name)?
        } else {
            Disk::folder(within, &name)?
        };
        let shift = within.join(format!("{name}.clock"));
        let preload = design.preload.clone().map(|library| (library, shift));
        let mut node = Node {
            tracer: None,
            process: None,
            disk,
            addresses,
            joined: false,
            expelled: false,
            number,
            server: design.server.clone(),
            log: within.join(format!("{name}.log")),
            log_begin: 0,
            runtime: within.join("runtime"),
            preload,
            manager: design.manager.clone(),
            origins: None,
        };
        node.shift_clock(0)?;
        Ok(node)
    }

    /// Has the proxy know its processes.
    pub(super) fn introduce(&mut self, origins: Arc<Origins>) {
        self.origins = Some(origins);
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Its number.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Its process, while it runs.
    pub(crate) fn process(&self) -> Option<&Server> {
        self.process.as_ref()
    }

    /// Starts its process. Does not wait until it is ready.
    pub(crate) fn start(&mut self, verb: &Verb) -> Result<()> {
        if self.process.is_some() && !self.has_ended()? {
            bail!("{} runs already", self.name());
        }
        let mut command = Command::new(&self.server);
        match verb {
            Verb::Start => command.arg("start"),
            Verb::Join(host) => command.arg("join").arg(host.to_string()),
        };
        let of = &self.addresses;
        command
            .args(["--name", &self.name(), "--data"])
            .arg(self.data())
            .args(["--listen", &of.client.to_string()])
            .args(["--peer-listen", &of.peer.to_string()])
            .args(["--advertise", &of.client_told.ip().to_string()])
            .env("HSTORE_RUNTIME_DIR", &self.runtime)
            .env("XDG_STATE_HOME", &self.runtime)
            .env("NO_COLOR", "1");
        if let Some((name, password)) = &self.manager {
            command.env("HSTORE_USER", name);
            command.env("HSTORE_PASSWORD", password);
        }
        if let Some((library, shift)) = &self.preload {
            command.env("LD_PRELOAD", library);
            command.env("CLOCK_SHIFT_FILE", shift);
        }
        self.log_begin = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        let process = Server::start_apart(&mut command, &self.log)?;
        if let Some(origins) = &self.origins {
            origins.runs(self.number, process.id());
        }
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again in its place: as a member, or by joining once more.
    pub(crate) fn resume(&mut self, others: &[SocketAddr]) -> Result<()> {
        let verb = match (self.joined, others.first()) {
            (true, _) => Verb::Start,
            (false, Some(host)) => Verb::Join(*host),
            (false, None) => bail!("{} has nobody to join through", self.name()),
        };
        self.start(&verb)
    }

    /// Whether its process ended by itself. A node without a process has not.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        self.process.as_mut().map_or(Ok(false), Server::ended)
    }

    /// Whether a process is there and runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.is_some() && !self.has_ended().unwrap_or(true)
    }

    /// Ends it as SIGKILL does, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.untrace();
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Ends it gracefully; kills it when that takes too long, and then says so.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let ended = self.ends_within(STOP).await;
        self.kill()?;
        if ended {
            Ok(())
        } else {
            bail!("{} did not stop within {STOP:?}", self.name())
        }
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ends_within(&mut self, at_most: Duration) -> bool {
        let begin = Instant::now();
        while !self.has_ended().unwrap_or(true) {
            if begin.elapsed() > at_most {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    /// Stops its process where it stands.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn unpause(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(id.context("a process has a number")?, signal)?;
        Ok(())
    }

    /// Changes what the kernel answers to its syncs, as `strace` says it, until `untrace`.
    pub(crate) fn trace(&mut self, injection: &str) -> Result<()> {
        let id = self.process.as_ref().context("it does not run")?.id();
        let mut command = Command::new("strace");
        command
            .args(["-f", "-q", "-o", "/dev/null", "-e", "trace=fdatasync,fsync"])
            .args(["-e", &format!("inject=fdatasync,fsync:{injection}")])
            .args(["-p", &id.to_string()]);
        let log = self.log.with_extension("strace");
        self.tracer = Some(Server::start_apart(&mut command, &log)?);
        Ok(())
    }

    /// Ends that. The process goes on as before.
    pub(crate) fn untrace(&mut self) {
        if let Some(mut tracer) = self.tracer.take()
            // The kernel lets the traced go when the tracer is dead.
            && let Err(error) = tracer.kill()
        {
            eprintln!("{}: strace does not end: {error:#}", self.name());
        }
    }

    /// Shifts what its wall clock says, by seconds.
    pub(crate) fn shift_clock(&mut self, seconds: i64) -> Result<()> {
        if let Some((_, shift)) = &self.preload {
            use std::os::unix::fs::FileExt as _;
            let mut options = std::fs::OpenOptions::new();
            let file = options
                .create(true)
                .truncate(false)
                .write(true)
                .open(shift)?;
            file.write_all_at(&seconds.to_ne_bytes(), 0)?;
        }
        Ok(())
    }

    /// Empties its disk. It is no member any more.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        std::fs::remove_dir_all(self.data())?;
        self.joined = false;
        Ok(())
    }

    /// The last lines that its process wrote to its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = text.get(self.log_begin as usize..).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    fn data(&self) -> PathBuf {
        self.disk.path().join("data")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.untrace();
        // Before the disk goes away below it.
        self.process = None;
    }
}
