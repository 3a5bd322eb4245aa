//! How long things took, fine enough for percentiles: four buckets for each doubling.
//!
//! The buckets that etcd's names need begin at a millisecond; a fast disk is done before that.

use std::time::Duration;

use super::Counter;

/// Four for each doubling, from a microsecond to nine minutes. What takes longer is in the last.
const BUCKETS: usize = 116;

/// Durations, sorted into fine buckets as they come.
#[derive(Debug)]
pub(super) struct Timing {
    buckets: [Counter; BUCKETS],
}

/// How many took how long, at one time or between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    buckets: [u64; BUCKETS],
}

impl Timing {
    /// Nothing yet.
    pub(super) const fn new() -> Timing {
        Timing {
            buckets: [const { Counter::new() }; BUCKETS],
        }
    }

    /// One that took so long.
    pub(super) fn add(&self, took: Duration) {
        self.buckets[place(took.as_micros())].add_one();
    }

    /// What it holds now.
    pub(super) fn times(&self) -> Times {
        Times {
            buckets: std::array::from_fn(|place| self.buckets[place].get()),
        }
    }
}

impl Default for Times {
    fn default() -> Times {
        Times {
            buckets: [0; BUCKETS],
        }
    }
}

impl Times {
    /// What came since `before`.
    pub(crate) fn since(&self, before: &Times) -> Times {
        Times {
            buckets: std::array::from_fn(|place| {
                self.buckets[place].saturating_sub(before.buckets[place])
            }),
        }
    }

    /// These and those.
    pub(crate) fn and(&self, others: &Times) -> Times {
        Times {
            buckets: std::array::from_fn(|place| self.buckets[place] + others.buckets[place]),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// So many of a hundred took no longer, in microseconds; 0 when there are none. It is the
    /// middle of a bucket, an eighth off at most.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let count = self.count();
        let wanted = (count * percent).div_ceil(100);
        let mut passed = 0;
        for (place, held) in self.buckets.iter().enumerate() {
            passed += held;
            if count > 0 && passed >= wanted {
                return middle(place);
            }
        }
        0
    }
}

/// The bucket of so many microseconds.
fn place(micros: u128) -> usize {
    let micros = u64::try_from(micros).unwrap_or(u64::MAX);
    if micros < 4 {
        return micros as usize;
    }
    let doublings = micros.ilog2();
    let quarter = (micros >> (doublings - 2)) & 3;
    let place = 4 * (doublings as usize - 1) + quarter as usize;
    place.min(BUCKETS - 1)
}

/// The middle of a bucket, in microseconds.
fn middle(place: usize) -> u64 {
    if place < 4 {
        return place as u64;
    }
    let (doublings, quarter) = (place / 4 + 1, place as u64 % 4);
    let width = 1 << (doublings - 2);
    (4 + quarter) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_near_the_middle_of_its_bucket() {
        let mut before = 0;
        for micros in (0..5000).chain([1_000_000, 60_000_000, 500_000_000]) {
            let place = place(micros);
            assert!(place >= before, "{micros}");
            before = place;
            let off = middle(place).abs_diff(micros as u64);
            assert!(off * 8 <= micros as u64, "{micros}: {}", middle(place));
        }
        assert_eq!(super::place(u128::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_of_what_came_between() {
        let timing = Timing::new();
        assert_eq!(timing.times().percentile(99), 0);
        timing.add(Duration::from_secs(9));
        let before = timing.times();
        for micros in 1..=100 {
            timing.add(Duration::from_micros(micros));
        }
        let came = timing.times().since(&before);
        assert_eq!(came.count(), 100);
        assert!(
            (45..=56).contains(&came.percentile(50)),
            "{}",
            came.percentile(50)
        );
        assert!(
            (90..=112).contains(&came.percentile(99)),
            "{}",
            came.percentile(99)
        );
        assert_eq!(came.and(&before).count(), 101);
    }
}
