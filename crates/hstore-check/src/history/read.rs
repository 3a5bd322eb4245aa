//! Reading a history from JSON lines.
//!
//! Invariants: (1) what is not exactly the format is refused with the number of its line; (2) the
//! memory of one line is bounded; (3) no input makes this panic.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read as _};

use bytes::Bytes;
use hstore_core::id::Revision;

use super::line::Line;
use super::{
    Call, ClientId, History, Lock, Moment, Operation, OperationId, Outcome, Watch, WatchId,
};

/// The version of the format that is written.
pub(super) const VERSION: u32 = 4;

/// The oldest version that is read: it has no watches, and otherwise nothing is different.
const VERSION_OLDEST: u32 = 1;

/// The first version with watches.
const VERSION_WATCHES: u32 = 2;

/// The first version in which a watch may end for want of rights.
const VERSION_DENIED: u32 = 3;

/// The first version with locks.
const VERSION_LOCKS: u32 = 4;

/// A line may be this long, its end aside.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// A history may have this many operations: they are numbered in 32 bits.
const OPERATIONS_MAX: usize = u32::MAX as usize;

/// Revisions end here, so that one can always count on from them.
const REVISION_MAX: i64 = i64::MAX >> 1;

/// A history that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes do not come.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not of the format.
    #[error("line {line}: {cause}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        cause: BadLine,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// The first line is not the header, or a later one is.
    #[error("the header is the first line, and only that")]
    Header,
    /// The version is another one.
    #[error(
        "format version {found} is not known, this reads versions {VERSION_OLDEST} to {VERSION}"
    )]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// Not JSON, or not the fields of the format.
    #[error("not a line of this format: {0}")]
    Json(serde_json::Error),
    /// The line does not end.
    #[error("longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The error code does not exist.
    #[error("there is no error code `{0}`")]
    Code(String),
    /// A write that was refused with a code that leaves open whether it happened.
    #[error("a write with `{0}` may have happened: its outcome is unknown, not refused")]
    NotRefused(&'static str),
    /// An answer or a refusal without its time.
    #[error("an operation that was answered or refused says when it returned")]
    NoReturn,
    /// It returned before it was invoked.
    #[error("the operation returned before it was invoked")]
    Backwards,
    /// Two operations of one name.
    #[error("operation {id} of client {client} has the id of an earlier line")]
    Duplicate {
        /// The id.
        id: OperationId,
        /// The client.
        client: ClientId,
    },
    /// Two watches of one name.
    #[error("watch {0} has the id of an earlier line")]
    DuplicateWatch(WatchId),
    /// A file of a version that had no watches has one.
    #[error("a file of version {0} has no watches")]
    WatchTooEarly(u32),
    /// A file of a version that did not know rights has a watch that ended for want of them.
    #[error("in a file of version {0} no watch is denied")]
    DeniedTooEarly(u32),
    /// A file of a version that had no locks has one.
    #[error("a file of version {0} has no locks")]
    LockTooEarly(u32),
    /// What was told does not come in the order of time, or before it was asked for.
    #[error("what a watch was told is not in the order of time")]
    WatchBackwards,
    /// A revision that no store reaches.
    #[error("revision {0} is out of range")]
    Revision(i64),
    /// The log does not go up.
    #[error("the log lines are not in the order of revisions")]
    LogOrder,
    /// A key is empty.
    #[error("a key is empty")]
    EmptyKey,
    /// A limit of this reader.
    #[error("more than {OPERATIONS_MAX} operations")]
    TooMany,
}

impl History {
    /// Reads what `write` wrote, or what somebody else wrote in the same format.
    pub fn read(mut from: impl BufRead) -> Result<History, ReadError> {
        let mut history = History::new();
        let mut ids: Vec<(OperationId, u64)> = Vec::new();
        let mut watches = BTreeSet::new();
        let mut bytes = Vec::new();
        let mut number = 0;
        let mut version = VERSION;
        loop {
            bytes.clear();
            number += 1;
            let at = |cause| ReadError::Line {
                line: number,
                cause,
            };
            let got = from
                .by_ref()
                .take(LINE_BYTES_MAX + 1)
                .read_until(b'\n', &mut bytes)?;
            if got == 0 {
                break;
            }
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            if bytes.len() as u64 > LINE_BYTES_MAX {
                return Err(at(BadLine::TooLong));
            }
            let line = serde_json::from_slice(&bytes).map_err(|error| at(BadLine::Json(error)))?;
            match &line {
                Line::Header(header) => version = header.version,
                Line::Watch(_) if version < VERSION_WATCHES => {
                    return Err(at(BadLine::WatchTooEarly(version)));
                }
                Line::Watch(watch) if version < VERSION_DENIED && watch.is_denied() => {
                    return Err(at(BadLine::DeniedTooEarly(version)));
                }
                Line::Lock(_) if version < VERSION_LOCKS => {
                    return Err(at(BadLine::LockTooEarly(version)));
                }
                Line::Watch(_) | Line::Operation(_) | Line::Lock(_) | Line::Log(_) => {}
            }
            take(&mut history, line, number).map_err(at)?;
            if let Some(watch) = history.watches.get(watches.len())
                && !watches.insert(watch.id)
            {
                return Err(at(BadLine::DuplicateWatch(watch.id)));
            }
            if let Some(operation) = history.operations.get(ids.len()) {
                ids.push((operation.id, number));
            }
        }
        if number == 1 {
            let cause = BadLine::Header;
            return Err(ReadError::Line { line: 1, cause });
        }
        unique(&history, ids)?;
        Ok(history)
    }
}

