//! Reads: ranges as of a revision, and the history of a key.
//!
//! Invariants: (1) a read pins the revision at which it began and sees exactly that, whatever is
//! applied meanwhile; (2) when compaction overtakes a read, it is answered as compacted, or begins
//! again at the newest revision if that was asked for; it never answers with records missing;
//! (3) who asks may read by the rights of the same entry that the read sees; (4) what a read has
//! found it has room for, but for the last record.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use hstore_core::auth::{Auth, AuthRefusal, Author};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::machine::{self, RECORD_BYTES, View};
use hstore_core::outcome::Refusal;
use hstore_core::range::Range;
use hstore_core::record::{Meta, Record};

use super::walk::Hold;
use super::{ReadOutcome, Shared, Store, StoreFault};
use crate::engine::EngineNumber;

/// How often a read begins again because compaction overtook it, before it holds compaction off.
const RESTARTS_MAX: u32 = 3;

/// Where a read finds room for its answer.
pub trait Room {
    /// Makes room for so many bytes more; no when there is none.
    fn take(&self, bytes: usize) -> bool;

    /// Gives back what was taken: the read begins again.
    fn clear(&self);
}

/// For reads whose answers are bounded already.
#[derive(Clone, Copy, Debug)]
pub struct Unbounded;

impl Room for Unbounded {
    fn take(&self, _bytes: usize) -> bool {
        true
    }

    fn clear(&self) {}
}

/// What came of a read that stays in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was read.
    Read(ReadOutcome),
    /// Some of it is on the disk.
    NeedsDisk,
    /// There is no room for it.
    NoRoom,
}

/// Why a history is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Who asks may not read the key.
    Denied(AuthRefusal),
    /// There is no room for it.
    NoRoom,
}

/// Whether a read may touch the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Disk,
    Memory,
}

/// Why a value could not be had.
enum ReadFault {
    /// It is not in memory, and the read may not go further.
    NeedsDisk,
    /// Compaction took the record while the read was under way.
    Gone,
    /// There is no room for it.
    NoRoom,
    Store(StoreFault),
}

/// The store as one read sees it.
struct ReadView<'s> {
    store: &'s Store,
    reach: Reach,
    room: &'s dyn Room,
}

impl View for ReadView<'_> {
    type Fault = ReadFault;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        self.store.get_meta(key, at)
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        self.store.scan_metas(keys, at, visit);
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.store.attached_keys(lease)
    }

    fn value(&self, _key: &[u8], meta: &Meta) -> Result<Bytes, ReadFault> {
        let position = meta.position();
        let value = match self.reach {
            Reach::Memory => self
                .store
                .value_in_memory(position)
                .ok_or(ReadFault::NeedsDisk),
            Reach::Disk => match self.store.value(position) {
                Ok(value) => value.ok_or(ReadFault::Gone),
                Err(fault) => Err(ReadFault::Store(fault)),
            },
        }?;
        Ok(value)
    }

    fn hold(&self, bytes: usize) -> Result<(), ReadFault> {
        if self.room.take(bytes) {
            Ok(())
        } else {
            Err(ReadFault::NoRoom)
        }
    }

    fn append(&mut self, _record: Record) {
        unreachable!("a read holds its view by a shared reference, and appending needs another")
    }
}

impl Store {
    /// Reads a range; may read the disk.
    pub fn range(&self, range: &Range) -> Result<ReadOutcome, StoreFault> {
        let read = self.range_within(&Author::Node, range, &Unbounded)?;
        Ok(read.expect("there is room for everything"))
    }

    /// The same for somebody, who must be allowed to read all of it, as far as there is room for it:
    /// none when there is not.
    pub fn range_within(
        &self,
        author: &Author,
        range: &Range,
        room: &dyn Room,
    ) -> Result<Option<ReadOutcome>, StoreFault> {
        match self.read_range(author, range, Reach::Disk, room) {
            Ok(outcome) => Ok(Some(outcome)),
            Err(ReadFault::NoRoom) => Ok(None),
            Err(ReadFault::Store(fault)) => Err(fault),
            Err(ReadFault::Gone | ReadFault::NeedsDisk) => Err(lost(range.revision)),
        }
    }

    /// Reads a range if that needs no disk; `None` if it does.
    pub fn try_range(&self, range: &Range) -> Result<Option<ReadOutcome>, StoreFault> {
        match self.try_range_within(&Author::Node, range, &Unbounded)? {
            Attempt::Read(outcome) => Ok(Some(outcome)),
            Attempt::NeedsDisk | Attempt::NoRoom => Ok(None),
        }
    }

    /// The same for somebody, who must be allowed to read all of it, as far as there is room for it.
    pub fn try_range_within(
        &self,
        author: &Author,
        range: &Range,
        room: &dyn Room,
    ) -> Result<Attempt, StoreFault> {
        match self.read_range(author, range, Reach::Memory, room) {
            Ok(outcome) => Ok(Attempt::Read(outcome)),
            Err(ReadFault::NeedsDisk | ReadFault::Gone) => Ok(Attempt::NeedsDisk),
            Err(ReadFault::NoRoom) => Ok(Attempt::NoRoom),
            Err(ReadFault::Store(fault)) => Err(fault),
        }
    }

