//! The kinds of questions on a control connection. A number is never given a new meaning.

pub(crate) const VOTE: u32 = 1;
pub(crate) const PRE_VOTE: u32 = 2;
pub(crate) const HEARTBEAT: u32 = 3;
pub(crate) const TRANSFER: u32 = 4;
/// What is the read index? Only a leader answers.
pub(crate) const READ_INDEX: u32 = 5;
/// How are you?
pub(crate) const STATUS: u32 = 6;
/// Bring a node one step further on its way into the cluster. Only a leader answers.
pub(crate) const ADVANCE: u32 = 7;
/// Remove a member. Only a leader answers.
pub(crate) const REMOVE: u32 = 8;
/// Hand leadership over. Only a leader answers.
pub(crate) const HAND_OVER: u32 = 9;
/// My addresses have changed. Only a leader answers.
pub(crate) const MOVED: u32 = 10;
/// Do you, too, find that nobody listens where the leader was?
pub(crate) const GONE: u32 = 11;
/// May a member be added? Only a leader answers.
pub(crate) const MAY_EXPECT: u32 = 12;
/// Give a learner its vote. Only a leader answers.
pub(crate) const PROMOTE: u32 = 13;
/// May a member become a voter, or a learner? Only a leader answers.
pub(crate) const MAY_BE: u32 = 14;
/// Make a member a voter, or a learner. Only a leader answers.
pub(crate) const BECOME: u32 = 15;
