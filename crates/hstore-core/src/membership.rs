//! Who is in the cluster. Our own words for what consensus keeps, for snapshots and screens.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Incarnation, LogId, NodeId};

/// The members and the voters among them, as of one log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The entry that says so; none before the cluster was founded.
    pub log_id: Option<LogId>,
    /// The configurations: one, or two while a change is under way (joint consensus).
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Every member, learners too.
    pub members: BTreeMap<NodeId, Member>,
}

impl Membership {
    /// Whether the node votes in any of the configurations.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.iter().any(|config| config.contains(&node))
    }

    /// Whether a change of voters is under way.
    pub fn is_joint(&self) -> bool {
        self.voters.len() > 1
    }
}

/// What the cluster knows of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The name a person gave it; unique in the cluster.
    pub name: String,
    /// Where its peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Its data folder.
    pub incarnation: Incarnation,
}
