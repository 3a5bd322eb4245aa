//! What a person is told while an import goes on: one line now and then, on stderr.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::screen;

/// How often, where somebody looks and where it is a file.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);

/// Tells how an import gets on.
pub(super) struct Told {
    interval: Duration,
    last: Option<Instant>,
}

impl Told {
    pub(super) fn new() -> Told {
        let looks = std::io::stderr().is_terminal();
        Told {
            interval: if looks { OFTEN } else { SELDOM },
            last: None,
        }
    }

    /// A step of its own.
    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        screen::talk(line);
        self.last = Some(Instant::now());
    }

    /// So many keys were read.
    pub(super) fn reading(&mut self, keys: usize) {
        if self.is_due() {
            self.say(format_args!("  read {keys} keys"));
        }
    }

    /// So many keys were compared.
    pub(super) fn comparing(&mut self, keys: u64) {
        if self.is_due() {
            self.say(format_args!("  compared {keys} keys"));
        }
    }

    /// How far the store is behind etcd.
    pub(super) fn following(&mut self, applied: i64, seen: i64) {
        if self.is_due() {
            let behind = (seen - applied).max(0);
            self.say(format_args!("  revision {applied}, {behind} behind etcd"));
        }
    }

    fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= self.interval)
    }
}
