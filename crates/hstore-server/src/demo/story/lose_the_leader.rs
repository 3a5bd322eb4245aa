//! The leader dies.

use super::{Deed, Group, Promise, Step, Story, Until};

pub(super) const STORY: Story = Story {
    name: "lose-the-leader",
    title: "Lose the leader",
    steps: &[
        Step {
            says: "{leader} leads. A write is acknowledged when a majority of the nodes has it on its \
                   disk.",
            does: Deed::Nothing,
            until: Until::Writes(10),
            within_s: 60,
        },
        Step {
            says: "{leader} is killed, as by kill -9 in the middle of its work. The others notice, \
                   and elect one of themselves.",
            does: Deed::Kill(Group::Leader),
            until: Until::AnotherLeader(Group::Leader),
            within_s: 60,
        },
        Step {
            says: "Writes go on without {leader}. Those that were on their way when it died are asked \
                   again, and none of them is done twice.",
            does: Deed::Nothing,
            until: Until::Writes(20),
            within_s: 60,
        },
        Step {
            says: "{leader} starts again with what it had on its disk. It follows now, and is sent \
                   what it missed.",
            does: Deed::Start(Group::Leader),
            until: Until::Whole,
            within_s: 90,
        },
    ],
    promises: &[Promise::WritesResume, Promise::NothingLost],
};
