//! A node as a process: started, ready, broken, gone.
//!
//! Invariant: the process and whatever it started are gone when the value is dropped; the ends of
//! its output are shown when the test is failing at that time.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use hstore_client::local::{Registry, RunningNode};
use hstore_proto::hstore::v1::{MemberStatus, NodeStatusResponse, Role};
use rustix::process::{Pid, Signal};

use super::clients::{self, Kv};
use super::world::{World, server_binary};
use super::{SOON, ports, until};

/// How much of a node's output a failing test shows.
const TAIL_LINES: usize = 60;

/// A node's process.
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its data folder.
    pub(crate) data: PathBuf,
    child: Child,
    out: PathBuf,
    talk: PathBuf,
    runtime: PathBuf,
    record: Option<RunningNode>,
}

impl Node {
    /// Starts a node and does not wait for anything.
    pub(crate) fn start(world: &World, name: &str, verb: &[&str], more: &[&str]) -> Node {
        let command = world.command(server_binary());
        Node::start_with(world, name, command, &world.data(name), verb, more)
    }

    /// Starts a node with its data where the caller wants it, through a command that ends in the
    /// server's own name.
    pub(crate) fn start_with(
        world: &World,
        name: &str,
        mut command: Command,
        data: &Path,
        verb: &[&str],
        more: &[&str],
    ) -> Node {
        let out = world.path(&format!("{name}.out"));
        let talk = world.path(&format!("{name}.talk"));
        command
            .args(verb)
            .args(["--name", name, "--data"])
            .arg(data)
            .args(more)
            .args(own_ports(data, more))
            .stdout(fs::File::create(&out).unwrap())
            .stderr(
                fs::File::options()
                    .create(true)
                    .append(true)
                    .open(&talk)
                    .unwrap(),
            )
            .process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        Node {
            name: name.to_owned(),
            data: data.to_path_buf(),
            child,
            out,
            talk,
            runtime: world.path("runtime"),
            record: None,
        }
    }

    /// Waits until it has printed its block, which it does when it serves.
    #[track_caller]
    pub(crate) fn ready(mut self) -> Node {
        let record = until(&format!("{} is ready", self.name), SOON, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "{} ended with {status} before it was ready\n{}",
                    self.name,
                    self.talk()
                );
            }
            let printed = fs::read_to_string(&self.out).unwrap_or_default();
            if !printed.contains("cluster id") {
                return None;
            }
            let running = Registry::at(&self.runtime).running();
            running.into_iter().find(|node| node.data == self.data)
        });
        self.record = Some(record);
        self
    }

    /// Where clients reach it.
    pub(crate) fn address(&self) -> String {
        self.record().client_address.clone()
    }

    /// What it told the registry.
    pub(crate) fn record(&self) -> &RunningNode {
        self.record.as_ref().expect("the node was ready once")
    }

    /// A connection to it.
    pub(crate) fn kv(&self) -> Kv {
        Kv::connect(&self.address())
    }

    /// What it says of the members, unless it does not answer.
    pub(crate) fn members(&self) -> Option<Vec<MemberStatus>> {
        clients::members(&self.address())
    }

    /// What it says of itself, unless it does not answer.
    pub(crate) fn status(&self) -> Option<NodeStatusResponse> {
        clients::status(&self.address())
    }

    /// Whether it leads, as it sees it.
    pub(crate) fn leads(&self) -> bool {
        self.status()
            .is_some_and(|status| status.role() == Role::Leader)
    }

    /// Waits until its cluster has so many members, all of them voters that answer it, one leading.
    #[track_caller]
    pub(crate) fn settled(&self, voters: usize) {
        until(&format!("{voters} voters that answer"), SOON, || {
            let rows = self.members()?;
            let good = rows.iter().filter(|row| row.reachable && row.voter).count();
            let led = rows.iter().any(|row| row.role() == Role::Leader);
            (rows.len() == voters && good == voters && led).then_some(())
        });
    }

    /// What it printed, and what it said.
    pub(crate) fn talk(&self) -> String {
        let mut text = fs::read_to_string(&self.out).unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(
            &fs::read(&self.talk).unwrap_or_default(),
        ));
        text
    }

    /// Whether the process has ended.
    pub(crate) fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it as SIGKILL does, with whatever it started, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal_group(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Makes its process stand still, or go on.
    pub(crate) fn pause(&self, pause: bool) {
        self.signal_group(if pause { Signal::STOP } else { Signal::CONT });
    }

    /// Asks it to end gracefully.
    pub(crate) fn terminate(&mut self) {
        self.signal_group(Signal::TERM);
    }

    /// Waits until it has ended by itself, and gives its exit code and everything it said.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (i32, String) {
        let what = format!("{} ends by itself", self.name);
        let status = until(&what, SOON, || self.child.try_wait().unwrap());
        (status.code().unwrap_or(-1), self.talk())
    }

    /// Asks it to end gracefully and waits until it has.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.terminate();
        let (code, talk) = self.end();
        assert_eq!(code, 0, "a graceful stop ends with 0: {talk}");
    }

    fn signal_group(&self, signal: Signal) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let group = group.expect("a process id is a positive number");
        // The group is gone when its last process is; that is what was wanted.
        let _gone = rustix::process::kill_process_group(group, signal);
    }
}

/// The flags of a node's own ports, unless the caller names others.
fn own_ports(data: &Path, more: &[&str]) -> Vec<String> {
    let (client, peer) = ports::of(data);
    [("--listen", client), ("--peer-listen", peer)]
        .into_iter()
        .filter(|(flag, _)| !more.contains(flag))
        .flat_map(|(flag, port)| [flag.to_owned(), format!("127.0.0.1:{port}")])
        .collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let talk = self.talk();
            let lines: Vec<_> = talk.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("---- {} said last:\n{}", self.name, tail.join("\n"));
        }
        self.signal_group(Signal::KILL);
        drop(self.child.wait());
    }
}
