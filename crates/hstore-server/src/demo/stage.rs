//! The stage: the demo's nodes, the network between them, and what can be done to both.
//!
//! Invariants: (1) when it is struck, no process and no folder of it is left; when the demo is killed
//! before, the warden sees to that; (2) its nodes find each other and no other node of this machine;
//! (3) a node is held by one action at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hstore_core::error::ErrorCode;
use hstore_links::{Addresses, NodeNumber, Proxy, Way, between};
use hstore_proto::hstore::v1::Role;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use super::ask::Asker;
use super::brake::DiskMode;
use super::network::{LinkMode, Network};
use super::patience;
use super::seat::{Costume, Life, Seat};
use super::tether::Leash;
use super::view::{NodeView, Says, View};
use super::warden;
use crate::fault::Fault;

/// How long the first node may take to lead, and each further one to vote.
const FIRST: Duration = Duration::from_mins(1);
const FURTHER: Duration = Duration::from_secs(20);
/// How many nodes join at a time: one at a time changes the membership, the others get ready.
const WAVE: usize = 3;
/// How often a wave starts nodes again that did not join.
const AGAIN_MAX: u32 = 5;
/// How often the nodes are asked, for each five of them.
const LOOK: Duration = Duration::from_millis(150);
/// How long a graceful stop may take: the node's own limit and a little more.
const STOP: Duration = Duration::from_secs(13);
/// How often a node that stops is looked at.
const WAIT: Duration = Duration::from_millis(20);
/// How long the warden may take to end.
const WARDEN: Duration = Duration::from_secs(25);

/// The stage.
pub(super) struct Stage {
    seats: Vec<Mutex<Seat>>,
    askers: Vec<Asker>,
    addresses: Vec<Addresses>,
    network: Network,
    view: watch::Sender<View>,
    round: AtomicU64,
    warden: Mutex<Warden>,
    // Last, so that its doors outlive the processes.
    _proxy: Proxy,
    folder: std::sync::Mutex<Option<TempDir>>,
}

struct Warden {
    leash: Option<Leash>,
    child: Child,
}

