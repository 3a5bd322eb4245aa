//! What a node says of itself, and what the cluster says of its members.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::alarm::Alarm;
use hstore_core::id::{ClusterId, Incarnation, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::membership::{Member, Membership};
use hstore_core::settings::SettingsVersion;

/// What every answer carries beside its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The cluster that answered.
    pub cluster: ClusterId,
    /// The member that answered.
    pub member: NodeId,
    /// Its term.
    pub term: Term,
    /// The store's revision as of the answer.
    pub revision: Revision,
}

/// A lease as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// How long it lives without a renewal, in seconds.
    pub ttl: i64,
    /// How much of that is left.
    pub remaining: Duration,
    /// The keys that go with it, in key order, where they were asked for.
    pub keys: Vec<Bytes>,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// It sees every write that was answered before it began.
    #[default]
    Linearizable,
    /// It sees what this node has applied, which may be behind.
    Serializable,
}

/// What a member does in its term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Calls an election.
    Candidate,
    /// Follows a leader and votes.
    Follower,
    /// Leads.
    Leader,
    /// Receives the log and has no vote.
    #[default]
    Learner,
    /// Stopped.
    Stopped,
}

impl Role {
    /// The word for screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Candidate => "candidate",
            Role::Follower => "follower",
            Role::Leader => "leader",
            Role::Learner => "learner",
            Role::Stopped => "stopped",
        }
    }
}

/// The part of the status that followers of it want to hear of at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What the node does.
    pub role: Role,
    /// The term.
    pub term: Term,
    /// Who leads, as far as the node knows.
    pub leader: Option<NodeId>,
    /// Who is in the cluster, as of the newest entry of the node's log.
    pub membership: Membership,
    /// Whether a majority can be reached: on a leader, it answered within the election time; on
    /// others, a leader is known.
    pub quorum: bool,
}

/// Everything a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// The node.
    pub node: NodeId,
    /// Its data folder.
    pub incarnation: Incarnation,
    /// What the cluster knows of it: name and addresses.
    pub member: Member,
    /// Role, term, leader, membership.
    pub standing: Standing,
    /// The version of the program.
    pub version: String,
    /// How long it runs.
    pub uptime: Duration,
    /// The last entry of its log.
    pub last: Option<LogIndex>,
    /// The last entry that is known to be on a majority.
    pub committed: Option<LogId>,
    /// The last entry that the store has seen.
    pub applied: Option<LogId>,
    /// The last entry that a snapshot file covers.
    pub snapshot: Option<LogId>,
    /// The last entry that is gone from the log.
    pub purged: Option<LogId>,
    /// What the store says of itself.
    pub store: StoreStatus,
    /// How many bytes the log takes on the disk.
    pub log_bytes: u64,
    /// How many proposals wait.
    pub proposals_waiting: usize,
    /// How many linearizable reads wait.
    pub reads_waiting: usize,
    /// Who watches.
    pub watches: WatchStatus,
    /// How many bytes the store may take on the disk; none is no bound.
    pub quota_bytes: Option<u64>,
    /// The alarms of the cluster, by kind and node.
    pub alarms: Vec<Alarm>,
    /// The last change of the settings that it has applied.
    pub settings: SettingsVersion,
}

/// Who watches at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchStatus {
    /// Streams of watches.
    pub streams: usize,
    /// Watches in all streams.
    pub watches: usize,
    /// Bytes of events that wait to be read.
    pub waiting_bytes: usize,
}

/// What the store says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// The revision.
    pub revision: Revision,
    /// The oldest revision that is readable.
    pub compacted: Revision,
    /// How many keys are live.
    pub keys: u64,
    /// How many records the index knows.
    pub records: u64,
    /// How many bytes of records wait to be written down.
    pub recent_bytes: u64,
    /// Reads that the cache answered.
    pub cache_hits: u64,
    /// Reads that it did not answer.
    pub cache_misses: u64,
    /// How many bytes the cache holds.
    pub cache_bytes: u64,
    /// How many bytes it may hold.
    pub cache_bytes_max: u64,
    /// How many blocks there are.
    pub blocks: u64,
    /// How many bytes the engine takes on the disk.
    pub engine_bytes: u64,
    /// How many bytes take what is kept; the quota counts these. The engine's files are larger.
    pub room_bytes: u64,
    /// How many bytes of that hold records that can be read, about.
    pub live_bytes: u64,
    /// The hash over everything that was applied, the same on every member at the same index.
    pub state_hash: u64,
}

/// One row of the list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub node: NodeId,
    /// Its name and addresses.
    pub member: Member,
    /// Whether it votes.
    pub voter: bool,
    /// What it said of itself; none when it did not answer in time.
    pub answer: Option<MemberAnswer>,
}

/// What a member said of itself when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberAnswer {
    /// What it does.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Whom it believes to lead.
    pub leader: Option<NodeId>,
    /// The last entry that its store has seen.
    pub applied: LogIndex,
    /// The last entry that it knows to be on a majority.
    pub committed: LogIndex,
    /// The last entry of its log.
    pub last: LogIndex,
    /// Its store's revision.
    pub revision: Revision,
    /// The hash of everything it applied.
    pub state_hash: u64,
    /// The version of its program.
    pub version: String,
    /// How long it runs.
    pub uptime: Duration,
    /// What the program around it wrote down of itself, in words that the node does not read.
    pub note: Bytes,
    /// The last change of the settings that it has applied.
    pub settings: SettingsVersion,
}

/// How far a node has come on its way into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinProgress {
    /// It receives the log.
    Learner,
    /// It is so many entries behind.
    CatchingUp {
        /// Entries that it does not have yet.
        behind: u64,
    },
    /// It votes. This is the last event.
    Voter,
    /// It has caught up, and gets its vote when somebody promotes it. This is the last event.
    Waits,
}

/// What a data folder gets that asks for its place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// The data folder's node id, for ever.
    pub node: NodeId,
    /// Who is in the cluster now.
    pub membership: Membership,
}
