//! What a sequence of records makes of the log: the one place where their meaning is written down.
//!
//! Invariants:
//! 1. After any prefix of records the state is one that the log once had.
//! 2. An entry that does not follow the one before it is damage, never skipped: there is no hole.

use bytes::Bytes;
use hstore_core::id::LogId;

use super::{
    Recovered,
    head::Head,
    index::{Index, Place},
    record::{Kind, record_bytes, u64_at},
    scan::Record,
};

/// The log's state while its records are read in order.
#[derive(Debug, Default)]
pub(super) struct Replay {
    vote: Option<Bytes>,
    purged: Option<LogId>,
    last: Option<LogId>,
    index: Index,
    /// Whether a head was seen: the first one sets the state, later ones must agree with it.
    begun: bool,
}

impl Replay {
    /// Takes in the next record; `None` if it cannot follow.
    pub(super) fn step(&mut self, record: &Record<'_>) -> Option<()> {
        let header = &record.header;
        match header.kind {
            Kind::Head => self.head(Head::decode(record.payload)?),
            Kind::Entry => {
                let id = header.id?;
                if let Some(last) = self.last {
                    (last.index.0.checked_add(1)? == id.index.0).then_some(())?;
                }
                let bytes = record_bytes(record.payload.len() as u32);
                let (segment, offset) = (header.segment, header.offset);
                let place = Place {
                    segment,
                    offset,
                    bytes,
                };
                self.index.push(id.index.0, place)?;
                self.last = Some(id);
                Some(())
            }
            Kind::Vote => {
                self.vote = Some(Bytes::copy_from_slice(record.payload));
                Some(())
            }
            Kind::Truncate => {
                // A truncation never makes the log longer.
                let last = header.id.or(self.purged);
                (last.map(|last| last.index) <= self.last.map(|last| last.index)).then_some(())?;
                self.last = last;
                self.index
                    .cut_from(self.last.map_or(0, |last| last.index.0.saturating_add(1)));
                Some(())
            }
            Kind::Purge => {
                let purged = header.id?;
                self.purged = Some(purged);
                self.index.drop_upto(purged.index.0);
                if self.last.is_none_or(|last| last.index <= purged.index) {
                    self.last = Some(purged);
                }
                Some(())
            }
            Kind::Close => Some(()),
        }
    }

    /// The finished state, if it has no hole between what was purged and what is there.
    pub(super) fn finish(self) -> Option<(Recovered, Index)> {
        let whole = match (self.purged, self.last) {
            (_, None) => self.index.len() == 0,
            (Some(purged), Some(last)) if purged == last => self.index.len() == 0,
            (purged, Some(last)) => {
                let first = self.index.first();
                self.index.len() as u64 == last.index.0.checked_add(1)?.checked_sub(first)?
                    && purged.is_none_or(|purged| purged.index.0.checked_add(1) == Some(first))
            }
        };
        let recovered = Recovered {
            vote: self.vote,
            purged: self.purged,
            last: self.last,
        };
        whole.then_some((recovered, self.index))
    }

    fn head(&mut self, head: Head) -> Option<()> {
        if self.begun {
            let same =
                head.purged == self.purged && head.last == self.last && head.vote == self.vote;
            return same.then_some(());
        }
        self.begun = true;
        self.purged = head.purged;
        self.last = head.last;
        self.vote = head.vote;
        Some(())
    }
}

/// The first segment that a purge record says is still needed.
pub(super) fn first_segment_of_purge(record: &Record<'_>) -> Option<u64> {
    (record.header.kind == Kind::Purge)
        .then(|| u64_at(record.payload, 0))
        .flatten()
}
