//! Lines to batches, on a thread of its own: parsing and storing go on at the same time.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read};

use bytes::Bytes;

use crate::lines::{self, BadLine};

/// What the pairs of a batch may cost together: well below the 1.5 MiB that a node takes. A pair
/// that costs more goes alone.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// What a pair costs beside its bytes.
const PAIR_COST: usize = 32;
/// The longest line that is read; a longer one ends the import.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How batches are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most pairs of a batch.
    pub(super) pairs: usize,
    /// Lines before this one are passed over.
    pub(super) from_line: u64,
}

/// A pair, and the line that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) line: u64,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

impl Pair {
    pub(super) fn bytes(&self) -> (Bytes, Bytes) {
        (self.key.clone(), self.value.clone())
    }
}

/// Pairs with different keys, to be stored at once. Never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) pairs: Vec<Pair>,
    /// How many bytes of the input were read up to its end.
    pub(super) position: u64,
}

impl Batch {
    pub(super) fn first_line(&self) -> u64 {
        self.pairs.first().map_or(1, |pair| pair.line)
    }
}

/// What the input holds.
#[derive(Debug)]
pub(super) enum Item {
    /// Pairs.
    Batch(Batch),
    /// A line that is no pair.
    Bad {
        /// Which.
        line: u64,
        /// Why.
        why: BadLine,
    },
    /// The input cannot be read any further.
    Broken {
        /// At which line.
        line: u64,
        /// Why.
        error: io::Error,
    },
}

/// Reads the input to its end, or until `take` says that no more is wanted.
pub(super) fn read(mut source: impl BufRead, limits: Limits, take: &mut dyn FnMut(Item) -> bool) {
    let mut batch = Open::default();
    let mut text = Vec::new();
    let mut line = 0;
    let mut position = 0;
    loop {
        text.clear();
        line += 1;
        let length = match source
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)
        {
            Ok(length) => length as u64,
            Err(error) => {
                let _stopped = !batch.send(position, take) || !take(Item::Broken { line, error });
                return;
            }
        };
        if length == 0 {
            batch.send(position, take);
            return;
        }
        if length == LINE_BYTES_MAX && text.last() != Some(&b'\n') {
            let error = io::Error::new(io::ErrorKind::InvalidData, "the line does not end");
            let _stopped = !batch.send(position, take) || !take(Item::Broken { line, error });
            return;
        }
        if line < limits.from_line || text.iter().all(u8::is_ascii_whitespace) {
            position += length;
            continue;
        }
        let wanted = match lines::read(&text) {
            Ok((key, value)) => {
                let pair = Pair { line, key, value };
                let fits = batch.fits(&pair, limits.pairs) || batch.send(position, take);
                batch.add(pair);
                fits
            }
            Err(why) => batch.send(position, take) && take(Item::Bad { line, why }),
        };
        if !wanted {
            return;
        }
        position += length;
    }
}

/// A batch that is being filled.
#[derive(Default)]
struct Open {
    pairs: Vec<Pair>,
    keys: BTreeSet<Bytes>,
    cost: usize,
}

impl Open {
    fn fits(&self, pair: &Pair, pairs_max: usize) -> bool {
        self.pairs.is_empty()
            || (self.pairs.len() < pairs_max
                && self.cost + cost(pair) <= BATCH_BYTES_MAX
                && !self.keys.contains(&pair.key))
    }

    fn add(&mut self, pair: Pair) {
        self.cost += cost(&pair);
        self.keys.insert(pair.key.clone());
        self.pairs.push(pair);
    }

    /// Hands the batch on, unless it is empty. Answers whether more is wanted.
    fn send(&mut self, position: u64, take: &mut dyn FnMut(Item) -> bool) -> bool {
        let Open { pairs, .. } = std::mem::take(self);
        pairs.is_empty() || take(Item::Batch(Batch { pairs, position }))
    }
}

fn cost(pair: &Pair) -> usize {
    pair.key.len() + pair.value.len() + PAIR_COST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &[u8], pairs: usize, from_line: u64) -> Vec<String> {
        let mut items = Vec::new();
        read(text, Limits { pairs, from_line }, &mut |item| {
            items.push(match item {
                Item::Batch(batch) => batch
                    .pairs
                    .iter()
                    .map(|pair| format!("{}:{}", pair.line, String::from_utf8_lossy(&pair.key)))
                    .collect::<Vec<String>>()
                    .join(" "),
                Item::Bad { line, .. } => format!("bad {line}"),
                Item::Broken { line, .. } => format!("broken {line}"),
            });
            true
        });
        items
    }

    fn pair(key: &str) -> String {
        format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n")
    }

    #[test]
    fn batches_are_cut_by_count_and_never_hold_a_key_twice() {
        let text = ["a", "b", "c", "a", "a", "d"].map(pair).concat();
        assert_eq!(
            items(text.as_bytes(), 128, 1),
            ["1:a 2:b 3:c", "4:a", "5:a 6:d"]
        );
        assert_eq!(
            items(text.as_bytes(), 2, 1),
            ["1:a 2:b", "3:c 4:a", "5:a 6:d"]
        );
        assert_eq!(items(text.as_bytes(), 128, 5), ["5:a 6:d"]);
        assert_eq!(items(b"", 128, 1), [""; 0]);
    }

    #[test]
    fn batches_are_cut_by_bytes() {
        let long = "x".repeat(BATCH_BYTES_MAX / 2);
        let text: String = ["a", "b", "c"]
            .map(|key| format!("{{\"key\":\"{key}\",\"value\":\"{long}\"}}\n"))
            .concat();
        assert_eq!(items(text.as_bytes(), 128, 1), ["1:a", "2:b", "3:c"]);
    }

    #[test]
    fn a_bad_line_is_named_and_comes_after_what_was_before_it() {
        let text = format!("{}\n  \nnonsense\n{}", pair("a"), pair("b").trim_end());
        assert_eq!(items(text.as_bytes(), 128, 1), ["1:a", "bad 4", "5:b"]);
    }

    #[test]
    fn reading_ends_when_no_more_is_wanted() {
        let text = ["a", "b", "c"].map(pair).concat();
        let mut count = 0;
        read(
            text.as_bytes(),
            Limits {
                pairs: 1,
                from_line: 1,
            },
            &mut |_| {
                count += 1;
                false
            },
        );
        assert_eq!(count, 1);
    }

    #[test]
    fn an_input_that_breaks_is_said_with_its_line() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let text = pair("a");
        let source = io::BufReader::new(text.as_bytes().chain(Broken));
        let mut last = None;
        read(
            source,
            Limits {
                pairs: 9,
                from_line: 1,
            },
            &mut |item| {
                last = Some(item);
                true
            },
        );
        assert!(
            matches!(last, Some(Item::Broken { line: 2, .. })),
            "{last:?}"
        );
    }
}
