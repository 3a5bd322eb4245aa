//! From nothing to a running node with open doors, in an order in which every failure leaves the
//! folder as good as it was.

use std::path::Path;
use std::sync::Arc;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation};
use hstore_core::membership::Member;
use hstore_node::{Env, Identity, Node, NodeConfig, Stage, StartError};
use hstore_storage::disk::Disk;
use hstore_storage::engine::folders::FolderSource;
use hstore_storage::os::{FolderLock, LockError, OsDisk};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Order;
use super::background::{leave_terminal, redirect_stderr};
use super::enrol::{self, Doors};
use super::plan::{Plan, Wish, described};
use super::voice::Voice;
use crate::control::Control;
use crate::demo::{Brake, BrakedDisk};
use crate::discover::Found;
use crate::examine::Examiner;
use crate::fault::{Exit, Fault};
use crate::meter::MeteredDisk;
use crate::nursery;
use crate::place::{self, Intent};
use crate::ports::{self, Port, Ports};
use crate::runtime::{SystemClock, Threads, abort_on_panic, allow_all_handles, mount_id};
use crate::settings::{Record, Settings};
use crate::{doors, grpc, logging, otlp, peer, screen};

/// How often a name that was picked by itself is picked again because another node took it in the
/// same moment.
const PICKS_MAX: usize = 20;

/// A node that runs, with everything around it.
pub(super) struct Started {
    /// What it is told.
    pub(super) settings: Settings,
    /// What it leaves in its folder.
    pub(super) record: Record,
    /// The data folder, absolute.
    pub(super) data: std::path::PathBuf,
    /// Who it is.
    pub(super) identity: Identity,
    /// What the cluster is to know of it.
    pub(super) member: Member,
    /// Whether its name was picked by itself.
    pub(super) picked: bool,
    /// Whether its folder is new.
    pub(super) new: bool,
    /// The replica.
    pub(super) node: Node,
    /// The nodes through which it becomes a member, if it is none yet.
    pub(super) join: Option<Doors>,
    /// Closes the door for clients.
    pub(super) clients: CancellationToken,
    /// Closes the door for peers.
    pub(super) peers: CancellationToken,
    /// What serves at the doors.
    pub(super) servers: JoinSet<()>,
    /// The threads that write.
    pub(super) threads: Arc<Threads>,
    /// The folder is ours.
    pub(super) lock: FolderLock,
    /// When this began.
    pub(super) began: Instant,
}

