//! How many bytes of answers a node has in the making: what reads of ranges have found, until it is
//! on its way out.
//!
//! Invariants: (1) all answers together are within the bound, but for one that may be of any size;
//! (2) one that does not fit is refused, never made to wait: answers that wait could hold what each
//! of them waits for; (3) what an answer took is given back when the last holder lets it go.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hstore_storage::store::Room;

/// An answer takes room in pieces of so many bytes, so that records do not meet at one counter.
const PIECE_BYTES: usize = 64 * 1024;

/// The answers of a node.
#[derive(Debug)]
pub(crate) struct Answers {
    /// How much all may have.
    bytes_max: usize,
    taken: AtomicUsize,
    /// Whether one is beyond the bound.
    has_giant: AtomicBool,
}

impl Answers {
    /// No answers, and how much all may have.
    pub(crate) fn new(bytes_max: usize) -> Arc<Answers> {
        Arc::new(Answers {
            bytes_max,
            taken: AtomicUsize::new(0),
            has_giant: AtomicBool::new(false),
        })
    }

    /// The room of an answer that has taken nothing yet.
    pub(crate) fn allowance(self: &Arc<Answers>) -> Arc<Allowance> {
        Arc::new(Allowance {
            answers: Arc::clone(self),
            used: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            is_giant: AtomicBool::new(false),
        })
    }
}

/// The room of one answer. Whoever has the answer holds it.
pub struct Allowance {
    answers: Arc<Answers>,
    /// How much the answer has. One task at a time asks for more.
    used: AtomicUsize,
    /// How much it took of what all may have.
    taken: AtomicUsize,
    /// Whether it is the one that may be of any size.
    is_giant: AtomicBool,
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance")
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

// No other memory hangs on these numbers, so no order is needed.
impl Room for Allowance {
    fn take(&self, bytes: usize) -> bool {
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes);
        let taken = self.taken.load(Ordering::Relaxed);
        if used > taken && !self.is_giant.load(Ordering::Relaxed) {
            let more = (used - taken).max(PIECE_BYTES);
            let all = self.answers.taken.fetch_add(more, Ordering::Relaxed);
            if all.saturating_add(more) > self.answers.bytes_max {
                self.answers.taken.fetch_sub(more, Ordering::Relaxed);
                if self.answers.has_giant.swap(true, Ordering::Relaxed) {
                    return false;
                }
                self.is_giant.store(true, Ordering::Relaxed);
            } else {
                self.taken.store(taken + more, Ordering::Relaxed);
            }
        }
        self.used.store(used, Ordering::Relaxed);
        true
    }

    fn clear(&self) {
        self.used.store(0, Ordering::Relaxed);
        let taken = self.taken.swap(0, Ordering::Relaxed);
        if taken > 0 {
            self.answers.taken.fetch_sub(taken, Ordering::Relaxed);
        }
        if self.is_giant.swap(false, Ordering::Relaxed) {
            self.answers.has_giant.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_may_be_of_any_size_and_all_others_fit() {
        let answers = Answers::new(4 * PIECE_BYTES);
        let (one, two, three) = (
            answers.allowance(),
            answers.allowance(),
            answers.allowance(),
        );
        assert!(one.take(3 * PIECE_BYTES));
        assert!(two.take(1));
        assert!(two.take(PIECE_BYTES - 1));
        // The room is out: the first that wants more is the one, the others are refused.
        assert!(two.take(100 * PIECE_BYTES));
        assert!(two.take(100 * PIECE_BYTES));
        assert!(!three.take(1));
        assert!(!one.take(1));
        drop(two);
        assert!(three.take(1));
        assert!(one.take(1));
        assert!(!three.take(PIECE_BYTES));
        drop(one);
        assert!(three.take(3 * PIECE_BYTES));
        drop(three);
        assert_eq!(answers.taken.load(Ordering::Relaxed), 0);
        assert!(!answers.has_giant.load(Ordering::Relaxed));
    }

    #[test]
    fn a_read_that_begins_again_takes_no_more_than_once() {
        let answers = Answers::new(2 * PIECE_BYTES);
        let one = answers.allowance();
        for _ in 0..10 {
            one.clear();
            assert!(one.take(2 * PIECE_BYTES));
        }
        assert!(!answers.has_giant.load(Ordering::Relaxed));
    }
}
