//! What one run is made of: how many nodes, how small their bounds, what clients ask, and what
//! strikes when. All of it is drawn from the seed before the run begins.

use std::time::Duration;

use hstore_node::NodeConfig;

use crate::nemesis::{Kind, Strike};
use crate::workload::Mix;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// How many nodes there are in the beginning.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// What they ask.
    pub mix: Mix,
    /// The bounds of the nodes.
    pub knobs: Knobs,
    /// How long the storm lasts.
    pub storm: Duration,
    /// What strikes.
    pub strikes: Vec<Strike>,
    /// The fewest acknowledged writes that make the run mean something.
    pub writes_min: u64,
    /// The fewest refusals for want of rights that it needs for that.
    pub denied_min: u64,
    /// The same for want of room.
    pub full_min: u64,
    /// The fewest changes of settings that it needs to see in the log.
    pub settings_min: u64,
    /// The run is meant to be caught: it is good when the judge finds a violation.
    pub must_fail: bool,
}

/// The bounds of a node that a run makes small, so that they are met.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// How much log makes a snapshot due.
    pub snapshot_log_bytes: u64,
    /// How many entries stay below a snapshot.
    pub keep_entries: u64,
    /// How many bytes of log stay below a snapshot.
    pub keep_bytes: u64,
    /// How many bytes of newest entries stay in memory.
    pub tail_bytes: usize,
    /// How many bytes of records wait to be written down.
    pub recent_bytes: usize,
    /// The size of a block.
    pub block_bytes: usize,
    /// The size of the cache.
    pub cache_bytes: u64,
    /// How many proposals may wait.
    pub proposals: usize,
    /// How many bytes of events may wait for those who watch.
    pub watch_bytes: usize,
    /// How often a quiet watch hears how far it is.
    pub watch_progress: Duration,
    /// The heartbeat; the election times follow it.
    pub heartbeat: Duration,
    /// How much room the store of a node may take on its disk.
    pub quota_bytes: Option<u64>,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            snapshot_log_bytes: 32 * 1024,
            keep_entries: 64,
            keep_bytes: 16 * 1024,
            tail_bytes: 64 * 1024,
            recent_bytes: 256 * 1024,
            block_bytes: 4 * 1024,
            cache_bytes: 64 * 1024,
            proposals: 256,
            watch_bytes: 16 * 1024,
            watch_progress: Duration::from_secs(2),
            heartbeat: Duration::from_millis(100),
            quota_bytes: None,
        }
    }
}

impl Knobs {
    /// Puts the bounds into the settings of a node.
    pub fn apply(&self, config: &mut NodeConfig) {
        config.snapshot_log_bytes_min = self.snapshot_log_bytes;
        config.log_keep_entries_max = self.keep_entries;
        config.log_keep_bytes_max = self.keep_bytes;
        config.log_tail_bytes_max = self.tail_bytes;
        config.recent_bytes_max = self.recent_bytes;
        config.block_bytes = self.block_bytes;
        config.cache_bytes = self.cache_bytes;
        config.proposals_max = self.proposals;
        config.watch_bytes_max = self.watch_bytes;
        config.watch_progress_interval = self.watch_progress;
        config.quota_bytes = self.quota_bytes;
        config.heartbeat = self.heartbeat;
        config.election_min = 5 * self.heartbeat;
        config.election_max = 10 * self.heartbeat;
    }
}

impl Plan {
    /// The same with users whose rights change.
    #[must_use]
    pub fn with_users(mut self, wardens: u32) -> Plan {
        self.mix.wardens = wardens;
        // Much is refused then.
        self.writes_min = self.writes_min.min(20);
        self.with_whole_log()
    }

    /// The same with little room, that is met and made again.
    #[must_use]
    pub fn with_quota(mut self, bytes: u64) -> Plan {
        self.knobs.quota_bytes = Some(bytes);
        self.mix.rough = true;
        self.knobs.block_bytes = self.knobs.block_bytes.min(4 * 1024);
        self.knobs.recent_bytes = self.knobs.recent_bytes.min(32 * 1024);
        self.mix.value_bytes_max = self.mix.value_bytes_max.max(1_500);
        self.mix.compacts_permille = self.mix.compacts_permille.max(15);
        self.writes_min = self.writes_min.min(20);
        self.with_whole_log()
    }

    /// The same with settings that change.
    #[must_use]
    pub fn with_settings(mut self, tuners: u32) -> Plan {
        self.mix.tuners = tuners;
        self.settings_min = 1;
        self.with_whole_log()
    }

    /// The log is kept until it was looked at, since it is judged.
    fn with_whole_log(mut self) -> Plan {
        self.knobs.keep_entries = self.knobs.keep_entries.max(400);
        self.knobs.keep_bytes = self.knobs.keep_bytes.max(4 * 1024 * 1024);
        self
    }

    /// Whether users, a lack of room or changes of settings are part of it: then the committed log is judged, too.
    pub fn judges_the_log(&self) -> bool {
        self.mix.wardens > 0 || self.mix.tuners > 0 || self.knobs.quota_bytes.is_some()
    }

    /// The kinds that strike.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<Kind> = self.strikes.iter().map(|strike| strike.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}
