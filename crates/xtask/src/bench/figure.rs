//! Figures: what was measured, of which system, with how many nodes.

use std::collections::BTreeMap;
use std::fmt;

use super::drive::Pace;
use super::operation::Operation;
use super::system::System;

/// The figures of one round, or their medians.
pub(super) type Figures = BTreeMap<Figure, f64>;

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Figure {
    pub(super) system: System,
    pub(super) nodes: usize,
    pub(super) what: What,
}

/// What a figure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Something of a phase.
    Of(Phase, Metric),
    /// Resident memory of the largest node with all keys loaded, in MiB.
    Resident,
    /// Bytes written to the disk of all nodes for each byte of keys and values that was loaded.
    WrittenPerByte,
    /// First process to first acknowledged write, in seconds.
    FirstWrite,
    /// First process until all nodes vote, in seconds.
    Complete,
    /// All nodes stopped and started again, until a write is acknowledged, in seconds.
    Restart,
    /// Leader killed to first acknowledged write, in seconds.
    LeaderKilled,
}

/// What is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Clients that do one thing.
    Clients(Operation, Pace),
    /// So many watchers.
    Watchers(u64),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Clients(operation, Pace::Closed(clients)) => {
                write!(f, "{operation} | {clients}")
            }
            Phase::Clients(operation, Pace::Open(rate)) => write!(f, "{operation} | {rate}/s"),
            Phase::Watchers(watchers) => write!(f, "events told | {watchers} watchers"),
        }
    }
}

/// What is measured of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// Operations a second.
    PerSecond,
    /// The median latency in milliseconds.
    P50,
    /// The latency that one of a hundred operations exceeds, in milliseconds.
    P99,
    /// CPU seconds of all nodes for 100 thousand operations.
    Cpu,
    /// How many cores the nodes kept busy.
    ServerCores,
    /// How many cores the generator kept busy.
    GeneratorCores,
}

/// The median of each figure over the rounds that have it.
pub(super) fn medians(rounds: &[Figures]) -> Figures {
    let mut medians = Figures::new();
    for figure in rounds.iter().flat_map(BTreeMap::keys) {
        let mut values: Vec<f64> = rounds
            .iter()
            .filter_map(|round| round.get(figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        medians.insert(*figure, values[values.len() / 2]);
    }
    medians
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_rounds_that_have_the_figure() {
        let figure = Figure {
            system: System::Hstore,
            nodes: 1,
            what: What::Resident,
        };
        let other = Figure { nodes: 3, ..figure };
        let rounds = [
            Figures::from([(figure, 9.0), (other, 1.0)]),
            Figures::from([(figure, 1.0)]),
            Figures::from([(figure, 5.0)]),
        ];
        let medians = medians(&rounds);
        assert_eq!(medians[&figure].to_bits(), 5.0_f64.to_bits());
        assert_eq!(medians[&other].to_bits(), 1.0_f64.to_bits());
    }
}