impl Stage {
    /// A stage with so many seats, and nobody in them.
    pub(super) fn build(nodes: u8) -> Result<Stage, Fault> {
        let cannot = |error: std::io::Error| Fault::of_file("the folder of the demo", &error);
        let folder = tempfile::Builder::new().prefix(warden::FOLDER).tempdir();
        let folder = folder.map_err(cannot)?;
        std::fs::write(folder.path().join(warden::MARK), "").map_err(cannot)?;
        let costume = Costume {
            folder: folder.path().to_owned(),
            flags: settings(nodes),
        };
        let mut proxy = Proxy::new();
        let (mut seats, mut askers, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=nodes {
            let node = NodeNumber::from(number);
            let no_place =
                |error: std::io::Error| Fault::new(ErrorCode::PortInUse, error.to_string());
            let addresses = Addresses::take(node, true).map_err(no_place)?;
            proxy.origins().speaks_from(node, addresses.own_host());
            for (told, listens, ruled) in [
                (addresses.client_told, addresses.client, false),
                (addresses.peer_told, addresses.peer, true),
            ] {
                let way = Way {
                    told,
                    listens,
                    node,
                    ruled,
                };
                proxy.open(way).map_err(no_place)?;
            }
            seats.push(Mutex::new(Seat::new(number, addresses, costume.clone())));
            askers.push(Asker::of(addresses.client, patience(nodes)));
            all.push(addresses);
        }
        Ok(Stage {
            seats,
            askers,
            addresses: all,
            network: Network::new(Arc::clone(proxy.links())),
            view: watch::Sender::new(View::default()),
            round: AtomicU64::new(1),
            warden: Mutex::new(Warden::start(&folder)?),
            _proxy: proxy,
            folder: std::sync::Mutex::new(Some(folder)),
        })
    }

    /// Starts the nodes, the first one and then the others in waves, until all of them vote.
    pub(super) async fn fill(&self, tell: impl Fn(&str)) -> Result<(), Fault> {
        self.start(1).await?;
        self.wait_for_voters(1, FIRST, &tell).await?;
        let rest: Vec<u8> = (2..=self.nodes()).collect();
        for wave in rest.chunks(WAVE) {
            for number in wave {
                self.start(*number).await?;
            }
            let last = wave.last().copied().unwrap_or(1);
            let at_most = FURTHER * wave.len() as u32 + FIRST;
            self.wait_for_voters(usize::from(last), at_most, &tell)
                .await?;
        }
        Ok(())
    }

    async fn wait_for_voters(
        &self,
        voters: usize,
        at_most: Duration,
        tell: impl Fn(&str),
    ) -> Result<(), Fault> {
        let began = Instant::now();
        let mut told = self.view.borrow().voters();
        let mut again = 0;
        loop {
            let view = self.look().await;
            let vote = view.voters();
            if vote > told && self.nodes() > 5 {
                told = vote;
                tell(&format!("{vote} of {} nodes vote", self.nodes()));
            }
            let all = voters == usize::from(self.nodes());
            if vote >= voters && view.is_led() && (!all || view.is_whole()) {
                return Ok(());
            }
            for (seat, number) in self.seats.iter().zip(1..) {
                let mut held = seat.lock().await;
                if !held.was_started() || held.life() != Life::Dead {
                    continue;
                }
                // On a busy machine a join may be refused; the next one resumes it.
                again += 1;
                if again > AGAIN_MAX {
                    return Err(late(&format!("{} ended", held.name()), &held.tail()));
                }
                drop(held);
                self.start(number).await?;
            }
            if began.elapsed() > at_most {
                let tail = self.seats[voters - 1].lock().await.tail();
                let what = format!("{voters} nodes do not vote within {at_most:?}");
                return Err(late(&what, &tail));
            }
            sleep(LOOK).await;
        }
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> u8 {
        self.seats.len() as u8
    }

    /// Where clients reach each of them.
    pub(super) fn hosts(&self) -> Vec<String> {
        let hosts = self.addresses.iter();
        hosts.map(|of| of.client_told.to_string()).collect()
    }

    /// Where a node itself listens for clients.
    pub(super) fn listens(&self, number: u8) -> Option<std::net::SocketAddr> {
        let place = usize::from(number).checked_sub(1)?;
        Some(self.addresses.get(place)?.client)
    }

    /// The network.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Opens every link.
    pub(super) fn mend(&self) {
        self.network.mend_all();
    }

    /// How to ask a node.
    pub(super) fn asker(&self, number: u8) -> Option<&Asker> {
        self.askers.get(usize::from(number).checked_sub(1)?)
    }

    /// What was seen of the nodes last, and whenever that changes.
    pub(super) fn view(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// The round that begins next: what it sees is not older than this moment.
    pub(super) fn next_round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    /// Looks at the nodes again and again, until it is dropped.
    pub(super) async fn watch(&self) {
        let rest = LOOK * patience(self.nodes());
        loop {
            self.look().await;
            sleep(rest).await;
        }
    }

    /// Looks at all nodes at once.
    async fn look(&self) -> View {
        let looked = self.seats.iter().zip(&self.askers).zip(1..);
        let looked = looked.map(|((seat, asker), number)| async move {
            let (life, disk, name) = {
                let mut seat = seat.lock().await;
                (seat.life(), seat.disk(), seat.name())
            };
            let says = match life {
                Life::Running => asker.status().await.map(says),
                Life::Dead | Life::Paused => None,
            };
            NodeView {
                number,
                name,
                client: self.addresses[usize::from(number) - 1]
                    .client_told
                    .to_string(),
                life,
                disk,
                says,
            }
        });
        let round = self.round.fetch_add(1, Ordering::Relaxed);
        let view = View {
            round,
            nodes: join_all(looked).await,
        };
        self.view.send_replace(view.clone());
        view
    }

    /// Starts a node that does not run.
    pub(super) async fn start(&self, number: u8) -> Result<(), Fault> {
        let mut seat = self.seat(number)?.lock().await;
        let join = (number > 1).then(|| self.addresses[0].client_told.to_string());
        let process = seat.start(join)?;
        let mut warden = self.warden.lock().await;
        if let Some(leash) = &mut warden.leash {
            let told = warden::tell(leash, process);
            told.map_err(|error| Fault::of_file("the warden of the demo", &error))?;
        }
        Ok(())
    }

    /// Kills a node.
    pub(super) async fn kill(&self, number: u8) -> Result<(), Fault> {
        self.seat(number)?.lock().await.kill().await;
        Ok(())
    }

    /// Makes a node stand still.
    pub(super) async fn pause(&self, number: u8) -> Result<(), Fault> {
        self.seat(number)?.lock().await.pause()
    }

    /// Lets it go on.
    pub(super) async fn resume(&self, number: u8) -> Result<(), Fault> {
        self.seat(number)?.lock().await.resume()
    }

    /// Starts a node that does not run; ends one that does gracefully, and starts it again.
    pub(super) async fn restart(&self, number: u8) -> Result<(), Fault> {
        let seat = self.seat(number)?;
        let is_dead = || async { seat.lock().await.life() == Life::Dead };
        if !is_dead().await {
            seat.lock().await.terminate()?;
            let began = Instant::now();
            while !is_dead().await && began.elapsed() < STOP {
                sleep(WAIT).await;
            }
            seat.lock().await.kill().await;
        }
        self.start(number).await
    }

    /// Makes a node's disk slow, stuck, or as it is.
    pub(super) async fn set_disk(&self, number: u8, disk: DiskMode) -> Result<(), Fault> {
        self.seat(number)?.lock().await.set_disk(disk)
    }

    /// Cuts these nodes off from all others, in both directions.
    pub(super) fn split(&self, these: &[u8]) {
        let those: Vec<NodeNumber> = (1..=self.nodes())
            .filter(|number| !these.contains(number))
            .map(NodeNumber::from)
            .collect();
        let these: Vec<NodeNumber> = these.iter().copied().map(NodeNumber::from).collect();
        self.network.set(&between(&these, &those), LinkMode::Cut);
    }

    /// Takes every fault away: links open, disks as they are, nodes running.
    pub(super) async fn heal(&self) -> Result<(), Fault> {
        self.mend();
        for number in 1..=self.nodes() {
            let life = {
                let mut seat = self.seat(number)?.lock().await;
                seat.set_disk(DiskMode::Free)?;
                seat.life()
            };
            match life {
                Life::Running => {}
                Life::Paused => self.resume(number).await?,
                Life::Dead => self.start(number).await?,
            }
        }
        Ok(())
    }

    /// Ends everything and removes the folder.
    pub(super) async fn strike(&self) -> Result<(), Fault> {
        for seat in &self.seats {
            seat.lock().await.kill().await;
        }
        let mut warden = self.warden.lock().await;
        // From its side the demo has ended: it sees to what is left, and ends.
        warden.leash = None;
        let ended = timeout(WARDEN, warden.child.wait()).await;
        if !matches!(ended, Ok(Ok(status)) if status.success()) {
            tracing::debug!(?ended, "the warden did not end well");
        }
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = { folder }.take().map(TempDir::close);
        match closed {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Fault::of_file("the folder of the demo stays", &error))
            }
            _ => Ok(()),
        }
    }

    fn seat(&self, number: u8) -> Result<&Mutex<Seat>, Fault> {
        let place = usize::from(number).checked_sub(1);
        let seat = place.and_then(|place| self.seats.get(place));
        seat.ok_or_else(|| {
            let what = format!("there is no node {number}: they are 1 to {}", self.nodes());
            Fault::new(ErrorCode::InvalidArgument, what)
        })
    }
}

impl Warden {
    fn start(folder: &TempDir) -> Result<Warden, Fault> {
        let cannot = |error: std::io::Error| {
            let what = format!("the warden of the demo does not start: {error}");
            Fault::new(ErrorCode::Internal, what)
        };
        let (leash, stdin) = Leash::pair().map_err(cannot)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("hstore-server")
            .arg("demo-warden")
            .arg(folder.path())
            .stdin(stdin)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .process_group(0);
        Ok(Warden {
            leash: Some(leash),
            child: command.spawn().map_err(cannot)?,
        })
    }
}

/// The cluster did not come to be.
fn late(what: &str, tail: &str) -> Fault {
    let what = format!("the cluster of the demo does not start: {what}");
    Fault::new(ErrorCode::Internal, what).hint(format!("its last lines:\n{tail}"))
}

/// What every node of a demo of this size is told. Many nodes share few processors, so the more
/// there are, the more patient they are with each other.
fn settings(nodes: u8) -> Vec<String> {
    let patience = patience(nodes);
    [
        ("--cluster", "demo".to_owned()),
        ("--cache-bytes", "4MiB".to_owned()),
        ("--heartbeat", format!("{}ms", 100 * patience)),
        ("--election", format!("{}ms", 500 * patience)),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

fn says(status: hstore_proto::hstore::v1::NodeStatusResponse) -> Says {
    let role = match status.role() {
        Role::Unspecified => "unknown",
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Stopped => "stopped",
    };
    let log = status.log.unwrap_or_default();
    Says {
        id: status.member.map_or(0, |member| member.node_id),
        role: role.to_owned(),
        voter: status.voter,
        term: status.term,
        leader: status.leader,
        applied: log.applied_index,
        committed: log.commit_index,
        problems: status.problems,
    }
}
