//! The world of a made up run: a model, clients that overlap, and a clock that jumps.
//!
//! Invariants: (1) an operation happens at one moment between its request and its answer; one
//! whose outcome is unknown happens later than its request, once, or never; (2) nothing happens
//! between two events.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use super::{Chance, Log, Plan, calls};
use crate::history::{
    Call, ClientId, Consistency, History, LogEntry, LogRecord, Moment, OperationId,
};
use crate::model::Model;
use crate::recorder::Recorder;

/// How long a request or an answer travels at most, and a client rests.
const TRAVEL_MAX: u64 = 20;

/// The world of one run.
pub(super) struct World {
    pub(super) model: Model,
    pub(super) now: u64,
    plan: Plan,
    chance: Chance,
    recorder: Recorder,
    log: Vec<LogEntry>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events: u64,
    /// What the operations under way came to.
    results: BTreeMap<OperationId, Answer>,
    left: u64,
}

/// What the store says to one request.
pub(super) type Answer = Result<(Revision, Reply), ErrorCode>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Invoke(ClientId),
    Happen(OperationId),
    Answer(ClientId, OperationId),
    GiveUp(ClientId, OperationId),
    Refuse(ClientId, OperationId),
}

impl World {
    pub(super) fn new(seed: u64, plan: &Plan) -> World {
        World {
            model: Model::new(Revision::EMPTY),
            now: 0,
            plan: *plan,
            chance: Chance::new(seed),
            recorder: Recorder::new(),
            log: Vec::new(),
            queue: BinaryHeap::new(),
            events: 0,
            results: BTreeMap::new(),
            left: 0,
        }
    }

    /// Lets the clients make so many operations, until nothing is under way.
    pub(super) fn run(&mut self, operations: u64) {
        self.left = operations;
        for client in 1..=self.plan.clients {
            self.soon(Event::Invoke(ClientId(client)));
        }
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            self.now = at;
            self.take(event);
        }
        self.now += 1;
    }

    pub(super) fn finish(mut self) -> History {
        if self.plan.log != Log::None {
            self.recorder.log(self.log);
        }
        self.recorder.finish()
    }

    fn soon(&mut self, event: Event) -> u64 {
        let at = self.now + self.chance.below(TRAVEL_MAX);
        self.at(at, event)
    }

    fn at(&mut self, at: u64, event: Event) -> u64 {
        self.events += 1;
        self.queue.push(Reverse((at, self.events, event)));
        at
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Invoke(client) => self.next_operation(client),
            Event::Happen(id) => {
                let call = self.recorder.history().operations[id.0 as usize - 1]
                    .call
                    .clone();
                let answer = self.happen(id, &call);
                self.results.insert(id, answer);
            }
            Event::Answer(client, id) => {
                if let Some(answer) = self.results.remove(&id) {
                    self.answer(id, answer);
                }
                self.soon(Event::Invoke(client));
            }
            Event::GiveUp(client, id) => {
                self.recorder.give_up(id, Moment(self.now));
                self.soon(Event::Invoke(client));
            }
            Event::Refuse(client, id) => {
                self.recorder
                    .fail(id, Moment(self.now), ErrorCode::Overloaded);
                self.soon(Event::Invoke(client));
            }
        }
    }

    fn next_operation(&mut self, client: ClientId) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let value = self.fresh_value();
        let call = calls::next(&self.plan, &mut self.chance, &self.model, &value);
        let id = self.invoke(client, call);
        let fate = self.chance.below(100);
        if fate < self.plan.refused_percent {
            self.soon(Event::Refuse(client, id));
        } else if fate < self.plan.refused_percent + self.plan.unknown_percent {
            if self.chance.percent(50) {
                let late = self.now + self.chance.below(TRAVEL_MAX * 8);
                self.at(late, Event::Happen(id));
            }
            if self.chance.percent(90) {
                self.soon(Event::GiveUp(client, id));
            } else {
                // The client is gone with its operation; another one takes its place.
                self.soon(Event::Invoke(client));
            }
        } else {
            let happens = self.soon(Event::Happen(id));
            let back = happens + self.chance.below(TRAVEL_MAX);
            self.at(back, Event::Answer(client, id));
        }
    }

    /// A value for the next operation to write.
    pub(super) fn fresh_value(&mut self) -> Bytes {
        let number = if self.plan.unique_values {
            self.recorder.history().operations.len() as u64 + 1
        } else {
            self.chance.below(3)
        };
        format!("v{number}").into()
    }

    /// A key that the clients use.
    pub(super) fn key(&mut self) -> Bytes {
        calls::key(self.chance.below(self.plan.keys))
    }

    pub(super) fn invoke(&mut self, client: ClientId, call: Call) -> OperationId {
        self.recorder.invoke(client, Moment(self.now), call)
    }

    /// The store does what it is asked, for this operation.
    pub(super) fn happen(&mut self, id: OperationId, call: &Call) -> Answer {
        let answer = match call {
            Call::Range {
                range,
                consistency: Consistency::Serializable,
            } => self.old_read(range),
            _ => self
                .model
                .run(call)
                .map(|reply| (self.model.revision(), reply)),
        };
        if call.may_write() && !self.model.written().is_empty() {
            self.record_log(id);
        }
        answer
    }

    /// A node that is behind answers with the state that it has.
    fn old_read(&mut self, range: &hstore_core::range::Range) -> Answer {
        let current = self.model.revision();
        let at = Revision((current.0 - self.chance.below(4) as i64).max(1));
        let mut then = range.clone();
        then.revision = at;
        match self.model.read(&then) {
            Ok(result) => Ok((at, Reply::Range(result))),
            Err(_) => Ok((current, Reply::Range(self.model.read(range)?))),
        }
    }

    pub(super) fn answer(&mut self, id: OperationId, answer: Answer) {
        match answer {
            Ok((revision, reply)) => {
                self.recorder.answer(id, Moment(self.now), revision, reply);
            }
            Err(code) => self.recorder.fail(id, Moment(self.now), code),
        }
    }

    fn record_log(&mut self, id: OperationId) {
        let mut keys = self.model.written().to_vec();
        keys.sort();
        keys.dedup();
        let record = |key: Bytes| {
            let cell = self.model.newest(&key);
            let live = cell.filter(|cell| !cell.meta.is_tombstone());
            LogRecord {
                value: live.map(|cell| cell.value.clone()),
                key,
            }
        };
        self.log.push(LogEntry {
            revision: self.model.revision(),
            records: keys.into_iter().map(record).collect(),
            operation: (self.plan.log == Log::Named).then_some(id),
        });
    }
}

