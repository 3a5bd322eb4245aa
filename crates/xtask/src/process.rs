//! A server process that a task started: its CPU time, its memory, its end.
//!
//! Invariant: a process is gone when its value is dropped.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Ticks of the kernel's process clock a second: `USER_HZ`, 100 on every Linux that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts it, with its talk in a file.
    pub(crate) fn start(command: &mut Command, log: &std::path::Path) -> Result<Server> {
        Server::spawn(command, log)
    }

    /// Starts it in a process group of its own, so that Ctrl-C reaches it through the task alone.
    pub(crate) fn start_apart(command: &mut Command, log: &std::path::Path) -> Result<Server> {
        Server::spawn(command.process_group(0), log)
    }

    fn spawn(command: &mut Command, log: &std::path::Path) -> Result<Server> {
        let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} did not start", command.get_program().display()))?;
        Ok(Server { child })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// CPU seconds so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(&self.id().to_string())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok())
            .context("an odd status file")?;
        Ok(kib * 1024)
    }

    /// How many handles it has open on files of this ending, and on everything else.
    pub(crate) fn open_handles(&self, ending: &str) -> Result<(usize, usize)> {
        let (mut such, mut other) = (0, 0);
        for handle in fs::read_dir(format!("/proc/{}/fd", self.id()))? {
            // One that was closed meanwhile has no target.
            let target = handle.and_then(|handle| fs::read_link(handle.path()));
            let target = target.unwrap_or_default();
            if target.extension().is_some_and(|found| found == ending) {
                such += 1;
            } else {
                other += 1;
            }
        }
        Ok((such, other))
    }

    /// Ends it as SIGKILL does, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if !self.ended()? {
            self.child.kill()?;
        }
        self.child.wait()?;
        Ok(())
    }
}

/// CPU seconds of this process so far, user and system.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    cpu_seconds("self")
}

fn cpu_seconds(process: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything; after it the state is field 3.
    let rest = text.rsplit_once(')').context("an odd stat file")?.1;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = 0.0;
    for _ in 0..2 {
        ticks += fields
            .next()
            .and_then(|field| field.parse::<f64>().ok())
            .context("an odd stat file")?;
    }
    Ok(ticks / TICKS_PER_SECOND)
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that cannot be killed has ended already.
        drop(self.kill());
    }
}
