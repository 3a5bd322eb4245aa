//! Watches of a made up run: what several clients would have been told of it.
//!
//! All of them listen when the run is over, so that each node that they meet knows some of it.
//!
//! Invariant: a watch of this file is one that a correct store can serve.

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;

use super::Chance;
use crate::history::{
    Call, ClientId, Event, History, Moment, Outcome, Stream, Watch, WatchId, Wish, Word,
};
use crate::model::Model;

/// What happened in a run, as a watch of everything would tell it.
pub(super) struct Truth {
    /// Each revision with its events.
    pub(super) revisions: Vec<(Revision, Vec<Event>)>,
    /// The newest revision.
    pub(super) last: Revision,
    /// Up to where history was compacted.
    pub(super) compacted: Revision,
    /// Whether nobody tried to compact it.
    pub(super) is_whole: bool,
    /// When all was over.
    pub(super) end: u64,
}

impl Truth {
    pub(super) fn of(history: &History) -> Truth {
        let mut model = Model::new(Revision::EMPTY);
        let mut revisions = Vec::new();
        for entry in &history.log {
            let record = |model: &Model, key: &Bytes| {
                let cell = model.newest(key)?;
                Some(hstore_core::record::Record {
                    key: key.clone(),
                    value: cell.value.clone(),
                    meta: cell.meta,
                })
            };
            let keys = entry.records.iter().map(|record| &record.key);
            let before: Vec<_> = keys.clone().map(|key| record(&model, key)).collect();
            let pairs = entry.records.iter();
            model.run_records(pairs.map(|record| (&record.key, record.value.as_ref())));
            let events = keys.zip(before).filter_map(|(key, before)| {
                Some(Event {
                    record: record(&model, key)?,
                    previous: before.filter(|before| !before.meta.is_tombstone()),
                })
            });
            revisions.push((entry.revision, events.collect()));
        }
        let compacted = history.operations.iter().filter_map(|operation| {
            let Call::Compact(compact) = &operation.call else {
                return None;
            };
            matches!(operation.outcome, Outcome::Answered { .. }).then_some(compact.revision)
        });
        let ends = history.operations.iter().map(|operation| {
            let returned = operation.returned.unwrap_or(operation.invoked);
            returned.0
        });
        Truth {
            last: model.revision(),
            compacted: compacted.max().unwrap_or(Revision(0)),
            is_whole: !history
                .operations
                .iter()
                .any(|operation| matches!(operation.call, Call::Compact(_))),
            end: ends.max().unwrap_or(0),
            revisions,
        }
    }

    /// What a watch hears of the revisions from one to another, both included.
    pub(super) fn told(&self, wish: &Wish, from: Revision, to: Revision) -> Vec<Event> {
        let mut told = Vec::new();
        for (_, events) in self
            .revisions
            .iter()
            .filter(|(at, _)| (from..=to).contains(at))
        {
            for event in events {
                let record = &event.record;
                if wish.wants(&record.key, record.meta.is_tombstone()) {
                    let mut event = event.clone();
                    if !wish.prev_kv {
                        event.previous = None;
                    }
                    told.push(event);
                }
            }
        }
        told
    }
}

/// Adds so many watches to a good history, which must have its log.
pub(super) fn add(history: &mut History, seed: u64, count: u64) {
    let truth = Truth::of(history);
    for nth in 1..=count {
        let mut listener = Listener {
            chance: Chance::new(seed.wrapping_mul(1000).wrapping_add(nth)),
            now: truth.end + 1,
            truth: &truth,
        };
        let (wish, streams) = listener.listen();
        history.watches.push(Watch {
            id: WatchId(nth),
            client: ClientId(100 + nth),
            wish,
            streams,
        });
    }
}

struct Listener<'t> {
    chance: Chance,
    now: u64,
    truth: &'t Truth,
}

