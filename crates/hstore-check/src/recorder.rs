//! Writing down what clients do while they do it.
//!
//! Whoever drives the clients says what time it is. Clients that run at once share one recorder
//! behind whatever lock their world has; a push costs no more than a place in a list.
//!
//! Invariants: (1) operations have the ids 1, 2, 3 and so on in the order in which they were
//! invoked; (2) what nobody reported on when the run ends is unknown; (3) the first report of an
//! operation stands, later ones change nothing; (4) what a watch was told stays in the order in
//! which it was recorded.

use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use crate::history::{
    Call, ClientId, History, LogEntry, Moment, Operation, OperationId, Outcome, Stream, Watch,
    WatchId, Wish, Word,
};

/// A history in the making.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    history: History,
}

impl Recorder {
    /// Begins a run on an empty store.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// Begins a run on a store at revision `base`, whose log will be recorded from its beginning.
    pub fn from(base: Revision) -> Recorder {
        let mut recorder = Recorder::new();
        recorder.history.base = base;
        recorder
    }

    /// A client sends a request. Call this before the request leaves.
    pub fn invoke(&mut self, client: ClientId, now: Moment, call: Call) -> OperationId {
        let id = OperationId(self.history.operations.len() as u64 + 1);
        self.history.operations.push(Operation {
            id,
            client,
            invoked: now,
            returned: None,
            call,
            outcome: Outcome::Unknown,
        });
        id
    }

    /// The answer arrived. Call this after it arrived.
    pub fn answer(&mut self, id: OperationId, now: Moment, revision: Revision, reply: Reply) {
        self.report(id, now, Outcome::Answered { revision, reply });
    }

    /// An error arrived. A write whose code leaves open whether it happened becomes unknown.
    pub fn fail(&mut self, id: OperationId, now: Moment, code: ErrorCode) {
        let reads = |operation: &Operation| matches!(operation.call, Call::Range { .. });
        if code.definitely_not_applied() || self.get(id).is_some_and(reads) {
            self.report(id, now, Outcome::Refused { code });
        } else {
            self.give_up(id, now);
        }
    }

    /// The client stops waiting; the operation may still happen.
    pub fn give_up(&mut self, id: OperationId, now: Moment) {
        self.report(id, now, Outcome::Unknown);
    }

    /// A client begins to watch. It has no stream yet.
    pub fn watch(&mut self, client: ClientId, wish: Wish) -> WatchId {
        let id = WatchId(self.history.watches.len() as u64 + 1);
        self.history.watches.push(Watch {
            id,
            client,
            wish,
            streams: Vec::new(),
        });
        id
    }

    /// A client asks a node for its watch, from a revision on; 0 is the next one. What it is told
    /// from now on is of this stream. Call this before the request leaves.
    pub fn stream(&mut self, id: WatchId, now: Moment, start: Revision) {
        if let Some(watch) = self.watch_of(id) {
            watch.streams.push(Stream {
                asked: now,
                start,
                ended: None,
                told: Vec::new(),
            });
        }
    }

    /// A client asks for the end of a stream.
    pub fn end(&mut self, id: WatchId, now: Moment) {
        if let Some(stream) = self.stream_of(id) {
            stream.ended.get_or_insert(now);
        }
    }

    /// A watch was told something. Call this after it arrived.
    pub fn told(&mut self, id: WatchId, word: Word) {
        if let Some(stream) = self.stream_of(id) {
            stream.told.push(word);
        }
    }

    /// Takes over what the nodes agreed on, in any order.
    pub fn log(&mut self, entries: impl IntoIterator<Item = LogEntry>) {
        self.history.log.extend(entries);
        self.history.log.sort_by_key(|entry| entry.revision);
    }

    /// What was recorded so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ends the run.
    pub fn finish(self) -> History {
        self.history
    }

    fn get(&self, id: OperationId) -> Option<&Operation> {
        let place = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.history.operations.get(place)
    }

    fn watch_of(&mut self, id: WatchId) -> Option<&mut Watch> {
        let place = usize::try_from(id.0.checked_sub(1)?).ok()?;
        self.history.watches.get_mut(place)
    }

    fn stream_of(&mut self, id: WatchId) -> Option<&mut Stream> {
        self.watch_of(id)?.streams.last_mut()
    }

    fn report(&mut self, id: OperationId, now: Moment, outcome: Outcome) {
        let place = id.0.checked_sub(1).and_then(|n| usize::try_from(n).ok());
        let operation = place.and_then(|place| self.history.operations.get_mut(place));
        if let Some(operation) = operation
            && operation.returned.is_none()
        {
            operation.returned = Some(now.max(operation.invoked));
            operation.outcome = outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::command::Put;

    use super::*;

    fn put() -> Call {
        Call::Put(Put {
            key: "a".into(),
            value: "1".into(),
            lease: 0,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: false,
        })
    }

    #[test]
    fn an_error_that_leaves_the_outcome_open_makes_a_write_unknown() {
        let mut recorder = Recorder::new();
        let codes = [ErrorCode::Overloaded, ErrorCode::OutcomeUnknown];
        let [refused, unknown] = codes.map(|code| {
            let id = recorder.invoke(ClientId(1), Moment(1), put());
            recorder.fail(id, Moment(2), code);
            id
        });
        let silent = recorder.invoke(ClientId(1), Moment(3), put());
        let history = recorder.finish();
        let ids: Vec<_> = history.operations.iter().map(|o| o.id).collect();
        assert_eq!(ids, [refused, unknown, silent]);
        let unknown: Vec<_> = history
            .operations
            .iter()
            .map(Operation::is_unknown)
            .collect();
        assert_eq!(unknown, [false, true, true]);
        assert_eq!(history.operations[2].returned, None);
    }

    #[test]
    fn a_watch_is_told_in_its_last_stream() {
        let mut recorder = Recorder::new();
        let wish = Wish::of(hstore_core::key::KeyRange::all());
        let id = recorder.watch(ClientId(3), wish);
        let made = |at| Word::Created {
            at: Moment(at),
            revision: Revision(at as i64),
        };
        recorder.told(id, made(1));
        recorder.stream(id, Moment(2), Revision(0));
        recorder.told(id, made(3));
        recorder.stream(id, Moment(4), Revision(4));
        recorder.end(id, Moment(5));
        recorder.end(id, Moment(6));
        recorder.told(id, made(7));
        recorder.told(WatchId(9), made(8));
        let history = recorder.finish();
        let streams = &history.watches[0].streams;
        assert_eq!(streams.len(), 2);
        assert_eq!(streams[0].told, [made(3)]);
        assert_eq!(streams[0].ended, None);
        assert_eq!(streams[1].told, [made(7)]);
        assert_eq!(streams[1].ended, Some(Moment(5)));
    }

    #[test]
    fn the_first_report_stands() {
        let mut recorder = Recorder::new();
        let id = recorder.invoke(ClientId(1), Moment(5), put());
        recorder.answer(id, Moment(9), Revision(2), Reply::Put { previous: None });
        recorder.give_up(id, Moment(10));
        recorder.give_up(OperationId(0), Moment(10));
        recorder.give_up(OperationId(7), Moment(10));
        let history = recorder.finish();
        assert!(history.operations[0].answer().is_some());
        assert_eq!(history.operations[0].returned, Some(Moment(9)));
    }
}
