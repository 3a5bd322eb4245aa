//! History as a stream: the records from a revision on, in the order in which they were written,
//! a stretch at a time. What watchers are told comes from here.
//!
//! Invariants: (1) a stretch holds whole revisions: all that a revision wrote in the range, or
//! nothing of it; (2) a stretch that begins where the one before it ended leaves no gap and repeats
//! nothing, whatever is applied, flushed, compacted or installed between the two; (3) when
//! compaction has taken what was asked for, the answer says so and never has records missing;
//! (4) nothing is held off: whoever reads slowly costs compaction nothing.
//!
//! All that was written at the compaction point or after it is there: compaction takes only what
//! was replaced at that point, and tombstones below it.

use bytes::Bytes;

use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::{Meta, Position, Record};

use super::read::lost;
use super::{Store, StoreFault, end_of, fetch};
use crate::recent::{self, RECORD_OVERHEAD_BYTES};

/// Bytes of recent records that are copied under one lock.
const COPY_STEP_BYTES: usize = 256 * 1024;

/// Records of one key that are looked up under one lock.
const KEY_STEP_LEN: usize = 256;

/// How often a stretch is read again because the store was replaced under it; more is damage.
const ATTEMPTS_MAX: u32 = 8;

/// Some history, in whole revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// What was written in the range, oldest first, tombstones included.
    pub records: Vec<Record>,
    /// Where to go on: everything in the range below this revision is told.
    pub next: Revision,
}

/// What became of a look into history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// A stretch of it.
    Stretch(Stretch),
    /// Compaction took what was asked for: this is the oldest revision that can be told.
    Compacted(Revision),
}

/// A stretch under way.
struct Gathering<'k> {
    /// The ranges that are asked for; none is every key.
    keys: Option<&'k [KeyRange]>,
    records: Vec<Record>,
    /// What was looked at, whether it is in the ranges or not.
    bytes: usize,
    bytes_max: usize,
    newest: Revision,
    /// The revision that did not fit any more.
    beyond: Option<Revision>,
}

impl<'k> Gathering<'k> {
    fn new(keys: Option<&'k [KeyRange]>, bytes_max: usize) -> Gathering<'k> {
        Gathering {
            keys,
            records: Vec::new(),
            bytes: 0,
            bytes_max,
            newest: Revision(0),
            beyond: None,
        }
    }

    /// Looks at the next record; whether it belongs to the stretch.
    fn wants(&mut self, key: &[u8], meta: &Meta, value_len: usize) -> bool {
        if self.beyond.is_some() {
            return false;
        }
        let full = self.bytes > 0 && self.bytes >= self.bytes_max;
        if full && meta.mod_revision > self.newest {
            self.beyond = Some(meta.mod_revision);
            return false;
        }
        self.bytes += RECORD_OVERHEAD_BYTES + key.len() + value_len;
        self.newest = meta.mod_revision;
        self.keys
            .is_none_or(|keys| keys.iter().any(|range| range.contains(key)))
    }

    fn take(&mut self, record: Record) {
        if self.wants(&record.key, &record.meta, record.value.len()) {
            self.records.push(record);
        }
    }

    fn end(self, revision: Revision) -> Stretch {
        Stretch {
            records: self.records,
            next: self.beyond.unwrap_or(revision.next()),
        }
    }
}

impl Store {
    /// The records of all keys from a revision on, if all of them are in memory; none if they are
    /// not. About `bytes_max`, and never less than one revision.
    ///
    /// What is still in memory is told even when it was compacted meanwhile: a watcher that keeps
    /// up is not cut off by a compaction that comes right behind a write.
    pub fn tail(&self, from: Revision, bytes_max: usize) -> Option<Stretch> {
        let mut gathering = Gathering::new(None, bytes_max);
        let revision = self.revision();
        let until = end_of(revision);
        let mut after = before(from);
        while gathering.beyond.is_none() {
            let (records, more) = {
                let shared = self.read();
                if shared.recent.floor() > after {
                    return None;
                }
                shared.recent.copy(after, until, COPY_STEP_BYTES)
            };
            for record in records {
                after = record.meta.position();
                gathering.take(record);
            }
            if !more {
                break;
            }
        }
        let stretch = gathering.end(revision);
        Some(Stretch {
            next: stretch.next.max(from),
            ..stretch
        })
    }

