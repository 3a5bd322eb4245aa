//! The store as consensus sees it: entries in, outcomes out.
//!
//! Invariants: (1) the order of an applied chunk is store, applied index, answers, so that
//! whoever has an answer finds it in any read that begins afterwards; (2) when too many records
//! wait to be written down, apply waits for the flusher instead of growing; (3) a fault of the
//! store ends the node, it never becomes an answer.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use hstore_core::id::{LogId, LogIndex, NodeId};
use hstore_core::membership::Membership;
use hstore_core::settings::Settings;
use hstore_storage::store::{ApplyItem, Store, StoreFault};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};
use tokio::sync::watch;

use super::codec::{self, Body};
use super::lease_clock::LeaseClock;
use super::snapshot::{Builder, Meta, Shelf, Snapshot, SnapshotData};
use super::types::{
    RaftLogId, StoredMembership, TypeConfig, log_id_of, membership_parts, raft_log_id,
    stored_membership,
};
use crate::env::Lane;
use crate::fate::{Fate, io_error, reason_of};
use crate::follow::Timeline;

/// The most entries that are applied before their answers go out and other tasks get a turn.
const CHUNK_ENTRIES_MAX: usize = 64;

/// How far the store has come, for those who wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The last entry that the store has seen.
    pub(crate) last: Option<LogId>,
    /// The membership as of it.
    pub(crate) membership: Arc<Membership>,
}

impl Applied {
    /// The index of the last entry, 0 when there is none.
    pub(crate) fn index(&self) -> LogIndex {
        self.last.map_or(LogIndex(0), |id| id.index)
    }
}

/// The state machine.
pub(crate) struct Machine {
    store: Arc<Store>,
    shelf: Shelf,
    flusher: Lane,
    applied: watch::Sender<Applied>,
    settings: watch::Sender<Arc<Settings>>,
    clock: LeaseClock,
    node: NodeId,
    fate: Fate,
    timeline: Timeline,
}

impl Machine {
    pub(crate) fn new(
        node: NodeId,
        store: Arc<Store>,
        shelf: Shelf,
        flusher: Lane,
        fate: Fate,
        lease_clock_runs: bool,
    ) -> Machine {
        let (last, membership) = store.applied();
        let (time, next_end) = store.lease_clock();
        Machine {
            clock: LeaseClock::new(time, next_end, lease_clock_runs),
            node,
            shelf,
            flusher,
            applied: watch::Sender::new(Applied {
                last,
                membership: Arc::new(membership),
            }),
            settings: watch::Sender::new(store.settings()),
            store,
            fate,
            timeline: Timeline::default(),
        }
    }

    /// The same, writing down when entries were where.
    pub(crate) fn timed(self, timeline: Timeline) -> Machine {
        Machine { timeline, ..self }
    }

    /// Follows the settings.
    pub(crate) fn settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.settings.subscribe()
    }

    /// Follows the applied index.
    pub(crate) fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// The clock of the leases, which follows what is applied.
    pub(crate) fn lease_clock(&self) -> LeaseClock {
        self.clock.clone()
    }

    fn apply_one(
        &self,
        entry: super::types::Entry,
    ) -> io::Result<Vec<hstore_core::outcome::Outcome>> {
        let id = log_id_of(&entry.log_id);
        let item = match entry.payload {
            EntryPayload::Blank => ApplyItem::Blank,
            EntryPayload::Normal(payload) => match codec::decode_body(&payload.bytes) {
                Ok(Body::Batch(batch)) => ApplyItem::Batch(batch),
                Ok(Body::Blank | Body::Membership(_)) | Err(_) => {
                    let what = format!("log entry {} is not a batch", id.index);
                    let code = hstore_core::error::ErrorCode::DataCorrupt;
                    self.fate.end(reason_of(code, &what));
                    return Err(io_error(code, &what));
                }
            },
            EntryPayload::Membership(membership) => {
                ApplyItem::Membership(membership_parts(Some(id), &membership))
            }
        };
        self.store
            .apply(id, item)
            .map_err(|fault| self.failed(&fault))
    }

    fn failed(&self, fault: &StoreFault) -> io::Error {
        self.fate.end(reason_of(fault.code(), &fault));
        io_error(fault.code(), &fault)
    }

    /// Waits until there is room for more records.
    async fn make_room(&self) -> io::Result<()> {
        while self.store.recent_is_full() {
            let store = self.store.clone();
            let flushed = self.flusher.run(move || store.flush()).await;
            match flushed {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return Err(self.failed(&fault)),
                Err(closed) => return Err(io::Error::other(closed.to_string())),
            }
        }
        Ok(())
    }

    /// Tells of what was applied; `own` says that no other node stamped any of it.
    fn publish(&self, own: bool) {
        let (last, membership) = self.store.applied();
        let (time, next_end) = self.store.lease_clock();
        self.clock.applied(time, own, next_end);
        // The settings go first: a read that waits for the applied index looks at them as soon as
        // it has it, and would find those before a change that was acknowledged.
        let settings = self.store.settings();
        self.settings.send_if_modified(|known| {
            let changed = !Arc::ptr_eq(known, &settings);
            if changed {
                *known = settings;
            }
            changed
        });
        self.applied.send_modify(|applied| {
            applied.last = last;
            if *applied.membership != membership {
                applied.membership = Arc::new(membership);
            }
        });
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, StoredMembership), io::Error> {
        let (last, membership) = self.store.applied();
        let membership = stored_membership(&membership).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the store's membership has a voter that is no member",
            )
        })?;
        Ok((last.map(raft_log_id), membership))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(CHUNK_ENTRIES_MAX);
        while let Some(chunk) = chunks.next().await {
            self.make_room().await?;
            let mut answers = Vec::with_capacity(chunk.len());
            let mut last = None;
            let mut own = true;
            for item in chunk {
                let (entry, responder) = item?;
                let LogId { index, leader, .. } = log_id_of(&entry.log_id);
                own &= leader == self.node || !matches!(entry.payload, EntryPayload::Normal(_));
                self.timeline.committed(index);
                last = Some(index);
                let outcomes = self.apply_one(entry)?;
                if let Some(responder) = responder {
                    answers.push((responder, outcomes));
                }
            }
            self.publish(own);
            if let Some(last) = last {
                self.timeline.applied(last);
            }
            for (responder, outcomes) in answers {
                responder.send(outcomes);
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        // Nothing applied is nothing to snapshot; openraft forces one only after a purge, and a
        // purge needs a snapshot.
        if !force && self.store.applied().0.is_none() {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            store: self.store.clone(),
            shelf: self.shelf.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &Meta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.shelf.install(self.store.clone(), snapshot).await?;
        let (last, _membership) = self.store.applied();
        if last.map(raft_log_id) != meta.last_log_id {
            let what = format!(
                "a snapshot said to end at {:?} ended at {last:?}",
                meta.last_log_id
            );
            let code = hstore_core::error::ErrorCode::DataCorrupt;
            self.fate.end(reason_of(code, &what));
            return Err(io_error(code, &what));
        }
        self.publish(false);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.shelf.current()
    }
}
