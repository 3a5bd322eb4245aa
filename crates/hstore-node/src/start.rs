//! From settings and ports to a running node, and from its end to a closed data folder.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use hstore_core::id::Revision;
use tokio::sync::{Notify, Semaphore, watch as channel};
use tokio::time::Instant;

use crate::ageing;
use crate::answers::Answers;
use crate::backup::Backups;
use crate::claim;
use crate::config::NodeConfig;
use crate::env::{Env, Lane};
use crate::error::{StartError, StopReason};
use crate::expiry;
use crate::fate::Fate;
use crate::follow::Guests;
use crate::identity::{Identity, IdentityError, Stage};
use crate::inner::Inner;
use crate::keeper::Keeper;
use crate::members::Members;
use crate::peer::{Caller, Directory, Myself};
use crate::propose::{Bounds, Proposer};
use crate::quota;
use crate::raft::{Consensus, Opening, Succession};
use crate::read;
use crate::status::Standing;
use crate::tasks::{Seeds, Tasks};
use crate::upkeep;
use crate::watch::{self, Hub};

/// The most reads on read lanes at a time; a read more waits, within its deadline.
const READS_ON_LANES_MAX: usize = 64;

/// Starts a node.
pub(crate) async fn start(config: NodeConfig, env: Env) -> Result<Arc<Inner>, StartError> {
    check(&config)?;
    let identity_lane = env.lanes.lane("identity");
    let identity = read_identity(&config, &env, &identity_lane).await?;
    let fate = Fate::new();
    let tasks = Tasks::new(fate.clone(), Seeds::new(env.seed), env.gate.clone());
    let myself = Myself {
        cluster: identity.cluster,
        node: identity.node,
        incarnation: identity.incarnation,
        member_since: identity.member_since,
    };
    let directory = Directory::new(myself, env.transport.clone(), fate.clone());
    let caller = Caller::new(directory.clone(), tasks.clone());
    let flusher = env.lanes.lane("flush");
    let opening = Opening {
        config: &config,
        env: &env,
        identity: &identity,
        caller: caller.clone(),
        flusher: flusher.clone(),
        fate: fate.clone(),
    };
    let consensus = tasks.seeded(opening.open()).await?;
    let bounds = Bounds {
        proposals_max: config.proposals_max,
        bytes_max: config.proposal_bytes_max,
    };
    let (queue, proposer) =
        Proposer::new(bounds, consensus.clone(), directory.clone(), tasks.clone());
    let (reads, rounds, releases) =
        read::rounds(config.reads_max, consensus.clone(), caller.clone());
    let watches = watch::Bounds::new(config.watches_max, config.watch_bytes_max);
    let hub = Arc::new(Hub::new(consensus.store().clone(), watches));
    let (standing_tx, standing) = channel::channel(Standing::default());
    let (closed_tx, closed) = channel::channel(false);
    let guests = Guests::new(config.follows_requests);
    let inner = Arc::new(Inner {
        members: Members::new(consensus.clone(), directory.clone()),
        succession: Succession::new(consensus.clone(), caller.clone()),
        started: Instant::now(),
        stopping: AtomicBool::new(false),
        sessions: Arc::default(),
        lane_reads: Arc::new(Semaphore::new(READS_ON_LANES_MAX)),
        answers: Answers::new(config.answer_bytes_max),
        backups: Backups::default(),
        claims: claim::places(),
        config,
        env,
        identity: identity.clone(),
        fate,
        tasks: tasks.clone(),
        directory,
        caller,
        consensus,
        queue,
        reads,
        hub,
        guests,
        standing,
        closed,
        identity_lane,
        hashes: Arc::new(Semaphore::new(1)),
        reclaimed: channel::Sender::new(Revision(0)),
        tidying: Notify::new(),
        note: Mutex::default(),
    });
    tasks.spawn_last(close(inner.clone(), flusher.clone(), closed_tx));
    if identity.stage == Stage::Founding {
        let founded = tasks.seeded(found(&inner)).await;
        if let Err(why) = founded {
            inner.fate.end(StopReason::Internal(why.clone()));
            return Err(StartError::Internal(why));
        }
    }
    let compactor = inner.env.lanes.lane("compact");
    tasks.spawn_vital("proposer", proposer.run());
    tasks.spawn_vital("read rounds", rounds.run());
    tasks.spawn_vital("read releases", releases.run());
    let (hub, archive) = (inner.hub.clone(), inner.archive());
    let interval = inner.config.watch_progress_interval;
    let tail = watch::follow(
        hub.clone(),
        archive.clone(),
        inner.consensus.applied(),
        interval,
    );
    tasks.spawn_vital("watch tail", tail);
    tasks.spawn_vital("watch catch-up", watch::catch_up(hub, archive));
    let keeper = Keeper::new(inner.clone(), identity, standing_tx);
    tasks.spawn_vital("keeper", keeper.run());
    tasks.spawn_vital("succession", inner.succession.clone().run());
    tasks.spawn_vital("expiry", expiry::expire(inner.clone()));
    tasks.spawn_vital("flusher", upkeep::flush(inner.clone(), flusher));
    tasks.spawn_vital("ageing", ageing::age(inner.clone(), compactor.clone()));
    tasks.spawn_vital("compaction", upkeep::compact(inner.clone(), compactor));
    tasks.spawn_vital("quota", quota::mind(inner.clone()));
    tasks.spawn_vital("log upkeep", upkeep::tend_log(inner.clone()));
    Ok(inner)
}

