//! Opening the log: find the newest segment, prove that everything before its end is whole, cut
//! what a crash tore, make what is left durable.
//!
//! Nothing is changed on disk before everything was checked: a log that is refused stays as it is.
//!
//! Invariants:
//! 1. Only the newest segment may end in a torn tail, and only bytes that no later record calls
//!    durable may be cut; anything else is `Corrupt` or `Missing`.
//! 2. The newest segment goes on behind a close record. If a crash kept it from being written, it
//!    is written now, after every header of the cut tail was overwritten with zeros: records of
//!    the tail can never follow new ones, and a crash costs no segment.
//! 3. What was read but is not proven durable is written again and synced: after a sync that
//!    failed in an earlier life the kernel may show bytes that the disk does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    sync::Arc,
};

use hstore_core::id::LogIndex;
use hstore_core::planted::{self, Bug};

use super::{
    LogState, Recovered, Wal, WalError, WalOptions,
    active::{Active, Beginning},
    folder::{parse_segment, parse_spare, segment_name, spare_name},
    head::Head,
    index::Index,
    log::{Log, Shared},
    record::Kind,
    replay::{Replay, first_segment_of_purge},
    scan::{Scan, Segment},
    writer::SPARES_MAX,
};
use crate::disk::{Disk, File, OpenMode};

/// The number of the first segment of a log.
const FIRST_SEGMENT: u64 = 1;
/// How much of a torn tail is overwritten at once.
const ZEROS_BYTES: usize = 1 << 20;

/// The files of the log's folder.
struct Folder<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    segments: BTreeSet<u64>,
    spares: Vec<u64>,
}

/// The newest segment that counts.
struct Newest {
    sequence: u64,
    scan: Scan,
    /// The first segment that is still needed.
    first: u64,
    /// Up to where its torn tail goes; its end if it has none.
    tail_end: u32,
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: WalOptions,
) -> Result<(Wal, Recovered), WalError> {
    let failed = |doing, error| WalError::io(doing, dir, error);
    disk.create_dir_all(dir)
        .map_err(|error| failed("make", error))?;
    let mut folder = Folder::list(disk.as_ref(), dir)?;
    let Some(newest) = folder.newest()? else {
        folder.clear()?;
        return found(disk, dir, options);
    };
    let needed = newest.first..=newest.sequence;
    let mut files = BTreeMap::new();
    let mut sealed = BTreeMap::new();
    let mut replay = Replay::default();
    for sequence in needed.clone() {
        let (path, file) = folder.open(sequence)?;
        let segment = Segment {
            file: &file,
            path: &path,
            sequence,
        };
        let scan = segment.scan(|record| replay.step(record))?;
        if sequence < newest.sequence {
            folder.joins(&segment, &scan)?;
            sealed.insert(sequence, scan.end);
        }
        files.insert(sequence, file);
    }
    let whole = replay.finish();
    let (mut recovered, index) = whole.ok_or(WalError::Corrupt {
        segment: newest.first,
        offset: 0,
    })?;

    folder.clean(needed, &options)?;
    let (path, file) = folder.open(newest.sequence)?;
    let Scan { synced, end, .. } = newest.scan;
    settle(file.as_ref(), &path, synced..end, newest.tail_end)?;
    disk.sync_dir(dir).map_err(|error| failed("sync", error))?;
    let len = file
        .len()
        .map_err(|error| WalError::io("measure", &path, error))?;
    let Scan {
        checksum, closed, ..
    } = newest.scan;
    let active = Active {
        sequence: newest.sequence,
        path,
        file,
        len: u32::try_from(len).unwrap_or(u32::MAX),
        written: end,
        synced: end,
        ahead: end,
        checksum,
        buffer: Vec::new(),
    };
    let state = LogState {
        purged: recovered.purged,
        last: recovered.last,
    };
    let log = Log::opened(state, index, files);
    let spares = folder.spares;
    let mut wal = Wal {
        disk,
        shared: Arc::new(Shared::new(dir.into(), log)),
        options,
        active,
        sealed,
        spares,
        first_segment: newest.first,
        vote: recovered.vote.clone(),
        purged: recovered.purged,
        last: recovered.last,
        failed: None,
        syncs: 0,
        written_bytes: 0,
    };
    if !closed {
        wal.finish_close()?;
    }
    if planted::is(Bug::TornTailCutsGoodRecord) && !closed {
        cut_one_more(&mut wal, &mut recovered)?;
    }
    Ok((wal, recovered))
}