/// Starts a node.
pub(super) async fn start(
    order: &Order,
    registry: &Registry,
    control: Control,
) -> Result<Started, Fault> {
    let began = Instant::now();
    if order.background {
        leave_terminal()?;
    }
    let disk = OsDisk::new();
    let (plan, lock) = take_place(order, registry, disk).await?;
    let Plan {
        settings,
        layer,
        place,
        name,
        join: found,
        asked,
    } = plan;
    let data = place.data;
    nursery::check_finished(&data)?;
    start_logging(order, &settings, &data)?;

    let identity = Identity::read(&disk, &data)
        .map_err(|error| Fault::new(error.code(), format!("{}: {error}", data.display())))?;
    check(
        &settings,
        &data,
        identity.as_ref(),
        found.as_ref().or(asked.as_ref()),
    )?;
    let former = place.record.as_ref().and_then(|record| {
        Some((
            record.client_address.parse().ok()?,
            record.peer_address.parse().ok()?,
        ))
    });
    let Ports { client, peer } = ports::bind(&settings, former, &others(registry, &data))?;

    let mut join = found.as_ref().map(Doors::of);
    let mut record = place.record.unwrap_or_default();
    record.name.clone_from(&name);
    record.client_address = client.bound.to_string();
    record.peer_address = peer.bound.to_string();
    record.joining = join.as_ref().map(|doors| doors.hosts().to_vec());
    record.detached = order.background;
    record.note(&layer);
    record
        .write(&data)
        .map_err(|error| Fault::of_file(format!("{}/settings.toml", data.display()), &error))?;

    let new = identity.is_none();
    let identity = match (identity, &found, &mut join) {
        (None, None, _) => found_cluster(&settings, disk, &data)?,
        (identity, Some(found), Some(doors)) => {
            order
                .voice
                .progress(&format!("joining cluster {} as {name}", described(found)));
            enrol_identity(identity, &name, &peer.advertised, found, doors, disk, &data).await?
        }
        (Some(identity), _, _) => identity,
        (None, Some(_), None) => unreachable!("a cluster that was found has doors"),
    };

    let member = Member {
        name: name.clone(),
        started_as: None,
        peer_address: peer.advertised.clone(),
        client_address: client.advertised.clone(),
        incarnation: identity.incarnation,
    };
    let threads = Threads::start().map_err(|error| no_threads(&error))?;
    let node = start_node(order, &settings, &data, &member, disk, &threads).await?;
    let effective = node.effective();
    logging::set_level(effective.log_level.as_deref());
    // What the cluster calls it goes before what it was started as.
    let member = member.called(Some(&effective.name));
    let (clients, peers) = (CancellationToken::new(), CancellationToken::new());
    let mut servers = JoinSet::new();
    if let Some(collector) = settings.otlp_endpoint.as_deref().and_then(otlp::endpoint) {
        let (tracer, spans) = otlp::Tracer::new(settings.trace_ratio);
        let cluster = &identity.cluster_name;
        let exporter = otlp::Exporter::new(&collector, &member.name, cluster, identity.node.0);
        // It ends with the process: there is nothing to wait for in it.
        tokio::spawn(exporter.run(spans));
        tracer.install();
        if let Some(guests) = node.guests() {
            tokio::spawn(otlp::tell_guests(guests));
        }
    }
    open_peer_door(&mut servers, peer, &node, &peers)?;
    let doors = grpc::Doors {
        node: node.clone(),
        limits: settings.limits,
        lifecycle: Arc::new(control),
        data_folder: data.display().to_string(),
        settings: grpc::StartSettings::of(&layer),
        allowed_hosts: settings.allowed_hosts.clone(),
        examiner: Examiner::new(
            seen_disk(disk, order.brake.clone()),
            Arc::clone(&threads) as Arc<dyn hstore_node::Lanes>,
            data.clone(),
            settings.connections_max,
        ),
    };
    open_client_door(
        &mut servers,
        client,
        doors,
        settings.connections_max,
        &clients,
    )?;
    Ok(Started {
        settings,
        record,
        data,
        identity,
        member,
        picked: order.sources.flags.get("name").is_none(),
        new,
        node,
        join,
        clients,
        peers,
        servers,
        threads,
        lock,
        began,
    })
}

/// The other nodes of this machine, running or not.
fn others(registry: &Registry, data: &Path) -> Vec<RunningNode> {
    let mut others = registry.known();
    others.retain(|node| !place::same(&node.data, data));
    others
}

/// Plans and takes the folder. When a name that was picked by itself turns out to be taken by a
/// process that started in the same moment, the next name is picked.
async fn take_place(
    order: &Order,
    registry: &Registry,
    disk: OsDisk,
) -> Result<(Plan, FolderLock), Fault> {
    let here =
        std::env::current_dir().map_err(|error| Fault::of_file("the current folder", &error))?;
    let mut avoid = Vec::new();
    loop {
        let wish = Wish {
            intent: &order.intent,
            sources: &order.sources,
            recorded: order.recorded,
            here: &here,
            registry,
            avoid: &avoid,
            may_ask: !order.background && order.voice == Voice::Screen,
        };
        let plan = wish.plan().await?;
        ports::check(&plan.settings)?;
        let named = plan.settings.name.is_some() || plan.settings.data.is_some();
        match disk.lock(&plan.place.data) {
            // Somebody may have used the folder between the plan and the lock.
            Ok(lock) if Record::read(&plan.place.data).ok().flatten() == plan.place.record => {
                if order.voice == Voice::Screen && matches!(order.intent, Intent::Join { .. }) {
                    tell_of_idle(&here, registry, &plan.name);
                }
                return Ok((plan, lock));
            }
            Ok(_changed) if avoid.len() < PICKS_MAX => {}
            Err(LockError::DataInUse { .. })
                // A stopped node that `start` found and that turns out to run is not stepped
                // over: the next thing to do would be to found a cluster.
                if !named
                    && (plan.place.record.is_none() || order.intent != Intent::Start)
                    && avoid.len() < PICKS_MAX =>
            {
                avoid.push(plan.name);
            }
            Ok(_changed) => {
                return Err(Fault::new(
                    ErrorCode::DataInUse,
                    format!(
                        "the data folder {} changes all the time",
                        plan.place.data.display()
                    ),
                ));
            }
            Err(error) => return Err(cannot_lock(&error, registry)),
        }
    }
}

fn tell_of_idle(here: &Path, registry: &Registry, name: &str) {
    let mut idle = place::idle_members(here, registry);
    idle.retain(|other| other != name);
    if !idle.is_empty() {
        screen::talk(format_args!(
            "note: {} is stopped; hstore-server restart {} brings it back",
            idle.join(", "),
            idle.join(" ")
        ));
    }
}