/// Settings that no node can work with.
fn check(config: &NodeConfig) -> Result<(), StartError> {
    let refuse = |what: &str| Err(StartError::Config(what.to_owned()));
    if config.name.is_empty() {
        return refuse("a node needs a name");
    }
    if config.heartbeat.is_zero() || config.election_min < 2 * config.heartbeat {
        return refuse("the election time must be at least twice the heartbeat");
    }
    if config.election_max <= config.election_min {
        return refuse("the longest election time must be above the shortest");
    }
    if config.proposals_max == 0 || config.reads_max == 0 {
        return refuse("a node needs room for at least one request");
    }
    if config.watch_progress_interval.is_zero() {
        return refuse("the interval of progress reports must be above 0");
    }
    Ok(())
}

async fn read_identity(
    config: &NodeConfig,
    env: &Env,
    lane: &Lane,
) -> Result<Identity, StartError> {
    let disk = env.disk.clone();
    let dir = config.data_dir.clone();
    let read = lane.run(move || Identity::read(&*disk, &dir)).await;
    match read {
        Ok(Ok(Some(identity))) if identity.stage == Stage::Drawn => Err(StartError::NoCluster),
        Ok(Ok(Some(identity))) => Ok(identity),
        Ok(Ok(None)) => Err(StartError::NoIdentity),
        Ok(Err(error)) => Err(match error {
            IdentityError::Corrupt => StartError::Corrupt(error.to_string()),
            IdentityError::TooNew { .. } => StartError::TooNew(error.to_string()),
            IdentityError::Disk(_) => StartError::Disk(error.to_string()),
        }),
        Err(closed) => Err(StartError::Internal(closed.to_string())),
    }
}

/// Founds the cluster of a new folder, unless an earlier start did.
async fn found(inner: &Inner) -> Result<(), String> {
    if inner.consensus.is_founded().await? {
        return Ok(());
    }
    inner.consensus.found(inner.member()).await
}

/// Waits for the end and closes what has to be closed, in this order: tasks, consensus, store,
/// log. A node that failed closes nothing: what it has in memory can no longer be believed.
async fn close(inner: Arc<Inner>, flusher: Lane, closed: channel::Sender<bool>) {
    let reason = inner.fate.ended().await;
    inner.hub.close();
    inner.tasks.stop();
    inner.tasks.ended().await;
    let consensus: &Consensus = &inner.consensus;
    let store = consensus.store().clone();
    let whole = matches!(reason, StopReason::Requested | StopReason::Removed);
    consensus.stop().await;
    if whole {
        match flusher.run(move || store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!("the store was not closed cleanly: {fault}"),
            Err(lane) => tracing::warn!("the store was not closed: {lane}"),
        }
        consensus.close_log().await;
    }
    // Nobody may wait for it.
    let _nobody = closed.send(true);
}
