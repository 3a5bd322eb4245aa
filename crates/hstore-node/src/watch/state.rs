//! Watchers and their places.
//!
//! Invariants: (1) a watcher is in exactly one place: in `live` (told everything below
//! `max(cursor, from)`), in `behind` (told everything below `from`), or blocked (the same, and its
//! line knows it); (2) `cursor` is never above the store's next revision; (3) a watcher that is
//! gone is in no place; (4) `apart` of a stream counts its watchers that are not live.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use hstore_core::auth::{Auth, AuthRefusal};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::planted::{self, Bug};
use hstore_core::record::Record;
use hstore_storage::store::Stretch;

use super::hub::Bounds;
use super::line::{Line, weigh};
use super::ranges::Ranges;
use super::words::{CancelReason, Delivery, Event, WatchId, WatchRefusal, WatchRequest};

/// The most watchers that history is read for at once.
const COMPANIONS_MAX: usize = 64;

/// Events that several may be told.
type Events = Arc<[Arc<Event>]>;

/// Names a watcher in the node, and its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatcherKey {
    pub(super) stream: u64,
    number: u64,
}

/// Where a watcher is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Live,
    Behind,
    Blocked,
}

/// One watch.
#[derive(Debug)]
pub(super) struct Watcher {
    id: WatchId,
    request: WatchRequest,
    /// Everything below was told, or is not wanted.
    from: Revision,
    place: Place,
    /// Nothing was told since the last look of the clock.
    is_quiet: bool,
}

/// One stream of watches.
pub(super) struct Stream {
    pub(super) line: Arc<Line>,
    pub(super) ids: BTreeMap<WatchId, WatcherKey>,
    next_id: WatchId,
    /// How many watchers are not live.
    apart: usize,
    /// No report before the tail is here: some watch begins later.
    not_before: Revision,
}

/// Everything that is known of those who watch.
#[derive(Default)]
pub(super) struct State {
    pub(super) streams: BTreeMap<u64, Stream>,
    pub(super) watchers: BTreeMap<WatcherKey, Watcher>,
    pub(super) live: Ranges,
    /// Every live watcher was told everything below.
    pub(super) cursor: Revision,
    behind: BTreeSet<(Revision, WatcherKey)>,
    /// Where in `behind` the next errand begins, so that each gets its turn.
    turn: Option<(Revision, WatcherKey)>,
    /// Watchers that want to hear of progress now and then.
    timed: BTreeSet<WatcherKey>,
    /// Streams that asked for a report, and up to which revision it has to go at least.
    pub(super) asking: BTreeMap<u64, Revision>,
    next_number: u64,
    /// The rights that everybody was looked at with last; none before the first watch.
    pub(super) auth: Option<Arc<Auth>>,
    pub(super) is_closed: bool,
    pub(super) looked: u64,
}

/// History to be read for some watchers.
#[derive(Debug)]
pub(super) struct Errand {
    watchers: Vec<WatcherKey>,
    /// The ranges of those watchers, the one that is furthest behind first.
    pub(super) keys: Vec<KeyRange>,
    /// Where to begin.
    pub(super) from: Revision,
}

impl Errand {
    /// Leaves the first watcher alone; the others get an errand of their own.
    pub(super) fn alone(&mut self) {
        self.watchers.truncate(1);
        self.keys.truncate(1);
    }
}

impl Stream {
    pub(super) fn new(line: Arc<Line>) -> Stream {
        Stream {
            line,
            ids: BTreeMap::new(),
            next_id: 0,
            apart: 0,
            not_before: Revision(0),
        }
    }

