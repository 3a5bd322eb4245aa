//! A disk becomes slow, and then does not answer at all.

use super::{Deed, Group, Promise, Step, Story, Until};

pub(super) const STORY: Story = Story {
    name: "slow-disk",
    title: "A slow disk",
    steps: &[
        Step {
            says: "The disk of {follower}, which follows, becomes slow: every sync takes 300 ms \
                   longer. Writes do not wait for it, since the others are a majority without it.",
            does: Deed::SlowDisk(Group::Follower),
            until: Until::Writes(30),
            within_s: 90,
        },
        Step {
            says: "Now the disk of {follower} does not answer at all. Nothing of what it is sent is \
                   safe there, and it acknowledges nothing. The others go on.",
            does: Deed::StickDisk(Group::Follower),
            until: Until::Writes(30),
            within_s: 90,
        },
        Step {
            says: "Its disk is as it was. {follower} writes down what waited, and catches up.",
            does: Deed::FreeDisk(Group::Follower),
            until: Until::Whole,
            within_s: 90,
        },
        Step {
            says: "Now it is the disk of {leader}, which leads. A write that is acknowledged is on the \
                   disks of a majority, whichever nodes these are.",
            does: Deed::SlowDisk(Group::Leader),
            until: Until::Writes(20),
            within_s: 90,
        },
        Step {
            says: "All disks are as they were.",
            does: Deed::FreeDisk(Group::Leader),
            until: Until::Whole,
            within_s: 90,
        },
    ],
    promises: &[Promise::WritesResume, Promise::NothingLost],
};
