//! The replay: all writes in the order of revisions, each answer at its place.
//!
//! Invariants: (1) the model goes through every revision once, in order; (2) where a write is
//! wrong, the replay goes on with what the log has, else with what was answered, so that one
//! mistake is not found a second time as another one.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use super::compare::{self, Difference};
use super::order::Order;
use super::unknown::{Seen, Sight, Unknown, may_write};
use super::unlogged::Unlogged;
use super::{Testimony, id_of};
use crate::history::{Call, History, LogEntry, Operation, OperationId, Outcome};
use crate::model::{Branches, Model};
use crate::violation::Kind;
use crate::words;

/// So many operations that wrote the same are looked at to explain a record that nobody wrote.
const SUSPECTS_MAX: usize = 16;

/// The walk through all revisions.
pub(super) struct Replay<'h, 't> {
    pub(super) history: &'h History,
    pub(super) order: &'h Order,
    pub(super) unknown: Unknown<'h>,
    pub(super) unlogged: Unlogged<'h>,
    pub(super) model: Model,
    pub(super) testimony: &'t mut Testimony,
    /// Writes with an answer and reads, by revision; the places in the history beside them.
    writes: Vec<(Revision, u32)>,
    reads: Vec<(Revision, u32)>,
    ids: Ids,
}

impl<'h, 't> Replay<'h, 't> {
    pub(super) fn of(
        history: &'h History,
        order: &'h Order,
        writes: Vec<(Revision, u32)>,
        reads: Vec<(Revision, u32)>,
        testimony: &'t mut Testimony,
    ) -> Replay<'h, 't> {
        let unknown = Unknown::of(history, order);
        let unlogged = Unlogged::of(history, order, &writes, &unknown);
        Replay {
            history,
            order,
            unknown,
            unlogged,
            model: Model::new(Revision::EMPTY),
            testimony,
            writes,
            reads,
            ids: Ids::of(history),
        }
    }

    pub(super) fn run(mut self) {
        let writes = std::mem::take(&mut self.writes);
        let reads = std::mem::take(&mut self.reads);
        let (mut writes, mut reads) = (&writes[..], &reads[..]);
        let mut log = &self.history.log[..];
        loop {
            let heads = [
                writes.first().map(|(revision, _)| *revision),
                reads.first().map(|(revision, _)| *revision),
                log.first().map(|entry| entry.revision),
            ];
            let Some(at) = heads.into_iter().flatten().min() else {
                break;
            };
            let acked = head(&mut writes, at);
            let entry = log.first().filter(|entry| entry.revision == at);
            log = &log[usize::from(entry.is_some())..];
            let is_written = entry.is_some() || !acked.is_empty();
            let through = if is_written { Revision(at.0 - 1) } else { at };
            self.close_gap(through);
            if is_written {
                self.write(at, acked, entry);
            }
            for (_, place) in head(&mut reads, at) {
                self.read(*place);
            }
        }
        // A read of the past says in its head how far the store had come.
        self.close_gap(self.order.newest().revision);
        self.testimony.resolved = self.unknown.resolved.len() as u64;
    }

    /// Goes to a revision of which neither an answer nor the log says who wrote it.
    fn close_gap(&mut self, through: Revision) {
        let mut at = self.model.revision().next();
        while at <= through {
            if self.is_logged(at) {
                self.missing_in_log(at, through);
                self.model.skip_to(through);
            } else {
                self.unlogged_write(at, through);
            }
            at = self.model.revision().next();
        }
    }

    /// Whether the log would say what wrote this revision.
    fn is_logged(&self, at: Revision) -> bool {
        self.history
            .log
            .first()
            .is_some_and(|first| at >= first.revision)
    }

    fn missing_in_log(&mut self, from: Revision, through: Revision) {
        let by = self
            .order
            .newest()
            .operation
            .map(|place| id_of(self.history, place));
        let involved: Vec<OperationId> = by.into_iter().collect();
        self.found(Kind::LogMissing, &involved, from, || {
            format!("revisions {from} to {through} were answered, but the log lacks them")
        });
    }

    fn write(&mut self, at: Revision, acked: &[(Revision, u32)], entry: Option<&'h LogEntry>) {
        if let [(_, first), (_, second), ..] = acked {
            let ids = [first, second].map(|place| id_of(self.history, *place));
            self.found(Kind::RevisionReused, &ids, at, || {
                format!(
                    "operations {} and {} were both answered with revision {at}",
                    ids[0], ids[1]
                )
            });
        }
        let named = entry.and_then(|entry| entry.operation);
        let chosen = acked
            .iter()
            .map(|(_, place)| *place)
            .find(|place| named.is_none_or(|id| id == id_of(self.history, *place)));
        match (chosen, entry) {
            (Some(place), _) => self.acked_write(at, place, entry),
            (None, Some(entry)) => {
                if let Some((_, place)) = acked.first() {
                    let id = id_of(self.history, *place);
                    self.found(Kind::LogDiffers, &[id], at, || {
                        let other = named.map_or_else(String::new, |id| id.to_string());
                        format!(
                            "operation {id} was answered with revision {at}, but the log has \
                             operation {other} there"
                        )
                    });
                }
                self.logged_write(entry);
            }
            (None, None) => {}
        }
    }

