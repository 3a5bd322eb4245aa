//! How many took how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Counter;
use super::timing::{Times, Timing};

/// Durations, sorted into buckets as they come.
#[derive(Debug)]
pub(crate) struct Histogram<const BOUNDS: usize> {
    /// The upper bound of each bucket, in seconds; what is above all has a bucket of its own.
    bounds: [f64; BOUNDS],
    buckets: [AtomicU64; BOUNDS],
    above: Counter,
    nanoseconds: Counter,
    timing: Timing,
}

/// What a histogram held at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    /// For each bound, how many were not above it.
    pub(crate) buckets: Vec<(f64, u64)>,
    /// How many there were.
    pub(crate) count: u64,
    /// All of them together, in seconds.
    pub(crate) sum: f64,
}

impl<const BOUNDS: usize> Histogram<BOUNDS> {
    /// Nothing yet; the bounds stand in order.
    pub(crate) const fn new(bounds: [f64; BOUNDS]) -> Histogram<BOUNDS> {
        Histogram {
            bounds,
            buckets: [const { AtomicU64::new(0) }; BOUNDS],
            above: Counter::new(),
            nanoseconds: Counter::new(),
            timing: Timing::new(),
        }
    }

    /// One that took so long.
    pub(crate) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        match self.bounds.iter().position(|bound| seconds <= *bound) {
            Some(place) => {
                self.buckets[place].fetch_add(1, Ordering::Relaxed);
            }
            None => self.above.add_one(),
        }
        self.nanoseconds.add(took.as_nanos() as u64);
        self.timing.add(took);
    }

    /// What it holds now, for percentiles.
    pub(crate) fn times(&self) -> Times {
        self.timing.times()
    }

    /// What it holds now. The count is that of the buckets, so that the page is of one piece.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let buckets = self
            .bounds
            .iter()
            .zip(&self.buckets)
            .map(|(bound, bucket)| {
                count += bucket.load(Ordering::Relaxed);
                (*bound, count)
            });
        let buckets = buckets.collect();
        Snapshot {
            buckets,
            count: count + self.above.get(),
            sum: Duration::from_nanos(self.nanoseconds.get()).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new([0.001, 0.01]);
        for millis in [0, 1, 2, 10, 11] {
            histogram.add(Duration::from_millis(millis));
        }
        let expected = Snapshot {
            buckets: vec![(0.001, 2), (0.01, 4)],
            count: 5,
            sum: 0.024,
        };
        assert_eq!(histogram.snapshot(), expected);
    }
}