pub(crate) fn cannot_lock(error: &LockError, registry: &Registry) -> Fault {
    match error {
        LockError::DataInUse { dir, pid } => {
            let known = registry.running();
            let holder = known.iter().find(|node| place::same(&node.data, dir));
            let (who, name) = match (holder, pid) {
                (Some(node), _) => (
                    format!("node {} (process {})", node.name, node.pid),
                    node.name.as_str(),
                ),
                (None, Some(pid)) => (format!("process {pid}"), "NAME"),
                (None, None) => ("another process".to_owned(), "NAME"),
            };
            Fault::new(
                ErrorCode::DataInUse,
                format!("the data folder {} is in use by {who}", dir.display()),
            )
            .hint(format!(
                "hstore-server stop {name}   stops it; or name another --data"
            ))
        }
        LockError::Io { path, source } => {
            let what = format!("the data folder cannot be used: {}", path.display());
            Fault::of_file(what, source).hint("check the path, its owner and its permissions")
        }
    }
}

fn start_logging(order: &Order, settings: &Settings, data: &Path) -> Result<(), Fault> {
    let file = if order.background || order.shell {
        let path = data.join(logging::FILE);
        let file = logging::open(data)
            .map_err(|error| Fault::of_file(path.display().to_string(), &error))?;
        if order.background {
            redirect_stderr(&file)
                .map_err(|error| Fault::of_file(path.display().to_string(), &error))?;
        }
        Some(file)
    } else {
        None
    };
    logging::start(settings, file);
    abort_on_panic();
    allow_all_handles();
    Ok(())
}

/// Whether the folder is one that may do what is asked.
fn check(
    settings: &Settings,
    data: &Path,
    identity: Option<&Identity>,
    found: Option<&Found>,
) -> Result<(), Fault> {
    let Some(identity) = identity.filter(|identity| identity.stage != Stage::Drawn) else {
        return Ok(());
    };
    let belongs = format!(
        "the data folder {} belongs to cluster {} ({})",
        data.display(),
        identity.cluster_name,
        identity.cluster
    );
    let mismatch = |other: &str| {
        Fault::new(ErrorCode::ClusterMismatch, format!("{belongs}, {other}"))
            .hint("name another --data, or start the node as what it is")
    };
    if let Some(wanted) = &settings.cluster
        && *wanted != identity.cluster_name
        && *wanted != identity.cluster.to_string()
    {
        return Err(mismatch(&format!("not to {wanted}")));
    }
    if let Some(found) = found
        && found.description.cluster_id != identity.cluster.0
    {
        return Err(mismatch(&format!("not to {}", described(found))));
    }
    Ok(())
}

fn found_cluster(settings: &Settings, disk: OsDisk, data: &Path) -> Result<Identity, Fault> {
    let cluster = ClusterId(random());
    let name = settings.cluster.clone().unwrap_or_else(cluster_name);
    let identity = Identity::found(cluster, name, Incarnation(random()));
    write_identity(&identity, disk, data)?;
    Ok(identity)
}

async fn enrol_identity(
    identity: Option<Identity>,
    name: &str,
    peer_address: &str,
    found: &Found,
    doors: &mut Doors,
    disk: OsDisk,
    data: &Path,
) -> Result<Identity, Fault> {
    let identity = if let Some(identity) = identity {
        identity
    } else {
        let identity = Identity::draw(Incarnation(random()));
        write_identity(&identity, disk, data)?;
        identity
    };
    if identity.stage != Stage::Drawn {
        return Ok(identity);
    }
    let identity = enrol::allocate(identity, name, peer_address, found, doors).await?;
    write_identity(&identity, disk, data)?;
    Ok(identity)
}

fn write_identity(identity: &Identity, disk: OsDisk, data: &Path) -> Result<(), Fault> {
    identity
        .write(&disk, data)
        .map_err(|error| Fault::new(error.code(), format!("{}: {error}", data.display())))
}

/// The disk as whatever is on it sees it: behind the brake, where there is one.
fn seen_disk(disk: OsDisk, brake: Option<Arc<Brake>>) -> Arc<dyn Disk> {
    match brake {
        None => Arc::new(disk),
        Some(brake) => Arc::new(BrakedDisk::new(disk, brake)),
    }
}

