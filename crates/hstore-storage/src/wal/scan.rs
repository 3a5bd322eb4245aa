//! Reading a segment from its beginning: which records are there, where they end, and whether what
//! follows is the torn tail of a crash or damage.
//!
//! A batch that was never synced may survive a crash in any mixture of sectors, so a whole record
//! after a broken one proves nothing by itself. Its `synced` field does: it was made when that much
//! of the segment was durable, so bytes below that mark cannot be a torn write.
//!
//! Invariants:
//! 1. A record counts only if every one before it does: right segment, right offset, chained to the
//!    one before, checksum whole.
//! 2. No length that was read from disk leads to an allocation before it was held against the file.

use std::{path::Path, sync::Arc};

use crc32c::crc32c;
use hstore_core::planted::{self, Bug};

use super::{
    WalError,
    head::{Head, PREAMBLE_BYTES, Preamble, VERSION, decode_preamble},
    record::{ALIGN_BYTES, Found, HEADER_BYTES, Header, Kind, decode_header, record_bytes},
};
use crate::disk::File;

/// How much is read at once.
const WINDOW_BYTES: u32 = 1 << 20;
/// Where a header has the segment number; it is aligned as records are.
const SEGMENT_AT: u32 = 8;

/// What a segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Its head, if it has a whole one. Without it nothing of the segment counts.
    pub(super) head: Option<Head>,
    /// Where the last whole record ends.
    pub(super) end: u32,
    /// That record's checksum.
    pub(super) checksum: u32,
    /// Up to where the whole records say that the segment was durable.
    pub(super) synced: u32,
    /// Whether the last whole record says that the log was closed.
    pub(super) closed: bool,
}

/// What lies behind the last record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    /// Up to where the whole records there say that the segment was durable.
    pub(super) synced: u32,
    /// Where the last record ends that a header there speaks of, whole or not: beyond it is
    /// nothing that could be taken for a record of this segment after other bytes were written
    /// before it. The end of what counts, if there is no such header.
    pub(super) tail_end: u32,
}

/// A segment file and what is known of it while it is read.
pub(super) struct Segment<'a> {
    pub(super) file: &'a Arc<dyn File>,
    pub(super) path: &'a Path,
    pub(super) sequence: u64,
}

/// A record as `scan` meets it.
pub(super) struct Record<'a> {
    pub(super) header: Header,
    pub(super) payload: &'a [u8],
}

impl Segment<'_> {
    /// Reads all whole records in order. A visitor that says no ends it with `Corrupt`.
    pub(super) fn scan(
        &self,
        mut visit: impl FnMut(&Record<'_>) -> Option<()>,
    ) -> Result<Scan, WalError> {
        let mut window = Window::new(self)?;
        let mut scan = Scan::default();
        if !self.is_ours(window.get(0, PREAMBLE_BYTES)?.unwrap_or_default())? {
            return Ok(scan);
        }
        let mut at = PREAMBLE_BYTES;
        while let Some((found, body)) = window.record(self.sequence, at)? {
            let Header {
                kind,
                synced,
                previous,
                ..
            } = found.header;
            let first = at == PREAMBLE_BYTES;
            if first != (kind == Kind::Head) || synced > at || !(first || previous == scan.checksum)
            {
                break;
            }
            let record = Record {
                header: found.header,
                payload: &body[..found.length as usize],
            };
            if first {
                let Some(head) = Head::decode(record.payload) else {
                    break;
                };
                scan.head = Some(head);
            }
            visit(&record).ok_or_else(|| self.corrupt(at))?;
            at += record_bytes(found.length);
            scan.end = at;
            scan.checksum = found.checksum;
            scan.synced = scan.synced.max(synced);
            scan.closed = kind == Kind::Close;
        }
        Ok(scan)
    }

    /// The head alone, and the checksum that it names as the last one of the segment before.
    pub(super) fn head(&self) -> Result<Option<(Head, u32)>, WalError> {
        let mut window = Window::new(self)?;
        let preamble = window.get(0, PREAMBLE_BYTES)?.unwrap_or_default();
        if !self.is_ours(preamble)? {
            return Ok(None);
        }
        let Some((found, body)) = window.record(self.sequence, PREAMBLE_BYTES)? else {
            return Ok(None);
        };
        let head = Head::decode(&body[..found.length as usize]);
        Ok(head.map(|head| (head, found.header.previous)))
    }

    /// Looks for what is left of records of this segment beyond the point where `scan` ended.
    pub(super) fn beyond(&self, end: u32) -> Result<Beyond, WalError> {
        let mut window = Window::new(self)?;
        let mut beyond = Beyond {
            synced: 0,
            tail_end: end,
        };
        let mut at = end.max(PREAMBLE_BYTES);
        while let Some(candidate) = window.find(self.sequence, at)? {
            at = candidate + ALIGN_BYTES;
            let Some(found) = window.header(self.sequence, candidate)? else {
                continue;
            };
            let record_end = candidate.saturating_add(record_bytes(found.length));
            beyond.tail_end = beyond.tail_end.max(record_end.min(window.len));
            if window.record(self.sequence, candidate)?.is_some() {
                beyond.synced = beyond.synced.max(found.header.synced);
                at = record_end;
            }
        }
        Ok(beyond)
    }

    /// Whether the file begins as this segment does.
    fn is_ours(&self, preamble: &[u8]) -> Result<bool, WalError> {
        match decode_preamble(preamble, self.sequence) {
            Preamble::Ours => Ok(true),
            Preamble::TooNew(found) => Err(WalError::TooNew {
                segment: self.sequence,
                found,
                known: VERSION,
            }),
            Preamble::Other => Ok(false),
        }
    }

    pub(super) fn corrupt(&self, offset: u32) -> WalError {
        WalError::Corrupt {
            segment: self.sequence,
            offset: offset.into(),
        }
    }
}

