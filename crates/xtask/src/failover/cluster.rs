//! A cluster of either system, with its processes in hand.
//!
//! Invariants: (1) neither is given a flag that changes how it elects, syncs or answers; (2) its
//! processes and its folder are gone with its value.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{StatusRequest, StatusResponse};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::fleet::{Asker, LOOK};
use crate::process::Server;
use crate::shell;
use hstore_links::{Addresses, Proxy, Way};

/// How many nodes a cluster has.
pub(super) const NODES: u32 = 3;
/// How long anything may take that is waited for.
const SOON: Duration = Duration::from_mins(1);
/// How long a node may take to say who leads.
const STATUS: Duration = Duration::from_millis(500);
/// How long a new connection may take; a node that is away must not be waited for.
const CONNECT: Duration = Duration::from_millis(500);

/// A system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// The one that is installed.
    Etcd,
    /// This one, with its server's binary.
    Hstore(PathBuf),
}

impl System {
    /// Its name in tables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            System::Etcd => "etcd",
            System::Hstore(_) => "hstore",
        }
    }
}

/// A running cluster.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    /// The network between the nodes, if they talk through it.
    pub(super) proxy: Proxy,
    system: System,
    folder: TempDir,
}

struct Node {
    process: Option<Server>,
    addresses: Addresses,
    channel: Channel,
    started: bool,
}

impl Cluster {
    /// Starts a cluster, and waits until every node knows the leader.
    pub(super) async fn start(system: System, proxied: bool) -> Result<Cluster> {
        let mut cluster = Cluster {
            nodes: Vec::new(),
            proxy: Proxy::new(),
            system,
            folder: tempfile::Builder::new()
                .prefix("hstore-failover-")
                .tempdir()?,
        };
        for number in 1..=NODES {
            let addresses = Addresses::take(number, proxied)?;
            let endpoint = Endpoint::from_shared(format!("http://{}", addresses.client))?;
            let endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
            cluster.nodes.push(Node {
                process: None,
                addresses,
                channel: endpoint.connect_lazy(),
                started: false,
            });
            for (told, listens, ruled) in [
                (addresses.client_told, addresses.client, false),
                (addresses.peer_told, addresses.peer, true),
            ] {
                let node = number;
                if proxied {
                    cluster.proxy.open(Way {
                        told,
                        listens,
                        node,
                        ruled,
                    })?;
                }
            }
        }
        for place in 0..cluster.nodes.len() {
            cluster.spawn(place)?;
            if cluster.system != System::Etcd {
                // Those of hstore join one by one; those of etcd wait for each other.
                cluster.await_whole(place + 1).await?;
            }
        }
        cluster.await_whole(cluster.nodes.len()).await?;
        Ok(cluster)
    }

    /// A connection to each node.
    pub(super) fn channels(&self) -> Vec<Channel> {
        self.nodes.iter().map(|node| node.channel.clone()).collect()
    }

    /// Starts a node, again if it was there before.
    pub(super) fn spawn(&mut self, place: usize) -> Result<()> {
        let mut command = match &self.system {
            System::Etcd => self.etcd(place),
            System::Hstore(server) => self.hstore(place, server),
        };
        let log = self.folder.path().join(format!("n{}.log", place + 1));
        let process = Server::start_apart(&mut command, &log)?;
        self.proxy.origins().runs(place as u32 + 1, process.id());
        self.nodes[place].process = Some(process);
        self.nodes[place].started = true;
        Ok(())
    }

    /// Ends a node as SIGKILL does.
    pub(super) fn kill(&mut self, place: usize) -> Result<()> {
        let process = self.nodes[place].process.as_mut();
        process.context("it runs")?.kill()
    }

    /// Sends a signal to a node.
    pub(super) fn signal(&self, place: usize, signal: Signal) -> Result<()> {
        let process = self.nodes[place].process.as_ref().context("it runs")?;
        let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        rustix::process::kill_process(id.context("a process has a number")?, signal)?;
        Ok(())
    }