fn take(history: &mut History, line: Line, number: u64) -> Result<(), BadLine> {
    match line {
        Line::Header(header) => {
            if number != 1 {
                return Err(BadLine::Header);
            }
            if !(VERSION_OLDEST..=VERSION).contains(&header.version) {
                return Err(BadLine::Version {
                    found: header.version,
                });
            }
            history.base = in_range(Revision(header.revision), Revision::EMPTY)?;
        }
        Line::Operation(_) | Line::Watch(_) | Line::Lock(_) | Line::Log(_) if number == 1 => {
            return Err(BadLine::Header);
        }
        Line::Operation(operation) => {
            if history.operations.len() >= OPERATIONS_MAX {
                return Err(BadLine::TooMany);
            }
            let operation = operation.into_operation().map_err(BadLine::Code)?;
            check(&operation)?;
            history.operations.push(operation);
        }
        Line::Watch(watch) => {
            let watch = watch.into_watch();
            check_watch(&watch)?;
            history.watches.push(watch);
        }
        Line::Lock(lock) => {
            let lock = lock.into_lock();
            check_lock(&lock)?;
            history.locks.push(lock);
        }
        Line::Log(entry) => {
            let entry = entry.into_entry();
            in_range(entry.revision, Revision::EMPTY.next())?;
            if entry.records.iter().any(|record| record.key.is_empty()) {
                return Err(BadLine::EmptyKey);
            }
            let last = history.log.last().map(|entry| entry.revision);
            if last.is_some_and(|last| entry.revision <= last) {
                return Err(BadLine::LogOrder);
            }
            history.log.push(entry);
        }
    }
    Ok(())
}

fn check(operation: &Operation) -> Result<(), BadLine> {
    if let Call::Put(put) = &operation.call
        && put.key.is_empty()
    {
        return Err(BadLine::EmptyKey);
    }
    match operation.outcome {
        Outcome::Answered { revision, .. } => {
            in_range(revision, Revision::EMPTY)?;
        }
        Outcome::Refused { code } => {
            let reads = matches!(operation.call, Call::Range { .. });
            if !reads && !code.definitely_not_applied() {
                return Err(BadLine::NotRefused(code.as_str()));
            }
        }
        Outcome::Unknown => {}
    }
    match operation.returned {
        None if operation.is_unknown() => Ok(()),
        None => Err(BadLine::NoReturn),
        Some(returned) if returned < operation.invoked => Err(BadLine::Backwards),
        Some(_) => Ok(()),
    }
}

/// Nothing is told before it was asked for, and time does not go back; revisions can be counted
/// with. What a watch was told in which order is for the judge.
fn check_watch(watch: &Watch) -> Result<(), BadLine> {
    let mut now = Moment(0);
    let mut pass = |at: Moment| {
        let is_late = at >= now;
        now = at;
        is_late.then_some(()).ok_or(BadLine::WatchBackwards)
    };
    for stream in &watch.streams {
        pass(stream.asked)?;
        in_range(stream.start, Revision(0))?;
        if stream.ended.is_some_and(|ended| ended < stream.asked) {
            return Err(BadLine::WatchBackwards);
        }
        for word in &stream.told {
            pass(word.at())?;
            in_range(word.revision(), Revision(0))?;
            for event in word.events() {
                if event.record.key.is_empty() {
                    return Err(BadLine::EmptyKey);
                }
                in_range(event.record.meta.mod_revision, Revision(0))?;
            }
        }
    }
    Ok(())
}

/// Keys and revisions are such as a store can have; who held the lock is for the judge.
fn check_lock(lock: &Lock) -> Result<(), BadLine> {
    let granted = lock.grants.iter().map(|grant| &grant.key);
    if granted.chain(&lock.protects).any(Bytes::is_empty) {
        return Err(BadLine::EmptyKey);
    }
    for grant in &lock.grants {
        in_range(grant.token, Revision::EMPTY.next())?;
        in_range(grant.at, Revision::EMPTY.next())?;
    }
    Ok(())
}

fn in_range(revision: Revision, from: Revision) -> Result<Revision, BadLine> {
    if (from..=Revision(REVISION_MAX)).contains(&revision) {
        Ok(revision)
    } else {
        Err(BadLine::Revision(revision.0))
    }
}

/// Whether each id is there once: sorted when all is read, as most files are in order anyway.
fn unique(history: &History, mut ids: Vec<(OperationId, u64)>) -> Result<(), ReadError> {
    let lines: Vec<u64> = ids.iter().map(|(_, line)| *line).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).find(|pair| pair[0].0 == pair[1].0);
    let Some(&[_, (id, line)]) = twice else {
        return Ok(());
    };
    let place = lines.binary_search(&line).unwrap_or_default();
    let client = history.operations[place].client;
    Err(ReadError::Line {
        line,
        cause: BadLine::Duplicate { id, client },
    })
}
