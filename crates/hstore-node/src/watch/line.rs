//! What waits for the listener of one stream, in the order in which it will be told.
//!
//! Invariants: (1) `bytes` is what the waiting events take, here and in the node's sum; (2) an
//! event enters only where there is room by all three bounds, but for the first of an empty line,
//! so that nobody is starved by what others let wait; (3) a watcher that found no room is in
//! `blocked` until there is; (4) what is not an event is always taken: its number is bounded by
//! what the listener asks for while it reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hub::Bounds;
use super::state::WatcherKey;
use super::words::{Delivery, Event};

/// What an event takes beside its key and value.
const EVENT_OVERHEAD_BYTES: usize = size_of::<Event>() + 64;

/// How many bytes events take.
pub(super) fn weigh(events: &[Arc<Event>]) -> usize {
    let weights = events
        .iter()
        .map(|event| EVENT_OVERHEAD_BYTES + event.record.key.len() + event.record.value.len());
    weights.sum()
}

/// One delivery that waits.
struct Waiting {
    delivery: Delivery,
    /// Whose it is and what it takes, if it is of events.
    held: Option<(WatcherKey, usize)>,
}

/// What of one watcher waits.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    bytes: usize,
    batches: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    shares: BTreeMap<WatcherKey, Share>,
    blocked: BTreeSet<WatcherKey>,
    /// Whether somebody is blocked by the stream's or the node's bound and not by its own.
    was_full: bool,
    /// How many of those that wait are not events.
    words: usize,
    is_closed: bool,
}

/// What waits for one listener.
pub(super) struct Line {
    state: Mutex<State>,
    arrived: Notify,
    bounds: Bounds,
    /// What waits in all lines of the node.
    node_bytes: Arc<AtomicUsize>,
}

/// What came out of a line.
pub(super) enum Popped {
    /// A delivery, and the watchers that have room again.
    Delivery(Delivery, Vec<WatcherKey>),
    /// Nothing waits.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl Line {
    pub(super) fn new(bounds: Bounds, node_bytes: Arc<AtomicUsize>) -> Line {
        Line {
            state: Mutex::default(),
            arrived: Notify::new(),
            bounds,
            node_bytes,
        }
    }

    /// Adds something that is not an event.
    pub(super) fn say(&self, delivery: Delivery) {
        let mut state = self.lock();
        state.words += 1;
        state.waiting.push_back(Waiting {
            delivery,
            held: None,
        });
        drop(state);
        self.arrived.notify_one();
    }

    /// Adds events, unless there is no room: then the watcher is blocked until there is.
    pub(super) fn tell(&self, watcher: WatcherKey, delivery: Delivery, bytes: usize) -> bool {
        let mut state = self.lock();
        if !self.has_room(&state, watcher) {
            state.was_full |= !self.has_common_room(&state);
            state.blocked.insert(watcher);
            return false;
        }
        state.bytes += bytes;
        self.node_bytes.fetch_add(bytes, Ordering::Relaxed);
        let share = state.shares.entry(watcher).or_default();
        share.bytes += bytes;
        share.batches += 1;
        state.waiting.push_back(Waiting {
            delivery,
            held: Some((watcher, bytes)),
        });
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Takes what is next.
    pub(super) fn pop(&self) -> Popped {
        let mut state = self.lock();
        if state.is_closed {
            return Popped::Closed;
        }
        let Some(Waiting { delivery, held }) = state.waiting.pop_front() else {
            return Popped::Nothing;
        };
        let mut free = Vec::new();
        match held {
            None => state.words -= 1,
            Some((watcher, bytes)) => {
                state.give_back(watcher, bytes);
                self.node_bytes.fetch_sub(bytes, Ordering::Relaxed);
                free = self.free(&mut state, watcher);
            }
        }
        Popped::Delivery(delivery, free)
    }

    /// Who was blocked and has room, after something of `watcher` left.
    fn free(&self, state: &mut State, watcher: WatcherKey) -> Vec<WatcherKey> {
        if state.blocked.is_empty() {
            return Vec::new();
        }
        let half = state.bytes <= self.bounds.stream_bytes_max / 2;
        if state.was_full && half && self.has_common_room(state) {
            state.was_full = false;
            let room = |watcher: &WatcherKey| self.has_room(state, *watcher);
            let free: Vec<_> = state.blocked.iter().copied().filter(room).collect();
            for watcher in &free {
                state.blocked.remove(watcher);
            }
            return free;
        }
        let share = state.shares.get(&watcher).copied().unwrap_or_default();
        let drained = share.bytes <= self.bounds.watch_bytes_max / 2
            && share.batches <= self.bounds.watch_batches_max / 2;
        if !drained || !state.blocked.contains(&watcher) {
            return Vec::new();
        }
        if !self.has_common_room(state) {
            // Now it waits for the others.
            state.was_full = true;
            return Vec::new();
        }
        state.blocked.remove(&watcher);
        vec![watcher]
    }

    fn has_room(&self, state: &State, watcher: WatcherKey) -> bool {
        let share = state.shares.get(&watcher).copied().unwrap_or_default();
        let own = share.bytes < self.bounds.watch_bytes_max
            && share.batches < self.bounds.watch_batches_max;
        own && self.has_common_room(state)
    }

    fn has_common_room(&self, state: &State) -> bool {
        state.bytes == 0
            || state.bytes < self.bounds.stream_bytes_max
                && self.node_bytes.load(Ordering::Relaxed) < self.bounds.node_bytes_max
    }

    /// A watcher is gone; what waits of it is still told.
    pub(super) fn forget(&self, watcher: WatcherKey) {
        self.lock().blocked.remove(&watcher);
    }

    /// How many deliveries wait that are not events.
    pub(super) fn words(&self) -> usize {
        self.lock().words
    }

    /// Waits until something may have arrived.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Ends the line.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.waiting.clear();
        self.node_bytes.fetch_sub(state.bytes, Ordering::Relaxed);
        state.bytes = 0;
        state.shares.clear();
        drop(state);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn give_back(&mut self, watcher: WatcherKey, bytes: usize) {
        self.bytes -= bytes;
        if let Some(share) = self.shares.get_mut(&watcher) {
            share.bytes -= bytes;
            share.batches -= 1;
            if share.batches == 0 {
                self.shares.remove(&watcher);
            }
        }
    }
}
