//! A fleet: real nodes on this machine, each with addresses, a disk and a door of its own.
//!
//! Both `chaos` and `failover` stand on it. It starts, signals and ends processes; what a node
//! answers it knows only as far as whether it is ready and who leads.
//!
//! Invariants: (1) processes, mounts and folders of a fleet are gone when it is dropped, in this
//! order; (2) nodes of a fleet find each other and no other node of this machine; (3) no port is
//! fixed.

mod ask;
mod disk;
mod node;
mod power;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hstore_proto::hstore::v1::{NodeStatusResponse, Role};
use tempfile::TempDir;
use tokio::sync::Mutex;

use hstore_links::{Addresses, Proxy, Way};

pub(crate) use ask::Asker;
pub(crate) use disk::{Disk, probe_images};
pub(crate) use node::{Node, Verb};
pub(crate) use power::{cut as cut_power, probe as probe_power};

/// How long a fleet may take until all its nodes vote.
const START: Duration = Duration::from_mins(1);
/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(20);

/// What a fleet is made of.
#[derive(Clone, Debug)]
pub(crate) struct Design {
    /// The server's binary.
    pub(crate) server: PathBuf,
    /// How many nodes.
    pub(crate) nodes: u32,
    /// Whether peers talk through the proxy.
    pub(crate) proxied: bool,
    /// Whether each node has a file system of its own, which can lose its power.
    pub(crate) images: bool,
    /// A library that is loaded into each node, with a variable for its file.
    pub(crate) preload: Option<PathBuf>,
    /// The name and the password that nodes join with.
    pub(crate) manager: Option<(String, String)>,
}

/// A node that several may want to strike: whoever holds it has it alone.
pub(crate) type Seat = Arc<Mutex<Node>>;

/// Running nodes.
pub(crate) struct Fleet {
    /// The nodes, by their numbers from 1.
    pub(crate) seats: Vec<Seat>,
    /// How to ask each of them, without holding it.
    pub(crate) askers: Vec<Asker>,
    /// Where others are told to reach each of them as clients.
    pub(crate) doors: Vec<SocketAddr>,
    /// The network between them.
    pub(crate) proxy: Proxy,
    folder: TempDir,
}

impl Fleet {
    /// Starts nodes one after the other, until all of them vote.
    pub(crate) async fn start(design: &Design) -> Result<Fleet> {
        let folder = tempfile::Builder::new().prefix("hstore-fleet-").tempdir()?;
        let mut fleet = Fleet {
            seats: Vec::new(),
            askers: Vec::new(),
            doors: Vec::new(),
            proxy: Proxy::new(),
            folder,
        };
        for number in 1..=design.nodes {
            let addresses = Addresses::take(number, design.proxied)?;
            for (told, listens, ruled) in [
                (addresses.client_told, addresses.client, false),
                (addresses.peer_told, addresses.peer, true),
            ] {
                if told != listens {
                    fleet.proxy.open(Way {
                        told,
                        listens,
                        node: number,
                        ruled,
                    })?;
                }
            }
            let asker = Asker::of(addresses.client);
            let mut node = Node::new(number, addresses, design, fleet.folder.path())?;
            node.introduce(Arc::clone(fleet.proxy.origins()));
            let verb = match fleet.doors.first() {
                None => Verb::Start,
                Some(first) => Verb::Join(*first),
            };
            node.start(&verb)?;
            fleet.seats.push(Arc::new(Mutex::new(node)));
            fleet.askers.push(asker);
            fleet.doors.push(addresses.client_told);
            let begin = Instant::now();
            while !fleet.is_whole().await {
                fleet.fail_if_ended().await?;
                if begin.elapsed() > START {
                    bail!("n{number} did not vote in time\n{}", fleet.tails().await);
                }
                tokio::time::sleep(LOOK).await;
            }
            fleet.seats[number as usize - 1].lock().await.joined = true;
        }
        Ok(fleet)
    }

    /// Whether every node says that it votes, and that all follow the same leader.
    pub(crate) async fn is_whole(&self) -> bool {
        let statuses = self.statuses().await;
        let leaders: Option<Vec<u64>> = statuses
            .into_iter()
            .map(|status| status.filter(|status| status.voter && status.leader != 0))
            .map(|status| status.map(|status| status.leader))
            .collect();
        leaders.is_some_and(|leaders| leaders.windows(2).all(|pair| pair[0] == pair[1]))
    }

    /// What each node says of itself, all asked at once.
    pub(crate) async fn statuses(&self) -> Vec<Option<NodeStatusResponse>> {
        futures::future::join_all(self.askers.iter().map(Asker::status)).await
    }

    /// The place of the node that says it leads in the newest term.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let mut found = None;
        for (place, status) in self.statuses().await.into_iter().enumerate() {
            if let Some(status) = status
                && status.role() == Role::Leader
                && found.is_none_or(|(_, term)| status.term > term)
            {
                found = Some((place, status.term));
            }
        }
        found.map(|(place, _)| place)
    }

    async fn fail_if_ended(&self) -> Result<()> {
        for seat in &self.seats {
            let mut node = seat.lock().await;
            if node.has_ended()? {
                bail!("{} ended\n{}", node.name(), node.tail());
            }
        }
        Ok(())
    }

    /// The last lines of every node's log.
    pub(crate) async fn tails(&self) -> String {
        let mut tails = Vec::new();
        for seat in &self.seats {
            let node = seat.lock().await;
            tails.push(format!("--- {}\n{}", node.name(), node.tail()));
        }
        tails.join("\n")
    }

    /// Keeps the logs of the nodes in another folder.
    pub(crate) async fn keep_logs(&self, folder: &Path) -> Result<()> {
        for seat in &self.seats {
            let node = seat.lock().await;
            let name = format!("{}.log", node.name());
            std::fs::copy(node.log(), folder.join(&name))
                .with_context(|| format!("{name} cannot be kept in {}", folder.display()))?;
        }
        Ok(())
    }
}
