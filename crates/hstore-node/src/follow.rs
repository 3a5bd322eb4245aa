//! Requests that are followed on their way through the node, for whoever wants to see where their
//! time went.
//!
//! A request that goes on to the leader takes a *word* along, which only whoever follows it
//! understands. The leader follows it as a guest: when it is over, its word and its moments wait for
//! whoever asks for them.
//!
//! Invariants: (1) to follow a request decides nothing and waits for nothing: it writes down the
//! time; (2) of a request that is not followed no time is taken here; (3) guests are bounded: one that
//! finds no place is forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hstore_core::id::LogIndex;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// So many moments of the log are remembered, of each kind; an entry that is older has none.
const REMEMBERED_MAX: usize = 1024;

/// The longest word that a guest may bring; one that brings more is not followed.
const WORD_BYTES_MAX: usize = 64;

/// So many guests wait for whoever asks for them; one more is forgotten.
const GUESTS_MAX: usize = 1024;

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
pub struct Journey {
    moments: Mutex<Moments>,
    word: Bytes,
}

impl Journey {
    /// A way whose word goes along to other nodes. Words are short; an empty one goes nowhere.
    pub fn named(word: Bytes) -> Journey {
        Journey {
            moments: Mutex::default(),
            word,
        }
    }

    /// What goes along.
    pub(crate) fn word(&self) -> Bytes {
        self.word.clone()
    }

    /// When it was where, until now.
    pub fn moments(&self) -> Moments {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Moments> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Runs a part of a call that is about to run in a task of its own as what it is a part of.
pub fn follow_along<T>(part: impl Future<Output = T>) -> impl Future<Output = T> {
    let journey = current();
    async move {
        match journey {
            Some(journey) => follow(journey, part).await,
            None => part.await,
        }
    }
}

/// The way of the request that is being served, if it is followed.
pub(crate) fn current() -> Option<Arc<Journey>> {
    JOURNEY.try_with(Arc::clone).ok()
}

/// A request of another node, as far as it was here.
#[derive(Clone, Debug)]
pub struct Guest {
    /// What it brought along.
    pub word: Bytes,
    /// When it was where.
    pub moments: Moments,
    /// When it left.
    pub left: Instant,
    /// Whether it left with an outcome.
    pub is_done: bool,
}

/// Those that were here. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guests(Option<Arc<Book>>);

#[derive(Debug)]
struct Book {
    left: mpsc::Sender<Guest>,
    asked_for: Mutex<Option<mpsc::Receiver<Guest>>>,
}

impl Guests {
    pub(crate) fn new(on: bool) -> Guests {
        let book = || {
            let (left, asked_for) = mpsc::channel(GUESTS_MAX);
            let asked_for = Mutex::new(Some(asked_for));
            Arc::new(Book { left, asked_for })
        };
        Guests(on.then(book))
    }

    /// Those that leave from now on; none the second time, and where nobody is followed.
    pub(crate) fn take(&self) -> Option<mpsc::Receiver<Guest>> {
        let asked_for = self.0.as_ref()?.asked_for.lock();
        asked_for.unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The way of a request that comes with this word, if it is followed.
    pub(crate) fn welcome(&self, word: &Bytes) -> Option<Arc<Journey>> {
        let is_word = (1..=WORD_BYTES_MAX).contains(&word.len());
        (is_word && self.0.is_some())
            .then(|| Arc::new(Journey::named(Bytes::copy_from_slice(word))))
    }

    /// It leaves.
    pub(crate) fn leaves(&self, journey: &Journey, is_done: bool) {
        if let Some(book) = &self.0 {
            let guest = Guest {
                word: journey.word(),
                moments: journey.moments(),
                left: Instant::now(),
                is_done,
            };
            let _forgotten = book.left.try_send(guest).is_err();
        }
    }
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
    async fn guests_are_followed_where_anybody_is_and_wait_in_bounded_number() {
        let off = Guests::new(false);
        assert!(off.welcome(&Bytes::from_static(b"word")).is_none() && off.take().is_none());
        let guests = Guests::new(true);
        assert!(guests.welcome(&Bytes::new()).is_none());
        assert!(guests.welcome(&Bytes::from(vec![1; 65])).is_none());
        let journey = guests.welcome(&Bytes::from_static(b"word"));
        let journey = journey.expect("it brings a word");
        journey.note(|moments, now| moments.queued = Some(now));
        for _ in 0..GUESTS_MAX + 10 {
            guests.leaves(&journey, true);
        }
        let mut left = guests.take().expect("nobody took it");
        assert!(guests.take().is_none());
        let first = left.recv().await.expect("one has left");
        assert_eq!((&first.word[..], first.is_done), (&b"word"[..], true));
        assert!(first.moments.queued.is_some());
        assert_eq!(left.len(), GUESTS_MAX - 1);
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
        // What runs elsewhere is a part of the call all the same.
        let mut part = None;
        let call = async { part = Some(follow_along(async { current().is_some() })) };
        follow(Arc::default(), call).await;
        assert!(part.expect("the call has run").await);
        let off = Timeline::default();
        off.applied(LogIndex(1));
        assert!(!off.is_on());
    }
}
