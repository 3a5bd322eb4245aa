//! How long a peer took to answer. To count is a few relaxed atomics, and no number decides anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds: from a tenth of a millisecond, doubling, as
/// etcd has them.
const BOUNDS_MICROS: [u64; 16] = [
    100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 204_800, 409_600,
    819_200, 1_638_400, 3_276_800,
];

/// Round trips to one peer, sorted into buckets as they come.
#[derive(Debug, Default)]
pub(crate) struct Trips {
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
    above: AtomicU64,
    micros: AtomicU64,
}

/// The round trips to one peer until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundTrips {
    /// For each bound, how many took no longer.
    pub within: Vec<(Duration, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together.
    pub sum: Duration,
}

impl Trips {
    /// One that took so long.
    pub(crate) fn add(&self, took: Duration) {
        let micros = took.as_micros() as u64;
        let place = BOUNDS_MICROS.iter().position(|bound| micros <= *bound);
        let bucket = place.map_or(&self.above, |place| &self.buckets[place]);
        // No other memory hangs on these numbers, so no order is needed.
        bucket.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// All of them until now.
    pub(crate) fn told(&self) -> RoundTrips {
        let mut count = 0;
        let buckets = BOUNDS_MICROS.iter().zip(&self.buckets);
        let within = buckets.map(|(bound, bucket)| {
            count += bucket.load(Ordering::Relaxed);
            (Duration::from_micros(*bound), count)
        });
        let within = within.collect();
        RoundTrips {
            within,
            count: count + self.above.load(Ordering::Relaxed),
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_first_bucket_that_holds_it_and_in_all_above() {
        let trips = Trips::default();
        for micros in [100, 101, 3_276_800, 3_276_801] {
            trips.add(Duration::from_micros(micros));
        }
        let told = trips.told();
        assert_eq!(
            (told.count, told.sum),
            (4, Duration::from_micros(6_553_802))
        );
        let counts: Vec<u64> = told.within.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts[..3], [1, 2, 2]);
        assert_eq!(counts.last(), Some(&3));
    }
}