/// A piece of the file in memory that moves along with the reading.
struct Window<'a> {
    segment: &'a Segment<'a>,
    len: u32,
    start: u32,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(segment: &'a Segment<'a>) -> Result<Self, WalError> {
        let len = segment
            .file
            .len()
            .map_err(|error| WalError::io("measure", segment.path, error))?;
        // A segment never grows beyond what an offset can say; what lies there is none of ours.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Ok(Window {
            segment,
            len,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// These bytes of the file, or `None` if it is not that long.
    fn get(&mut self, offset: u32, bytes: u32) -> Result<Option<&[u8]>, WalError> {
        let Some(end) = offset.checked_add(bytes).filter(|end| *end <= self.len) else {
            return Ok(None);
        };
        if offset < self.start || u64::from(end) > u64::from(self.start) + self.bytes.len() as u64 {
            let wanted = bytes.max(WINDOW_BYTES).min(self.len - offset);
            self.bytes.resize(wanted as usize, 0);
            self.start = offset;
            let Segment { file, path, .. } = self.segment;
            file.read_exact_at(offset.into(), &mut self.bytes)
                .map_err(|error| WalError::io("read", path, error))?;
        }
        let from = (offset - self.start) as usize;
        Ok(Some(&self.bytes[from..from + bytes as usize]))
    }

    /// The next place from here on where a record of this segment may begin, going by the segment
    /// number alone: nearly all that is looked through is zeros, or of other segments.
    fn find(&mut self, sequence: u64, from: u32) -> Result<Option<u32>, WalError> {
        let named = sequence.to_le_bytes();
        let mut at = from.saturating_add(SEGMENT_AT);
        while at < self.len {
            // First what is in memory: records may follow each other closely, and reading on from
            // each of them anew would read the same bytes many times.
            let rest = (self.start as usize + self.bytes.len()).saturating_sub(at as usize) as u32;
            let bytes = match rest / ALIGN_BYTES {
                words if at >= self.start && words > 0 => words * ALIGN_BYTES,
                _ => (self.len - at).min(WINDOW_BYTES),
            };
            let words = self
                .get(at, bytes)?
                .unwrap_or_default()
                .chunks_exact(named.len());
            match words.into_iter().position(|word| word == named) {
                Some(word) => return Ok(Some(at + word as u32 * ALIGN_BYTES - SEGMENT_AT)),
                None => at = at.saturating_add(bytes),
            }
        }
        Ok(None)
    }

    /// The header at this place if it is one of a record of this segment that lies there.
    fn header(&mut self, sequence: u64, at: u32) -> Result<Option<Found>, WalError> {
        let found = self.get(at, HEADER_BYTES)?.and_then(decode_header);
        Ok(found.filter(|Found { header, .. }| header.segment == sequence && header.offset == at))
    }

    /// The record at this place if it is whole, and its payload with the padding.
    fn record(&mut self, sequence: u64, at: u32) -> Result<Option<(Found, &[u8])>, WalError> {
        let Some(found) = self.header(sequence, at)? else {
            return Ok(None);
        };
        let Some(bytes) = self.get(at, record_bytes(found.length))? else {
            return Ok(None);
        };
        let whole =
            crc32c(&bytes[4..]) == found.checksum || planted::is(Bug::LogChecksumNotChecked);
        Ok(whole.then_some((found, &bytes[HEADER_BYTES as usize..])))
    }
}
