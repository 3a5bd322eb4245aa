//! Who watches what, and how far each has been told: the door to it, one lock.
//!
//! Everything here is done in memory and takes moments: reading history is the business of the two
//! tasks, which bring what they read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hstore_core::id::Revision;
use hstore_core::planted::{self, Bug};
use hstore_storage::store::{Recall, Store};
use tokio::sync::Notify;

use super::line::Line;
use super::state::{Errand, State, Stream, WatcherKey};
use super::words::{CancelReason, Delivery, WatchId, WatchRefusal, WatchRequest};

/// How much there may be of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Streams of a node; one more is refused.
    pub(crate) streams_max: usize,
    /// Watches of a node; one more is refused.
    pub(crate) watches_max: usize,
    /// Watches of a stream; one more is refused.
    pub(crate) stream_watches_max: usize,
    /// Bytes of events that wait for one watcher; then it is told later.
    pub(crate) watch_bytes_max: usize,
    /// Deliveries that wait for one watcher; then it is told later.
    pub(crate) watch_batches_max: usize,
    /// Bytes of events that wait in one stream; then its watchers are told later.
    pub(crate) stream_bytes_max: usize,
    /// Bytes of events that wait in the node; then only streams that have nothing waiting are
    /// told something.
    pub(crate) node_bytes_max: usize,
    /// About how much history is read at once.
    pub(crate) stretch_bytes: usize,
}

impl Bounds {
    /// The usual ones, for a node of so many watches and waiting bytes.
    pub(crate) fn new(watches_max: usize, node_bytes_max: usize) -> Bounds {
        Bounds {
            streams_max: 16 * 1024,
            watches_max,
            stream_watches_max: 32 * 1024,
            watch_bytes_max: 1024 * 1024,
            watch_batches_max: 1024,
            stream_bytes_max: 8 * 1024 * 1024,
            node_bytes_max,
            // More than may wait is read in vain.
            stretch_bytes: (256 * 1024).min(node_bytes_max),
        }
    }
}

/// The watches of a node.
pub(crate) struct Hub {
    state: Mutex<State>,
    store: Arc<Store>,
    bounds: Bounds,
    waiting_bytes: Arc<AtomicUsize>,
    /// The tail has something to look at.
    pub(super) tail_wanted: Notify,
    /// Somebody is behind.
    pub(super) errand_wanted: Notify,
}

