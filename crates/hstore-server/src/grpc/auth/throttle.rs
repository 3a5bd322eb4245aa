//! How long who guesses passwords has to wait.
//!
//! A wrong password makes the next one wait, for the same user a little and for the same address
//! longer each time: guesses from one address go one after another. Wrong passwords from elsewhere
//! slow a user down by a second at most, so nobody can be kept out by somebody who guesses.
//!
//! Invariants: (1) the first few failures cost nothing, since people mistype; (2) what is remembered
//! is bounded in number and in time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures cost nothing.
const FREE: u32 = 3;

/// What the first one after them costs; each further one twice as much.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait because of an address.
const ADDRESS_MAX: Duration = Duration::from_secs(5);

/// The longest wait because of a user.
const USER_MAX: Duration = Duration::from_secs(1);

/// Failures are forgotten when none followed for so long.
const MEMORY: Duration = Duration::from_mins(10);

/// So many users and addresses are remembered; the one that was quiet longest goes for a new one.
const ENTRIES_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Address(IpAddr),
    User(String),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Instant,
    /// When the next attempt may go on.
    next: Instant,
}

/// Who failed how often.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<BTreeMap<Who, Entry>>);

impl Throttle {
    /// When an attempt may go on. Those of one address get times one after another.
    pub(super) fn turn(&self, user: &str, address: Option<IpAddr>) -> Instant {
        let now = Instant::now();
        let mut entries = self.lock();
        let mut at = now;
        if let Some(entry) = entries.get(&Who::User(user.to_owned())) {
            at = at.max(entry.last + pause(entry.failures, USER_MAX));
        }
        if let Some(entry) = address.and_then(|ip| entries.get_mut(&Who::Address(ip))) {
            let turn = entry.next.max(now);
            entry.next = turn + pause(entry.failures, ADDRESS_MAX);
            at = at.max(turn);
        }
        at
    }

    /// An attempt failed.
    pub(super) fn failed(&self, user: &str, address: Option<IpAddr>) {
        let mut entries = self.lock();
        note(&mut entries, Who::User(user.to_owned()), USER_MAX);
        if let Some(ip) = address {
            note(&mut entries, Who::Address(ip), ADDRESS_MAX);
        }
    }

    /// An attempt succeeded: the user knows their password after all.
    pub(super) fn succeeded(&self, user: &str) {
        self.lock().remove(&Who::User(user.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Who, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(entries: &mut BTreeMap<Who, Entry>, who: Who, longest: Duration) {
    let now = Instant::now();
    if !entries.contains_key(&who) && entries.len() >= ENTRIES_MAX {
        entries.retain(|_, entry| now < entry.last + MEMORY);
        let quiet = entries.iter().min_by_key(|(_, entry)| entry.last);
        let quiet = quiet.map(|(who, _)| who.clone());
        if let Some(quiet) = quiet.filter(|_| entries.len() >= ENTRIES_MAX) {
            entries.remove(&quiet);
        }
    }
    let fresh = Entry {
        failures: 0,
        last: now,
        next: now,
    };
    let entry = entries.entry(who).or_insert(fresh);
    if now >= entry.last + MEMORY {
        *entry = fresh;
    }
    entry.failures = entry.failures.saturating_add(1);
    entry.last = now;
    entry.next = entry.next.max(now + pause(entry.failures, longest));
}

/// What so many failures cost.
fn pause(failures: u32, longest: Duration) -> Duration {
    let Some(beyond) = failures.checked_sub(FREE + 1) else {
        return Duration::ZERO;
    };
    FIRST.saturating_mul(1 << beyond.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
    const TWO: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));

    fn wait(throttle: &Throttle, user: &str, address: Option<IpAddr>) -> Duration {
        throttle.turn(user, address) - Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_beyond_the_free_ones_costs_more_up_to_a_bound() {
        let throttle = Throttle::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            let turn = throttle.turn("u", ONE);
            waits.push(turn - Instant::now());
            tokio::time::sleep_until(turn).await;
            throttle.failed("u", ONE);
        }
        assert!(waits[..=3].iter().all(Duration::is_zero), "{waits:?}");
        assert!(waits[4..].iter().all(|wait| !wait.is_zero()), "{waits:?}");
        assert!(waits.is_sorted() && waits[11] <= ADDRESS_MAX, "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_at_once_go_one_after_another() {
        let throttle = Throttle::default();
        for _ in 0..6 {
            throttle.failed("u", ONE);
        }
        let first = wait(&throttle, "a", ONE);
        let second = wait(&throttle, "b", ONE);
        assert!(!first.is_zero() && second > first, "{first:?} {second:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_address_keeps_nobody_out_for_long() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            throttle.failed("u", ONE);
        }
        assert!(wait(&throttle, "u", TWO) <= USER_MAX);
        assert_eq!(wait(&throttle, "v", TWO), Duration::ZERO);
        throttle.succeeded("u");
        assert_eq!(wait(&throttle, "u", TWO), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_and_fades() {
        let throttle = Throttle::default();
        for n in 0..2 * ENTRIES_MAX {
            throttle.failed(&format!("user {n}"), None);
        }
        assert_eq!(throttle.lock().len(), ENTRIES_MAX);
        for _ in 0..20 {
            throttle.failed("u", None);
        }
        assert_eq!(wait(&throttle, "u", None), USER_MAX);
        tokio::time::advance(MEMORY).await;
        throttle.failed("u", None);
        assert_eq!(wait(&throttle, "u", None), Duration::ZERO);
    }
}