    /// The name of a new watch, or why there can be none.
    pub(super) fn admit(
        &mut self,
        request: &WatchRequest,
        watches: usize,
        bounds: &Bounds,
    ) -> Result<WatchId, WatchRefusal> {
        if request.start < Revision(0) {
            return Err(WatchRefusal::NegativeStart(request.start));
        }
        if matches!(&request.keys, KeyRange::Span { start, end } if end <= start) {
            return Err(WatchRefusal::EmptyRange);
        }
        let max = bounds.stream_watches_max;
        if self.ids.len() >= max {
            return Err(WatchRefusal::TooMany { max });
        }
        let max = bounds.watches_max;
        if watches >= max {
            return Err(WatchRefusal::TooMany { max });
        }
        if request.id != 0 {
            return if self.ids.contains_key(&request.id) {
                Err(WatchRefusal::DuplicateId(request.id))
            } else {
                Ok(request.id)
            };
        }
        while self.ids.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Begins a watch that was admitted.
    pub(super) fn begin(
        &mut self,
        stream: u64,
        id: WatchId,
        request: WatchRequest,
        from: Revision,
        revision: Revision,
    ) {
        let number = self.number();
        let key = WatcherKey { stream, number };
        if request.progress {
            self.timed.insert(key);
        }
        let watcher = Watcher {
            id,
            request,
            from,
            place: Place::Blocked,
            is_quiet: false,
        };
        self.watchers.insert(key, watcher);
        if let Some(of) = self.streams.get_mut(&stream) {
            of.ids.insert(id, key);
            of.apart += 1;
        }
        self.put_in_place(key, revision);
    }

    /// Those who may not read what they watch, and why.
    pub(super) fn denied(&self, auth: &Auth) -> Vec<(WatcherKey, AuthRefusal)> {
        let looked = self.watchers.iter().filter_map(|(key, watcher)| {
            let WatchRequest { author, keys, .. } = &watcher.request;
            let refusal = auth.check_read(author, keys).err()?;
            Some((*key, refusal))
        });
        looked.collect()
    }

    /// A watcher that was blocked has room.
    pub(super) fn resume(&mut self, key: WatcherKey, revision: Revision) {
        let place = self.watchers.get(&key).map(|watcher| watcher.place);
        if place == Some(Place::Blocked) {
            self.put_in_place(key, revision);
        }
    }

    /// Compaction took what the tail had to read next: whoever needed it ends, the others go on
    /// from there.
    pub(super) fn jump(&mut self, compacted: Revision, revision: Revision) {
        let lost: Vec<WatcherKey> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| watcher.place == Place::Live && watcher.from < compacted)
            .map(|(key, _)| *key)
            .collect();
        for key in lost {
            self.cancel(key, CancelReason::Compacted { compacted }, revision);
        }
        self.cursor = compacted;
    }

    /// The same for an errand.
    pub(super) fn give_up(&mut self, errand: &Errand, compacted: Revision, revision: Revision) {
        for key in &errand.watchers {
            let watcher = self.watchers.get(key);
            if watcher.is_some_and(|watcher| watcher.from < compacted) {
                self.cancel(*key, CancelReason::Compacted { compacted }, revision);
            }
        }
    }

    /// Reports progress to those who asked for it and heard nothing since the last call.
    pub(super) fn tick(&mut self) {
        let revision = Revision(self.cursor.0 - 1);
        for key in &self.timed {
            let Some(watcher) = self.watchers.get_mut(key) else {
                continue;
            };
            let is_told = watcher.place == Place::Live && watcher.from <= self.cursor;
            if watcher.is_quiet
                && is_told
                && let Some(stream) = self.streams.get(&key.stream)
                && stream.line.words() == 0
            {
                let id = Some(watcher.id);
                stream.line.say(Delivery::Progress { id, revision });
            }
            watcher.is_quiet = true;
        }
    }

    /// Puts a blocked watcher where it belongs now.
    fn put_in_place(&mut self, key: WatcherKey, revision: Revision) {
        let Some(watcher) = self.watchers.get_mut(&key) else {
            return;
        };
        if self.live.is_empty() {
            // Nobody else hangs on the cursor.
            self.cursor = watcher.from.min(revision.next());
        }
        if watcher.from >= self.cursor {
            watcher.place = Place::Live;
            self.live.insert(&watcher.request.keys, key);
            if let Some(stream) = self.streams.get_mut(&key.stream) {
                stream.apart -= 1;
            }
        } else {
            watcher.place = Place::Behind;
            self.behind.insert((watcher.from, key));
        }
    }

