//! Who plays in a story: which nodes the groups of a story are, in this cluster, this time.
//!
//! Invariant: a group is chosen once a telling.

use std::collections::BTreeMap;

use super::Group;

/// The groups that were chosen.
#[derive(Debug, Default)]
pub(super) struct Cast {
    groups: BTreeMap<Group, Vec<u8>>,
}

/// The group of a name in a sentence.
pub(super) fn named(name: &str) -> Option<Group> {
    Some(match name {
        "leader" => Group::Leader,
        "follower" => Group::Follower,
        "minority" => Group::Minority,
        "majority" => Group::Majority,
        "quorum" => Group::Quorum,
        "rest" => Group::Rest,
        _ => return None,
    })
}

impl Cast {
    /// The nodes of a group, chosen now if they were not before. `leader` leads among `nodes`.
    pub(super) fn choose(&mut self, group: Group, leader: u8, nodes: u8) -> Vec<u8> {
        if let Some(chosen) = self.groups.get(&group) {
            return chosen.clone();
        }
        let from_leader = |count: u8| -> Vec<u8> {
            let round = (0..count).map(|step| (leader - 1 + step) % nodes + 1);
            let mut numbers: Vec<u8> = round.collect();
            numbers.sort_unstable();
            numbers
        };
        let others =
            |these: &[u8]| -> Vec<u8> { (1..=nodes).filter(|n| !these.contains(n)).collect() };
        let chosen = match group {
            Group::Leader => vec![leader],
            Group::Follower => vec![leader % nodes + 1],
            Group::Minority => from_leader((nodes - 1) / 2),
            Group::Quorum => from_leader(nodes / 2 + 1),
            Group::Majority => others(&self.choose(Group::Minority, leader, nodes)),
            Group::Rest => others(&self.choose(Group::Quorum, leader, nodes)),
        };
        self.groups.insert(group, chosen.clone());
        chosen
    }

    /// A sentence with the names of nodes in the places of groups.
    pub(super) fn speak(&mut self, says: &str, leader: u8, nodes: u8) -> String {
        let mut text = String::new();
        let mut rest = says;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                break;
            };
            if let Some(group) = named(name) {
                text.push_str(&list(&self.choose(group, leader, nodes)));
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// The names of nodes as a sentence has them; many of them are told by their number.
pub(super) fn list(numbers: &[u8]) -> String {
    const MANY: usize = 5;
    let names: Vec<String> = numbers.iter().map(|number| format!("n{number}")).collect();
    match names.as_slice() {
        [] => "no node".to_owned(),
        [one] => one.clone(),
        [most @ .., last] if names.len() <= MANY => format!("{} and {last}", most.join(", ")),
        [first, ..] => format!("{} nodes ({first} and others)", names.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_as_large_as_they_say_and_stay() {
        for (nodes, minority, quorum) in [(3, 1, 2), (4, 1, 3), (5, 2, 3), (31, 15, 16)] {
            for leader in 1..=nodes {
                let mut cast = Cast::default();
                let few = cast.choose(Group::Minority, leader, nodes);
                assert_eq!(few.len(), minority, "{nodes}");
                assert!(few.contains(&leader));
                let many = cast.choose(Group::Majority, leader, nodes);
                assert_eq!(many.len() + few.len(), usize::from(nodes));
                let least = cast.choose(Group::Quorum, leader, nodes);
                assert_eq!(least.len(), quorum);
                assert!(least.contains(&leader));
                assert_ne!(cast.choose(Group::Follower, leader, nodes), [leader]);
                let other = leader % nodes + 1;
                assert_eq!(cast.choose(Group::Minority, other, nodes), few);
            }
        }
    }

    #[test]
    fn a_sentence_names_the_nodes() {
        let mut cast = Cast::default();
        let says = "{leader} is cut off from {majority}.";
        assert_eq!(cast.speak(says, 2, 3), "n2 is cut off from n1 and n3.");
        assert_eq!(cast.speak("Nobody.", 2, 3), "Nobody.");
        let all: Vec<u8> = (1..=9).collect();
        assert_eq!(list(&all), "9 nodes (n1 and others)");
    }
}
