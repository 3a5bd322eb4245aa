//! The gaps as a table of a document.
//!
//! Invariant: a figure is a gap that was measured; nothing is averaged.

use std::fmt::Write as _;
use std::time::Duration;

use super::cluster::NODES;
use super::events::{Event, Gaps};
use super::load::EVERY;

/// The table, in markdown.
pub(super) fn render(columns: &[(&str, Gaps)], rounds: usize, notes: &[String]) -> String {
    let mut text = format!(
        "The longest time without an acknowledged write, in milliseconds: {NODES} nodes on one \
         machine with default settings, a small write every {} ms through each node in turn, \
         {rounds} rounds.\n\n| event |",
        EVERY.as_millis()
    );
    for (name, _) in columns {
        for figure in ["p50", "p99", "max"] {
            // Writing to a string does not fail.
            let _done = write!(text, " {name} {figure} |");
        }
    }
    text.push_str("\n| --- |");
    text.push_str(&" ---: |".repeat(columns.len() * 3));
    for event in Event::ALL {
        let _done = write!(text, "\n| {} |", event.name());
        for (_, gaps) in columns {
            let mut gaps = gaps.get(event).cloned().unwrap_or_default();
            gaps.sort_unstable();
            for thousandths in [500, 990, 1_000] {
                let _done = match rank(&gaps, thousandths) {
                    Some(gap) => write!(text, " {} |", gap.as_millis()),
                    None => write!(text, " not run |"),
                };
            }
        }
    }
    for note in notes {
        let _done = write!(text, "\n\n{note}");
    }
    text
}

/// The smallest gap that so many thousandths of all gaps are not above.
fn rank(sorted: &[Duration], thousandths: usize) -> Option<Duration> {
    let place = (sorted.len() * thousandths).div_ceil(1_000).max(1);
    sorted.get(place - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_one_of_the_gaps() {
        let gaps: Vec<_> = (1..=10).map(Duration::from_millis).collect();
        let ranks = [500, 990, 1_000].map(|part| rank(&gaps, part).unwrap().as_millis());
        assert_eq!(ranks, [5, 10, 10]);
        assert_eq!(rank(&[], 500), None);
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let gaps = Gaps::from([(Event::Killed, vec![Duration::from_millis(7)])]);
        let text = render(&[("hstore", gaps)], 1, &["etcd: not run".to_owned()]);
        assert!(
            text.contains("| leader killed (kill -9) | 7 | 7 | 7 |"),
            "{text}"
        );
        assert!(text.contains("| the cut heals | not run |"), "{text}");
        assert!(text.ends_with("etcd: not run"), "{text}");
    }
}
