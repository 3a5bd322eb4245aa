//! From a data folder to a running replica: log, snapshot, store, then consensus over them.
//!
//! Invariants: (1) purged <= snapshot, and applied <= last, or the start is refused or the store
//! is made anew; (2) a snapshot file that contradicts the tail of the log wins, because only
//! committed entries are in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hstore_core::error::ErrorCode;
use hstore_core::id::LogIndex;
use hstore_storage::disk::Disk;
use hstore_storage::snapshot::{self, SnapshotHeader};
use hstore_storage::store::{LogRange, Opened, Store, StoreOptions, StoreSetup};
use hstore_storage::wal::{Recovered, Wal, WalError, WalOptions};
use openraft::SnapshotPolicy;

use super::log::Log;
use super::log_writer::{LogWriter, wal_code};
use super::machine::Machine;
use super::network::Network;
use super::receive_snapshot::Inbox;
use super::snapshot::{Shelf, snapshot_code};
use super::{Consensus, OpenRaft, Timing, codec};
use crate::config::NodeConfig;
use crate::env::{Env, Lane};
use crate::error::StartError;
use crate::fate::Fate;
use crate::follow::Timeline;
use crate::identity::{Identity, Stage};
use crate::peer::Caller;

/// The most entries that one append carries; its bytes are bounded by the log.
const APPEND_ENTRIES_MAX: u64 = 1024;

/// How long a peer may be silent while it receives a snapshot.
const SNAPSHOT_SILENCE_MS: u64 = 10_000;

/// Everything a replica is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) config: &'a NodeConfig,
    pub(crate) env: &'a Env,
    pub(crate) identity: &'a Identity,
    pub(crate) caller: Caller,
    pub(crate) flusher: Lane,
    pub(crate) fate: Fate,
}

/// What was found in the data folder.
pub(super) struct Found {
    pub(super) wal: Wal,
    pub(super) recovered: Recovered,
    pub(super) store: Arc<Store>,
    pub(super) newest: Option<(PathBuf, SnapshotHeader)>,
}

impl Opening<'_> {
    /// Opens the folder and starts consensus.
    pub(crate) async fn open(self) -> Result<Consensus, StartError> {
        let dir = &self.config.data_dir;
        let snapshots = dir.join("snapshots");
        let log_lane = self.env.lanes.lane("log");
        let snapshot_lane = self.env.lanes.lane("snapshot");
        let found = {
            let setup = Setup {
                disk: self.env.disk.clone(),
                wal: dir.join("wal"),
                snapshots: snapshots.clone(),
                wal_options: WalOptions {
                    segment_bytes: self.config.segment_bytes,
                    tail_bytes_max: self.config.log_tail_bytes_max,
                },
                store_options: StoreOptions {
                    cache_bytes: self.config.cache_bytes,
                    recent_bytes_max: self.config.recent_bytes_max,
                    block_bytes: self.config.block_bytes,
                },
                identity: self.identity.clone(),
                engines: self.env.engine.clone(),
            };
            let opened = log_lane.run(move || setup.find()).await;
            opened.map_err(|closed| StartError::Internal(closed.to_string()))??
        };
        let reader = found.wal.reader();
        let timeline = Timeline::new(self.config.follows_requests);
        let writer = LogWriter::new(found.wal, log_lane, self.fate.clone());
        let writer = writer.timed(timeline.clone());
        let log = Log::new(
            reader,
            writer,
            self.env.lanes.clone(),
            self.fate.clone(),
            &found.recovered,
        )
        .map_err(|error| codec_error(&error))?;
        let shelf = Shelf::new(
            found.newest,
            self.env.disk.clone(),
            snapshots,
            snapshot_lane,
            self.fate.clone(),
        );
        let machine = Machine::new(
            self.identity.node,
            found.store.clone(),
            shelf.clone(),
            self.flusher.clone(),
            self.fate.clone(),
            self.config.lease_clock_runs,
        )
        .timed(timeline.clone());
        let applied = machine.applied();
        let settings = machine.settings();
        let clock = machine.lease_clock();
        let timing = Timing {
            election_max: self.config.election_max,
        };
        // Longer than any election, so that a slow sync of a follower breaks no healthy stream.
        let silence = 2 * timing.election_max;
        let network = Network::new(self.caller.clone(), shelf.clone(), silence);
        let raft = OpenRaft::new(
            self.identity.node.0,
            Arc::new(self.raft_config()?),
            network,
            log.clone(),
            machine,
        )
        .await
        .map_err(|fatal| self.start_error(&fatal))?;
        Ok(Consensus {
            raft,
            node: self.identity.node,
            log,
            inbox: Inbox::new(self.identity.cluster, shelf.clone()),
            shelf,
            store: found.store,
            applied,
            settings,
            timeline,
            clock,
            heard: Arc::default(),
            timing,
            changing: Arc::default(),
        })
    }

    fn raft_config(&self) -> Result<openraft::Config, StartError> {
        let millis = |duration: std::time::Duration| duration.as_millis() as u64;
        openraft::Config {
            cluster_name: self.identity.cluster_name.clone(),
            heartbeat_interval: millis(self.config.heartbeat),
            election_timeout_min: millis(self.config.election_min),
            election_timeout_max: millis(self.config.election_max),
            install_snapshot_timeout: SNAPSHOT_SILENCE_MS,
            max_payload_entries: APPEND_ENTRIES_MAX,
            snapshot_policy: SnapshotPolicy::Never,
            // What stays in the log below a snapshot is decided in `Consensus::purge`.
            max_in_snapshot_log_to_keep: u64::MAX,
            enable_pre_vote: Some(true),
            enable_leader_restore: Some(false),
            allow_log_reversion: Some(false),
            backoff: "20ms 50ms 100ms 200ms".to_owned(),
            ..openraft::Config::default()
        }
        .validate()
        .map_err(|error| StartError::Config(error.to_string()))
    }

    /// The error of a failed start: the reason that ended the node, if there is one.
    fn start_error(&self, fatal: &impl ToString) -> StartError {
        match self.fate.reason() {
            Some(reason) => start_error(reason.code(), &reason),
            None => StartError::Corrupt(fatal.to_string()),
        }
    }
}