    /// Takes a watcher out of its place; it is blocked until it is put somewhere.
    fn take_out(&mut self, key: WatcherKey) {
        let Some(watcher) = self.watchers.get_mut(&key) else {
            return;
        };
        match watcher.place {
            Place::Live => {
                self.live.remove(&watcher.request.keys, key);
                if let Some(stream) = self.streams.get_mut(&key.stream) {
                    stream.apart += 1;
                }
            }
            Place::Behind => {
                self.behind.remove(&(watcher.from, key));
            }
            Place::Blocked => {}
        }
        watcher.place = Place::Blocked;
    }

    pub(super) fn remove(&mut self, key: WatcherKey) -> Option<Watcher> {
        self.take_out(key);
        self.timed.remove(&key);
        let watcher = self.watchers.remove(&key)?;
        if let Some(stream) = self.streams.get_mut(&key.stream) {
            stream.apart -= 1;
            stream.not_before = Revision(0);
            stream.ids.remove(&watcher.id);
            stream.line.forget(key);
        }
        Some(watcher)
    }

    pub(super) fn cancel(&mut self, key: WatcherKey, reason: CancelReason, revision: Revision) {
        let Some(Watcher { id, .. }) = self.remove(key) else {
            return;
        };
        let reason = if planted::is(Bug::WatchEndsWithoutRevision) {
            CancelReason::Requested
        } else {
            reason
        };
        if let Some(stream) = self.streams.get(&key.stream) {
            stream.line.say(Delivery::Canceled {
                id,
                reason,
                revision,
            });
        }
    }

    /// Hands a stretch from the cursor on to everybody live.
    pub(super) fn tell(&mut self, stretch: Stretch) {
        let from = self.cursor;
        let told = Revision(stretch.next.0 - 1);
        let mut of_range: BTreeMap<u64, Vec<Arc<Event>>> = BTreeMap::new();
        for record in stretch.records {
            let mut numbers = Vec::new();
            let looked = self
                .live
                .holding(&record.key, &mut |number| numbers.push(number));
            self.looked += looked;
            if numbers.is_empty() {
                continue;
            }
            let event = Arc::new(Event::new(record));
            for number in numbers {
                of_range.entry(number).or_default().push(event.clone());
            }
        }
        let lost = planted::is(Bug::WatchBlockedEventLost);
        let untold = if lost { stretch.next } else { from };
        let mut full = Vec::new();
        for (number, events) in of_range {
            let events: Arc<[Arc<Event>]> = events.into();
            let bytes = weigh(&events);
            let keys: Vec<WatcherKey> = self.live.watchers(number).collect();
            for key in keys {
                if !self.hand(key, &events, bytes, told) {
                    full.push(key);
                }
            }
        }
        for key in full {
            self.take_out(key);
            if let Some(watcher) = self.watchers.get_mut(&key) {
                watcher.from = watcher.from.max(untold);
            }
        }
        self.cursor = stretch.next;
    }

    /// Queues for a watcher what it wants of some events; whether there was room.
    fn hand(
        &mut self,
        key: WatcherKey,
        events: &Arc<[Arc<Event>]>,
        bytes: usize,
        told: Revision,
    ) -> bool {
        let (Some(watcher), Some(stream)) =
            (self.watchers.get_mut(&key), self.streams.get(&key.stream))
        else {
            return true;
        };
        let request = &watcher.request;
        let wants = |event: &&Arc<Event>| {
            event.record.meta.mod_revision >= watcher.from && request.wants(&event.record)
        };
        let (events, bytes) = if events.iter().all(|event| wants(&event)) {
            (events.clone(), bytes)
        } else {
            let wanted: Arc<[Arc<Event>]> = events.iter().filter(wants).cloned().collect();
            let bytes = weigh(&wanted);
            (wanted, bytes)
        };
        if events.is_empty() {
            return true;
        }
        let (id, previous, fragment) = (watcher.id, request.previous, request.fragment);
        let delivery = |events| Delivery::Events {
            id,
            revision: told,
            events,
            previous,
            fragment,
        };
        watcher.is_quiet = false;
        if planted::is(Bug::WatchRevisionSplit)
            && let Some((first, last)) = split(&events)
            && stream.line.tell(key, delivery(first), 0)
        {
            return stream.line.tell(key, delivery(last), bytes);
        }
        stream.line.tell(key, delivery(events), bytes)
    }

