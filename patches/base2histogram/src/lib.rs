//! Histograms that count nothing.
//!
//! openraft records batch sizes and delays in histograms, whether or not anybody can see them: they
//! are shown by its feature `runtime-stats` alone, which is off here. The crate that it uses for
//! them keeps tables of 26 MiB in every process. This one has the same interface, as far as openraft
//! calls it, and no memory (docs/adr/0010).
//!
//! Invariant: nothing that a node does or shows depends on what is recorded here.

use std::fmt;
use std::marker::PhantomData;

/// A histogram that stays empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    slots: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// An empty histogram.
    pub const fn new() -> Histogram<T> {
        Histogram { slots: PhantomData }
    }

    /// Takes a value and forgets it.
    pub fn record(&mut self, _value: u64) {}

    /// Takes a value many times and forgets it.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// The figures of an empty histogram.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// What a histogram says of its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// How many values were recorded.
    pub samples: u64,
    /// A thousandth of the values is at most this.
    pub p0_1: u64,
    /// A hundredth of the values is at most this.
    pub p1: u64,
    /// A twentieth of the values is at most this.
    pub p5: u64,
    /// A tenth of the values is at most this.
    pub p10: u64,
    /// Half of the values is at most this.
    pub p50: u64,
    /// Nine tenths of the values are at most this.
    pub p90: u64,
    /// 99 of a hundred values are at most this.
    pub p99: u64,
    /// 999 of a thousand values are at most this.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is recorded")
    }
}

/// A drawing of histograms, of which there are none.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart;

impl AsciiChart {
    /// An empty drawing.
    pub fn new() -> AsciiChart {
        AsciiChart
    }

    /// Adds a histogram.
    #[must_use]
    pub fn add<T>(self, _name: &str, _histogram: Histogram<T>) -> AsciiChart {
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is recorded")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_forgotten() {
        let mut histogram = Histogram::<()>::new();
        histogram.record(7);
        histogram.record_n(7, 3);
        assert_eq!(histogram, Histogram::new());
        assert_eq!(histogram.percentile_stats().samples, 0);
        let chart = AsciiChart::new().add("writes", histogram);
        assert_eq!(chart.to_string(), "nothing is recorded");
    }
}
