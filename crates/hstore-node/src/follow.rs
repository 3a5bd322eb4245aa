//! Requests that are followed on their way through the node, for whoever wants to see where their
//! time went.
//!
//! Invariants: (1) to follow a request decides nothing and waits for nothing: it writes down the
//! time; (2) of a request that is not followed no time is taken here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hstore_core::id::LogIndex;
use tokio::time::Instant;

/// So many moments of the log are remembered, of each kind; an entry that is older has none.
const REMEMBERED_MAX: usize = 1024;

tokio::task_local! {
    static JOURNEY: Arc<Journey>;
}

/// When a request was where. What it did not pass has no moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// A write got its place in the queue.
    pub queued: Option<Instant>,
    /// It left the queue, in a batch with what waited beside it.
    pub handed_on: Option<Instant>,
    /// It went to another node, which leads; what it passed there is not known here.
    pub is_forwarded: bool,
    /// Its entry was given to the log.
    pub logged: Option<Instant>,
    /// Its entry was synced by this node's log.
    pub synced: Option<Instant>,
    /// A majority had its entry, and apply began.
    pub committed: Option<Instant>,
    /// The store had it.
    pub applied: Option<Instant>,
    /// A read asked how far the store has to be.
    pub asked: Option<Instant>,
    /// The store was that far.
    pub confirmed: Option<Instant>,
}

/// The way of one request.
#[derive(Debug, Default)]
pub struct Journey(Mutex<Moments>);

impl Journey {
    /// When it was where, until now.
    pub fn moments(&self) -> Moments {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, note: impl FnOnce(&mut Moments, Instant)) {
        let now = Instant::now();
        note(&mut self.lock(), now);
    }
}

/// Runs a call of the node as one that is followed.
pub async fn follow<T>(journey: Arc<Journey>, call: impl Future<Output = T>) -> T {
    JOURNEY.scope(journey, call).await
}

/// The way of the request that is being served, if it is followed.
pub(crate) fn current() -> Option<Arc<Journey>> {
    JOURNEY.try_with(Arc::clone).ok()
}

/// What happened up to which entry, and when.
#[derive(Debug, Default)]
struct Ring(VecDeque<(LogIndex, Instant)>);

impl Ring {
    fn note(&mut self, upto: LogIndex) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((upto, Instant::now()));
    }

    /// When it happened to this entry: with the first note that reaches it.
    fn of(&self, index: LogIndex) -> Option<Instant> {
        let first = self.0.front()?.0;
        let mut later = self.0.iter();
        let found = later.find(|(upto, _)| *upto >= index)?;
        // An older note may have reached it that is forgotten by now.
        let is_known = self.0.len() < REMEMBERED_MAX || first < index;
        is_known.then_some(found.1)
    }
}

#[derive(Debug, Default)]
struct Rings {
    logged: Ring,
    synced: Ring,
    committed: Ring,
    applied: Ring,
}

/// When the entries of the log were where, if requests are followed at all. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline(Option<Arc<Mutex<Rings>>>);

impl Timeline {
    pub(crate) fn new(on: bool) -> Timeline {
        Timeline(on.then(Arc::default))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn note(&self, upto: LogIndex, ring: impl FnOnce(&mut Rings) -> &mut Ring) {
        if let Some(rings) = &self.0 {
            ring(&mut rings.lock().unwrap_or_else(PoisonError::into_inner)).note(upto);
        }
    }

    pub(crate) fn logged(&self, upto: LogIndex) {
        self.note(upto, |rings| &mut rings.logged);
    }

    pub(crate) fn synced(&self, upto: LogIndex) {
        self.note(upto, |rings| &mut rings.synced);
    }

    pub(crate) fn committed(&self, upto: LogIndex) {
        self.note(upto, |rings| &mut rings.committed);
    }

    pub(crate) fn applied(&self, upto: LogIndex) {
        self.note(upto, |rings| &mut rings.applied);
    }

    /// Writes down when an entry was where.
    pub(crate) fn tell(&self, index: LogIndex, journey: &Journey) {
        let Some(rings) = &self.0 else { return };
        let rings = rings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moments = journey.lock();
        moments.logged = rings.logged.of(index);
        moments.synced = rings.synced.of(index);
        moments.committed = rings.committed.of(index);
        moments.applied = rings.applied.of(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_where_the_first_note_that_reaches_it_says() {
        let timeline = Timeline::new(true);
        timeline.logged(LogIndex(3));
        timeline.logged(LogIndex(7));
        timeline.synced(LogIndex(7));
        let of = |index| {
            let journey = Journey::default();
            timeline.tell(LogIndex(index), &journey);
            journey.moments()
        };
        assert!(of(3).logged <= of(4).logged && of(4).logged == of(7).logged);
        assert_eq!(of(2).logged, of(3).logged);
        assert_eq!(of(1).synced, of(7).synced);
        assert!(of(7).synced.is_some() && of(7).applied.is_none());
        assert_eq!(of(8), Moments::default());
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_not_made_up() {
        let timeline = Timeline::new(true);
        for index in 1..=2 * REMEMBERED_MAX as u64 {
            timeline.applied(LogIndex(index));
        }
        let journey = Journey::default();
        timeline.tell(LogIndex(5), &journey);
        assert_eq!(journey.moments().applied, None);
        timeline.tell(LogIndex(2 * REMEMBERED_MAX as u64), &journey);
        assert!(journey.moments().applied.is_some());
    }

    #[tokio::test]
    async fn nothing_is_followed_unless_somebody_says_so() {
        assert!(current().is_none());
        let journey = Arc::new(Journey::default());
        let seen = follow(journey.clone(), async {
            current()
                .expect("it is followed")
                .note(|moments, now| moments.queued = Some(now));
            journey.moments().queued
        });
        assert!(seen.await.is_some());
        assert!(current().is_none());
        let off = Timeline::default();
        off.applied(LogIndex(1));
        assert!(!off.is_on());
    }
}