    /// A write that was answered, whether or not there is a log.
    fn acked_write(&mut self, at: Revision, place: u32, entry: Option<&'h LogEntry>) {
        let history = self.history;
        let operation = &history.operations[place as usize];
        let id = operation.id;
        if entry.is_none() && self.is_logged(at) {
            self.found(Kind::LogMissing, &[id], at, || {
                format!("operation {id} was answered with revision {at}, which the log lacks")
            });
        }
        let Some((_, found)) = operation.answer() else {
            return;
        };
        if self.is_hazy(&operation.call) {
            self.testimony.unchecked += 1;
            // What was answered is all that is known; a refusal cannot be told either.
            let _refusal = self
                .model
                .run_by(&operation.call, Branches::Told(found))
                .is_err();
            self.settle_deleted(&operation.call, at);
            self.model.skip_to(at);
            return;
        }
        let expected = self.model.run(&operation.call);
        self.compare(operation, at, expected, found);
        if let Some(entry) = entry
            && !self.wrote(entry)
        {
            self.found(Kind::LogDiffers, &[id], at, || {
                format!("the log at revision {at} is not what operation {id} writes there")
            });
            self.model.undo();
            self.model.run_records(entry.pairs());
        }
        self.model.skip_to(at);
    }

    /// A write that only the log knows.
    fn logged_write(&mut self, entry: &'h LogEntry) {
        let at = entry.revision;
        if at <= self.history.base {
            self.model.run_records(entry.pairs());
            return;
        }
        let explained = match entry.operation {
            Some(id) => self.named_write(entry, id),
            // It is written below, and what ended it is nobody's operation.
            None if self.is_end_of_lease(entry) => false,
            None => self.nameless_write(entry),
        };
        if !explained {
            self.model.run_records(entry.pairs());
        }
        self.model.skip_to(at);
    }

    /// Whether the entry deletes all keys of one lease and nothing else.
    fn is_end_of_lease(&self, entry: &LogEntry) -> bool {
        let deletes = entry.records.iter().all(|record| record.value.is_none());
        let keys = entry.records.iter().map(|record| &record.key);
        deletes && self.model.are_all_of_a_lease(keys)
    }

    /// Whether the operation that the log names is run, and the log is what it writes.
    fn named_write(&mut self, entry: &'h LogEntry, id: OperationId) -> bool {
        let at = entry.revision;
        let Some(place) = self.ids.find(id) else {
            self.found(Kind::Phantom, &[id], at, || {
                format!("the log at revision {at} names operation {id}, which nobody invoked")
            });
            return false;
        };
        let operation = &self.history.operations[place as usize];
        match &operation.outcome {
            Outcome::Answered { revision, reply } => {
                let kind = if compare::wrote(reply) {
                    Kind::AppliedTwice
                } else {
                    Kind::LogDiffers
                };
                self.found(kind, &[id], at, || {
                    format!(
                        "operation {id} was answered with revision {revision}, and the log has it \
                         at revision {at}"
                    )
                });
                false
            }
            Outcome::Refused { code } => {
                self.found(Kind::RefusedApplied, &[id], at, || {
                    format!("operation {id} was refused ({code}), and the log has it at {at}")
                });
                false
            }
            Outcome::Unknown => {
                if let Some(first) = self.unknown.resolved.get(&place).copied() {
                    self.found(Kind::AppliedTwice, &[id], at, || {
                        format!("the log has operation {id} at revisions {first} and {at}")
                    });
                    return false;
                }
                self.resolve(place, at);
                let ran = self.model.run(&operation.call).is_ok() && self.wrote(entry);
                if !ran {
                    self.model.undo();
                }
                if !ran && !self.is_in_haze() {
                    self.found(Kind::LogDiffers, &[id], at, || {
                        format!("the log at revision {at} is not what operation {id} writes there")
                    });
                }
                ran
            }
        }
    }