    /// Chooses who is read for: the next in turn, and who is near.
    pub(super) fn errand(&mut self) -> Option<Errand> {
        let after = |turn| (Bound::Included(turn), Bound::Unbounded);
        let in_turn = self
            .turn
            .and_then(|turn| self.behind.range(after(turn)).next());
        let first = *in_turn.or_else(|| self.behind.first())?;
        let near = self.behind.range(first..).take(COMPANIONS_MAX);
        let watchers: Vec<WatcherKey> = near.map(|(_, key)| *key).collect();
        let keys = watchers
            .iter()
            .filter_map(|key| self.watchers.get(key))
            .map(|watcher| watcher.request.keys.clone())
            .collect();
        Some(Errand {
            watchers,
            keys,
            from: first.0,
        })
    }

    pub(super) fn deliver(&mut self, errand: &Errand, stretch: &Stretch, revision: Revision) {
        let next = stretch.next;
        let told = Revision(next.0 - 1);
        let mut events: Vec<Option<Arc<Event>>> = vec![None; stretch.records.len()];
        for key in &errand.watchers {
            let Some(watcher) = self.watchers.get(key) else {
                continue;
            };
            // It may have been told already, or changed hands, while history was read.
            if watcher.place != Place::Behind || watcher.from < errand.from || watcher.from >= next
            {
                continue;
            }
            let keys = watcher.request.keys.clone();
            let mine: Arc<[Arc<Event>]> = stretch
                .records
                .iter()
                .zip(&mut events)
                .filter(|(record, _)| keys.contains(&record.key))
                .filter(|(record, _)| {
                    let is_first = record.meta.mod_revision == errand.from;
                    let lost = planted::is(Bug::WatchDeletionAtStartLost);
                    !(lost && is_first && record.meta.is_tombstone())
                })
                .map(|(record, event)| event.get_or_insert_with(|| shared(record)).clone())
                .collect();
            let bytes = weigh(&mine);
            let has_room = self.hand(*key, &mine, bytes, told);
            self.take_out(*key);
            let is_caught_up = has_room && next > revision;
            if is_caught_up && planted::is(Bug::WatchSeamEventTwice) {
                self.hand(*key, &mine, bytes, told);
            }
            if has_room {
                if let Some(watcher) = self.watchers.get_mut(key) {
                    let lost = is_caught_up && planted::is(Bug::WatchSeamEventLost);
                    watcher.from = if lost { next.next() } else { next };
                }
                self.put_in_place(*key, revision);
            }
        }
        self.turn = errand.watchers.first().map(|first| (next, *first));
    }

    /// Answers the streams that asked how far they are, where that can be said.
    pub(super) fn report(&mut self) {
        let cursor = self.cursor;
        let mut answered = Vec::new();
        for (number, asked_at) in &self.asking {
            let Some(stream) = self.streams.get_mut(number) else {
                continue;
            };
            if stream.ids.is_empty() {
                answered.push(*number);
                continue;
            }
            let is_apart = stream.apart > 0 && !planted::is(Bug::WatchProgressTooEarly);
            if is_apart || cursor < stream.not_before || cursor <= *asked_at {
                continue;
            }
            let begins = stream
                .ids
                .values()
                .filter_map(|key| self.watchers.get(key))
                .map(|watcher| watcher.from)
                .max();
            stream.not_before = begins.unwrap_or(cursor);
            if stream.not_before > cursor {
                continue;
            }
            stream.line.say(Delivery::Progress {
                id: None,
                revision: Revision(cursor.0 - 1),
            });
            answered.push(*number);
        }
        for number in answered {
            self.asking.remove(&number);
        }
    }
}

/// The events without the last one, and that one, if both are of one revision.
fn split(events: &[Arc<Event>]) -> Option<(Events, Events)> {
    let at = |event: &Arc<Event>| event.record.meta.mod_revision;
    let (last, first) = events.split_last()?;
    let are_one = first.last().map(at) == Some(at(last));
    are_one.then(|| (first.into(), [last.clone()].into()))
}

fn shared(record: &Record) -> Arc<Event> {
    Arc::new(Event::new(record.clone()))
}
