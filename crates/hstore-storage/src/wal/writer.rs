//! The log's one writer: what may be written, in which order, and when old segments go.
//!
//! Invariants:
//! 1. A segment is begun only when the one before it is wholly durable, and used only when its own
//!    head is: of two segments only the newer one can have a torn tail.
//! 2. A segment file is given up only after the purge record that says so is durable.
//! 3. After any failed write or sync every call returns that error: what is durable is then
//!    unknown, and only reading the files again after a restart can tell.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use hstore_core::id::{LogId, LogIndex};
use hstore_core::planted::{self, Bug};

use super::{
    LogEntry, Recovered, WalError, WalOptions, WalReader, WalStats,
    active::{Active, Beginning},
    folder::{segment_name, spare_name},
    head::Head,
    log::Shared,
    record::{Kind, PAYLOAD_BYTES_MAX},
    recovery,
};
use crate::disk::Disk;

/// Spare segments that are kept; when there are as many, a purged segment is removed instead.
pub(super) const SPARES_MAX: usize = 2;
/// The longest vote. It is repeated at the head of every segment; a longer one is refused.
const VOTE_BYTES_MAX: usize = 4 << 10;

/// The log's one writer.
pub struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) shared: Arc<Shared>,
    pub(super) options: WalOptions,
    pub(super) active: Active,
    /// The full segments that are still needed, and where their records end.
    pub(super) sealed: BTreeMap<u64, u32>,
    pub(super) spares: Vec<u64>,
    /// The oldest segment that is still needed.
    pub(super) first_segment: u64,
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) failed: Option<WalError>,
    pub(super) syncs: u64,
    pub(super) written_bytes: u64,
}

