//! The stories: what happens to a cluster on a bad day, told while it happens.
//!
//! A story is data: sentences, what is done, what is waited for, and what was promised. One file
//! each; `tell` plays them all, on the page and for `--check` alike.
//!
//! Invariants: (1) a sentence is shown before what it speaks of is done; (2) a story ends with a
//! verdict on each of its promises, measured and not assumed; (3) after a story nothing is broken
//! any more, however it went.

mod cast;
mod lose_the_leader;
mod lose_the_majority;
mod slow_disk;
mod split_the_cluster;
mod tell;

pub(super) use tell::{Line, State, Telling, tell};

/// All stories, in the order in which they are best heard.
pub(super) const ALL: [&Story; 4] = [
    &lose_the_leader::STORY,
    &split_the_cluster::STORY,
    &lose_the_majority::STORY,
    &slow_disk::STORY,
];

/// A story.
#[derive(Debug)]
pub(super) struct Story {
    /// What it is called on a command line.
    pub(super) name: &'static str,
    /// What it is called for people.
    pub(super) title: &'static str,
    steps: &'static [Step],
    promises: &'static [Promise],
}

/// One step.
#[derive(Debug)]
struct Step {
    /// What is to be seen; `{leader}` and the like stand for the nodes of a group.
    says: &'static str,
    does: Deed,
    until: Until,
    /// How long it may take in a small demo. Generous: that it takes long is no failure, that it never
    /// comes is one.
    within_s: u64,
}

/// Some nodes. A group is chosen when a story first names it, and stays the same from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// The node that led.
    Leader,
    /// A node that followed.
    Follower,
    /// As many nodes as can be lost, with the one that led among them.
    Minority,
    /// All others.
    Majority,
    /// As few nodes as a majority is, with the one that led among them.
    Quorum,
    /// All others.
    Rest,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    Kill(Group),
    Start(Group),
    /// Cut off from all others, in both directions.
    Split(Group),
    /// Every link is open again.
    Mend,
    SlowDisk(Group),
    StickDisk(Group),
    FreeDisk(Group),
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// So many further writes are acknowledged.
    Writes(u64),
    /// No write was acknowledged for so long.
    SilentMs(u64),
    /// A majority follows a leader that is none of these.
    AnotherLeader(Group),
    /// Every node votes, follows one leader, and is not behind.
    Whole,
    /// A write that is asked of each of these, and of no other node, was not acknowledged.
    Refused(Group),
    /// Each of these answers a read from what it has, which may be old.
    OldReads(Group),
}

/// What was promised.
#[derive(Clone, Copy, Debug)]
enum Promise {
    /// Writes are acknowledged again.
    WritesResume,
    /// Those asked for a refusal acknowledged nothing.
    MinorityRefuses,
    /// Every acknowledged write is there.
    NothingLost,
}

/// The story of that name.
pub(super) fn find(name: &str) -> Option<&'static Story> {
    ALL.into_iter().find(|story| story.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_has_a_name_of_its_own_and_can_be_found() {
        for story in ALL {
            let found = find(story.name).unwrap();
            assert_eq!(found.title, story.title);
            let plain = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(story.name.chars().all(plain), "{}", story.name);
        }
        assert!(find("happily-ever-after").is_none());
    }

    #[test]
    fn every_story_promises_that_nothing_is_lost_and_ends_whole() {
        for story in ALL {
            let nothing_lost = |promise: &Promise| matches!(promise, Promise::NothingLost);
            assert!(story.promises.iter().any(nothing_lost), "{}", story.name);
            let whole = |step: &Step| matches!(step.until, Until::Whole);
            assert!(story.steps.iter().any(whole), "{}", story.name);
            // Whoever promises a refusal looks for one.
            let refuses = |promise: &Promise| matches!(promise, Promise::MinorityRefuses);
            let asks = |step: &Step| matches!(step.until, Until::Refused(_));
            assert_eq!(
                story.promises.iter().any(refuses),
                story.steps.iter().any(asks),
                "{}",
                story.name
            );
        }
    }

    #[test]
    fn every_name_in_a_sentence_is_one_of_a_group() {
        for step in ALL.iter().flat_map(|story| story.steps) {
            let mut rest = step.says;
            while let Some((_, after)) = rest.split_once('{') {
                let (name, after) = after.split_once('}').expect("a name ends");
                assert!(cast::named(name).is_some(), "{name} in {:?}", step.says);
                rest = after;
            }
        }
    }
}
