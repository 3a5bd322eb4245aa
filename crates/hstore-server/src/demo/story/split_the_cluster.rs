//! The network between a minority, with the leader in it, and the majority is cut.

use super::{Deed, Group, Promise, Step, Story, Until};

pub(super) const STORY: Story = Story {
    name: "split-the-cluster",
    title: "Split the cluster",
    steps: &[
        Step {
            says: "{leader} leads, and all nodes reach each other.",
            does: Deed::Nothing,
            until: Until::Writes(10),
            within_s: 60,
        },
        Step {
            says: "The network is cut: {minority} on the one side, {majority} on the other. All of \
                   them run. The larger side is a majority, and elects a leader of its own.",
            does: Deed::Split(Group::Minority),
            until: Until::AnotherLeader(Group::Minority),
            within_s: 60,
        },
        Step {
            says: "Writes go on, on the side of the majority.",
            does: Deed::Nothing,
            until: Until::Writes(20),
            within_s: 60,
        },
        Step {
            says: "On the other side a write is asked of {minority}. It cannot reach a majority, so it \
                   must not acknowledge it: there would be two truths.",
            does: Deed::Nothing,
            until: Until::Refused(Group::Minority),
            within_s: 60,
        },
        Step {
            says: "The network is whole again. {leader} hears of the newer term, follows, and is sent \
                   what it missed.",
            does: Deed::Mend,
            until: Until::Whole,
            within_s: 90,
        },
    ],
    promises: &[
        Promise::WritesResume,
        Promise::MinorityRefuses,
        Promise::NothingLost,
    ],
};
