//! The rules of the links: what happens to bytes on their way from one node to another.
//!
//! Invariants: (1) a link is a direction, so a cut of one leaves the other; (2) rules add up, and
//! each is taken away alone; (3) a link without a rule carries everything at once.

use std::time::Duration;

use tokio::sync::{broadcast, watch};

/// A node of a fleet, from 1. 0 is whoever is no node: a client, a tool.
pub type NodeNumber = u32;

/// How many breaks a connection that is busy may be behind; it misses older ones.
const BREAKS_MAX: usize = 64;

/// What a rule does to every byte of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Nothing passes, and nobody is told, until the rule is taken away.
    Cut,
    /// Everything passes so much later.
    Delay(Duration),
}

/// What happens once to every connection between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The one end: the one that is left with half a connection.
    pub a: NodeNumber,
    /// The other end.
    pub b: NodeNumber,
    /// Whether `a` keeps its half and hears nothing more; else both see a reset.
    pub half_open: bool,
}

/// Names a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u64);

#[derive(Clone, Debug)]
struct Rule {
    id: RuleId,
    links: Vec<(NodeNumber, NodeNumber)>,
    harm: Harm,
}

/// All rules that hold now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rules: Vec<Rule>,
    next: u64,
}

impl Table {
    fn on(&self, from: NodeNumber, to: NodeNumber) -> impl Iterator<Item = Harm> {
        let holds = move |rule: &&Rule| rule.links.contains(&(from, to));
        self.rules.iter().filter(holds).map(|rule| rule.harm)
    }

    /// Whether the link is cut.
    pub(crate) fn is_cut(&self, from: NodeNumber, to: NodeNumber) -> bool {
        self.on(from, to).any(|harm| harm == Harm::Cut)
    }

    /// How much later its bytes arrive.
    pub(crate) fn delay(&self, from: NodeNumber, to: NodeNumber) -> Duration {
        let delays = self.on(from, to).map(|harm| match harm {
            Harm::Cut => Duration::ZERO,
            Harm::Delay(delay) => delay,
        });
        delays.sum()
    }
}

/// The rules, and who must hear when they change.
pub struct Links {
    table: watch::Sender<Table>,
    breaks: broadcast::Sender<Break>,
}

impl Links {
    pub(crate) fn new() -> Links {
        Links {
            table: watch::Sender::new(Table::default()),
            breaks: broadcast::Sender::new(BREAKS_MAX),
        }
    }

    /// Adds a rule to some links.
    pub fn harm(&self, links: Vec<(NodeNumber, NodeNumber)>, harm: Harm) -> RuleId {
        let mut id = RuleId(0);
        self.table.send_modify(|table| {
            id = RuleId(table.next);
            table.next += 1;
            table.rules.push(Rule { id, links, harm });
        });
        id
    }

    /// Takes a rule away.
    pub fn mend(&self, id: RuleId) {
        let drop_it = |table: &mut Table| table.rules.retain(|rule| rule.id != id);
        self.table.send_modify(drop_it);
    }

    /// Takes all rules away.
    pub fn mend_all(&self) {
        self.table.send_modify(|table| table.rules.clear());
    }

    /// Breaks the connections between two nodes, whoever opened them.
    pub fn break_now(&self, what: Break) {
        // Nobody hears it where there is no connection, and then there is nothing to break.
        let _nobody = self.breaks.send(what).is_err();
    }

    pub(crate) fn table(&self) -> watch::Receiver<Table> {
        self.table.subscribe()
    }

    pub(crate) fn breaks(&self) -> broadcast::Receiver<Break> {
        self.breaks.subscribe()
    }
}

/// Both directions between every two of `these` and `those`.
pub fn between(these: &[NodeNumber], those: &[NodeNumber]) -> Vec<(NodeNumber, NodeNumber)> {
    let pairs = these.iter().flat_map(|a| those.iter().map(|b| (*a, *b)));
    let pairs = pairs.filter(|(a, b)| a != b);
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_add_up_and_each_is_taken_away_alone() {
        let links = Links::new();
        let cut = links.harm(vec![(1, 2)], Harm::Cut);
        let short = links.harm(between(&[1], &[2]), Harm::Delay(Duration::from_millis(5)));
        let long = links.harm(vec![(1, 2)], Harm::Delay(Duration::from_millis(20)));
        let now = links.table();
        let seen = |from, to| {
            let table = now.borrow();
            (table.is_cut(from, to), table.delay(from, to).as_millis())
        };
        assert_eq!(seen(1, 2), (true, 25));
        assert_eq!(seen(2, 1), (false, 5));
        links.mend(cut);
        links.mend(short);
        assert_eq!(seen(1, 2), (false, 20));
        links.mend(long);
        links.mend(long);
        assert_eq!(seen(1, 2), (false, 0));
    }

    #[test]
    fn between_has_both_directions_and_no_link_to_itself() {
        assert_eq!(between(&[1], &[1, 2, 3]), [(1, 2), (2, 1), (1, 3), (3, 1)]);
    }
}