    /// Whether an unknown operation is found and run that writes what the log has.
    fn nameless_write(&mut self, entry: &'h LogEntry) -> bool {
        let at = entry.revision;
        let seen: Vec<Seen> = entry.records.iter().map(Seen::from).collect();
        let candidates = self.unknown.candidates(&seen);
        let may_be_any = self.is_in_haze() && !candidates.is_empty();
        let able = self.able(&candidates, |replay| replay.wrote(entry));
        let (in_time, late): (Vec<u32>, Vec<u32>) = able
            .into_iter()
            .partition(|place| self.unknown.is_before(*place, at));
        // What can be at few places goes first, and leaves the others to what can be anywhere.
        let chosen = in_time
            .iter()
            .min_by_key(|place| self.unknown.is_always_able(**place));
        let exchangeable = self.unknown.exchangeable.clone();
        if chosen.is_none()
            && (may_be_any
                || !self
                    .able(&exchangeable, |replay| replay.wrote(entry))
                    .is_empty())
        {
            return false;
        }
        let Some(place) = chosen.or(late.first()).copied() else {
            self.unexplained(at, &seen, None);
            return false;
        };
        if in_time.len() > 1 && !self.unknown.is_always_able(place) {
            self.unknown.exchangeable.push(place);
        }
        self.resolve(place, at);
        let call = &self.history.operations[place as usize].call;
        self.model.run(call).is_ok()
    }

    /// Those of some operations that, in the state as it is, would do what is asked for.
    pub(super) fn able(&mut self, places: &[u32], does: impl Fn(&Self) -> bool) -> Vec<u32> {
        let mut able = Vec::new();
        for place in places {
            let call = &self.history.operations[*place as usize].call;
            if self.model.run(call).is_ok() && does(self) {
                able.push(*place);
            }
            self.model.undo();
        }
        able
    }

    /// An unknown operation happened at this revision, which must be after it was invoked.
    pub(super) fn resolve(&mut self, place: u32, at: Revision) {
        self.unknown.resolve(place, at);
        let operation = &self.history.operations[place as usize];
        let newest = self.order.before(operation.invoked);
        if newest.revision >= at {
            let by = newest.operation.map(|place| id_of(self.history, place));
            let involved: Vec<_> = [operation.id].into_iter().chain(by).collect();
            self.found(Kind::AppliedBeforeInvoked, &involved, at, || {
                format!(
                    "operation {} happened at revision {at}, but revision {} was answered before \
                     it was invoked",
                    operation.id, newest.revision
                )
            });
        }
    }

    /// A revision holds records that no operation explains: says what comes nearest.
    pub(super) fn unexplained(&mut self, at: Revision, seen: &[Seen], by: Option<OperationId>) {
        if !self.testimony.violations.wants_more() {
            self.found(Kind::Phantom, &[], at, String::new);
            return;
        }
        let what: Vec<String> = seen.iter().map(described).collect();
        let what = what.join(", ");
        let place = by.map_or("in the log".to_owned(), |by| {
            format!("seen by operation {by}")
        });
        let suspect = self.suspect(seen);
        let (kind, why) = match suspect {
            None => (Kind::Phantom, "which no operation wrote".to_owned()),
            Some(id) => {
                let (kind, why) = self.accuse(id);
                (kind, format!("{why} {id}"))
            }
        };
        let involved: Vec<OperationId> = suspect.into_iter().chain(by).collect();
        self.found(kind, &involved, at, || {
            format!("revision {at} holds {what} ({place}), {why}")
        });
    }

    /// The operation that could have written something, had it been its place: a refused one
    /// explains most, one that is accounted for elsewhere a repetition.
    fn suspect(&self, seen: &[Seen]) -> Option<OperationId> {
        let operations = self.history.operations.iter();
        let may = |operation: &&Operation| {
            !seen.is_empty() && seen.iter().all(|seen| may_write(&operation.call, seen))
        };
        let suspects = operations.filter(may).take(SUSPECTS_MAX);
        let is_not_refused =
            |suspect: &&Operation| !matches!(suspect.outcome, Outcome::Refused { .. });
        suspects
            .min_by_key(is_not_refused)
            .map(|suspect| suspect.id)
    }

    fn accuse(&self, id: OperationId) -> (Kind, &'static str) {
        let outcome = self.ids.find(id).map(|place| {
            (
                &self.history.operations[place as usize].outcome,
                self.unknown.resolved.contains_key(&place),
            )
        });
        match outcome {
            Some((Outcome::Refused { .. }, _)) => (
                Kind::RefusedApplied,
                "which was written by the refused operation",
            ),
            Some((Outcome::Answered { .. }, _) | (Outcome::Unknown, true)) => (
                Kind::AppliedTwice,
                "which looks like a repetition of operation",
            ),
            Some((Outcome::Unknown, false)) | None => (
                Kind::Phantom,
                "which is not what the state makes of operation",
            ),
        }
    }

