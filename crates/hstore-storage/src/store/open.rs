//! Opening: is the engine of the last run to be trusted, and what to do if it is not
//! (DESIGN.md, D2).
//!
//! An engine is used again after a clean stop, and after the process alone died: then the operating
//! system still has every byte. After anything else (the machine lost its power, the folder is
//! missing, damaged, of another cluster, too new, or not within reach of the log) a fresh one is
//! made from the newest snapshot file, and the log does the rest. The old folder is removed when
//! the new one is in use.
//!
//! Invariants: (1) the marker says that the engine is in use before the engine is touched;
//! (2) `CURRENT` moves when the new engine is whole; (3) what cannot be rebuilt is an error, never
//! an emptier store.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use tracing::{info, warn};

use hstore_core::id::{LogId, LogIndex};
use hstore_core::planted::{self, Bug};

use super::bookkeeping::{State, TALLY_KEY, Tally};
use super::load::{EngineLoader, Loaded, Loader};
use super::marker::{Clean, Marker, MarkerError};
use super::{
    InUse, LogRange, Opened, RebuildReason, Shared, Store, StoreError, StoreFault, StoreSetup,
    Writer, end_of, save_marker, transfer,
};
use crate::blocks;
use crate::cache::Cache;
use crate::engine::{EngineNumber, EngineSource, WriteBatch};
use crate::recent::Recent;
use crate::snapshot;

/// An engine and everything that was read from it.
pub(super) struct Content {
    pub(super) in_use: InUse,
    pub(super) loader: Loader,
    pub(super) state: State,
}

impl Store {
    /// Opens the store: reuses the engine of the last run if it can be trusted, else rebuilds it
    /// from the newest whole snapshot. The log from `applied()` on is the caller's to replay.
    pub fn open(setup: StoreSetup) -> Result<(Store, Opened), StoreError> {
        let found = match reuse(&setup)? {
            Ok(content) => Ok(content),
            Err(reason) => Err((rebuild(&setup, reason)?, reason)),
        };
        let (content, opened) = match found {
            Ok(content) => (content, Opened::Reused),
            Err((content, reason)) => {
                let is_new = reason == RebuildReason::Missing
                    && setup.log == LogRange::default()
                    && content.state.applied.is_none();
                let opened = if is_new {
                    Opened::Empty
                } else {
                    Opened::Rebuilt { reason }
                };
                (content, opened)
            }
        };
        remove_others(setup.engines.as_ref(), content.in_use.number);
        info!(?opened, applied = ?content.state.applied, "opened the store");
        Ok((Store::new(setup, content), opened))
    }

    fn new(setup: StoreSetup, content: Content) -> Store {
        let machine = content.state.machine.clone();
        Store {
            cache: Cache::new(setup.options.cache_bytes),
            setup,
            recent_hits: AtomicU64::new(0),
            tidying: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            writer: Mutex::new(Writer::default()),
            machine: Mutex::new(machine),
            publishing: Mutex::new(()),
            shared: RwLock::new(Shared::new(content)),
        }
    }
}

impl Shared {
    /// What readers see of an engine that was just loaded.
    pub(super) fn new(content: Content) -> Shared {
        let Content {
            in_use,
            loader,
            state,
        } = content;
        Shared {
            index: loader.index,
            recent: Recent::after(end_of(state.machine.revision())),
            directory: loader.directory,
            engine: Some(in_use),
            applied: state.applied,
            membership: state.membership,
            revision: state.machine.revision(),
            compacted: state.machine.compacted(),
            state_hash: state.machine.state_hash(),
            lease_clock: state.machine.lease_clock(),
            next_lease_end: state.machine.next_lease_end(),
            auth: Arc::clone(state.machine.auth()),
            settings: Arc::clone(state.machine.settings()),
            notices: Arc::new(state.machine.notices()),
            noticed: state.machine.noticed(),
            // Loading leaves out what compaction allows to go.
            swept: state.machine.compacted(),
            reclaimed: state.machine.compacted(),
            flushed: state.applied,
            flushed_compacted: state.machine.compacted(),
            holds: 0,
        }
    }
}

/// The engine of the last run, or why it cannot be used.
fn reuse(setup: &StoreSetup) -> Result<Result<Content, RebuildReason>, StoreError> {
    let engines = setup.engines.as_ref();
    let number = match engines.current() {
        Ok(Some(number)) => number,
        Ok(None) => return Ok(Err(RebuildReason::Missing)),
        Err(fault) => {
            warn!(%fault, "cannot tell which engine is in use");
            return Ok(Err(RebuildReason::Damaged));
        }
    };
    let clean = match judge(setup, number)? {
        Ok(marker) => marker.clean,
        Err(reason) => return Ok(Err(reason)),
    };
    save_marker(setup, number, None)?;
    let loaded = match load(engines, number) {
        Ok(loaded) => loaded,
        Err(reason) => return Ok(Err(reason)),
    };
    let (in_use, loaded) = loaded;
    if let Err(reason) = compare(setup, clean, &loaded) {
        return Ok(Err(reason));
    }
    drop_leftover(&in_use, &loaded)?;
    Ok(Ok(Content {
        in_use,
        loader: loaded.loader,
        state: loaded.state,
    }))
}

