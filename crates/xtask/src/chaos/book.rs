//! The book of a run: every operation of every client, with its times.
//!
//! Invariants: (1) an operation is written down before it is sent, and its end after the answer is
//! there; what a watch was told is written down when it was told; (2) all times are of one monotonic clock, in nanoseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use hstore_check::history::{ClientId, History, LogEntry, Moment, WatchId, Wish, Word};
use hstore_check::recorder::Recorder;
use hstore_client::{Error, ErrorCode};
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use super::ask::Ask;

/// The book.
pub(super) struct Book {
    recorder: Mutex<Recorder>,
    origin: Instant,
    acknowledged: AtomicU64,
    /// The newest revision that was answered.
    newest: AtomicU64,
}

impl Book {
    pub(super) fn new() -> Book {
        Book {
            recorder: Mutex::new(Recorder::new()),
            origin: Instant::now(),
            acknowledged: AtomicU64::new(0),
            newest: AtomicU64::new(1),
        }
    }

    /// Sends a request and writes down what comes of it.
    pub(super) async fn ask<F>(
        &self,
        client: ClientId,
        ask: Ask,
        send: impl FnOnce(Ask) -> F,
    ) -> Result<Result<(Revision, Reply), ErrorCode>>
    where
        F: Future<Output = Result<(Revision, Reply), Error>>,
    {
        let (call, is_write) = (ask.call()?, ask.is_write());
        let id = self.recorder().invoke(client, self.now(), call);
        match send(ask).await {
            Ok((revision, reply)) => {
                let now = self.now();
                self.recorder().answer(id, now, revision, reply.clone());
                let newest = revision.0.max(0) as u64;
                self.newest.fetch_max(newest, Ordering::Relaxed);
                if is_write {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Ok((revision, reply)))
            }
            Err(error) => {
                let now = self.now();
                self.recorder().fail(id, now, error.code());
                Ok(Err(error.code()))
            }
        }
    }

    /// A client begins to watch, from a revision on; 0 is now.
    pub(super) fn watch(&self, client: ClientId, wish: Wish, start: Revision) -> WatchId {
        let now = self.now();
        let mut recorder = self.recorder();
        let id = recorder.watch(client, wish);
        recorder.stream(id, now, start);
        id
    }

    /// A watch was told something just now.
    pub(super) fn told(&self, id: WatchId, word: impl FnOnce(Moment) -> Word) {
        let now = self.now();
        self.recorder().told(id, word(now));
    }

    /// The newest revision that was answered.
    pub(super) fn newest(&self) -> Revision {
        Revision(self.newest.load(Ordering::Relaxed) as i64)
    }

    /// How many writes were acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends the run: the history with what the nodes agreed on.
    pub(super) fn close(&self, log: Vec<LogEntry>) -> History {
        let mut recorder = std::mem::take(&mut *self.recorder());
        recorder.log(log);
        recorder.finish()
    }

    fn now(&self) -> Moment {
        Moment(self.origin.elapsed().as_nanos() as u64)
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