impl Listener<'_> {
    fn moment(&mut self) -> Moment {
        self.now += self.chance.below(5);
        Moment(self.now)
    }

    fn any(&mut self, from: Revision, to: Revision) -> Revision {
        let width = (to.0 - from.0 + 1).max(1) as u64;
        Revision(from.0 + self.chance.below(width) as i64)
    }

    fn wish(&mut self) -> Wish {
        let key = super::calls::key(self.chance.below(4));
        let keys = match self.chance.below(3) {
            0 => KeyRange::One(key),
            1 => KeyRange::From(key),
            _ => KeyRange::all(),
        };
        Wish {
            prev_kv: self.chance.percent(50),
            no_put: self.chance.percent(10),
            no_delete: self.chance.percent(10),
            fragment: self.chance.percent(40),
            ..Wish::of(keys)
        }
    }

    fn listen(&mut self) -> (Wish, Vec<Stream>) {
        let (wish, last) = (self.wish(), self.truth.last);
        let oldest = self.truth.compacted.max(Revision(1));
        let mut start = match self.chance.below(4) {
            0 => Revision(0),
            1 => Revision(last.0 + 1 + self.chance.below(5) as i64),
            2 => oldest,
            _ => self.any(oldest, last),
        };
        let mut streams = Vec::new();
        loop {
            let (stream, next) = self.stream(&wish, start);
            streams.push(stream);
            match next {
                Some(next) => start = next,
                None => return (wish, streams),
            }
        }
    }

    /// One stream, and from where the next one goes on, if there is one.
    fn stream(&mut self, wish: &Wish, start: Revision) -> (Stream, Option<Revision>) {
        let (last, compacted) = (self.truth.last, self.truth.compacted);
        let asked = self.moment();
        // The node may be behind; a watch from now on begins where it is.
        let node = self.any(compacted.max(Revision(1)), last);
        let mut stream = Stream {
            asked,
            start,
            ended: None,
            told: Vec::new(),
        };
        if self.chance.percent(10) {
            return (stream, Some(start));
        }
        let from = if start == Revision(0) {
            node.next()
        } else {
            start
        };
        let at = self.moment();
        let revision = node;
        stream.told.push(Word::Created { at, revision });
        let mut upto = Revision(from.0 - 1);
        while upto < last {
            let to = self.any(upto.next(), last);
            if !self.answer(wish, &mut stream, upto.next(), to) {
                // It broke in the middle of an answer.
                return (stream, Some(upto.next()));
            }
            upto = to;
            if self.chance.percent(20) {
                let at = self.moment();
                let revision = upto;
                stream.told.push(Word::Progress { at, revision });
            }
            if self.chance.percent(10) {
                return (stream, Some(upto.next()));
            }
        }
        if self.chance.percent(30) {
            let ended = self.moment();
            stream.ended = Some(ended);
            let at = self.moment();
            stream.told.push(Word::Canceled {
                at,
                revision: last,
                compacted: Revision(0),
                denied: false,
            });
        }
        (stream, None)
    }

    /// An answer with all of some revisions; whether it arrived whole.
    fn answer(&mut self, wish: &Wish, stream: &mut Stream, from: Revision, to: Revision) -> bool {
        let mut events = self.truth.told(wish, from, to);
        for event in &mut events {
            let was_compacted = event.record.meta.mod_revision <= self.truth.compacted;
            if was_compacted && self.chance.percent(50) {
                event.previous = None;
            }
        }
        if events.is_empty() {
            return true;
        }
        while wish.fragment && events.len() > 1 && self.chance.percent(50) {
            let rest = events.split_off(1 + self.chance.below(events.len() as u64 - 1) as usize);
            let at = self.moment();
            stream.told.push(Word::Events {
                at,
                revision: to,
                events: std::mem::replace(&mut events, rest),
                more: true,
            });
            if self.chance.percent(10) {
                return false;
            }
        }
        let at = self.moment();
        stream.told.push(Word::Events {
            at,
            revision: to,
            events,
            more: false,
        });
        true
    }
}

/// A watch of everything, from the first revision on, one revision an answer, that is told at the
/// end that it is there.
pub(super) fn of_everything(truth: &Truth) -> Watch {
    let wish = Wish {
        prev_kv: true,
        ..Wish::of(KeyRange::all())
    };
    let mut now = truth.end + 1;
    let mut tick = || {
        now += 1;
        Moment(now)
    };
    let asked = tick();
    let last = truth.last;
    let mut told = vec![Word::Created {
        at: tick(),
        revision: last,
    }];
    for (revision, events) in &truth.revisions {
        told.push(Word::Events {
            at: tick(),
            revision: *revision,
            events: events.clone(),
            more: false,
        });
    }
    told.push(Word::Progress {
        at: tick(),
        revision: last,
    });
    Watch {
        id: WatchId(1),
        client: ClientId(100),
        wish,
        streams: vec![Stream {
            asked,
            start: Revision::EMPTY.next(),
            ended: None,
            told,
        }],
    }
}