impl Wal {
    /// Opens the log in a folder, or founds it. Cuts the torn tail of a crash, and refuses a log
    /// of which something is missing or damaged that was once synced. All that is recovered is
    /// durable when it returns.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<(Wal, Recovered), WalError> {
        recovery::open(disk, dir, options)
    }

    /// A reader of this log.
    pub fn reader(&self) -> WalReader {
        WalReader::new(self.shared.clone())
    }

    /// Adds entries; each follows the one before it. Readable at once, durable after `sync`.
    pub fn append(&mut self, entries: Vec<LogEntry>) -> Result<(), WalError> {
        self.check()?;
        let mut next = self.last.map(|last| last.index.0 + 1);
        for LogEntry { id, payload } in &entries {
            if let Some(expected) = next.filter(|next| *next != id.index.0) {
                return Err(WalError::Gap {
                    expected: LogIndex(expected),
                    found: id.index,
                });
            }
            within(payload.len(), PAYLOAD_BYTES_MAX as usize)?;
            next = Some(id.index.0 + 1);
        }
        let written = self.write_entries(entries);
        self.remember_failure(written)
    }

    /// Records a vote; durable after `sync`.
    pub fn save_vote(&mut self, vote: Bytes) -> Result<(), WalError> {
        self.check()?;
        within(vote.len(), VOTE_BYTES_MAX)?;
        let written = self.push(Kind::Vote, None, &vote);
        self.vote = Some(vote);
        self.remember_failure(written)
    }

    /// Forgets every entry after this one, which the log holds or was purged up to (`None`: every
    /// entry); durable after `sync`.
    pub fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), WalError> {
        self.check()?;
        let last = match last {
            Some(last) if Some(last.index) != self.purged.map(|purged| purged.index) => Some(last),
            _ => self.purged,
        };
        if last.map(|last| last.index) >= self.last.map(|last| last.index) {
            return Ok(());
        }
        if let Some(LogId { index, .. }) = last.filter(|last| Some(*last) != self.purged)
            && self.shared.lock().index.get(index.0).is_none()
        {
            return Err(WalError::Purged { index });
        }
        let next = last.map_or(0, |last| last.index.0 + 1);
        if planted::is(Bug::TruncationKeepsOne) && self.last.is_some_and(|id| id.index.0 == next) {
            return Ok(());
        }
        let written = self.push(Kind::Truncate, last, &[]);
        self.last = last;
        self.shared.lock().cut_after(last);
        self.remember_failure(written)
    }

    /// Forgets every entry up to and with this one, which may lie beyond the end (the log then
    /// goes on after it). Durable when it returns, with everything recorded before it. Does nothing
    /// if as much was purged already.
    pub fn purge(&mut self, upto: LogId) -> Result<(), WalError> {
        self.check()?;
        if self.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        let purged = self.write_purge(upto);
        self.remember_failure(purged)
    }

    /// Makes everything recorded so far durable: one write, one sync.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check()?;
        let synced = self.sync_active();
        self.remember_failure(synced)
    }

    /// Syncs and marks the end, so that the next open goes on in the same segment.
    pub fn close(mut self) -> Result<(), WalError> {
        self.check()?;
        self.sync()?;
        let closed = self.push(Kind::Close, None, &[]);
        self.remember_failure(closed)?;
        self.sync()
    }

    /// Figures for screens.
    pub fn stats(&self) -> WalStats {
        let sealed: u64 = self.sealed.values().map(|bytes| u64::from(*bytes)).sum();
        WalStats {
            entries: self.shared.lock().index.len() as u64,
            bytes: sealed + u64::from(self.active.end()),
            segments: (self.sealed.len() + 1 + self.spares.len()) as u64,
            syncs: self.syncs,
            written_bytes: self.written_bytes,
        }
    }

    fn check(&self) -> Result<(), WalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn remember_failure(&mut self, result: Result<(), WalError>) -> Result<(), WalError> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            self.shared.lock().failed = Some(error.clone());
        }
        result
    }

    fn write_entries(&mut self, entries: Vec<LogEntry>) -> Result<(), WalError> {
        let mut places = Vec::with_capacity(entries.len());
        for LogEntry { id, payload } in &entries {
            self.make_room(payload.len())?;
            places.push(self.active.push(Kind::Entry, Some(*id), payload)?);
            // The head of a segment that begins within this batch must already say so.
            self.last = Some(*id);
            self.written_bytes += u64::from(places[places.len() - 1].bytes);
        }
        let mut log = self.shared.lock();
        for (entry, place) in entries.into_iter().zip(places) {
            let pushed = log.index.push(entry.id.index.0, place);
            pushed.expect("law: append refused every gap");
            log.push_tail(entry);
        }
        Ok(())
    }

    fn write_purge(&mut self, upto: LogId) -> Result<(), WalError> {
        // First the room: the record names segments, and a new one may begin here.
        self.make_room(size_of::<u64>())?;
        let next = self.shared.lock().index.get(upto.index.0 + 1);
        let first_segment = next.map_or(self.active.sequence, |place| place.segment);
        self.push(Kind::Purge, Some(upto), &first_segment.to_le_bytes())?;
        self.sync_active()?;
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last.index <= upto.index) {
            self.last = Some(upto);
        }
        self.first_segment = first_segment;
        self.shared.lock().drop_upto(upto);
        self.give_up_segments()
    }

    /// Recycles or removes the segments before the first needed one. Until the folder is synced a
    /// crash may bring any of them back; opening the log removes them then.
    fn give_up_segments(&mut self) -> Result<(), WalError> {
        let kept = self.sealed.split_off(&self.first_segment);
        for sequence in std::mem::replace(&mut self.sealed, kept).into_keys() {
            let file = self.shared.lock().files.remove(&sequence);
            let path = self.shared.dir.join(segment_name(sequence));
            // Out of `files` nobody new can get hold of it; whoever reads it now may finish.
            let free = file.is_some_and(|file| {
                Arc::strong_count(&file) == 1
                    && file
                        .len()
                        .is_ok_and(|len| len == u64::from(self.options.segment_bytes))
            });
            if free && self.spares.len() < SPARES_MAX {
                let spare = self.shared.dir.join(spare_name(sequence));
                let renamed = self.disk.rename(&path, &spare);
                renamed.map_err(|error| WalError::io("recycle", &path, error))?;
                self.spares.push(sequence);
            } else {
                let removed = self.disk.remove_file(&path);
                removed.map_err(|error| WalError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        kind: Kind,
        id: Option<LogId>,
        payload: &[u8],
    ) -> Result<(), WalError> {
        self.make_room(payload.len())?;
        let place = self.active.push(kind, id, payload)?;
        self.written_bytes += u64::from(place.bytes);
        Ok(())
    }

    fn make_room(&mut self, payload: usize) -> Result<(), WalError> {
        if self.active.fits(payload) {
            Ok(())
        } else {
            self.roll(payload)
        }
    }

    /// Begins the next segment, with room for a record of this payload.
    pub(super) fn roll(&mut self, payload: usize) -> Result<(), WalError> {
        self.sync_active()?;
        let sequence = self.active.sequence + 1;
        let head = Head {
            first_segment: self.first_segment,
            previous_end: self.active.written,
            len: 0,
            purged: self.purged,
            last: self.last,
            vote: self.vote.clone(),
        };
        let beginning = Beginning {
            sequence,
            head,
            previous: self.active.checksum,
            room: super::record::record_bytes(payload as u32),
            segment_bytes: self.options.segment_bytes,
            dir: &self.shared.dir,
        };
        let active = Active::begin(self.disk.as_ref(), &beginning, &mut self.spares)?;
        self.syncs += 1;
        self.written_bytes += u64::from(active.written);
        self.shared
            .lock()
            .files
            .insert(sequence, active.file.clone());
        let full = std::mem::replace(&mut self.active, active);
        self.sealed.insert(full.sequence, full.written);
        Ok(())
    }

    fn sync_active(&mut self) -> Result<(), WalError> {
        self.syncs += u64::from(self.active.sync()?);
        self.shared.lock().settle(self.options.tail_bytes_max);
        Ok(())
    }
}

fn within(bytes: usize, max: usize) -> Result<(), WalError> {
    if bytes <= max {
        Ok(())
    } else {
        Err(WalError::TooLarge {
            bytes: bytes as u64,
            max: max as u64,
        })
    }
}
