//! The systems that are compared: how a cluster of each is started with its default durability.
//!
//! Invariants: (1) both listen on loopback only; (2) neither is given a flag that changes what it
//! promises or how fast it is; (3) a cluster's folder and processes are gone with its value.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hstore_links::take_port;
use hstore_proto::etcdserverpb::cluster_client::ClusterClient;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{MemberListRequest, PutRequest, StatusRequest, StatusResponse};
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::process::Server;

/// Where the statistics of a block device say how many sectors were written, and what a sector is
/// (Linux, `Documentation/block/stat.rst`).
const WRITTEN_SECTORS: usize = 6;
const SECTOR_BYTES: u64 = 512;

/// How long a cluster may take to be there.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How long it may take with data, whatever that is.
const LARGE_DEADLINE: Duration = Duration::from_mins(15);

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum System {
    /// Debian's etcd.
    Etcd,
    /// This project, built for release.
    Hstore,
    /// Debian's Redis, with a sync before every answer.
    Redis,
}

impl System {
    /// Every system, in the order of a round.
    pub(super) const ALL: [System; 3] = [System::Etcd, System::Hstore, System::Redis];

    /// Whether a cluster of so many nodes can be had.
    pub(super) fn can_be(self, nodes: usize) -> bool {
        self != System::Redis || nodes == 1
    }

    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            System::Etcd => "etcd",
            System::Hstore => "hstore",
            System::Redis => "redis",
        }
    }

    /// What its binary says of its version.
    pub(super) fn version(self, binaries: &Path) -> Result<String> {
        let program = match self {
            System::Etcd => PathBuf::from("etcd"),
            System::Hstore => binaries.join("hstore-server"),
            System::Redis => PathBuf::from("redis-server"),
        };
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .with_context(|| {
                format!(
                    "{} does not start (Debian's packages are etcd-server and redis-server)",
                    program.display()
                )
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next().unwrap_or_default();
        let number = match line.split_once(" v=") {
            Some((_, rest)) => rest.split(' ').next().unwrap_or_default(),
            None => line.rsplit(' ').next().unwrap_or_default(),
        };
        Ok(format!("{} {number}", self.name()))
    }
}

/// A running cluster.
pub(super) struct Cluster {
    /// Where clients reach each node.
    pub(super) addresses: Vec<String>,
    /// From the first process to the first acknowledged write.
    pub(super) first_write: Duration,
    /// From the first process until every node votes.
    pub(super) complete: Duration,
    servers: Vec<Running>,
    folder: TempDir,
}

/// A node and how it is started, the first time and again.
struct Running {
    server: Server,
    command: Command,
    log: PathBuf,
}

impl Cluster {
    /// Starts a cluster from nothing and waits until every node is a voter.
    pub(super) async fn start(
        system: System,
        nodes: usize,
        binaries: &Path,
        within: &Path,
    ) -> Result<Cluster> {
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(within)?;
        let ports = free_ports(nodes * 2)?;
        let client = |n: usize| format!("127.0.0.1:{}", ports[n * 2]);
        let peer = |n: usize| format!("127.0.0.1:{}", ports[n * 2 + 1]);
        let begin = Instant::now();
        let mut cluster = Cluster {
            addresses: (0..nodes).map(client).collect(),
            first_write: Duration::ZERO,
            complete: Duration::ZERO,
            servers: Vec::new(),
            folder,
        };
        let path = cluster.folder.path().to_path_buf();
        for n in 0..nodes {
            let name = format!("n{}", n + 1);
            let data = path.join(&name);
            let mut command = match system {
                System::Etcd => etcd(n, nodes, &data, &client, &peer),
                System::Hstore => hstore(n, &data, binaries, &client, &peer),
                System::Redis => redis(ports[0], &path),
            };
            command.env("HSTORE_RUNTIME_DIR", path.join("runtime"));
            let log = path.join(format!("{name}.log"));
            let server = Server::start(&mut command, &log)?;
            if system == System::Hstore {
                // What has data starts with it.
                command = hstore_again(n, &data, binaries, &client, &peer);
                command.env("HSTORE_RUNTIME_DIR", path.join("runtime"));
            }
            cluster.servers.push(Running {
                server,
                command,
                log,
            });
            if system == System::Hstore {
                // A cluster of hstore grows a node at a time.
                cluster
                    .wait_for_voters(n + 1, begin + START_DEADLINE)
                    .await?;
            }
            if n == 0 && system == System::Hstore {
                cluster.wait_for_write(begin + START_DEADLINE).await?;
                cluster.first_write = begin.elapsed();
            }
        }
        if system == System::Redis {
            cluster.wait_for_connection(begin + START_DEADLINE).await?;
            cluster.first_write = begin.elapsed();
        }
        if system == System::Etcd {
            cluster.wait_for_write(begin + START_DEADLINE).await?;
            cluster.first_write = begin.elapsed();
            cluster
                .wait_for_voters(nodes, begin + START_DEADLINE)
                .await?;
        }
        cluster.complete = begin.elapsed();
        Ok(cluster)
    }

    /// CPU seconds of all nodes so far.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let servers = self.servers.iter();
        servers.map(|node| node.server.cpu_seconds()).sum()
    }

    /// Bytes that were written so far to the device that holds the folders of the nodes, whoever wrote
    /// them; none where it counts nothing. What Linux counts for a process is no measure: a page
    /// that is written again counts with all pages of its folio (measured: 53 times the bytes).
    pub(super) fn written_bytes(&self) -> Result<Option<u64>> {
        let folder = File::open(self.folder.path())?;
        rustix::fs::syncfs(&folder)?;
        let device = folder.metadata()?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let Ok(text) = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")) else {
            return Ok(None);
        };
        let sectors = text.split_ascii_whitespace().nth(WRITTEN_SECTORS);
        let sectors: u64 = sectors.context("an odd stat file")?.parse()?;
        Ok(Some(sectors * SECTOR_BYTES))
    }

    /// Kills all nodes and starts them again; the time from the first start until a write is
    /// acknowledged.
    pub(super) async fn restart(&mut self) -> Result<Duration> {
        for node in &mut self.servers {
            node.server.kill()?;
        }
        let begin = Instant::now();
        for node in &mut self.servers {
            node.server = Server::start(&mut node.command, &node.log)?;
        }
        self.wait_for_write(begin + LARGE_DEADLINE).await?;
        let time = begin.elapsed();
        let nodes = self.servers.len();
        self.wait_for_voters(nodes, begin + LARGE_DEADLINE).await?;
        Ok(time)
    }

    /// Adds a node of hstore; the time from its process until it votes.
    pub(super) async fn join(&mut self, binaries: &Path) -> Result<Duration> {
        let n = self.servers.len();
        let ports = free_ports(2)?;
        let through = self.addresses[0].clone();
        let client = |at: usize| match at {
            0 => through.clone(),
            _ => format!("127.0.0.1:{}", ports[0]),
        };
        let peer = |_at: usize| format!("127.0.0.1:{}", ports[1]);
        let path = self.folder.path();
        let (data, log) = (
            path.join(format!("n{}", n + 1)),
            path.join(format!("n{}.log", n + 1)),
        );
        let env = ("HSTORE_RUNTIME_DIR", path.join("runtime"));
        let mut command = hstore(n, &data, binaries, &client, &peer);
        let begin = Instant::now();
        let server = Server::start(command.env(env.0, &env.1), &log)?;
        let mut command = hstore_again(n, &data, binaries, &client, &peer);
        command.env(env.0, &env.1);
        self.addresses.push(client(n));
        self.servers.push(Running {
            server,
            command,
            log,
        });
        self.wait_for_voters(n + 1, begin + LARGE_DEADLINE).await?;
        Ok(begin.elapsed())
    }

    /// Resident memory of the largest node.
    pub(super) fn resident_bytes(&self) -> Result<u64> {
        let mut largest = 0;
        for node in &self.servers {
            largest = largest.max(node.server.resident_bytes()?);
        }
        Ok(largest)
    }

    /// Kills the leader while writes are going on, and gives the time until a write that began
    /// after the kill is acknowledged by one of the others.
    pub(super) async fn kill_leader(&mut self) -> Result<Duration> {
        let leader = self.leader().await?;
        let address = self.addresses.remove(leader);
        let mut node = self.servers.remove(leader);
        let others = self.addresses.clone();
        // The writes before the kill go to the node that stays, so its connections are warm.
        for _ in 0..50 {
            if !try_put(&others[0], Duration::from_secs(5)).await {
                bail!("a write failed before the leader at {address} was killed");
            }
        }
        let begin = Instant::now();
        node.server.kill()?;
        while begin.elapsed() < START_DEADLINE {
            for other in &others {
                if try_put(other, Duration::from_millis(500)).await {
                    return Ok(begin.elapsed());
                }
            }
        }
        bail!("no write was acknowledged after the leader was killed")
    }

    async fn leader(&self) -> Result<usize> {
        for (n, address) in self.addresses.iter().enumerate() {
            let status = status(address).await?;
            let member = status.header.map_or(0, |header| header.member_id);
            if member == status.leader {
                return Ok(n);
            }
        }
        bail!("no node says that it leads")
    }

    async fn wait_for_write(&mut self, deadline: Instant) -> Result<()> {
        while Instant::now() < deadline {
            self.check_alive()?;
            if try_put(&self.addresses[0], Duration::from_secs(1)).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("no write was acknowledged in time; {}", self.logs())
    }

    async fn wait_for_connection(&mut self, deadline: Instant) -> Result<()> {
        while Instant::now() < deadline {
            self.check_alive()?;
            if tokio::net::TcpStream::connect(&self.addresses[0])
                .await
                .is_ok()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("nobody listens; {}", self.logs())
    }

    async fn wait_for_voters(&mut self, voters: usize, deadline: Instant) -> Result<()> {
        while Instant::now() < deadline {
            self.check_alive()?;
            if count_voters(&self.addresses[0])
                .await
                .is_ok_and(|n| n == voters)
                && status(&self.addresses[voters - 1])
                    .await
                    .is_ok_and(|status| status.leader != 0)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("{voters} voters were not there in time; {}", self.logs())
    }

    fn check_alive(&mut self) -> Result<()> {
        for n in 0..self.servers.len() {
            if self.servers[n].server.ended()? {
                bail!("node {} ended; {}", n + 1, self.logs());
            }
        }
        Ok(())
    }

    fn logs(&self) -> String {
        let mut text = String::from("the ends of the logs:");
        for n in 0..self.servers.len() {
            let log = self.folder.path().join(format!("n{}.log", n + 1));
            let whole = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = whole.lines().collect();
            let tail = &lines[lines.len().saturating_sub(5)..];
            text.push('\n');
            text.push_str(&tail.join("\n"));
        }
        text
    }
}

fn etcd(
    n: usize,
    nodes: usize,
    data: &Path,
    client: &dyn Fn(usize) -> String,
    peer: &dyn Fn(usize) -> String,
) -> Command {
    let all: Vec<_> = (0..nodes)
        .map(|n| format!("n{}=http://{}", n + 1, peer(n)))
        .collect();
    let mut command = Command::new("etcd");
    command
        .arg("--name")
        .arg(format!("n{}", n + 1))
        .arg("--data-dir")
        .arg(data)
        .arg(format!("--listen-client-urls=http://{}", client(n)))
        .arg(format!("--advertise-client-urls=http://{}", client(n)))
        .arg(format!("--listen-peer-urls=http://{}", peer(n)))
        .arg(format!("--initial-advertise-peer-urls=http://{}", peer(n)))
        .arg(format!("--initial-cluster={}", all.join(",")))
        .arg("--initial-cluster-state=new")
        .args(["--logger=zap", "--log-level=error"]);
    command
}

fn hstore(
    n: usize,
    data: &Path,
    binaries: &Path,
    client: &dyn Fn(usize) -> String,
    peer: &dyn Fn(usize) -> String,
) -> Command {
    let mut command = Command::new(binaries.join("hstore-server"));
    if n == 0 {
        command.arg("start");
    } else {
        command.arg("join").arg(client(0));
    }
    settings(&mut command, n, data, client, peer);
    command
}

/// The same node, with the data that it has.
fn hstore_again(
    n: usize,
    data: &Path,
    binaries: &Path,
    client: &dyn Fn(usize) -> String,
    peer: &dyn Fn(usize) -> String,
) -> Command {
    let mut command = Command::new(binaries.join("hstore-server"));
    command.arg("start");
    settings(&mut command, n, data, client, peer);
    command
}

fn settings(
    command: &mut Command,
    n: usize,
    data: &Path,
    client: &dyn Fn(usize) -> String,
    peer: &dyn Fn(usize) -> String,
) {
    command
        .args(["--name", &format!("n{}", n + 1)])
        .arg("--data")
        .arg(data)
        .args(["--listen", &client(n)])
        .args(["--peer-listen", &peer(n)])
        .args(["--log-level", "error"]);
}

/// Redis with the one setting that makes it promise what the others do: that what it acknowledged
/// is on the disk.
fn redis(port: u16, data: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(data);
    command
}

/// Whether a write is acknowledged in time, over a connection of its own.
async fn try_put(address: &str, deadline: Duration) -> bool {
    let attempt = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        let mut kv = KvClient::new(endpoint.connect().await.ok()?);
        kv.put(PutRequest {
            key: "probe".into(),
            value: "1".into(),
            ..PutRequest::default()
        })
        .await
        .ok()
    };
    matches!(tokio::time::timeout(deadline, attempt).await, Ok(Some(_)))
}

async fn status(address: &str) -> Result<StatusResponse> {
    let mut client = MaintenanceClient::connect(format!("http://{address}")).await?;
    Ok(client.status(StatusRequest {}).await?.into_inner())
}

async fn count_voters(address: &str) -> Result<usize> {
    let mut client = ClusterClient::connect(format!("http://{address}")).await?;
    let request = MemberListRequest::default();
    let members = client.member_list(request).await?.into_inner().members;
    Ok(members.iter().filter(|member| !member.is_learner).count())
}

/// Ports that nobody else is given.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let ports = (0..count).map(|_| take_port(&[Ipv4Addr::LOCALHOST]));
    Ok(ports.collect::<Result<_, _>>()?)
}