/// Cuts the last entry of the log unless it is the only one.
fn cut_one_more(wal: &mut Wal, recovered: &mut Recovered) -> Result<(), WalError> {
    let last = recovered.last.map_or(0, |last| last.index.0);
    let first = recovered.purged.map_or(0, |purged| purged.index.0 + 1);
    let range = LogIndex(last.saturating_sub(1).max(first))..LogIndex(last + 1);
    if let [before, _cut] = &wal.reader().read(range, usize::MAX)?[..] {
        wal.truncate_after(Some(before.id))?;
        wal.sync()?;
        recovered.last = Some(before.id);
    }
    Ok(())
}

/// A log without entries.
fn found(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: WalOptions,
) -> Result<(Wal, Recovered), WalError> {
    let beginning = Beginning {
        sequence: FIRST_SEGMENT,
        head: Head {
            first_segment: FIRST_SEGMENT,
            ..Head::default()
        },
        previous: 0,
        room: 0,
        segment_bytes: options.segment_bytes,
        dir,
    };
    let active = Active::begin(disk.as_ref(), &beginning, &mut Vec::new())?;
    let files = BTreeMap::from([(FIRST_SEGMENT, active.file.clone())]);
    let log = Log::opened(LogState::default(), Index::default(), files);
    let wal = Wal {
        disk,
        shared: Arc::new(Shared::new(dir.into(), log)),
        options,
        written_bytes: active.written.into(),
        active,
        sealed: BTreeMap::new(),
        spares: Vec::new(),
        first_segment: FIRST_SEGMENT,
        vote: None,
        purged: None,
        last: None,
        failed: None,
        syncs: 1,
    };
    Ok((wal, Recovered::default()))
}

impl<'a> Folder<'a> {
    fn list(disk: &'a dyn Disk, dir: &'a Path) -> Result<Self, WalError> {
        let names = disk
            .list(dir)
            .map_err(|error| WalError::io("list", dir, error))?;
        let segments = names
            .iter()
            .filter_map(|name| parse_segment(name))
            .collect();
        let spares = names.iter().filter_map(|name| parse_spare(name)).collect();
        Ok(Folder {
            disk,
            dir,
            segments,
            spares,
        })
    }

    fn open(&self, sequence: u64) -> Result<(PathBuf, Arc<dyn File>), WalError> {
        let path = self.dir.join(segment_name(sequence));
        if !self.segments.contains(&sequence) {
            return Err(WalError::Missing { segment: sequence });
        }
        let file = self.disk.open(&path, OpenMode::Write);
        let file = file.map_err(|error| WalError::io("open", &path, error))?;
        Ok((path, file))
    }

    /// The newest segment with a whole head; `None` if there never was a log.
    fn newest(&self) -> Result<Option<Newest>, WalError> {
        let Some(&last) = self.segments.last() else {
            return Ok(None);
        };
        if let Some(newest) = self.try_newest(last)? {
            return Ok(Some(newest));
        }
        // The file was made, its head never became durable: a crash in the middle of beginning
        // it. Then the one before it is whole, or this was the very first one.
        if last == FIRST_SEGMENT {
            return Ok(None);
        }
        let before = last - 1;
        self.try_newest(before)?.map(Some).ok_or(WalError::Corrupt {
            segment: before,
            offset: 0,
        })
    }

    fn try_newest(&self, sequence: u64) -> Result<Option<Newest>, WalError> {
        let (path, file) = self.open(sequence)?;
        let segment = Segment {
            file: &file,
            path: &path,
            sequence,
        };
        let mut first = None;
        let scan = segment.scan(|record| {
            first = first_segment_of_purge(record).or(first);
            Some(())
        })?;
        let beyond = segment.beyond(scan.end)?;
        if beyond.synced > scan.end && !planted::is(Bug::CorruptMiddleCut) {
            return Err(segment.corrupt(scan.end));
        }
        let Some(head) = &scan.head else {
            return Ok(None);
        };
        let len = file
            .len()
            .map_err(|error| WalError::io("measure", &path, error))?;
        if len < u64::from(head.len) {
            // The length was durable before the head was: no crash makes a begun segment shorter.
            return Err(segment.corrupt(u32::try_from(len).unwrap_or(u32::MAX)));
        }
        let first = first.unwrap_or(head.first_segment);
        if first > sequence {
            return Err(segment.corrupt(0));
        }
        Ok(Some(Newest {
            sequence,
            scan,
            first,
            tail_end: beyond.tail_end,
        }))
    }

