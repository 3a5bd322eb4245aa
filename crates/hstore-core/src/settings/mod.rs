//! Settings of the cluster: what a node does that can be changed while it runs, for all nodes at
//! once or for one of them.
//!
//! This room knows values, their bounds and who they are for. It must never know how a person
//! writes a value, nor what a node was started with: what is said here goes before that
//! ([ADR 0026](../../../docs/adr/0026-settings-that-are-part-of-the-state.md)).

mod state;

use std::fmt;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::id::NodeId;

pub use state::{NODES_WITH_SETTINGS_MAX, Setting, Settings};

/// The most changes that one command makes.
pub const CHANGES_MAX: usize = 64;

/// The longest level of the log, in bytes: a filter may name many parts of the program.
pub const LOG_LEVEL_BYTES_MAX: usize = 256;

/// The longest name of a node, in bytes.
pub const NODE_NAME_BYTES_MAX: usize = 63;

/// The bounds of a cache, in bytes.
pub const CACHE_BYTES: (u64, u64) = (1 << 20, 1 << 40);

/// The bounds of the heartbeat, in milliseconds.
pub const HEARTBEAT_MS: (u64, u64) = (10, 10_000);

/// An engine without content takes about this much, so a smaller quota would never be kept.
pub const QUOTA_BYTES_MIN: u64 = 1 << 20;

/// The bounds of the age of history that is kept, in milliseconds: a second, since leaders look
/// once a second, and a century, since what is longer is a slip of the finger.
pub const HISTORY_MS: (u64, u64) = (1_000, 3_200_000_000_000);

/// Counts the changes of the settings; 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingsVersion(pub u64);

impl fmt::Display for SettingsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingKey {
    /// How much history is kept.
    AutoCompaction,
    /// Memory for values that are read often.
    CacheBytes,
    /// How often the leader looks whether its followers are there, and shows them that it is.
    Heartbeat,
    /// What is logged.
    LogLevel,
    /// The name of a node.
    Name,
    /// Room that the store may take on the disk.
    QuotaBytes,
    /// Whether a node votes.
    Type,
}

/// For whom a setting can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// For the cluster as a whole.
    Cluster,
    /// For the cluster, and for a node, which then goes its own way.
    Both,
    /// For one node.
    Node,
}

impl SettingKey {
    /// Every key, in the order of names.
    pub const ALL: [SettingKey; 7] = [
        SettingKey::AutoCompaction,
        SettingKey::CacheBytes,
        SettingKey::Heartbeat,
        SettingKey::LogLevel,
        SettingKey::Name,
        SettingKey::QuotaBytes,
        SettingKey::Type,
    ];

    /// The name, for ever: the same as that of the flag that says it at a start.
    pub fn as_str(self) -> &'static str {
        match self {
            SettingKey::AutoCompaction => "auto-compaction",
            SettingKey::CacheBytes => "cache-bytes",
            SettingKey::Heartbeat => "heartbeat",
            SettingKey::LogLevel => "log-level",
            SettingKey::Name => "name",
            SettingKey::QuotaBytes => "quota-bytes",
            SettingKey::Type => "type",
        }
    }

    /// The key of a name.
    pub fn parse(name: &str) -> Option<SettingKey> {
        SettingKey::ALL.into_iter().find(|key| key.as_str() == name)
    }

    /// For whom it can be set. History and heartbeat are the leader's doing, whoever leads, so they
    /// are never one node's own.
    pub fn reach(self) -> Reach {
        match self {
            SettingKey::AutoCompaction | SettingKey::Heartbeat => Reach::Cluster,
            SettingKey::CacheBytes | SettingKey::LogLevel | SettingKey::QuotaBytes => Reach::Both,
            SettingKey::Name | SettingKey::Type => Reach::Node,
        }
    }
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a node votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    /// It follows the log and has no vote.
    Learner,
    /// It votes.
    Voter,
}

impl NodeType {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            NodeType::Learner => "learner",
            NodeType::Voter => "voter",
        }
    }
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// What is older than the one or beyond the other is compacted; without both, nothing is.
    AutoCompaction {
        /// What was written within so many milliseconds.
        age_ms: Option<u64>,
        /// So many revisions.
        revisions: Option<u64>,
    },
    /// So many bytes.
    CacheBytes(u64),
    /// So many milliseconds.
    HeartbeatMs(u64),
    /// A level or a filter; what reads it says what it means.
    LogLevel(Arc<str>),
    /// The name.
    Name(Arc<str>),
    /// So many bytes; none is no bound.
    QuotaBytes(Option<u64>),
    /// Whether it votes.
    Type(NodeType),
}

