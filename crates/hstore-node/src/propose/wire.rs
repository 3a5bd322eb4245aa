//! What travels on a forward connection: proposals with numbers, verdicts with the same numbers.

use bytes::Bytes;

/// Proposals for the leader.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Push {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PushItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PushItem {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) ttl_ms: u64,
    #[prost(bool, tag = "3")]
    pub(super) repeatable: bool,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) proposal: Bytes,
    /// The word of one that is followed. Nobody needs to understand it.
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) word: Bytes,
}

/// Verdicts of the leader.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pull {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PullItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PullItem {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint32, tag = "2")]
    pub(super) failure: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) outcome: Bytes,
}

/// The proposal has its outcome.
pub(super) const DONE: u32 = 0;
/// It is in no log.
pub(super) const NOT_PROPOSED: u32 = 1;
/// It may be in a log.
pub(super) const UNKNOWN: u32 = 2;