impl Hub {
    pub(crate) fn new(store: Arc<Store>, bounds: Bounds) -> Hub {
        Hub {
            state: Mutex::default(),
            store,
            bounds,
            waiting_bytes: Arc::default(),
            tail_wanted: Notify::new(),
            errand_wanted: Notify::new(),
        }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Opens a stream; none when there are too many, and the number of them.
    pub(super) fn open(&self) -> Result<(u64, Arc<Line>), usize> {
        let mut state = self.lock();
        if state.streams.len() >= self.bounds.streams_max {
            return Err(self.bounds.streams_max);
        }
        let number = state.number();
        let line = Arc::new(Line::new(self.bounds, self.waiting_bytes.clone()));
        if state.is_closed {
            line.close();
        }
        let stream = Stream::new(line.clone());
        state.streams.insert(number, stream);
        Ok((number, line))
    }

    /// Ends a stream and all its watches.
    pub(super) fn leave(&self, stream: u64) {
        let mut state = self.lock();
        let Some(ids) = state.streams.get(&stream).map(|stream| stream.ids.clone()) else {
            return;
        };
        for key in ids.into_values() {
            state.remove(key);
        }
        state.asking.remove(&stream);
        if let Some(stream) = state.streams.remove(&stream) {
            stream.line.close();
        }
    }

    /// Begins a watch; its stream hears whether it could be.
    pub(super) fn create(&self, stream: u64, request: WatchRequest) {
        let mut state = self.lock();
        self.look_at_rights(&mut state);
        // Under this lock, so that what is applied later is told.
        let revision = self.store.revision();
        let compacted = self.store.compacted();
        let watches = state.watchers.len();
        let auth = state.auth.clone();
        let Some(of) = state.streams.get_mut(&stream) else {
            return;
        };
        let asked = auth.map_or(Ok(()), |auth| {
            auth.check_read(&request.author, &request.keys)
        });
        if let Err(denied) = asked {
            let refusal = WatchRefusal::Denied(denied);
            of.line.say(Delivery::Refused { refusal, revision });
            return;
        }
        let id = match of.admit(&request, watches, &self.bounds) {
            Ok(id) => id,
            Err(refusal) => {
                of.line.say(Delivery::Refused { refusal, revision });
                return;
            }
        };
        of.line.say(Delivery::Created { id, revision });
        let is_compacted = request.start > Revision(0) && request.start < compacted;
        if is_compacted && !planted::is(Bug::WatchCompactedSkipped) {
            let reason = CancelReason::Compacted { compacted };
            of.line.say(Delivery::Canceled {
                id,
                reason,
                revision,
            });
            return;
        }
        let from = match request.start {
            Revision(0) => revision.next(),
            start if planted::is(Bug::WatchBeginsEarly) => start.min(revision.next()),
            start if planted::is(Bug::WatchCompactedSkipped) => start.max(compacted),
            start => start,
        };
        state.begin(stream, id, request, from, revision);
        drop(state);
        self.tail_wanted.notify_one();
        self.errand_wanted.notify_one();
    }

    /// Ends a watch, if the stream has it.
    pub(super) fn cancel(&self, stream: u64, id: WatchId) {
        let mut state = self.lock();
        let key = state
            .streams
            .get(&stream)
            .and_then(|stream| stream.ids.get(&id).copied());
        if let Some(key) = key {
            state.cancel(key, CancelReason::Requested, self.store.revision());
        }
    }

    /// Asks for a report of how far all watches of a stream are. It comes when all of them have
    /// been told everything there was.
    pub(super) fn ask(&self, stream: u64) {
        let mut state = self.lock();
        // Without a watch there is no progress, as in etcd.
        let of = state.streams.get(&stream);
        if of.is_some_and(|of| !of.ids.is_empty()) {
            let revision = self.store.revision();
            state.asking.insert(stream, revision);
        }
        drop(state);
        self.tail_wanted.notify_one();
    }

    /// Some watchers were blocked and have room.
    pub(super) fn resume(&self, watchers: &[WatcherKey]) {
        let mut state = self.lock();
        let revision = self.store.revision();
        for key in watchers {
            state.resume(*key, revision);
        }
        drop(state);
        self.errand_wanted.notify_one();
        self.tail_wanted.notify_one();
    }

    /// Whether anybody watches.
    pub(super) fn has_watchers(&self) -> bool {
        !self.lock().watchers.is_empty()
    }

    /// Ends the watches of those who lost the right, if rights changed since this was called last.
    ///
    /// Records are seen no earlier than the rights that were given or taken before them. So whoever
    /// calls this after reading history, and before telling it, tells nobody too much.
    fn look_at_rights(&self, state: &mut State) {
        let auth = self.store.auth();
        if state
            .auth
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &auth))
        {
            return;
        }
        let revision = self.store.revision();
        let denied = if planted::is(Bug::WatchOutlivesItsRights) {
            Vec::new()
        } else {
            state.denied(&auth)
        };
        for (key, refusal) in denied {
            state.cancel(key, CancelReason::Denied(refusal), revision);
        }
        state.auth = Some(auth);
    }

    /// From where the tail has to read now; none when everybody live was told everything.
    pub(super) fn due(&self) -> Option<Revision> {
        let mut state = self.lock();
        self.look_at_rights(&mut state);
        let next = self.store.revision().next();
        if state.live.is_empty() {
            state.cursor = next;
        }
        if state.cursor < next {
            return Some(state.cursor);
        }
        state.report();
        None
    }

    /// Tells live watchers what the tail read from `from` on.
    pub(super) fn tell(&self, from: Revision, recall: Recall) {
        let mut state = self.lock();
        self.look_at_rights(&mut state);
        // Everybody live left meanwhile, and the tail has jumped.
        if state.cursor != from {
            return;
        }
        match recall {
            Recall::Stretch(stretch) => state.tell(stretch),
            Recall::Compacted(compacted) => state.jump(compacted, self.store.revision()),
        }
        state.report();
    }

    /// The next history to read for those who are behind.
    pub(super) fn errand(&self) -> Option<Errand> {
        self.lock().errand()
    }

    /// Tells those who are behind what was read for them.
    pub(super) fn deliver(&self, errand: &Errand, recall: Recall) {
        let mut state = self.lock();
        self.look_at_rights(&mut state);
        let revision = self.store.revision();
        match recall {
            Recall::Stretch(stretch) => state.deliver(errand, &stretch, revision),
            Recall::Compacted(compacted) => state.give_up(errand, compacted, revision),
        }
        drop(state);
        self.tail_wanted.notify_one();
    }

    /// Reports progress to watchers that asked for it and heard nothing since the last call.
    pub(super) fn tick(&self) {
        self.lock().tick();
    }

    /// Ends all streams; those that come later end at once.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        for stream in state.streams.values() {
            stream.line.close();
        }
    }

    /// How many streams, how many watches, and how many bytes wait for them.
    pub(crate) fn figures(&self) -> (usize, usize, usize) {
        let state = self.lock();
        let bytes = self.waiting_bytes.load(Ordering::Relaxed);
        (state.streams.len(), state.watchers.len(), bytes)
    }

    /// How much was looked at to find whom events concern.
    #[cfg(test)]
    pub(super) fn looked(&self) -> u64 {
        self.lock().looked
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