impl SettingValue {
    /// What it is a value of.
    pub fn key(&self) -> SettingKey {
        match self {
            SettingValue::AutoCompaction { .. } => SettingKey::AutoCompaction,
            SettingValue::CacheBytes(_) => SettingKey::CacheBytes,
            SettingValue::HeartbeatMs(_) => SettingKey::Heartbeat,
            SettingValue::LogLevel(_) => SettingKey::LogLevel,
            SettingValue::Name(_) => SettingKey::Name,
            SettingValue::QuotaBytes(_) => SettingKey::QuotaBytes,
            SettingValue::Type(_) => SettingKey::Type,
        }
    }

    /// Whether it is within its bounds.
    pub fn check(&self) -> Result<(), SettingViolation> {
        let within = |(min, max): (u64, u64), number: u64| (min..=max).contains(&number);
        let holds = match self {
            SettingValue::AutoCompaction { age_ms, revisions } => {
                age_ms.is_none_or(|age| within(HISTORY_MS, age))
                    && revisions.is_none_or(|count| count > 0)
            }
            SettingValue::CacheBytes(bytes) => within(CACHE_BYTES, *bytes),
            SettingValue::HeartbeatMs(ms) => within(HEARTBEAT_MS, *ms),
            SettingValue::LogLevel(level) => {
                let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                (1..=LOG_LEVEL_BYTES_MAX).contains(&level.len()) && level.bytes().all(printable)
            }
            SettingValue::Name(name) => is_node_name(name),
            SettingValue::QuotaBytes(quota) => quota.is_none_or(|bytes| bytes >= QUOTA_BYTES_MIN),
            SettingValue::Type(_) => true,
        };
        if holds {
            Ok(())
        } else {
            Err(SettingViolation::OutOfBounds(self.key()))
        }
    }
}

/// Whether a word can name a node or a cluster: it becomes part of paths and of file names.
pub fn is_node_name(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    word.len() <= NODE_NAME_BYTES_MAX
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(plain)
}

/// One change of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// For which node; none is for the cluster.
    pub node: Option<NodeId>,
    /// Of what.
    pub key: SettingKey,
    /// The new value; none has nothing said about it any more.
    pub value: Option<SettingValue>,
}

impl SettingChange {
    /// Sets a value.
    pub fn set(node: Option<NodeId>, value: SettingValue) -> SettingChange {
        SettingChange {
            node,
            key: value.key(),
            value: Some(value),
        }
    }

    /// Takes a value back.
    pub fn unset(node: Option<NodeId>, key: SettingKey) -> SettingChange {
        SettingChange {
            node,
            key,
            value: None,
        }
    }

    fn check(&self) -> Result<(), SettingViolation> {
        let reaches = match self.key.reach() {
            Reach::Both => true,
            Reach::Cluster => self.node.is_none(),
            Reach::Node => self.node.is_some(),
        };
        if !reaches {
            return Err(SettingViolation::Misplaced(self.key));
        }
        let Some(value) = &self.value else {
            return Ok(());
        };
        if value.key() != self.key {
            return Err(SettingViolation::OutOfBounds(self.key));
        }
        value.check()
    }
}

/// Changes of the settings, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSettings {
    /// The version that whoever asks has seen; refused when it is another one by now.
    pub expected: Option<SettingsVersion>,
    /// The changes, one for each setting.
    pub changes: Vec<SettingChange>,
}

impl ChangeSettings {
    /// Whether every change is one that can be made.
    pub fn check(&self) -> Result<(), SettingViolation> {
        if self.changes.is_empty() {
            return Err(SettingViolation::Nothing);
        }
        if self.changes.len() > CHANGES_MAX {
            return Err(SettingViolation::TooMany);
        }
        for (place, change) in self.changes.iter().enumerate() {
            change.check()?;
            let same =
                |other: &&SettingChange| (other.node, other.key) == (change.node, change.key);
            if self.changes[..place].iter().any(|other| same(&other)) {
                return Err(SettingViolation::Twice(change.key));
            }
        }
        Ok(())
    }
}

/// Why a change of the settings makes no sense, whatever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingViolation {
    /// There is no change.
    #[error("no setting is named")]
    Nothing,
    /// It is for a node although it is the cluster's, or the other way round.
    #[error("{}", misplaced(*.0))]
    Misplaced(SettingKey),
    /// The value cannot be.
    #[error("this value of {0} is out of bounds")]
    OutOfBounds(SettingKey),
    /// There are more changes than one command makes.
    #[error("there are too many changes at a time, the limit is {CHANGES_MAX}")]
    TooMany,
    /// A setting is named twice.
    #[error("{0} is named twice")]
    Twice(SettingKey),
}

fn misplaced(key: SettingKey) -> String {
    match key.reach() {
        Reach::Cluster | Reach::Both => {
            format!("{key} is the same for the whole cluster: name no node")
        }
        Reach::Node => format!("{key} belongs to one node: name the node"),
    }
}

impl SettingViolation {
    /// The code that it travels with.
    pub fn code(self) -> ErrorCode {
        ErrorCode::InvalidConfig
    }
}