/// What the marker beside an engine says.
fn judge(
    setup: &StoreSetup,
    number: EngineNumber,
) -> Result<Result<Marker, RebuildReason>, StoreFault> {
    let engines = setup.engines.as_ref();
    let Some(bytes) = engines.marker(number)? else {
        return Ok(Err(RebuildReason::Missing));
    };
    let marker = match Marker::decode(&bytes) {
        Ok(marker) => marker,
        Err(MarkerError::Damaged) => return Ok(Err(RebuildReason::Damaged)),
        Err(MarkerError::TooNew) => return Ok(Err(RebuildReason::TooNew)),
    };
    if marker.cluster_id != setup.cluster_id {
        return Ok(Err(RebuildReason::Foreign));
    }
    let rebooted = marker.boot_id != engines.boot_id();
    if marker.clean.is_none() && rebooted && !planted::is(Bug::EngineTrustedAfterPowerLoss) {
        return Ok(Err(RebuildReason::PowerLoss));
    }
    Ok(Ok(marker))
}

/// Opens an engine and reads all of it.
fn load(
    engines: &dyn EngineSource,
    number: EngineNumber,
) -> Result<(InUse, Loaded), RebuildReason> {
    let mut loader = EngineLoader::default();
    let opened = engines.open(number, &mut |key, value| {
        if loader.visit(key, value) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let engine = opened.map_err(|fault| {
        warn!(%number, %fault, "cannot open the engine of the last run");
        RebuildReason::Damaged
    })?;
    let loaded = loader.finish()?;
    Ok((InUse { number, engine }, loaded))
}

/// Compares an engine with what the last stop and the log say.
fn compare(setup: &StoreSetup, clean: Option<Clean>, loaded: &Loaded) -> Result<(), RebuildReason> {
    let applied = loaded.state.applied;
    if let Some(clean) = clean
        && (clean.applied != applied || clean.records != loaded.records)
    {
        return Err(RebuildReason::Damaged);
    }
    if is_within(applied, &setup.log) {
        Ok(())
    } else {
        Err(RebuildReason::AppliedOutOfRange)
    }
}

/// Whether the log can go on from an applied entry.
fn is_within(applied: Option<LogId>, log: &LogRange) -> bool {
    let agrees = |applied: LogId, known: LogId| applied.index != known.index || applied == known;
    match (applied, log.purged, log.last) {
        (None, None, _) => true,
        (None, Some(_), _) | (Some(_), None, None) => false,
        (Some(applied), purged, last) => {
            // A log that was purged to its end has no last entry of its own.
            let newest = if last.map(|id| id.index) > purged.map(|id| id.index) {
                last
            } else {
                purged
            };
            purged.is_none_or(|purged| applied.index >= purged.index && agrees(applied, purged))
                && newest
                    .is_some_and(|newest| applied.index <= newest.index && agrees(applied, newest))
        }
    }
}

/// Removes the blocks of a flush that did not end, before a new one writes beside them.
fn drop_leftover(in_use: &InUse, loaded: &Loaded) -> Result<(), StoreFault> {
    if loaded.leftover.is_empty() {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    for last in &loaded.leftover {
        batch.delete(blocks::engine_key(*last));
    }
    let tally = Tally {
        blocks: loaded.loader.directory.blocks(),
        records: loaded.loader.directory.records(),
    };
    batch.put(Bytes::from_static(TALLY_KEY), tally.encode());
    Ok(in_use.engine.write(batch)?)
}

/// A fresh engine with the content of the newest whole snapshot, in use.
fn rebuild(setup: &StoreSetup, reason: RebuildReason) -> Result<Content, StoreError> {
    let newest = snapshot::newest_valid(setup.disk.as_ref(), &setup.snapshots)?;
    for (path, error) in &newest.damaged {
        warn!(path = %path.display(), %error, "a snapshot file cannot be used");
    }
    let reach = newest
        .snapshot
        .as_ref()
        .map(|(_, header)| header.last.index);
    if let Some(purged) = setup.log.purged.map(|purged| purged.index)
        && reach < Some(purged)
    {
        return Err(StoreError::Gap {
            purged,
            snapshot: reach,
        });
    }
    info!(%reason, snapshot = ?reach.map(|LogIndex(index)| index), "rebuilding the store");
    let path = newest.snapshot.as_ref().map(|(path, _)| path.as_path());
    build(setup, path)
}

/// Makes a new engine with the content of a snapshot, or with none, and puts it in use.
pub(super) fn build(setup: &StoreSetup, snapshot: Option<&Path>) -> Result<Content, StoreError> {
    let engines = setup.engines.as_ref();
    let (number, engine) = engines.create()?;
    let filled = match snapshot {
        Some(path) => transfer::load_snapshot(setup, path, engine.as_ref()),
        None => Ok((Loader::default(), State::default())),
    };
    let synced = filled.and_then(|filled| {
        engine.sync()?;
        save_marker(setup, number, None)?;
        engines.switch(number)?;
        Ok(filled)
    });
    match synced {
        Ok((loader, state)) => Ok(Content {
            in_use: InUse { number, engine },
            loader,
            state,
        }),
        Err(error) => {
            drop(engine);
            if let Err(fault) = engines.remove(number) {
                warn!(%number, %fault, "cannot remove a half-made engine");
            }
            Err(error)
        }
    }
}

/// Removes every engine but the one in use. What stays behind costs room, nothing else.
pub(super) fn remove_others(engines: &dyn EngineSource, number: EngineNumber) {
    let removed = engines.list().and_then(|numbers| {
        let mut others = numbers.into_iter().filter(|other| *other != number);
        others.try_for_each(|other| engines.remove(other))
    });
    if let Err(fault) = removed {
        warn!(%fault, "cannot remove an engine that was set aside");
    }
}