    /// Ends a node gracefully.
    pub(super) async fn stop(&mut self, place: usize) -> Result<()> {
        self.signal(place, Signal::TERM)?;
        let begin = Instant::now();
        while !self.nodes[place]
            .process
            .as_mut()
            .context("it runs")?
            .ended()?
        {
            if begin.elapsed() > SOON {
                bail!("n{} of {} does not stop", place + 1, self.system.name());
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Has the leader hand over to another node.
    pub(super) async fn transfer(&self, from: usize, to: usize) -> Result<()> {
        let status = self.status(to).await.context("the other node answers")?;
        let id = status
            .header
            .context("every answer has a header")?
            .member_id;
        let leader = self.nodes[from].addresses.client;
        if self.system == System::Etcd {
            let mut command = Command::new("etcdctl");
            command
                .env("ETCDCTL_API", "3")
                .arg(format!("--endpoints={leader}"));
            command.args(["move-leader", &format!("{id:x}")]);
            tokio::task::block_in_place(|| shell::read(&mut command))?;
            return Ok(());
        }
        Asker::of(leader).transfer(id).await
    }

    /// The place of the leader, waited for.
    pub(super) async fn leader(&self) -> Result<usize> {
        let begin = Instant::now();
        loop {
            let mut found = None;
            for (place, status) in self.statuses().await.into_iter().enumerate() {
                if let Some(status) = status
                    && status
                        .header
                        .as_ref()
                        .is_some_and(|h| h.member_id == status.leader)
                    && found.is_none_or(|(_, term)| status.raft_term > term)
                {
                    found = Some((place, status.raft_term));
                }
            }
            if let Some((place, _)) = found {
                return Ok(place);
            }
            if begin.elapsed() > SOON {
                bail!("no node of {} leads\n{}", self.system.name(), self.tails());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the first so many nodes all follow one leader and take part.
    pub(super) async fn await_whole(&self, count: usize) -> Result<()> {
        let begin = Instant::now();
        loop {
            let statuses = self.statuses().await;
            let leaders: Option<Vec<u64>> = statuses
                .into_iter()
                .take(count)
                .map(|status| status.filter(|s| s.leader != 0 && !s.is_learner))
                .map(|status| status.map(|status| status.leader))
                .collect();
            if leaders.is_some_and(|all| all.windows(2).all(|pair| pair[0] == pair[1])) {
                return Ok(());
            }
            if begin.elapsed() > SOON {
                bail!("{} is not whole\n{}", self.system.name(), self.tails());
            }
            sleep(LOOK).await;
        }
    }

    async fn statuses(&self) -> Vec<Option<StatusResponse>> {
        let all = (0..self.nodes.len()).map(|place| self.status(place));
        futures::future::join_all(all).await
    }

    async fn status(&self, place: usize) -> Option<StatusResponse> {
        let mut client = MaintenanceClient::new(self.nodes[place].channel.clone());
        let answer = timeout(STATUS, client.status(StatusRequest {})).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    fn tails(&self) -> String {
        let tail = |place: usize| {
            let log = self.folder.path().join(format!("n{place}.log"));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(8)..].join("\n")
        };
        (1..=self.nodes.len())
            .map(tail)
            .collect::<Vec<_>>()
            .join("\n---\n")
    }

    fn data(&self, place: usize) -> PathBuf {
        self.folder.path().join(format!("n{}", place + 1))
    }

    fn etcd(&self, place: usize) -> Command {
        let of = &self.nodes[place].addresses;
        let name = |place: usize| format!("n{}", place + 1);
        let nodes = self.nodes.iter().enumerate();
        let all: Vec<_> = nodes
            .map(|(place, node)| format!("{}=http://{}", name(place), node.addresses.peer_told))
            .collect();
        let mut command = Command::new("etcd");
        command
            .args(["--name", &name(place), "--data-dir"])
            .arg(self.data(place))
            .arg(format!("--listen-client-urls=http://{}", of.client))
            .arg(format!("--advertise-client-urls=http://{}", of.client_told))
            .arg(format!("--listen-peer-urls=http://{}", of.peer))
            .arg(format!(
                "--initial-advertise-peer-urls=http://{}",
                of.peer_told
            ))
            .arg(format!("--initial-cluster={}", all.join(",")))
            .args([
                "--initial-cluster-state=new",
                "--logger=zap",
                "--log-level=error",
            ]);
        command
    }

    fn hstore(&self, place: usize, server: &Path) -> Command {
        let of = &self.nodes[place].addresses;
        let mut command = Command::new(server);
        if place == 0 || self.nodes[place].started {
            command.arg("start");
        } else {
            let first = self.nodes[0].addresses.client_told.to_string();
            command.args(["join", &first]);
        }
        command
            .args(["--name", &format!("n{}", place + 1), "--data"])
            .arg(self.data(place))
            .args(["--listen", &of.client.to_string()])
            .args(["--peer-listen", &of.peer.to_string()])
            .args(["--advertise", &of.client_told.ip().to_string()])
            .args(["--log-level", "error"])
            .env("HSTORE_RUNTIME_DIR", self.folder.path().join("runtime"))
            .env("XDG_STATE_HOME", self.folder.path());
        command
    }
}
