//! The settings of one node. Every bound of the node that a person may want to move is here.

use std::path::PathBuf;
use std::time::Duration;

/// How much history stays: what is older than the one or beyond the other is compacted. Neither
/// is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepHistory {
    /// What was written within this time.
    pub age: Option<Duration>,
    /// So many revisions.
    pub revisions: Option<u64>,
}

/// The settings of one node, beside its ports.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data folder. The identity must be in it before the node starts.
    pub data_dir: PathBuf,
    /// The name a person gave the node.
    pub name: String,
    /// Where peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// The version of the program, for screens.
    pub version: String,
    /// How often a leader shows that it is alive.
    pub heartbeat: Duration,
    /// The shortest silence after which a follower calls an election.
    pub election_min: Duration,
    /// The longest silence after which a follower calls an election.
    pub election_max: Duration,
    /// How many bytes the cache of values holds.
    pub cache_bytes: u64,
    /// How many bytes of records may wait to be written down; then apply waits for the flusher.
    pub recent_bytes_max: usize,
    /// The size of a block of records.
    pub block_bytes: usize,
    /// The size of a segment of the log.
    pub segment_bytes: u32,
    /// How many bytes of the newest log entries stay in memory.
    pub log_tail_bytes_max: usize,
    /// A snapshot is due when the log since the last one is larger than this and than half of
    /// the data.
    pub snapshot_log_bytes_min: u64,
    /// How many entries below the newest snapshot stay in the log for followers that are slow.
    pub log_keep_entries_max: u64,
    /// How many bytes of log below the newest snapshot stay for followers that are slow.
    pub log_keep_bytes_max: u64,
    /// How many bytes the store may take on the disk of this node; beyond it the node raises an
    /// alarm, and nobody writes. None is no bound.
    pub quota_bytes: Option<u64>,
    /// How much history stays.
    pub keep_history: KeepHistory,
    /// How many proposals may wait in this node; one more is refused as overloaded.
    pub proposals_max: usize,
    /// How many bytes of proposals may wait in this node; more is refused as overloaded.
    pub proposal_bytes_max: usize,
    /// How many reads may wait in this node; one more is refused as overloaded.
    pub reads_max: usize,
    /// How many bytes of answers to reads of ranges may be in the making in this node, one answer of any
    /// size aside; a read more is refused as overloaded.
    pub answer_bytes_max: usize,
    /// How many watches this node may serve; one more is refused.
    pub watches_max: usize,
    /// How many bytes of events may wait in this node for those who watch; then a stream is told
    /// more only when it has read what waits for it.
    pub watch_bytes_max: usize,
    /// Whether time passes for leases while this node leads. It does not while a store follows another
    /// one, which says by itself which keys go.
    pub lease_clock_runs: bool,
    /// Whether requests may be followed on their way: then the node writes down when each entry of
    /// the log was where.
    pub follows_requests: bool,
    /// How often a quiet watch that asked for it hears how far it is.
    pub watch_progress_interval: Duration,
}

impl NodeConfig {
    /// The defaults, for a node of this name at these addresses.
    pub fn new(
        data_dir: PathBuf,
        name: String,
        peer_address: String,
        client_address: String,
    ) -> NodeConfig {
        NodeConfig {
            data_dir,
            name,
            peer_address,
            client_address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_secs(1),
            cache_bytes: 64 * 1024 * 1024,
            recent_bytes_max: 64 * 1024 * 1024,
            block_bytes: 64 * 1024,
            segment_bytes: 64 * 1024 * 1024,
            log_tail_bytes_max: 8 * 1024 * 1024,
            snapshot_log_bytes_min: 64 * 1024 * 1024,
            log_keep_entries_max: 10_000,
            log_keep_bytes_max: 32 * 1024 * 1024,
            quota_bytes: None,
            keep_history: KeepHistory::default(),
            proposals_max: 16 * 1024,
            proposal_bytes_max: 64 * 1024 * 1024,
            reads_max: 64 * 1024,
            answer_bytes_max: 256 * 1024 * 1024,
            watches_max: 128 * 1024,
            watch_bytes_max: 256 * 1024 * 1024,
            lease_clock_runs: true,
            follows_requests: false,
            watch_progress_interval: Duration::from_mins(10),
        }
    }
}
