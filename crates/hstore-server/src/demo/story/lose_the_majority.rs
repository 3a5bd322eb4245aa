//! More nodes die than a cluster can do without, and come back.

use super::{Deed, Group, Promise, Step, Story, Until};

pub(super) const STORY: Story = Story {
    name: "lose-the-majority",
    title: "Lose the majority, get it back",
    steps: &[
        Step {
            says: "{leader} leads. A write needs a majority of the nodes.",
            does: Deed::Nothing,
            until: Until::Writes(10),
            within_s: 60,
        },
        Step {
            says: "{quorum} are killed. What is left is no majority: no write can be acknowledged.",
            does: Deed::Kill(Group::Quorum),
            until: Until::SilentMs(1_500),
            within_s: 60,
        },
        Step {
            says: "A write that is asked of {rest} is not acknowledged: rather no answer than a wrong \
                   one.",
            does: Deed::Nothing,
            until: Until::Refused(Group::Rest),
            within_s: 60,
        },
        Step {
            says: "Whoever asks for it gets what {rest} knows: a read that is called serializable, and \
                   may be old.",
            does: Deed::Nothing,
            until: Until::OldReads(Group::Rest),
            within_s: 60,
        },
        Step {
            says: "{quorum} start again, with what they had on their disks. There is a majority, it \
                   elects a leader, and writes go on.",
            does: Deed::Start(Group::Quorum),
            until: Until::Writes(20),
            within_s: 90,
        },
        Step {
            says: "All nodes follow the same leader again, and none is behind.",
            does: Deed::Nothing,
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