/// What `find` needs, apart from the replica, because it runs on a lane.
pub(super) struct Setup {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) wal: PathBuf,
    pub(super) snapshots: PathBuf,
    pub(super) wal_options: WalOptions,
    pub(super) store_options: StoreOptions,
    pub(super) identity: Identity,
    pub(super) engines: Arc<dyn hstore_storage::engine::EngineSource>,
}

impl Setup {
    pub(super) fn find(self) -> Result<Found, StartError> {
        self.disk
            .create_dir_all(&self.snapshots)
            .map_err(|error| StartError::Disk(error.to_string()))?;
        let newest = newest_snapshot(&*self.disk, &self.snapshots)?;
        let (mut wal, mut recovered) =
            Wal::open(self.disk.clone(), &self.wal, self.wal_options).map_err(|e| wal_error(&e))?;
        self.check(&recovered, newest.as_ref())?;
        if let Some((_path, header)) = &newest {
            cut_contradiction(&mut wal, &mut recovered, header)?;
        }
        let setup = StoreSetup {
            options: self.store_options,
            cluster_id: self.identity.cluster,
            engines: self.engines,
            disk: self.disk,
            snapshots: self.snapshots,
            log: LogRange {
                purged: recovered.purged,
                last: recovered.last,
            },
        };
        let (store, how) = Store::open(setup).map_err(|error| start_error(error.code(), &error))?;
        match how {
            Opened::Empty => tracing::debug!("the store is new"),
            Opened::Reused => tracing::debug!("the store of the last run is used"),
            Opened::Rebuilt { reason } => tracing::info!("the store was made anew: {reason}"),
        }
        Ok(Found {
            wal,
            recovered,
            store: Arc::new(store),
            newest,
        })
    }

    /// What no crash can bring about is damage.
    fn check(
        &self,
        recovered: &Recovered,
        newest: Option<&(PathBuf, SnapshotHeader)>,
    ) -> Result<(), StartError> {
        let covered = newest.map(|(_path, header)| header.last.index);
        if let Some(purged) = recovered.purged
            && covered.is_none_or(|covered| covered < purged.index)
        {
            return Err(StartError::Corrupt(format!(
                "the log begins after entry {}, and no whole snapshot reaches that far",
                purged.index
            )));
        }
        let empty = recovered.last.is_none() && recovered.vote.is_none() && newest.is_none();
        if empty && self.identity.stage == Stage::Member {
            return Err(StartError::Corrupt(
                "this node was a member of its cluster and its log is gone; \
                 remove it from the cluster and join again with an empty data folder"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

fn newest_snapshot(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Option<(PathBuf, SnapshotHeader)>, StartError> {
    let failed = |error: &snapshot::SnapshotError| start_error(snapshot_code(error), error);
    snapshot::remove_unfinished(disk, dir).map_err(|error| failed(&error))?;
    let newest = snapshot::newest_valid(disk, dir).map_err(|error| failed(&error))?;
    for (path, error) in &newest.damaged {
        tracing::error!(path = %path.display(), "a snapshot file is damaged: {error}");
    }
    Ok(newest.snapshot)
}

/// Cuts the tail of the log where the snapshot says otherwise: those entries were never
/// committed, and the node stopped after it had the snapshot and before it cut them.
fn cut_contradiction(
    wal: &mut Wal,
    recovered: &mut Recovered,
    header: &SnapshotHeader,
) -> Result<(), StartError> {
    let at = header.last.index;
    let (Some(last), purged) = (recovered.last, recovered.purged) else {
        return Ok(());
    };
    if last.index < at || purged.is_some_and(|purged| purged.index >= at) {
        return Ok(());
    }
    let reader = wal.reader();
    let first = purged.map_or(0, |purged| purged.index.0 + 1);
    let start = LogIndex(at.0.saturating_sub(1).max(first));
    let entries = reader
        .read(start..LogIndex(at.0 + 1), usize::MAX)
        .map_err(|error| wal_error(&error))?;
    if entries.iter().any(|entry| entry.id == header.last) {
        return Ok(());
    }
    let before = entries
        .iter()
        .map(|entry| entry.id)
        .find(|id| id.index < at)
        .or(purged);
    tracing::warn!(index = %at, "the log contradicts the newest snapshot; its tail is cut");
    wal.truncate_after(before)
        .map_err(|error| wal_error(&error))?;
    wal.sync().map_err(|error| wal_error(&error))?;
    recovered.last = before;
    Ok(())
}

fn wal_error(error: &WalError) -> StartError {
    start_error(wal_code(error), error)
}

fn codec_error(error: &codec::CodecError) -> StartError {
    match error {
        codec::CodecError::Malformed(_) => StartError::Corrupt(error.to_string()),
        codec::CodecError::TooNew { .. } => StartError::TooNew(error.to_string()),
    }
}

fn start_error(code: ErrorCode, what: &(impl ToString + ?Sized)) -> StartError {
    let what = what.to_string();
    match code {
        ErrorCode::DiskFull => StartError::DiskFull(what),
        ErrorCode::DiskFailed => StartError::Disk(what),
        ErrorCode::DataCorrupt | ErrorCode::ClusterMismatch => StartError::Corrupt(what),
        ErrorCode::FormatTooNew => StartError::TooNew(what),
        _ => StartError::Internal(what),
    }
}
