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
    /// The name that it is started with, if a setting gave it another one since.
    pub started_as: Option<String>,
    /// Where its peers reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Its data folder.
    pub incarnation: Incarnation,
}

impl Member {
    /// The name that it is started with.
    pub fn own_name(&self) -> &str {
        self.started_as.as_deref().unwrap_or(&self.name)
    }

    /// The same member by the name that a setting gives it, or by its own.
    #[must_use]
    pub fn called(self, name: Option<&str>) -> Member {
        let own = self.started_as.unwrap_or(self.name);
        let given = name.filter(|name| *name != own).map(ToOwned::to_owned);
        let (name, started_as) = match given {
            Some(given) => (given, Some(own)),
            None => (own, None),
        };
        Member {
            name,
            started_as,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_keeps_its_own_name_however_often_it_is_called_otherwise() {
        let member = Member {
            name: "n1".to_owned(),
            ..Member::default()
        };
        let other = member.clone().called(Some("a")).called(Some("b"));
        assert_eq!((other.name.as_str(), other.own_name()), ("b", "n1"));
        assert_eq!(other.clone().called(Some("n1")), member);
        assert_eq!(other.called(None), member);
    }
}
