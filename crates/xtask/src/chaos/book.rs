//! The book of a run: every operation of every client, with its times.
//!
//! Invariants: (1) an operation is written down before it is sent, and its end after the answer is
//! there; what a watch was told is written down when it was told; (2) all times are of one monotonic clock, in nanoseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use hstore_check::history::{
    ClientId, Grant, History, Lock, LogEntry, Moment, WatchId, Wish, Word,
};
use hstore_check::recorder::Recorder;
use hstore_check::rights::{self, Change, Learned, Rights};
use hstore_client::{Client, Error, ErrorCode};
use hstore_core::auth::{AuthCommand, PasswordHash};
use hstore_core::claim;
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use super::ask::Ask;
use super::load;

/// Longer than anything of a change that was given up can be on its way: it has its caller's time, and
/// that begins late at a node that stood still.
const LINGERS: Duration = Duration::from_mins(2);

/// The book.
pub(super) struct Book {
    recorder: Mutex<Recorder>,
    origin: Instant,
    acknowledged: AtomicU64,
    /// The newest revision that was answered.
    newest: AtomicU64,
    rights: Mutex<Rights>,
    grants: Mutex<Vec<Grant>>,
    /// Fenced writes that were done, and that were not since the lock was lost.
    fenced: [AtomicU64; 2],
}

impl Book {
    pub(super) fn new() -> Book {
        Book {
            recorder: Mutex::new(Recorder::new()),
            origin: Instant::now(),
            acknowledged: AtomicU64::new(0),
            newest: AtomicU64::new(1),
            rights: Mutex::default(),
            grants: Mutex::default(),
            fenced: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// Has a change of users made, and writes down what comes of it.
    pub(super) async fn change(&self, client: &Client, command: AuthCommand) -> Learned {
        let asked = self.now();
        let learned = learned(change(client, &command).await.map_err(|error| error.code()));
        let told = self.now();
        locked(&self.rights).changes.push(Change {
            asked,
            told,
            command,
            learned,
        });
        learned
    }

    /// Somebody whose rights change asked for something.
    pub(super) fn asked(&self, request: rights::Request) {
        locked(&self.rights).requests.push(request);
    }

    /// Somebody was told to hold the lock.
    pub(super) fn granted(&self, grant: Grant) {
        locked(&self.grants).push(grant);
    }

    /// A holder wrote, or could not since the lock was lost.
    pub(super) fn fenced(&self, done: bool) {
        self.fenced[usize::from(!done)].fetch_add(1, Ordering::Relaxed);
    }

    /// Fenced writes that were done, and that were not.
    pub(super) fn fenced_counts(&self) -> (u64, u64) {
        let [done, lost] = &self.fenced;
        (done.load(Ordering::Relaxed), lost.load(Ordering::Relaxed))
    }

    /// Everything about rights.
    pub(super) fn rights(&self) -> Rights {
        Rights {
            lingers: Some(LINGERS.as_nanos() as u64),
            ..std::mem::take(&mut *locked(&self.rights))
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

    /// Ends the run: the history with the lock, and with what the nodes agreed on.
    pub(super) fn close(&self, log: Vec<LogEntry>) -> History {
        let mut recorder = std::mem::take(&mut *self.recorder());
        recorder.log(log);
        let mut history = recorder.finish();
        history.locks.push(Lock {
            line: claim::line(load::LOCK.as_bytes()),
            protects: Some(load::LOCKED.into()),
            grants: std::mem::take(&mut *locked(&self.grants)),
        });
        history
    }

    /// What time it is.
    pub(super) fn now(&self) -> Moment {
        Moment(self.origin.elapsed().as_nanos() as u64)
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        locked(&self.recorder)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an answer says; nothing when it leaves open whether it was done.
pub(super) fn learned(told: Result<(), ErrorCode>) -> Learned {
    match told {
        Err(code) if !code.definitely_not_applied() => None,
        told => Some(told),
    }
}

async fn change(client: &Client, command: &AuthCommand) -> Result<(), Error> {
    match command {
        AuthCommand::Disable => client.disable_auth().await,
        AuthCommand::Enable { .. } => client.enable_auth().await,
        AuthCommand::GrantPermission { role, permission } => {
            let keys = permission.keys.clone();
            client.grant_permission(role, permission.access, keys).await
        }
        AuthCommand::GrantRole { user, role } => client.grant_role(user, role).await,
        AuthCommand::RevokePermission { role, keys } => {
            client.revoke_permission(role, keys.clone()).await
        }
        AuthCommand::RevokeRole { user, role } => client.revoke_role(user, role).await,
        AuthCommand::RoleAdd { name } => client.add_role(name).await,
        AuthCommand::RoleDelete { name } => client.delete_role(name).await,
        AuthCommand::UserAdd { name, password } => {
            let password = password.as_ref().map(PasswordHash::as_str);
            client.add_user(name, password).await
        }
        AuthCommand::UserDelete { name } => client.delete_user(name).await,
        AuthCommand::UserPassword { name, password } => {
            client.change_password(name, password.as_str()).await
        }
    }
}