    /// The records of some ranges from a revision on; may read the disk. Looks at about
    /// `bytes_max` of records, those outside of the ranges included, and never at less than one
    /// revision.
    pub fn recall(
        &self,
        keys: &[KeyRange],
        from: Revision,
        bytes_max: usize,
    ) -> Result<Recall, StoreFault> {
        self.settled(from, |revision| {
            let mut gathering = Gathering::new(Some(keys), bytes_max);
            let until = end_of(revision);
            let mut cursor = before(from);
            while gathering.beyond.is_none() && cursor < until {
                let found = self.find_block(|shared| shared.directory.next_after(cursor))?;
                if let Some(found) = found {
                    let block = fetch::decode(&found)?;
                    for entry in block.entries() {
                        let position = entry.meta.position();
                        if position > cursor && position <= until {
                            let (key, value) = (block.key(entry), block.value(entry));
                            if gathering.wants(key, &entry.meta, value.len()) {
                                let record = recent::detach(&block.record(entry));
                                gathering.records.push(record);
                            }
                        }
                    }
                    cursor = cursor.max(block.last());
                    continue;
                }
                let shared = self.read();
                // A flush may have come between; then there is a block now.
                if shared.directory.next_after(cursor).is_some() {
                    continue;
                }
                let (records, _more) = shared.recent.copy(cursor, until, COPY_STEP_BYTES);
                drop(shared);
                match records.last() {
                    Some(last) => cursor = last.meta.position(),
                    None => break,
                }
                for record in records {
                    gathering.take(record);
                }
            }
            Ok(Some(gathering.end(revision)))
        })
    }

    /// The records of one key from a revision on; may read the disk. Costs what the key's records
    /// cost, however long the history of the others is. About `bytes_max`, and never less than one
    /// record.
    pub fn recall_key(
        &self,
        key: &Bytes,
        from: Revision,
        bytes_max: usize,
    ) -> Result<Recall, StoreFault> {
        self.settled(from, |revision| {
            let mut gathering = Gathering::new(None, bytes_max);
            let mut after = before(from);
            loop {
                let metas = self.read().index.since(key, after, revision, KEY_STEP_LEN);
                let more = metas.len() == KEY_STEP_LEN;
                for meta in metas {
                    let value = if meta.is_tombstone() {
                        Some(Bytes::new())
                    } else {
                        self.value(meta.position())?
                    };
                    let Some(value) = value else {
                        return Ok(None);
                    };
                    after = meta.position();
                    let key = key.clone();
                    gathering.take(Record { key, value, meta });
                }
                if !more || gathering.beyond.is_some() {
                    return Ok(Some(gathering.end(revision)));
                }
            }
        })
    }

    /// The record of a key right before a revision, if it is in memory or there is none; may be
    /// none as well when compaction took it. `None` when only the disk can tell.
    pub fn try_previous(&self, key: &[u8], revision: Revision) -> Option<Option<Record>> {
        let Some(meta) = self.previous_meta(key, revision) else {
            return Some(None);
        };
        let value = self.value_in_memory(meta.position())?;
        Some(Some(record(key, value, meta)))
    }

    /// The same from wherever it is.
    pub fn previous(&self, key: &[u8], revision: Revision) -> Result<Option<Record>, StoreFault> {
        self.check()?;
        let Some(meta) = self.previous_meta(key, revision) else {
            return Ok(None);
        };
        let value = self.value(meta.position())?;
        Ok(value.map(|value| record(key, value, meta)))
    }

    fn previous_meta(&self, key: &[u8], revision: Revision) -> Option<Meta> {
        let at = Revision(revision.0 - 1);
        let shared = self.read();
        // What is left from below the compaction point depends on how far compaction has come.
        if at < shared.compacted {
            return None;
        }
        shared.index.get(key, at)
    }

    /// Reads until compaction, or the replacement of the whole store, did not come between. `read`
    /// answers none when a record was gone.
    fn settled(
        &self,
        from: Revision,
        mut read: impl FnMut(Revision) -> Result<Option<Stretch>, StoreFault>,
    ) -> Result<Recall, StoreFault> {
        self.check()?;
        for _attempt in 0..ATTEMPTS_MAX {
            let began = self.bounds();
            if from < began.compacted {
                return Ok(Recall::Compacted(began.compacted));
            }
            let told = read(began.revision)?;
            let ended = self.bounds();
            if from < ended.compacted {
                return Ok(Recall::Compacted(ended.compacted));
            }
            if let Some(stretch) = told
                && ended.engine == began.engine
            {
                let next = stretch.next.max(from);
                return Ok(Recall::Stretch(Stretch { next, ..stretch }));
            }
        }
        Err(lost(from))
    }
}

/// The last position before a revision.
fn before(revision: Revision) -> Position {
    end_of(Revision(revision.0.saturating_sub(1)))
}

fn record(key: &[u8], value: Bytes, meta: Meta) -> Record {
    let key = Bytes::copy_from_slice(key);
    Record { key, value, meta }
}