    /// Whether a segment ends exactly where the next one says that it does.
    fn joins(&self, segment: &Segment<'_>, scan: &Scan) -> Result<(), WalError> {
        let sequence = segment.sequence + 1;
        let (path, file) = self.open(sequence)?;
        let next = Segment {
            file: &file,
            path: &path,
            sequence,
        };
        let Some((head, previous)) = next.head()? else {
            return Err(next.corrupt(0));
        };
        if scan.head.is_some() && head.previous_end == scan.end && previous == scan.checksum {
            Ok(())
        } else {
            Err(segment.corrupt(scan.end))
        }
    }

    /// Removes what is not needed: purged segments that a crash brought back, a segment that was
    /// never begun, spare files that are too many or too short.
    fn clean(&mut self, needed: RangeInclusive<u64>, options: &WalOptions) -> Result<(), WalError> {
        for &sequence in self
            .segments
            .iter()
            .filter(|sequence| !needed.contains(sequence))
        {
            self.remove(&self.dir.join(segment_name(sequence)))?;
        }
        let mut kept = Vec::new();
        for &sequence in &self.spares {
            let path = self.dir.join(spare_name(sequence));
            let file = self.disk.open(&path, OpenMode::Read);
            let len = file.and_then(|file| file.len());
            let len = len.map_err(|error| WalError::io("measure", &path, error))?;
            if len == u64::from(options.segment_bytes) && kept.len() < SPARES_MAX {
                kept.push(sequence);
            } else {
                self.remove(&path)?;
            }
        }
        self.spares = kept;
        Ok(())
    }

    /// Removes everything, for a log that begins anew: its segment numbers begin anew too, so no
    /// file may be left that carries one of them.
    fn clear(&self) -> Result<(), WalError> {
        for &sequence in &self.segments {
            self.remove(&self.dir.join(segment_name(sequence)))?;
        }
        for &sequence in &self.spares {
            self.remove(&self.dir.join(spare_name(sequence)))?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), WalError> {
        self.disk
            .remove_file(path)
            .map_err(|error| WalError::io("remove", path, error))
    }
}

impl Wal {
    /// Writes the close record that a crash kept from being written. It is the proof that all
    /// before it was whole and durable when the log was opened: from now on damage there is
    /// refused, where without it it would pass for another torn tail.
    fn finish_close(&mut self) -> Result<(), WalError> {
        if self.active.fits(0) {
            self.push(Kind::Close, None, &[])?;
            return self.sync();
        }
        let (full, path) = (self.active.file.clone(), self.active.path.clone());
        let end = self.active.written;
        self.roll(0)?;
        // The few bytes behind the end are of no more use.
        full.set_len(end.into())
            .map_err(|error| WalError::io("cut", &path, error))
    }
}

/// Makes what was read of a segment durable by writing it over itself, and what was torn behind it
/// zeros.
fn settle(file: &dyn File, path: &Path, unproven: Range<u32>, tail: u32) -> Result<(), WalError> {
    let mut bytes = vec![0; unproven.len()];
    file.read_exact_at(unproven.start.into(), &mut bytes)
        .map_err(|error| WalError::io("read", path, error))?;
    file.write_at(unproven.start.into(), &bytes)
        .map_err(|error| WalError::io("write", path, error))?;
    let zeros = vec![0; ZEROS_BYTES.min((tail - unproven.end) as usize)];
    for from in (unproven.end..tail).step_by(ZEROS_BYTES) {
        let zeros = &zeros[..zeros.len().min((tail - from) as usize)];
        file.write_at(from.into(), zeros)
            .map_err(|error| WalError::io("write", path, error))?;
    }
    file.sync_data()
        .map_err(|error| WalError::io("sync", path, error))
}
