//! The laws of locks: who was told to hold one, held against the history of the keys in its line.
//!
//! A lock is held by the oldest key of a line, and its fencing token is the revision that created
//! that key. Times of holders are compared in the order of revisions, which no clock can blur.
//!
//! 1. `lock_unheld`: where a lock was granted, its key was there.
//! 2. `lock_shared`: and no older key of the line; so the times of two holders never overlap.
//! 3. `fence_broken`: what was written with a token was written while its key was there.
//! 4. `token_went_back`: nothing was written with an older token than before.
//!
//! Invariants: (1) the history of every key that may have stood in line is whole; (2) what no log
//! covers is counted, not judged.

use std::collections::BTreeMap;

use bytes::Bytes;
use hstore_core::id::Revision;

pub use crate::history::Grant;
use crate::history::{self, History, LogEntry};
use crate::violation::{Kind, Violations};
use crate::words::quoted;

/// One life of one key: created at the first revision, gone at the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where it begins; the token of whoever holds by it.
    pub from: Revision,
    /// The first revision without it.
    pub until: Revision,
}

impl Life {
    fn has(self, at: Revision) -> bool {
        self.from <= at && at < self.until
    }
}

/// A write that was fenced with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The revision that did it.
    pub at: Revision,
    /// With which token.
    pub token: Revision,
}

/// Everything about one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The lives of each key that may have stood in line, oldest first.
    pub lives: BTreeMap<Bytes, Vec<Life>>,
    /// Who was told to hold it.
    pub grants: Vec<Grant>,
    /// What holders wrote, oldest first.
    pub fenced: Vec<Fenced>,
}

impl Lock {
    /// Takes the history of one key of the line, oldest first: each revision that wrote it, and
    /// whether it was there from then on.
    pub fn key(&mut self, key: Bytes, history: impl IntoIterator<Item = (Revision, bool)>) {
        let mut lives: Vec<Life> = Vec::new();
        for (at, is_there) in history {
            let open = lives.last_mut().filter(|life| life.until == FOR_EVER);
            match (open, is_there) {
                (Some(life), false) => life.until = at,
                (None, true) => lives.push(Life {
                    from: at,
                    until: FOR_EVER,
                }),
                (Some(_), true) | (None, false) => {}
            }
        }
        self.lives.insert(key, lives);
    }

    /// Takes a write of what the lock protects: its value begins with the token, in decimal digits.
    pub fn wrote(&mut self, at: Revision, value: &[u8]) {
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
        let text: String = digits.map(|byte| char::from(*byte)).collect();
        // What is no token was written by nobody who held the lock.
        let token = Revision(text.parse().unwrap_or(0));
        self.fenced.push(Fenced { at, token });
    }

    /// A lock of which the whole log is known.
    fn of_log(told: &history::Lock, log: &[LogEntry], grants: Vec<Grant>) -> Lock {
        let mut lock = Lock {
            grants,
            ..Lock::default()
        };
        let mut line: BTreeMap<&Bytes, Vec<(Revision, bool)>> = BTreeMap::new();
        for entry in log {
            for record in &entry.records {
                if told.line.contains(&record.key) {
                    let history = line.entry(&record.key).or_default();
                    history.push((entry.revision, record.value.is_some()));
                }
                if told.protects.as_ref() == Some(&record.key)
                    && let Some(value) = &record.value
                {
                    lock.wrote(entry.revision, value);
                }
            }
        }
        for (key, history) in line {
            lock.key(key.clone(), history);
        }
        lock
    }
}

/// What the laws of locks have to say about a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong.
    pub violations: Violations,
    /// Locks.
    pub locks: u64,
    /// How often somebody was told to hold one.
    pub grants: u64,
    /// What holders wrote.
    pub writes: u64,
    /// Grants that no log covers.
    pub unchecked: u64,
}

/// Judges all locks of a history. Without the log from its beginning nobody can say who held one.
pub fn judge_history(history: &History) -> Findings {
    let mut findings = Findings::default();
    let is_whole = history.log.first().map(|entry| entry.revision) == Some(Revision::EMPTY.next());
    let end = history.log.last().filter(|_| is_whole);
    let end = end.map_or(Revision(0), |entry| entry.revision);
    for told in &history.locks {
        findings.locks += 1;
        findings.grants += told.grants.len() as u64;
        let covered = told.grants.iter().filter(|grant| grant.at <= end);
        let covered: Vec<Grant> = covered.cloned().collect();
        findings.unchecked += (told.grants.len() - covered.len()) as u64;
        if is_whole {
            let lock = Lock::of_log(told, &history.log, covered);
            findings.writes += lock.fenced.len() as u64;
            findings.violations.join(judge(&lock));
        }
    }
    findings
}

const FOR_EVER: Revision = Revision(i64::MAX);

/// Judges a lock.
pub fn judge(lock: &Lock) -> Violations {
    let mut violations = Violations::default();
    for grant in &lock.grants {
        granted(grant, lock, &mut violations);
    }
    let mut newest = Revision(0);
    for Fenced { at, token } in &lock.fenced {
        let mut lives = lock.lives.values().flatten();
        if !lives.any(|life| life.from == *token && life.has(*at)) {
            violations.push(Kind::FenceBroken, &[], Some(*at), || {
                format!("at {at} the holder of {token} wrote, whose key was gone")
            });
        }
        if *token < newest {
            violations.push(Kind::TokenWentBack, &[], Some(*at), || {
                format!("at {at} token {token} wrote after {newest}")
            });
        }
        newest = newest.max(*token);
    }
    violations
}

fn granted(grant: &Grant, lock: &Lock, violations: &mut Violations) {
    let Grant { key, token, at } = grant;
    let own = lock.lives.get(key).into_iter().flatten();
    if !own
        .copied()
        .any(|life| life.from == *token && life.has(*at))
    {
        violations.push(Kind::LockUnheld, &[], Some(*at), || {
            let key = quoted(key);
            format!("{key} was granted at {at}, and its key of {token} was not there")
        });
        return;
    }
    for (other, lives) in &lock.lives {
        let mut before = lives
            .iter()
            .filter(|life| life.from < *token && life.has(*at));
        if let Some(Life { from, until }) = before.next().filter(|_| other != key) {
            violations.push(Kind::LockShared, &[], Some(*at), || {
                let (key, other) = (quoted(key), quoted(other));
                format!(
                    "{key} of {token} was granted at {at}, and {other} of {from} held it until {until}"
                )
            });
            return;
        }
    }
}
