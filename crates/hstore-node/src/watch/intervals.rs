//! Ranges of keys in which one can look up all that hold a key: a search tree by start, balanced
//! by random priorities (a treap: Seidel and Aragon, 1996), whose nodes know the largest end below
//! them (an interval tree: Cormen et al., chapter on augmenting data structures).
//!
//! Invariants: (1) starts and ends order the tree, priorities heap it; (2) `reach` of a node is
//! the largest end in its subtree; (3) a lookup that finds k ranges visits at most about k paths.

use bytes::Bytes;
use hstore_core::key::KeyRange;

/// Where a range ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Before this key.
    Before(Bytes),
    /// Nowhere.
    Never,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            End::Before(end) => key < &end[..],
            End::Never => true,
        }
    }
}

/// The bounds of a range that is not a single key.
pub(super) fn bounds(keys: &KeyRange) -> Option<(Bytes, End)> {
    match keys {
        KeyRange::One(_) => None,
        KeyRange::Span { start, end } => Some((start.clone(), End::Before(end.clone()))),
        KeyRange::From(start) => Some((start.clone(), End::Never)),
    }
}

#[derive(Debug)]
struct Node {
    start: Bytes,
    end: End,
    /// What the caller calls the range.
    number: u64,
    priority: u64,
    reach: End,
    left: Option<Box<Node>>,
    right: Option<Box<Node>>,
}

type Tree = Option<Box<Node>>;

/// A set of different ranges, each with a number.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    root: Tree,
}

impl Intervals {
    /// Adds a range, or answers the number that it has.
    pub(super) fn insert(&mut self, start: Bytes, end: End, number: u64) -> u64 {
        if let Some(present) = self.find(&start, &end) {
            return present;
        }
        let (left, right) = split(self.root.take(), &start, &end);
        let node = Box::new(Node {
            reach: end.clone(),
            start,
            end,
            number,
            priority: mix(number),
            left: None,
            right: None,
        });
        self.root = join(join(left, Some(node)), right);
        number
    }

    /// Removes a range.
    pub(super) fn remove(&mut self, start: &Bytes, end: &End) {
        self.root = without(self.root.take(), start, end);
    }

    /// The number of a range.
    pub(super) fn find(&self, start: &Bytes, end: &End) -> Option<u64> {
        let mut tree = &self.root;
        while let Some(node) = tree {
            tree = match (start, end).cmp(&(&node.start, &node.end)) {
                std::cmp::Ordering::Less => &node.left,
                std::cmp::Ordering::Equal => return Some(node.number),
                std::cmp::Ordering::Greater => &node.right,
            };
        }
        None
    }

    /// Visits the numbers of all ranges that hold a key; answers how many nodes were looked at.
    pub(super) fn holding(&self, key: &[u8], visit: &mut dyn FnMut(u64)) -> u64 {
        holding(&self.root, key, visit)
    }
}

fn holding(tree: &Tree, key: &[u8], visit: &mut dyn FnMut(u64)) -> u64 {
    let Some(node) = tree else {
        return 0;
    };
    if !node.reach.is_after(key) {
        return 1;
    }
    let mut looked = 1 + holding(&node.left, key, visit);
    // Everything on the right begins later still.
    if node.start[..] <= *key {
        if node.end.is_after(key) {
            visit(node.number);
        }
        looked += holding(&node.right, key, visit);
    }
    looked
}

/// Those before a range, and those from it on.
fn split(tree: Tree, start: &Bytes, end: &End) -> (Tree, Tree) {
    let Some(mut node) = tree else {
        return (None, None);
    };
    if (&node.start, &node.end) < (start, end) {
        let (left, right) = split(node.right.take(), start, end);
        node.right = left;
        node.settle();
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), start, end);
        node.left = right;
        node.settle();
        (left, Some(node))
    }
}

/// Two trees as one; all of the first are before those of the second.
fn join(first: Tree, second: Tree) -> Tree {
    match (first, second) {
        (None, tree) | (tree, None) => tree,
        (Some(mut first), Some(second)) if first.priority >= second.priority => {
            first.right = join(first.right.take(), Some(second));
            first.settle();
            Some(first)
        }
        (first, Some(mut second)) => {
            second.left = join(first, second.left.take());
            second.settle();
            Some(second)
        }
    }
}

fn without(tree: Tree, start: &Bytes, end: &End) -> Tree {
    let mut node = tree?;
    match (start, end).cmp(&(&node.start, &node.end)) {
        std::cmp::Ordering::Less => node.left = without(node.left.take(), start, end),
        std::cmp::Ordering::Equal => return join(node.left.take(), node.right.take()),
        std::cmp::Ordering::Greater => node.right = without(node.right.take(), start, end),
    }
    node.settle();
    Some(node)
}

impl Node {
    /// Learns `reach` anew from what is below.
    fn settle(&mut self) {
        let below = [&self.left, &self.right].into_iter().flatten();
        let reach = below.map(|node| &node.reach).chain([&self.end]).max();
        self.reach = reach.expect("its own end is among them").clone();
    }
}

/// A priority that no order of insertion can foresee well enough to unbalance the tree: a bijective
/// mixer (Steele et al., `SplitMix`), the same in every run.
fn mix(number: u64) -> u64 {
    let counter = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (counter ^ (counter >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn end(byte: u8) -> End {
        match byte {
            255 => End::Never,
            byte => End::Before(Bytes::from(vec![byte])),
        }
    }

    proptest! {
        #[test]
        fn a_lookup_finds_exactly_what_a_look_at_every_range_finds(
            steps in prop::collection::vec((0u8..30, 1u8..=40, any::<bool>()), 1..200),
            keys in prop::collection::vec(0u8..45, 20),
        ) {
            let mut intervals = Intervals::default();
            let mut all: BTreeMap<(u8, u8), u64> = BTreeMap::new();
            for (number, (from, len, adds)) in steps.into_iter().enumerate() {
                let to = if len == 40 { 255 } else { from + len };
                let start = Bytes::from(vec![from]);
                if adds {
                    let number = number as u64;
                    let given = intervals.insert(start.clone(), end(to), number);
                    prop_assert_eq!(given, *all.entry((from, to)).or_insert(number));
                } else {
                    intervals.remove(&start, &end(to));
                    all.remove(&(from, to));
                }
                let known = all.get(&(from, to)).copied();
                prop_assert_eq!(intervals.find(&start, &end(to)), known);
            }
            for key in keys {
                let mut found = BTreeSet::new();
                intervals.holding(&[key], &mut |number| assert!(found.insert(number)));
                let holds = |((from, to), _): &(&(u8, u8), &u64)| {
                    *from <= key && (*to == 255 || key < *to)
                };
                let expected = all.iter().filter(holds).map(|(_, number)| *number).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_lookup_among_many_ranges_looks_at_few() {
        let mut intervals = Intervals::default();
        for number in 0..10_000u64 {
            let start = Bytes::from(format!("tenant/{number:05}/"));
            let end = End::Before(Bytes::from(format!("tenant/{number:05}0")));
            intervals.insert(start, end, number);
        }
        let mut looked = 0;
        for number in (0..10_000u64).step_by(100) {
            let key = format!("tenant/{number:05}/key");
            let mut found = Vec::new();
            looked += intervals.holding(key.as_bytes(), &mut |number| found.push(number));
            assert_eq!(found, [number]);
        }
        assert!(looked < 100 * 100, "{looked} nodes for a hundred lookups");
    }
}
