//! The last lines of the log, in memory, for those who read it from elsewhere.
//!
//! Invariants: (1) what is kept has a bound in lines and in bytes, and so has each line: the oldest
//! go first; (2) numbers grow by one and are never used twice, so that a reader knows what it
//! missed; (3) nothing is written while the lock is held, so to log never waits for a reader long.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines are kept.
const LINES_MAX: usize = 2000;

/// How many bytes all texts that are kept have together.
const BYTES_MAX: usize = 1024 * 1024;

/// How long one text may be, in bytes; the rest of it is cut off.
const LINE_BYTES_MAX: usize = 4096;

/// The last lines of this process.
pub(crate) static RECENT: Recent = Recent::new();

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// When it was written, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    pub(crate) level: &'static str,
    pub(crate) target: String,
    pub(crate) text: String,
}

/// The last lines.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

/// Some lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The lines, the oldest first.
    pub(crate) lines: Vec<Line>,
    /// The number of the last line that was written.
    pub(crate) last: u64,
    /// How many lines were asked for and are not here.
    pub(crate) missed: u64,
}

impl Recent {
    const fn new() -> Recent {
        let kept = Kept {
            lines: VecDeque::new(),
            bytes: 0,
            last: 0,
        };
        Recent {
            kept: Mutex::new(kept),
        }
    }

    /// The newest `limit` lines behind a number.
    pub(crate) fn after(&self, number: u64, limit: usize) -> Page {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A number of the life before this one is behind everything that was written in this one.
        let number = if number > kept.last { 0 } else { number };
        let asked = kept.last - number;
        let count = kept.lines.len().min(limit).min(asked as usize);
        let lines: Vec<Line> = kept
            .lines
            .range(kept.lines.len() - count..)
            .cloned()
            .collect();
        Page {
            missed: asked - lines.len() as u64,
            lines,
            last: kept.last,
        }
    }

    fn add(&self, level: &'static str, target: &str, mut text: String) {
        if text.len() > LINE_BYTES_MAX {
            let whole = (0..=LINE_BYTES_MAX)
                .rev()
                .find(|at| text.is_char_boundary(*at));
            text.truncate(whole.unwrap_or(0));
            text.push('…');
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut line = Line {
            number: 0,
            time_ms: since.map_or(0, |since| since.as_millis() as u64),
            level,
            target: target.to_owned(),
            text,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        line.number = kept.last;
        kept.bytes += line.text.len();
        kept.lines.push_back(line);
        while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
            let gone = kept.lines.pop_front();
            kept.bytes -= gone.map_or(0, |line| line.text.len());
        }
    }
}

/// Keeps every line that is logged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remember;

impl<S: Subscriber> Layer<S> for Remember {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let metadata = event.metadata();
        RECENT.add(metadata.level().as_str(), metadata.target(), text.0);
    }
}

/// The message and the fields, as the log shows them.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let written = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.0, "{}={value:?}", field.name())
        };
        written.expect("a string takes every write");
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn numbers(page: &Page) -> Vec<u64> {
        page.lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn a_reader_reads_on_where_it_was_and_hears_what_it_missed() {
        let recent = Recent::new();
        assert_eq!(recent.after(0, 10).last, 0);
        for at in 1..=5 {
            recent.add("INFO", "hstore", format!("line {at}"));
        }
        let all = recent.after(0, 10);
        assert_eq!(
            (numbers(&all), all.last, all.missed),
            (vec![1, 2, 3, 4, 5], 5, 0)
        );
        let few = recent.after(1, 2);
        assert_eq!((numbers(&few), few.missed), (vec![4, 5], 2));
        let none = recent.after(5, 10);
        assert_eq!((numbers(&none), none.missed), (vec![], 0));
        // The node started anew since.
        assert_eq!(numbers(&recent.after(70, 10)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn the_oldest_lines_go_when_there_are_many_or_long_ones() {
        let recent = Recent::new();
        for _ in 0..LINES_MAX + 3 {
            recent.add("INFO", "hstore", "x".to_owned());
        }
        let page = recent.after(0, usize::MAX);
        assert_eq!((page.lines.len(), page.missed), (LINES_MAX, 3));
        for _ in 0..LINES_MAX {
            recent.add("INFO", "hstore", "\u{20ac}".repeat(LINE_BYTES_MAX));
        }
        let page = recent.after(0, usize::MAX);
        let bytes: usize = page.lines.iter().map(|line| line.text.len()).sum();
        assert!(
            bytes <= BYTES_MAX && bytes > BYTES_MAX - 2 * LINE_BYTES_MAX,
            "{bytes}"
        );
        assert_eq!(page.last, 2 * LINES_MAX as u64 + 3);
    }

    #[test]
    fn a_line_holds_its_message_and_its_fields() {
        let subscriber = tracing_subscriber::registry().with(Remember);
        let before = RECENT.after(0, 0).last;
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(count = 3, name = "n1", "it was so");
        });
        let page = RECENT.after(before, 10);
        let line = page.lines.last().unwrap();
        assert_eq!(
            (line.level, &line.text[..]),
            ("WARN", "it was so count=3 name=\"n1\"")
        );
        assert!(line.target.starts_with("hstore_server") && line.time_ms > 0);
    }
}