    fn read(&mut self, place: u32) {
        let operation = &self.history.operations[place as usize];
        let Some((revision, found)) = operation.answer() else {
            return;
        };
        // A compaction changes no answer, and it is not the model's to say when it took place.
        if matches!(operation.call, Call::Compact(_)) {
            return;
        }
        if self.is_hazy(&operation.call) && !self.settle_read(operation, found) {
            self.testimony.unchecked += 1;
            return;
        }
        let expected = self.model.run(&operation.call);
        let wrote = !self.model.written().is_empty();
        self.compare(operation, revision, expected, found);
        if wrote {
            // It should have been a write; that was said, and the revisions go on without it.
            self.model.undo();
        }
    }

    fn compare(
        &mut self,
        operation: &Operation,
        at: Revision,
        expected: Result<Reply, ErrorCode>,
        found: &Reply,
    ) {
        let id = operation.id;
        let expected = match expected {
            Ok(expected) => expected,
            Err(code) => {
                self.found(Kind::WrongReply, &[id], at, || {
                    format!("operation {id} was answered, expected its refusal ({code})")
                });
                return;
            }
        };
        let Some(Difference { kind, what, found }) =
            compare::difference(&operation.call, &expected, found)
        else {
            return;
        };
        let refused = found.and_then(|record| self.refused_writer(&record.key, &record.value));
        let kind = if refused.is_some() {
            Kind::RefusedApplied
        } else {
            kind
        };
        let involved: Vec<OperationId> = [id].into_iter().chain(refused).collect();
        self.found(kind, &involved, at, || {
            let by = refused.map_or_else(String::new, |by| {
                format!("; this is what operation {by} would have written, which was refused")
            });
            format!("operation {id} at revision {at}: {what}{by}")
        });
    }

    /// The refused operation that alone could have written a record.
    fn refused_writer(&self, key: &Bytes, value: &Bytes) -> Option<OperationId> {
        if !self.testimony.violations.wants_more() {
            return None;
        }
        let seen = Seen {
            key: key.clone(),
            what: Sight::Value(value.clone()),
        };
        let operations = self.history.operations.iter();
        let mut writers = operations.filter(|operation| may_write(&operation.call, &seen));
        let first = writers.next()?;
        let is_refused = |outcome| matches!(outcome, &Outcome::Refused { .. });
        let only_refused =
            is_refused(&first.outcome) && writers.all(|writer| is_refused(&writer.outcome));
        only_refused.then_some(first.id)
    }

    /// Whether the model's last call wrote what the log entry has.
    fn wrote(&self, entry: &LogEntry) -> bool {
        let mut left: BTreeMap<&Bytes, Option<&Bytes>> = BTreeMap::new();
        for record in &entry.records {
            left.insert(&record.key, record.value.as_ref());
        }
        let written = self.model.written();
        let mut matched: Vec<&Bytes> = Vec::with_capacity(written.len());
        for key in written {
            let Some(cell) = self.model.newest(key) else {
                return false;
            };
            let value = (!cell.meta.is_tombstone()).then_some(&cell.value);
            if left.get(key) != Some(&value) {
                return false;
            }
            matched.push(key);
        }
        matched.sort_unstable();
        matched.dedup();
        matched.len() == left.len()
    }

    pub(super) fn found(
        &mut self,
        kind: Kind,
        operations: &[OperationId],
        at: Revision,
        sentence: impl FnOnce() -> String,
    ) {
        self.testimony
            .violations
            .push(kind, operations, Some(at), sentence);
    }
}

impl LogEntry {
    fn pairs(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.records
            .iter()
            .map(|record| (&record.key, record.value.as_ref()))
    }
}

fn described(seen: &Seen) -> String {
    let key = words::quoted(&seen.key);
    match &seen.what {
        Sight::Presence => key,
        Sight::Tombstone => format!("{key} deleted"),
        Sight::Value(value) => format!("{key} = {}", words::quoted(value)),
    }
}

/// Cuts those that stand at a revision off the front.
fn head<'l>(list: &mut &'l [(Revision, u32)], at: Revision) -> &'l [(Revision, u32)] {
    let end = list.iter().position(|(revision, _)| *revision != at);
    let (head, rest) = list.split_at(end.unwrap_or(list.len()));
    *list = rest;
    head
}

/// From operation ids to places.
struct Ids(Vec<(OperationId, u32)>);

impl Ids {
    fn of(history: &History) -> Ids {
        let ids = history.operations.iter().map(|operation| operation.id);
        let mut ids: Vec<(OperationId, u32)> = ids.zip(0u32..).collect();
        ids.sort_unstable();
        Ids(ids)
    }

    fn find(&self, id: OperationId) -> Option<u32> {
        let place = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.0[place].1)
    }
}