    fn read_range(
        &self,
        author: &Author,
        range: &Range,
        reach: Reach,
        room: &dyn Room,
    ) -> Result<ReadOutcome, ReadFault> {
        self.check().map_err(ReadFault::Store)?;
        let view = ReadView {
            store: self,
            reach,
            room,
        };
        let mut restarts = 0;
        loop {
            room.clear();
            // A read that was overtaken again and again makes compaction wait at last.
            let hold = (restarts == RESTARTS_MAX).then(|| Hold::new(self));
            let (began, auth) = self.bounds_and_auth();
            let revision = began.revision;
            if let Err(refusal) = auth.check_read(author, &range.keys) {
                let result = Err(refusal.into());
                return Ok(ReadOutcome { revision, result });
            }
            let read = machine::read(&view, revision, began.compacted, range);
            if let Ok(Err(refusal)) = read {
                let result = Err(refusal);
                return Ok(ReadOutcome { revision, result });
            }
            let newest = range.revision <= Revision(0);
            let at = if newest { revision } else { range.revision };
            let ended = self.bounds();
            if at >= ended.compacted || (hold.is_some() && ended.engine == began.engine) {
                let result = read?;
                return Ok(ReadOutcome { revision, result });
            }
            if !newest {
                let compacted = ended.compacted;
                let result = Err(Refusal::Compacted { compacted });
                return Ok(ReadOutcome { revision, result });
            }
            restarts = RESTARTS_MAX.min(restarts + 1);
        }
    }

    /// The records of a key, newest first, tombstones included: those before `before` (0: all),
    /// at most `limit` (0: all that are left of its history).
    pub fn history(
        &self,
        key: &[u8],
        limit: usize,
        before: Revision,
    ) -> Result<Vec<Record>, StoreFault> {
        match self.history_within(&Author::Node, key, limit, before, &Unbounded)? {
            Ok(records) => Ok(records),
            Err(_untold) => unreachable!("the node may read every key, and has room"),
        }
    }

    /// The same for somebody, who must be allowed to read the key, as far as there is room for it.
    pub fn history_within(
        &self,
        author: &Author,
        key: &[u8],
        limit: usize,
        before: Revision,
        room: &dyn Room,
    ) -> Result<Result<Vec<Record>, Untold>, StoreFault> {
        self.check()?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        let before = if before <= Revision(0) {
            Revision(i64::MAX)
        } else {
            before
        };
        let key = Bytes::copy_from_slice(key);
        let keys = KeyRange::One(key.clone());
        let mut restarts = 0;
        loop {
            room.clear();
            let hold = (restarts == RESTARTS_MAX).then(|| Hold::new(self));
            let (began, metas) = {
                let shared = self.read();
                if let Err(refusal) = shared.auth.check_read(author, &keys) {
                    return Ok(Err(Untold::Denied(refusal)));
                }
                let bounds = shared.bounds();
                let metas =
                    shared
                        .index
                        .history(&key, bounds.compacted, bounds.revision, before, limit);
                (bounds, metas)
            };
            match self.load(&key, metas, room) {
                Ok(records) => return Ok(Ok(records)),
                Err(ReadFault::NoRoom) => return Ok(Err(Untold::NoRoom)),
                Err(ReadFault::Store(fault)) => return Err(fault),
                Err(ReadFault::Gone | ReadFault::NeedsDisk) => {}
            }
            if hold.is_some() && self.bounds().engine == began.engine {
                return Err(lost(began.revision));
            }
            restarts = RESTARTS_MAX.min(restarts + 1);
        }
    }

    /// The records of a key with their values.
    fn load(
        &self,
        key: &Bytes,
        metas: Vec<Meta>,
        room: &dyn Room,
    ) -> Result<Vec<Record>, ReadFault> {
        let view = ReadView {
            store: self,
            reach: Reach::Disk,
            room,
        };
        let load = |meta: Meta| {
            let value = if meta.is_tombstone() {
                Bytes::new()
            } else {
                view.value(key, &meta)?
            };
            view.hold(RECORD_BYTES + key.len() + value.len())?;
            let key = key.clone();
            Ok(Record { key, value, meta })
        };
        metas.into_iter().map(load).collect()
    }

    /// Between which revisions reads can happen now, and who may read what there.
    pub(super) fn bounds_and_auth(&self) -> (Bounds, Arc<Auth>) {
        let shared = self.read();
        (shared.bounds(), Arc::clone(&shared.auth))
    }

    /// Between which revisions reads can happen now.
    pub(super) fn bounds(&self) -> Bounds {
        self.read().bounds()
    }
}

/// Between which revisions reads can happen, and in which engine.
pub(super) struct Bounds {
    pub(super) revision: Revision,
    pub(super) compacted: Revision,
    pub(super) engine: Option<EngineNumber>,
}

impl Shared {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            revision: self.revision,
            compacted: self.compacted,
            engine: self.engine.as_ref().map(|in_use| in_use.number),
        }
    }
}

pub(super) fn lost(revision: Revision) -> StoreFault {
    StoreFault::damaged(format!(
        "a record that is readable at {revision} is in no block"
    ))
}
