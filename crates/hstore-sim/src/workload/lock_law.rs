//! The laws of locks, judged by the store's whole history once all is calm.
//!
//! 1. `locks_exclude`: no two hold the lock at a time, as the judge of locks says.
//! 2. `locks_fence`: what was written with a token was written while its key was there, and tokens
//!    never go back, as it says, too.
//! 3. `locks_end`: nobody who gave up is left in the line.
//! 4. `locks_go_on`: when a holder is lost, those who wait get the lock one after the other, in
//!    time.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use hstore_check::lock::{self, Grant, Lock};
use hstore_check::violation::Kind;
use hstore_core::auth::Author;
use hstore_core::claim;
use hstore_core::command::{Command, GrantLease, Proposal};
use hstore_core::id::Revision;
use hstore_core::range::Range;
use hstore_node::{Claim, ClaimKind, ClaimLease, Consistency, Node};
use tokio::time::{Instant, sleep, timeout};

use super::Clients;
use super::locker::{DATA, NAME};

/// How long after the storm the line must be empty: a key is taken away within half a minute, or
/// goes with its lease.
const EMPTY_MAX: Duration = Duration::from_secs(40);

/// How long a turn may take that only has to wait for a lease of two seconds.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Leases of the last check, which nobody draws.
const LAST_LEASES: [i64; 3] = [-1, -2, -3];

/// What lockers saw.
#[derive(Debug, Default)]
pub(super) struct Lockbook {
    /// Every key that may have stood in line.
    pub(super) keys: BTreeSet<Bytes>,
    pub(super) grants: Vec<Grant>,
    /// Fenced writes that were done, and that were refused.
    pub(super) written: u64,
    pub(super) fenced_off: u64,
}

/// How the laws are broken.
pub(super) async fn broken(clients: &Clients, node: &Node) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(left) = left_in_line(node).await {
        broken.push(left);
    }
    let (keys, grants) = {
        let book = clients.lockbook();
        (book.keys.clone(), book.grants.clone())
    };
    let mut lock = Lock {
        grants,
        ..Lock::default()
    };
    for key in keys {
        let Some(records) = history(node, key.clone()).await else {
            return broken;
        };
        let history = records.into_iter().map(|(at, value)| (at, value.is_some()));
        lock.key(key, history);
    }
    for (at, value) in history(node, Bytes::from_static(DATA))
        .await
        .unwrap_or_default()
    {
        if let Some(value) = value {
            lock.wrote(at, &value);
        }
    }
    let found = lock::judge(&lock);
    broken.extend(found.kept().iter().map(|violation| {
        let law = match violation.kind {
            Kind::FenceBroken | Kind::TokenWentBack => "locks_fence",
            _ => "locks_exclude",
        };
        format!("{law}: {}", violation.sentence)
    }));
    broken.extend(starved(clients).await);
    broken
}

/// What a key was from which revision on, oldest first; no value where it was deleted.
type Records = Vec<(Revision, Option<Bytes>)>;

async fn history(node: &Node, key: Bytes) -> Option<Records> {
    let deadline = Instant::now() + PATIENCE;
    let read = node.history(
        &Author::Node,
        key,
        0,
        Revision(0),
        Consistency::Linearizable,
        deadline,
    );
    let (_header, records) = read.await.ok()?;
    let oldest_first = records.into_iter().rev();
    Some(
        oldest_first
            .map(|record| {
                let is_there = record.meta.create_revision.0 != 0;
                (record.meta.mod_revision, is_there.then_some(record.value))
            })
            .collect(),
    )
}

async fn left_in_line(node: &Node) -> Option<String> {
    let until = Instant::now() + EMPTY_MAX;
    loop {
        let deadline = Instant::now() + PATIENCE;
        let range = Range::of(claim::line(NAME));
        let read = node.range(&Author::Node, range, Consistency::Linearizable, deadline);
        let (_header, found) = read.await.ok()?;
        let left = found.ok()?.records;
        if left.is_empty() {
            return None;
        }
        if Instant::now() > until {
            let keys: Vec<_> = left.iter().map(|record| &record.key).collect();
            return Some(format!(
                "locks_end: after {} s there are {keys:?}",
                EMPTY_MAX.as_secs()
            ));
        }
        sleep(PATIENCE / 10).await;
    }
}

/// A holder that is lost without a word, and two who wait at other nodes.
async fn starved(clients: &Clients) -> Option<String> {
    let nodes = clients.shared.world.running();
    let mut turns = Vec::new();
    for (nth, lease) in LAST_LEASES.into_iter().enumerate() {
        let node = nodes.get(nth % nodes.len().max(1))?;
        // The first is never renewed.
        let ttl = if nth == 0 { 2 } else { 600 };
        ask(node, Command::GrantLease(GrantLease { lease, ttl })).await?;
        let wanted = Claim {
            author: Author::Nobody,
            name: Bytes::from_static(b"last"),
            lease: ClaimLease::Named(lease),
            kind: ClaimKind::Lock,
        };
        let mut claiming = node.claim(wanted, None, false).ok()?;
        claiming.joined().await;
        turns.push((node, lease, claiming));
    }
    for (nth, (node, lease, claiming)) in turns.into_iter().enumerate() {
        match timeout(TURN_MAX, claiming.answer()).await {
            Ok(Ok(_holding)) => {}
            Ok(Err(error)) => return Some(format!("locks_go_on: turn {nth}: {error}")),
            Err(_elapsed) => {
                return Some(format!(
                    "locks_go_on: turn {nth} did not come within {} s",
                    TURN_MAX.as_secs()
                ));
            }
        }
        if nth > 0 {
            ask(node, Command::RevokeLease { lease }).await?;
        }
    }
    None
}

async fn ask(node: &Node, command: Command) -> Option<()> {
    let proposal = Proposal {
        request: None,
        author: Author::Nobody,
        command,
    };
    let asked = node.propose(proposal, Instant::now() + PATIENCE).await;
    asked.ok()?.1.result.ok().map(drop)
}