async fn start_node(
    order: &Order,
    settings: &Settings,
    data: &Path,
    member: &Member,
    disk: OsDisk,
    threads: &Arc<Threads>,
) -> Result<Node, Fault> {
    let mut config = NodeConfig::new(
        data.to_owned(),
        member.name.clone(),
        member.peer_address.clone(),
        member.client_address.clone(),
    );
    config.heartbeat = settings.heartbeat;
    config.election_min = settings.election;
    // A dead leader costs the longest time (its lease) and then one drawn from between the two. A
    // quarter is spread enough for a few voters, since a lost pre-vote costs no term.
    config.election_max = settings.election * 5 / 4;
    config.cache_bytes = settings.cache_bytes;
    config.snapshot_log_bytes_min = settings.snapshot_log_bytes;
    config.quota_bytes = settings.quota_bytes;
    config.keep_history = settings.keep_history;
    config.follows_requests = settings.otlp_endpoint.is_some();
    let root = data.join("store");
    disk.create_dir_all(&root)
        .map_err(|error| Fault::of_file(root.display().to_string(), &error))?;
    let folder = root.clone();
    let engine = FolderSource::open(&root, move || mount_id(&folder))
        .map_err(|error| Fault::new(error.code(), format!("{}: {error}", root.display())))?;
    let env = Env {
        transport: Arc::new(peer::PeerTransport::speaking_from(order.speaks_from)),
        disk: match order.brake.clone() {
            None => Arc::new(MeteredDisk(disk)),
            Some(brake) => Arc::new(MeteredDisk(BrakedDisk::new(disk, brake))),
        },
        lanes: Arc::clone(threads) as Arc<dyn hstore_node::Lanes>,
        clock: Arc::new(SystemClock),
        engine: Arc::new(engine),
        seed: random(),
        gate: None,
    };
    Node::start(config, env)
        .await
        .map_err(|error| cannot_start(&error, data))
}

fn cannot_start(error: &StartError, data: &Path) -> Fault {
    let fault = Fault::new(error.code(), format!("{}: {error}", data.display()));
    match error {
        StartError::NoCluster | StartError::NoIdentity | StartError::Corrupt(_) => fault.hint(
            "nothing was changed; with other nodes running, remove this one and join with an empty folder",
        ),
        StartError::TooNew(_) => fault.hint("run the version of hstore that wrote it, or a newer one"),
        StartError::DiskFull(_) => fault.hint("make room on the disk, then start the node again"),
        StartError::Disk(_) => fault.hint("check the disk, then start the node again"),
        StartError::Config(_) | StartError::Internal(_) => fault,
    }
}

fn open_peer_door(
    servers: &mut JoinSet<()>,
    port: Port,
    node: &Node,
    closed: &CancellationToken,
) -> Result<(), Fault> {
    let listener = TcpListener::from_std(port.listener).map_err(|error| no_threads(&error))?;
    servers.spawn(doors::serve_peers(listener, node.clone(), closed.clone()));
    Ok(())
}

fn open_client_door(
    servers: &mut JoinSet<()>,
    port: Port,
    node: grpc::Doors,
    connections_max: usize,
    closed: &CancellationToken,
) -> Result<(), Fault> {
    let listener = TcpListener::from_std(port.listener).map_err(|error| no_threads(&error))?;
    let closed = closed.clone();
    servers.spawn(doors::serve_clients(
        listener,
        node,
        connections_max,
        closed,
    ));
    Ok(())
}

fn no_threads(error: &std::io::Error) -> Fault {
    Fault::new(
        ErrorCode::Internal,
        format!("the system does not give what a node needs: {error}"),
    )
    .exit(Exit::Failure)
}

/// A random number that is never 0, which stands for "none".
pub(crate) fn random() -> u64 {
    rand::random_range(1..=u64::MAX)
}

/// A short name that is easy to say: `k7f2`. Without letters and digits that look alike.
pub(crate) fn cluster_name() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
    const DIGITS: &[u8] = b"23456789";
    [LETTERS, DIGITS, LETTERS, DIGITS]
        .iter()
        .map(|set| char::from(set[rand::random_range(0..set.len())]))
        .collect()
}

impl Started {
    /// The node as the wire describes a member.
    pub(super) fn as_member(&self) -> hstore_proto::hstore::v1::Member {
        hstore_proto::hstore::v1::Member {
            node_id: self.identity.node.0,
            name: self.member.name.clone(),
            peer_address: self.member.peer_address.clone(),
            client_address: self.member.client_address.clone(),
            incarnation: self.identity.incarnation.0,
            started_as: self.member.started_as.clone().unwrap_or_default(),
        }
    }
}
