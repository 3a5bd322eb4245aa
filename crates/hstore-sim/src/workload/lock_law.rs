//! The laws of locks, judged by the store's whole history once all is calm.
//!
//! 1. `locks_exclude`: where a lock was granted its key was there, and no older key of the line; so
//!    the times of two holders never overlap in the log's order.
//! 2. `locks_fence`: what was written with a token was written while its key was there, and tokens
//!    never go back.
//! 3. `locks_end`: nobody who gave up is left in the line.
//! 4. `locks_go_on`: when a holder is lost, those who wait get the lock one after the other, in
//!    time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
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

/// A lock that somebody was told to hold.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) key: Bytes,
    pub(super) token: Revision,
    /// The revision of the read that granted it.
    pub(super) at: Revision,
}

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

/// One life of one key: created at the first revision, gone at the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    from: Revision,
    until: Revision,
}

impl Life {
    fn has(self, at: Revision) -> bool {
        self.from <= at && at < self.until
    }
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
    let mut lives = BTreeMap::new();
    for key in keys {
        let Some(records) = history(node, key.clone()).await else {
            return broken;
        };
        lives.insert(key, lives_of(&records));
    }
    broken.extend(grants.iter().filter_map(|grant| overlap(grant, &lives)));
    if let Some(records) = history(node, Bytes::from_static(DATA)).await {
        broken.extend(unfenced(&records, &lives));
    }
    broken.extend(starved(clients).await);
    broken
}

/// The records of a key, oldest first: revision, create revision, value.
type Records = Vec<(Revision, Revision, Bytes)>;

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
                let meta = record.meta;
                (meta.mod_revision, meta.create_revision, record.value)
            })
            .collect(),
    )
}

/// Each generation of a key, from its creation to its deletion.
fn lives_of(records: &Records) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (revision, created, _value) in records {
        match lives.last_mut() {
            // A tombstone.
            Some(last) if created.0 == 0 => last.until = *revision,
            Some(last) if last.from == *created => {}
            None if created.0 == 0 => {}
            _ => lives.push(Life {
                from: *created,
                until: Revision(i64::MAX),
            }),
        }
    }
    lives
}

fn overlap(grant: &Grant, lives: &BTreeMap<Bytes, Vec<Life>>) -> Option<String> {
    let Grant { key, token, at } = grant;
    let own = lives.get(key).into_iter().flatten();
    let is_there = own
        .copied()
        .any(|life| life.from == *token && life.has(*at));
    if !is_there {
        return Some(format!(
            "locks_exclude: {key:?} was granted at {at}, and its key of {token} was not there"
        ));
    }
    let mut others = lives.iter().filter(|(other, _lives)| *other != key);
    others.find_map(|(other, lives)| {
        let before = lives
            .iter()
            .find(|life| life.from < *token && life.has(*at))?;
        Some(format!(
            "locks_exclude: {key:?} of {token} was granted at {at}, and {other:?} of {} held it \
             until {}",
            before.from, before.until
        ))
    })
}

fn unfenced(records: &Records, lives: &BTreeMap<Bytes, Vec<Life>>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut newest = Revision(0);
    for (revision, _created, value) in records {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let token = Revision(text.parse().unwrap_or(0));
        let held = lives
            .values()
            .flatten()
            .any(|life| life.from == token && life.has(*revision));
        if !held {
            broken.push(format!(
                "locks_fence: at {revision} the holder of {token} wrote, whose key was gone"
            ));
        }
        if token < newest {
            broken.push(format!(
                "locks_fence: at {revision} token {token} wrote after {newest}"
            ));
        }
        newest = newest.max(token);
    }
    broken
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

#[cfg(test)]
mod tests {
    use super::*;

    fn records(of: &[(i64, i64, &'static str)]) -> Records {
        of.iter()
            .map(|(revision, created, value)| {
                (Revision(*revision), Revision(*created), (*value).into())
            })
            .collect()
    }

    fn life(from: i64, until: i64) -> Life {
        Life {
            from: Revision(from),
            until: Revision(until),
        }
    }

    fn lives() -> BTreeMap<Bytes, Vec<Life>> {
        BTreeMap::from([
            ("a".into(), vec![life(2, 6)]),
            ("b".into(), vec![life(4, 9)]),
        ])
    }

    #[test]
    fn a_key_lives_from_its_creation_to_its_deletion() {
        let told = records(&[(2, 2, ""), (3, 2, ""), (5, 0, ""), (8, 8, "")]);
        assert_eq!(lives_of(&told), [life(2, 5), life(8, i64::MAX)]);
    }

    #[test]
    fn a_grant_needs_its_own_key_and_nobody_before_it() {
        let grant = |key: &'static str, token, at| Grant {
            key: key.into(),
            token: Revision(token),
            at: Revision(at),
        };
        for (granted, good) in [
            (grant("a", 2, 2), true),
            (grant("a", 2, 6), false),
            (grant("b", 4, 6), true),
            (grant("b", 4, 5), false),
            (grant("b", 3, 6), false),
            (grant("b", 4, 9), false),
        ] {
            let broken = overlap(&granted, &lives());
            assert_eq!(broken.is_none(), good, "{granted:?}: {broken:?}");
        }
    }

    #[test]
    fn a_token_writes_while_its_key_is_there_and_never_after_a_newer_one() {
        for (told, broken) in [
            (&[(3, 3, "2"), (7, 3, "4")][..], 0),
            (&[(6, 6, "2")], 1),
            (&[(5, 5, "4"), (5, 5, "2")], 1),
            (&[(5, 5, "nonsense")], 1),
        ] {
            let found = unfenced(&records(told), &lives());
            assert_eq!(found.len(), broken, "{told:?}: {found:?}");
        }
    }
}
