//! What is seen of the nodes of a demo, asked again and again.
//!
//! Invariant: a node that does not answer is told as one that does not, never as it was before.

use serde::Serialize;

use super::brake::DiskMode;
use super::seat::Life;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NodeView {
    /// Its number, from 1.
    pub(super) number: u8,
    /// Its name.
    pub(super) name: String,
    /// Where clients reach it.
    pub(super) client: String,
    /// Whether its process runs.
    pub(super) life: Life,
    /// How its disk is.
    pub(super) disk: DiskMode,
    /// What it says of itself, if it answers.
    pub(super) says: Option<Says>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Says {
    /// Its id in the cluster.
    pub(super) id: u64,
    /// What it does: leader, follower, candidate, learner.
    pub(super) role: String,
    /// Whether it votes.
    pub(super) voter: bool,
    /// Its term.
    pub(super) term: u64,
    /// The id of the leader that it knows, or 0.
    pub(super) leader: u64,
    /// How far it has applied the log.
    pub(super) applied: u64,
    /// How far it knows the log to be committed.
    pub(super) committed: u64,
    /// What is wrong, in words.
    pub(super) problems: Vec<String>,
}

/// All nodes, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct View {
    /// Which look it is of.
    pub(super) round: u64,
    /// They themselves.
    pub(super) nodes: Vec<NodeView>,
}

impl View {
    /// The leader that a majority of all nodes follows.
    pub(super) fn leader(&self) -> Option<u8> {
        let says = || self.nodes.iter().filter_map(|node| node.says.as_ref());
        let term = says().map(|says| says.term).max()?;
        let newest = says().filter(|says| says.term == term && says.leader != 0);
        let leader = newest.clone().map(|says| says.leader).max()?;
        let followers = newest.filter(|says| says.leader == leader).count();
        if followers <= self.nodes.len() / 2 {
            return None;
        }
        let leads = |node: &&NodeView| {
            let says = node.says.as_ref();
            says.is_some_and(|says| says.id == leader && says.role == "leader")
        };
        self.nodes.iter().find(leads).map(|node| node.number)
    }

    /// Whether any node says that it leads.
    pub(super) fn is_led(&self) -> bool {
        let mut says = self.nodes.iter().filter_map(|node| node.says.as_ref());
        says.any(|says| says.role == "leader")
    }

    /// Whether every node votes, follows the same leader, and has applied what that one knew to be
    /// committed when it was asked, or nearly.
    pub(super) fn is_whole(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let leader = self.says(leader);
        let Some(leader) = leader else { return false };
        self.nodes.iter().all(|node| {
            let says = node.says.as_ref();
            says.is_some_and(|says| {
                says.voter
                    && says.leader == leader.id
                    && says.term == leader.term
                    && says.applied + NEARLY >= leader.committed
            })
        })
    }

    /// How many nodes vote.
    pub(super) fn voters(&self) -> usize {
        let says = self.nodes.iter().filter_map(|node| node.says.as_ref());
        says.filter(|says| says.voter).count()
    }

    /// What a node says of itself.
    pub(super) fn says(&self, number: u8) -> Option<&Says> {
        let mut nodes = self.nodes.iter();
        nodes.find(|node| node.number == number)?.says.as_ref()
    }
}

/// By how many entries answers that were given one after the other may differ under a light load.
const NEARLY: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes by their role, the leader they know, their term and how far they have applied.
    fn view(nodes: &[Option<(&str, u64, u64, u64)>]) -> View {
        let nodes = nodes.iter().zip(1..).map(|(says, number)| NodeView {
            number,
            name: format!("n{number}"),
            client: String::new(),
            life: Life::Running,
            disk: DiskMode::Free,
            says: says.map(|(role, leader, term, applied)| Says {
                id: u64::from(number) * 10,
                role: role.to_owned(),
                voter: true,
                term,
                leader,
                applied,
                committed: applied,
                problems: Vec::new(),
            }),
        });
        View {
            round: 1,
            nodes: nodes.collect(),
        }
    }

    #[test]
    fn a_leader_is_whom_a_majority_follows_in_the_newest_term() {
        let old = Some(("leader", 10, 1, 5));
        let new = Some(("leader", 20, 2, 5));
        let follows = |leader, term| Some(("follower", leader, term, 5));
        assert_eq!(
            view(&[old, follows(10, 1), follows(10, 1)]).leader(),
            Some(1)
        );
        assert_eq!(view(&[old, new, follows(20, 2)]).leader(), Some(2));
        assert_eq!(view(&[old, new, follows(10, 1)]).leader(), None);
        assert_eq!(view(&[old, None, None]).leader(), None);
        assert_eq!(view(&[None, follows(10, 1), follows(10, 1)]).leader(), None);
        assert_eq!(view(&[]).leader(), None);
    }

    #[test]
    fn a_cluster_is_whole_when_all_follow_and_none_is_behind() {
        let leader = Some(("leader", 10, 1, 500));
        let follows = |applied| Some(("follower", 10, 1, applied));
        assert!(view(&[leader, follows(500), follows(460)]).is_whole());
        assert!(!view(&[leader, follows(500), follows(10)]).is_whole());
        assert!(!view(&[leader, follows(500), None]).is_whole());
        assert!(!view(&[leader, follows(500), Some(("follower", 0, 1, 500))]).is_whole());
    }
}
