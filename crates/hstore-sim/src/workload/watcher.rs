//! A client that watches: from now on, from the past, from the future, one to three watches over one
//! stream; it reads fast or slowly, asks how far it is, ends its watches, and goes on at another node
//! when its own dies or it is tired of it.
//!
//! What it was told is written down and judged with everything else. When all is calm it must be
//! told all that there is, within a bound.

use std::collections::VecDeque;
use std::time::Duration;

use hstore_check::history::{ClientId, Event, WatchId, Wish, Word};
use hstore_core::auth::Author;
use hstore_core::id::{LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_node::{CancelReason, Delivery, Node, WatchRefusal, WatchRequest, WatchStream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::badge::Badge;
use super::mix::key;
use super::{Clients, warden};
use crate::ledger::{Heard, Looked, Told, applied};

/// How those who watch behave.
#[derive(Clone, Debug)]
pub struct Watching {
    /// How many there are.
    pub watchers: u32,
    /// What their own choices descend from, so that nobody else's change with them.
    pub salt: u64,
    /// Of a hundred watches so many begin in the past.
    pub past_percent: u32,
    /// So many begin at the very revision up to which history was compacted last.
    pub edge_percent: u32,
    /// So many begin in the future.
    pub future_percent: u32,
    /// Of a hundred streams so many are read slowly.
    pub slow_percent: u32,
    /// The mean time between two questions of how far a stream is.
    pub asks_every: Duration,
    /// How long a watch lasts, at most.
    pub lasts: Duration,
}

impl Default for Watching {
    fn default() -> Watching {
        Watching {
            watchers: 1,
            salt: 0,
            past_percent: 35,
            edge_percent: 5,
            future_percent: 20,
            slow_percent: 25,
            asks_every: Duration::from_secs(1),
            lasts: Duration::from_secs(30),
        }
    }
}

/// The longest pause of a slow reader before it reads on.
const SLOW_MAX: Duration = Duration::from_millis(800);

/// How long it takes at most until a watch without a node looks for one again.
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// How far in the past and in the future watches begin, in revisions.
const PAST_MAX: i64 = 60;
const FUTURE_MAX: i64 = 25;

/// How long it may take, when all is calm, until a watch is told all that there is.
const HEARD_OUT_MAX: Duration = Duration::from_secs(20);

/// How often it is asked then how far it is.
const HEARING_ASKS: Duration = Duration::from_millis(500);

/// One client that watches.
pub(super) struct Watcher {
    clients: Clients,
    id: ClientId,
    rng: StdRng,
    /// The revision that must be told before the end, once that is known.
    finish: watch::Receiver<Option<Revision>>,
    /// Watches of the present stream of which it was not said yet whether they are made, in the order
    /// in which they were asked for, as the answers are.
    asked: VecDeque<usize>,
}

/// One of its watches.
struct Place {
    id: WatchId,
    wish: Wish,
    /// Whether its node reports progress by itself.
    progress: bool,
    /// The first revision that was not told; 0 before it was ever made.
    next: Revision,
    /// Whether what the head of an answer says counts as told, too, and not only what is in it.
    trusts_heads: bool,
    until: Instant,
    state: State,
    /// The user who watches; none is somebody to whom no rights apply.
    badge: Option<Badge>,
    /// As whom its present stream watches.
    author: Author,
    /// How far its node was when the present stream was asked for.
    made: LogIndex,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Without a stream, or asked for and not made yet.
    Open,
    Made,
    Over,
}

impl Place {
    /// Whether nothing up to a revision is left to be told.
    fn is_past(&self, upto: Revision) -> bool {
        self.state == State::Over || self.next > upto
    }
}

impl Watcher {
    pub(super) fn new(
        clients: Clients,
        id: ClientId,
        nth: u32,
        finish: watch::Receiver<Option<Revision>>,
    ) -> Watcher {
        let salt = clients.shared.mix.watching.salt ^ (u64::from(nth) << 32);
        Watcher {
            rng: StdRng::seed_from_u64(salt ^ 0x7761_7463),
            clients,
            id,
            finish,
            asked: VecDeque::new(),
        }
    }

    /// Watches until it is told up to where; what is wrong with what it heard by then.
    pub(super) async fn run(mut self) -> Option<String> {
        loop {
            let mut places = self.places();
            loop {
                if let Some(late) = self.serve(&mut places).await {
                    return Some(late);
                }
                if places.iter().all(|place| place.state == State::Over) {
                    break;
                }
                if self.is_heard_out(&places) {
                    return None;
                }
                let pause = self.rng.random_range(Duration::ZERO..PAUSE_MAX);
                sleep(pause).await;
            }
            if self.finish.borrow().is_some() {
                return None;
            }
            let pause = self.rng.random_range(Duration::ZERO..2 * PAUSE_MAX);
            sleep(pause).await;
        }
    }

    fn is_heard_out(&self, places: &[Place]) -> bool {
        let finish = *self.finish.borrow();
        finish.is_some_and(|upto| places.iter().all(|place| place.is_past(upto)))
    }

    /// New watches, not asked for yet.
    fn places(&mut self) -> Vec<Place> {
        let count = [1, 1, 1, 2, 3][self.rng.random_range(0..5)];
        (0..count).map(|_nth| self.place()).collect()
    }

    fn place(&mut self) -> Place {
        let clients = self.clients.clone();
        let mix = &clients.shared.mix;
        let rng = &mut self.rng;
        let keys = match rng.random_range(0..4) {
            0 => KeyRange::One(key(rng.random_range(0..mix.keys.max(1)))),
            1 => KeyRange::From(key(rng.random_range(0..mix.keys.max(1)))),
            _ => KeyRange::all(),
        };
        let wish = Wish {
            prev_kv: rng.random_bool(0.6),
            no_put: rng.random_bool(0.08),
            no_delete: rng.random_bool(0.15),
            ..Wish::of(keys)
        };
        let lasts = rng.random_range(Duration::from_secs(1)..mix.watching.lasts);
        let place = Place {
            id: clients.recorder().watch(self.id, wish.clone()),
            wish,
            progress: rng.random_bool(0.5),
            next: Revision(0),
            trusts_heads: rng.random_bool(0.5),
            until: Instant::now() + lasts,
            state: State::Open,
            badge: (mix.wardens > 0 && rng.random_range(0..10) < 7)
                .then(|| Badge::new(warden::user(rng))),
            author: Author::Node,
            made: LogIndex(0),
        };
        let next = self.beginning();
        Place { next, ..place }
    }

    /// Where a new watch begins; 0 is now.
    fn beginning(&mut self) -> Revision {
        let clients = self.clients.clone();
        let watching = &clients.shared.mix.watching;
        let now = clients.newest();
        let dice = self.rng.random_range(0..100);
        let (past, edge) = (watching.past_percent, watching.edge_percent);
        if dice < past {
            Revision((now.0 - self.rng.random_range(0..PAST_MAX)).max(1))
        } else if dice < past + edge {
            clients.compacted()
        } else if dice < past + edge + watching.future_percent {
            Revision(now.0 + self.rng.random_range(2..FUTURE_MAX))
        } else {
            Revision(0)
        }
    }

    /// Serves the watches that are not over over one stream at one node, for as long as that goes;
    /// says what was not told in time.
    async fn serve(&mut self, places: &mut [Place]) -> Option<String> {
        let world = self.clients.shared.world.clone();
        let running = world.running_at();
        if running.is_empty() {
            sleep(PAUSE_MAX).await;
            return None;
        }
        let at = running[self.rng.random_range(0..running.len())];
        let node = world.node(at)?;
        let life = world.life(at);
        let mut stream = self.open(&node, places)?;
        let is_slow = self.rng.random_range(0..100) < self.clients.shared.mix.watching.slow_percent;
        let mut reads_at = Instant::now();
        let mut acts_at = self.next_act();
        let mut hearing = None;
        loop {
            let finish = *self.finish.borrow();
            if let Some(upto) = finish {
                let until = *hearing.get_or_insert_with(|| {
                    stay_for(upto, places, &stream, &self.clients);
                    stream.ask_progress();
                    acts_at = Instant::now() + HEARING_ASKS;
                    Instant::now() + HEARD_OUT_MAX
                });
                if self.is_heard_out(places) {
                    self.note_survivors(places, &node);
                    return None;
                }
                if Instant::now() > until {
                    return Some(late(places, upto));
                }
            }
            if places.iter().all(|place| place.state == State::Over) {
                return None;
            }
            let next = async {
                sleep_until(reads_at).await;
                // A process that stands still says nothing.
                world.awake(at).await;
                stream.next().await
            };
            tokio::select! {
                // The end of the process comes first: what it had not said is lost with it.
                biased;
                () = world.outlived(at, life) => return None,
                () = sleep_until(acts_at) => {
                    if finish.is_some() {
                        stream.ask_progress();
                        acts_at = Instant::now() + HEARING_ASKS;
                    } else if self.act(places, &stream) {
                        acts_at = self.next_act();
                    } else {
                        return None;
                    }
                }
                delivery = next => match delivery {
                    Ok(delivery) => {
                        self.hear(delivery, places, &node);
                        if is_slow && finish.is_none() {
                            reads_at = Instant::now()
                                + self.rng.random_range(Duration::ZERO..SLOW_MAX);
                        }
                    }
                    Err(_ended) => return None,
                },
            }
        }
    }

    /// A stream with all watches that are not over.
    fn open(&mut self, node: &Node, places: &mut [Place]) -> Option<WatchStream> {
        let stream = node.watch().ok()?;
        self.asked.clear();
        for (nth, place) in (1..).zip(places) {
            if place.state == State::Over {
                continue;
            }
            self.asked.push_back(nth as usize - 1);
            place.state = State::Open;
            if let Some(badge) = &mut place.badge {
                place.author = badge.show(node);
                place.made = applied(node);
            }
            let now = self.clients.now();
            self.clients.recorder().stream(place.id, now, place.next);
            stream.create(WatchRequest {
                author: place.author.clone(),
                keys: place.wish.keys.clone(),
                start: place.next,
                id: nth,
                previous: place.wish.prev_kv,
                no_put: place.wish.no_put,
                no_delete: place.wish.no_delete,
                progress: place.progress,
                fragment: false,
            });
        }
        Some(stream)
    }

    fn next_act(&mut self) -> Instant {
        let mean = self.clients.shared.mix.watching.asks_every;
        Instant::now() + self.rng.random_range(Duration::ZERO..2 * mean)
    }

    /// Does something now and then; whether it stays with the stream.
    fn act(&mut self, places: &mut [Place], stream: &WatchStream) -> bool {
        let now = Instant::now();
        for (nth, place) in (1..).zip(places) {
            if place.state == State::Made && place.until < now {
                let moment = self.clients.now();
                self.clients.recorder().end(place.id, moment);
                stream.cancel(nth);
            } else if place.state == State::Open && place.until < now {
                place.state = State::Over;
            }
        }
        stream.ask_progress();
        self.rng.random_range(0..100) >= 4
    }

    fn hear(&mut self, delivery: Delivery, places: &mut [Place], node: &Node) {
        let at = self.clients.now();
        let (trace, client) = (self.clients.shared.world.trace.clone(), self.id);
        let say = |what: String| trace.say(&format!("{client} {what}"));
        match delivery {
            Delivery::Created { id, revision } => {
                self.asked.pop_front();
                let Some(place) = place_of(places, id) else {
                    return;
                };
                say(format!("watch {} made at {revision}", place.id));
                place.state = State::Made;
                if place.next == Revision(0) {
                    place.next = revision.next();
                }
                // Rights are looked at when it is asked for.
                self.note(place, place.made, place.made, Ok(()));
                self.told(place, Word::Created { at, revision });
            }
            Delivery::Events {
                id,
                revision,
                events,
                previous,
                ..
            } => {
                let Some(place) = place_of(places, id) else {
                    return;
                };
                let told: Vec<Event> = events
                    .iter()
                    .map(|event| Event {
                        record: event.record.clone(),
                        previous: event.previous().filter(|_| previous).cloned(),
                    })
                    .collect();
                say(format!(
                    "watch {} told {} upto {revision}",
                    place.id,
                    told.len()
                ));
                let newest = told.last().map(|event| event.record.meta.mod_revision);
                let newest = newest.filter(|_| !place.trusts_heads).unwrap_or(revision);
                place.next = place.next.max(newest.next());
                self.note_events(place, &told, node);
                let word = Word::Events {
                    at,
                    revision,
                    events: told,
                    more: false,
                };
                self.told(place, word);
            }
            Delivery::Progress { id, revision } => {
                for (nth, place) in (1..).zip(places) {
                    if place.state == State::Made && id.is_none_or(|id| id == nth) {
                        place.next = place.next.max(revision.next());
                        self.told(place, Word::Progress { at, revision });
                    }
                }
                say(format!("at {revision}"));
            }
            Delivery::Canceled {
                id,
                reason,
                revision,
            } => {
                let Some(place) = place_of(places, id) else {
                    return;
                };
                say(format!("watch {} ended: {reason:?}", place.id));
                place.state = State::Over;
                let (mut compacted, mut denied) = (Revision(0), false);
                match reason {
                    CancelReason::Compacted { compacted: oldest } => compacted = oldest,
                    CancelReason::Denied(refusal) => {
                        denied = true;
                        self.note(place, place.made, applied(node), Err(refusal.code()));
                    }
                    CancelReason::Requested => {}
                }
                let word = Word::Canceled {
                    at,
                    revision,
                    compacted,
                    denied,
                };
                self.told(place, word);
            }
            Delivery::Refused { refusal, .. } => self.refused(&refusal, places),
        }
    }

    /// A watch was not made.
    fn refused(&mut self, refusal: &WatchRefusal, places: &mut [Place]) {
        let place = self.asked.pop_front().and_then(|nth| places.get_mut(nth));
        match (refusal, place) {
            (WatchRefusal::Denied(denied), Some(place)) if place.badge.is_some() => {
                place.state = State::Over;
                self.note(place, place.made, place.made, Err(denied.code()));
            }
            _ => {
                let what = format!("watch_refused: without a reason: {refusal}");
                self.clients.accuse(what);
            }
        }
    }

    /// Notes what was decided about the rights of somebody who watches.
    fn note(&self, place: &Place, from: LogIndex, upto: LogIndex, told: Told) {
        if let (Some(ledger), Some(_)) = (self.clients.ledger(), &place.badge) {
            ledger.notes().looked.push(Looked {
                what: "a watch",
                author: place.author.clone(),
                keys: place.wish.keys.clone(),
                from,
                upto,
                told,
            });
        }
    }

    /// Whoever is told everything up to the end may read it in the end.
    fn note_survivors(&self, places: &[Place], node: &Node) {
        let made = places.iter().filter(|place| place.state == State::Made);
        let now = applied(node);
        made.for_each(|place| self.note(place, now, now, Ok(())));
    }

    fn note_events(&self, place: &Place, told: &[Event], node: &Node) {
        if let (Some(ledger), Some(_)) = (self.clients.ledger(), &place.badge) {
            let written = told
                .iter()
                .filter(|event| !event.record.meta.is_tombstone());
            let values = written.map(|event| event.record.value.clone());
            ledger.notes().heard.push(Heard {
                author: place.author.clone(),
                keys: place.wish.keys.clone(),
                made: place.made,
                upto: applied(node),
                values: values.collect(),
            });
        }
    }

    fn told(&self, place: &Place, word: Word) {
        self.clients.recorder().told(place.id, word);
    }
}

fn place_of(places: &mut [Place], id: i64) -> Option<&mut Place> {
    let nth = usize::try_from(id.checked_sub(1)?).ok()?;
    places.get_mut(nth)
}

/// Ends what begins later than the end of everything: nobody would hear of the others' progress
/// before it.
fn stay_for(upto: Revision, places: &[Place], stream: &WatchStream, clients: &Clients) {
    for (nth, place) in (1..).zip(places) {
        if place.state != State::Over && place.next > upto.next() {
            let now = clients.now();
            clients.recorder().end(place.id, now);
            stream.cancel(nth);
        }
    }
}

fn late(places: &[Place], upto: Revision) -> String {
    let places = places.iter().filter(|place| !place.is_past(upto));
    let late: Vec<String> = places
        .map(|place| format!("{} is at {}", place.id, place.next))
        .collect();
    format!(
        "watches_hear_all: {} s after all was calm at revision {upto} watch {}",
        HEARD_OUT_MAX.as_secs(),
        late.join(", watch ")
    )
}