/// What a script needs to make something happen, and go wrong, while nothing else is under way.
impl World {
    /// One operation alone: asked, done, answered; `bend` has the answer before the client.
    pub(super) fn alone(&mut self, call: Call, bend: impl FnOnce(&mut Revision, &mut Reply)) {
        let (id, mut answer) = self.begin(call);
        if let Ok((revision, reply)) = &mut answer {
            bend(revision, reply);
        }
        self.end(id, answer);
    }

    /// One operation alone, as it should be.
    pub(super) fn plain(&mut self, call: Call) {
        self.alone(call, |_, _| {});
    }

    /// Asks and does, but does not answer yet.
    pub(super) fn begin(&mut self, call: Call) -> (OperationId, Answer) {
        let id = self.ask(call);
        let call = self.recorder.history().operations[id.0 as usize - 1]
            .call
            .clone();
        let answer = self.happen(id, &call);
        (id, answer)
    }

    /// The id of the operation that will be asked as the `n`th from now.
    pub(super) fn id_ahead(&self, n: u64) -> OperationId {
        OperationId(self.recorder.history().operations.len() as u64 + n)
    }

    /// Asks, and nothing happens yet.
    pub(super) fn ask(&mut self, call: Call) -> OperationId {
        self.now += 1;
        self.invoke(ClientId(1), call)
    }

    pub(super) fn end(&mut self, id: OperationId, answer: Answer) {
        self.now += 1;
        self.answer(id, answer);
        self.now += 1;
    }

    /// The last write did not happen; with `keeps_revision` its revision stays, empty.
    pub(super) fn lose_last(&mut self, keeps_revision: bool) {
        let revision = self.model.revision();
        self.model.undo();
        if keeps_revision {
            self.model.skip_to(revision);
            if let Some(last) = self.log.last_mut() {
                last.records.clear();
            }
        } else {
            self.log.pop();
        }
    }

    /// The log forgets its newest entry.
    pub(super) fn forget_log(&mut self) {
        self.log.pop();
    }
}
