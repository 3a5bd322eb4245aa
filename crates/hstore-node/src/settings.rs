//! The settings of the cluster as one node sees them: what holds here, and what has to be true
//! before they change.
//!
//! Invariants: (1) what the cluster says goes before what this node was started with, and what it
//! says of this node before what it says of all; (2) a node speaks at least three times within its own
//! election time, whatever heartbeat is set; (3) a change that the membership cannot follow is
//! refused before it is made, and one that was made is followed until it is true.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::membership::{Member, Membership};
use hstore_core::outcome::Reply;
use hstore_core::planted::{self, Bug};
use hstore_core::settings::{
    ChangeSettings, NodeType, Reach, SettingChange, SettingKey, SettingValue, Settings,
    SettingsVersion,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::KeepHistory;
use crate::error::NodeError;
use crate::inner::{Inner, Step};
use crate::node::Node;

/// So many heartbeats fit into the election time, or one that is late costs the leader its place.
pub(crate) const HEARTBEATS_PER_ELECTION: u32 = 3;

/// What holds at a node, whoever said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its name.
    pub name: Arc<str>,
    /// How often it speaks as a leader.
    pub heartbeat: Duration,
    /// How many bytes its cache holds.
    pub cache_bytes: u64,
    /// How much history stays while it leads.
    pub keep_history: KeepHistory,
    /// How many bytes its store may take.
    pub quota_bytes: Option<u64>,
    /// What it logs, if the cluster says so.
    pub log_level: Option<Arc<str>>,
}

impl Inner {
    /// What holds at this node now.
    pub(crate) fn effective(&self) -> Effective {
        let settings = self.consensus.settings();
        let settings = settings.borrow();
        let config = &self.config;
        let mut effective = Effective {
            name: config.name.as_str().into(),
            heartbeat: config.heartbeat,
            cache_bytes: config.cache_bytes,
            keep_history: config.keep_history,
            quota_bytes: config.quota_bytes,
            log_level: None,
        };
        for key in SettingKey::ALL {
            let Some(setting) = settings.of_node(self.identity.node, key) else {
                continue;
            };
            match &setting.value {
                SettingValue::AutoCompaction { age_ms, revisions } => {
                    effective.keep_history = KeepHistory {
                        age: age_ms.map(Duration::from_millis),
                        revisions: *revisions,
                    };
                }
                SettingValue::CacheBytes(bytes) => effective.cache_bytes = *bytes,
                SettingValue::HeartbeatMs(ms) => {
                    let longest = config.election_min / HEARTBEATS_PER_ELECTION;
                    effective.heartbeat = Duration::from_millis(*ms).min(longest);
                }
                SettingValue::LogLevel(level) => effective.log_level = Some(level.clone()),
                SettingValue::Name(name) => effective.name = name.clone(),
                SettingValue::QuotaBytes(quota) => effective.quota_bytes = *quota,
                // The membership says it.
                SettingValue::Type(_) => {}
            }
        }
        effective
    }

    /// How often this node is to speak as a leader, if it is not what it was started with.
    pub(crate) fn own_heartbeat(&self) -> Option<Duration> {
        let heartbeat = self.effective().heartbeat;
        (heartbeat != self.config.heartbeat).then_some(heartbeat)
    }
}

/// Speaks as a leader in the rhythm that is set, whenever that is another one than this node was
/// started with: consensus has a clock of its own for that one, which cannot be changed while it
/// runs, only silenced. Runs until the node ends.
pub(crate) async fn beat(inner: Arc<Inner>) {
    let mut changes = inner.consensus.settings();
    loop {
        changes.borrow_and_update();
        let own = inner.own_heartbeat();
        inner.consensus.beat_by_itself(own.is_none());
        let Some(every) = own else {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        tokio::select! {
            biased;
            changed = changes.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = tokio::time::sleep(every) => inner.consensus.beat().await,
        }
    }
}

impl Node {
    /// What is set for the cluster and its nodes, as far as this node has applied.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.consensus.settings().borrow().clone()
    }

    /// Follows them.
    pub fn follow_settings(&self) -> watch::Receiver<Arc<Settings>> {
        self.inner.consensus.settings()
    }

    /// The settings as they are when this is asked, or later ones.
    pub async fn read_settings(&self, deadline: Instant) -> Result<Arc<Settings>, NodeError> {
        if !planted::is(Bug::SettingsReadHere) {
            self.caught_up(deadline).await?;
        }
        Ok(self.settings())
    }

    /// What holds at this node, whoever said it.
    pub fn effective(&self) -> Effective {
        self.inner.effective()
    }

    /// Changes settings of the cluster or of its members. The command must have passed the checks of
    /// the door, and whoever asks must be allowed to change the membership.
    pub async fn change_settings(
        &self,
        author: &Author,
        command: ChangeSettings,
        deadline: Instant,
    ) -> Result<SettingsVersion, NodeError> {
        self.caught_up(deadline).await?;
        let membership = self.inner.consensus.standing().membership;
        if let Some(expected) = command.expected {
            // The machine has the last word; this keeps the membership out of a quarrel.
            let version = self.settings().version();
            if version != expected {
                return Err(NodeError::Refused {
                    code: ErrorCode::Conflict,
                    reason: format!(
                        "the settings were changed meanwhile: they are at version {version}"
                    ),
                });
            }
        }
        self.check_changes(&command.changes, &membership)?;
        let types = types_of(&command.changes);
        for (node, kind) in &types {
            self.take(&Step::MayBe(*node, *kind), deadline).await?;
        }
        let names = names_of(&command.changes, &membership);
        let command = Command::ChangeSettings(command);
        let version = match self.decide(author, command, deadline).await? {
            Reply::Settings(version) => version,
            _other => return Err(NodeError::Invalid("the settings were answered otherwise")),
        };
        for (node, member) in names {
            let moved = self.take(&Step::Moved(node, member), deadline).await;
            moved.map_err(|error| follows(version, &error))?;
        }
        for (node, kind) in types {
            let became = self.take(&Step::Become(node, kind), deadline).await;
            became.map_err(|error| follows(version, &error))?;
        }
        Ok(version)
    }

    /// What makes no sense in this cluster.
    fn check_changes(
        &self,
        changes: &[SettingChange],
        membership: &Membership,
    ) -> Result<(), NodeError> {
        let types = changes
            .iter()
            .filter(|change| change.key == SettingKey::Type);
        if types.count() > 1 {
            return Err(senseless(
                "the type of one node is changed at a time".to_owned(),
            ));
        }
        for change in changes {
            let member = change
                .node
                .map(|node| (node, membership.members.get(&node)));
            if let (Some((node, None)), Some(_)) = (member, &change.value) {
                return Err(NodeError::MemberNotFound(node));
            }
            if change.value.is_none()
                && change.key.reach() == Reach::Node
                && matches!(member, Some((_, Some(_))))
            {
                let key = change.key;
                return Err(senseless(format!(
                    "every node has a {key}: set another one instead of none"
                )));
            }
            match &change.value {
                Some(SettingValue::HeartbeatMs(ms)) => self.check_heartbeat(*ms)?,
                Some(SettingValue::QuotaBytes(Some(quota))) => self.check_quota(*quota)?,
                Some(SettingValue::Name(name)) => {
                    check_name(name, change.node, changes, membership)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_heartbeat(&self, ms: u64) -> Result<(), NodeError> {
        let election = self.inner.config.election_min;
        if Duration::from_millis(ms) * HEARTBEATS_PER_ELECTION > election {
            return Err(senseless(format!(
                "a heartbeat of {ms}ms is more than a third of the election time of this node, {}ms: one late heartbeat would cost the leader its place",
                election.as_millis()
            )));
        }
        Ok(())
    }

    /// A quota that is broken already stops every write the moment it is set.
    fn check_quota(&self, quota: u64) -> Result<(), NodeError> {
        let taken = self.inner.consensus.store().stats().room_bytes();
        if quota < taken {
            return Err(senseless(format!(
                "a quota of {quota} bytes is less than the {taken} bytes that the store of this node takes already; compact and defragment first"
            )));
        }
        Ok(())
    }
}

fn senseless(reason: String) -> NodeError {
    NodeError::Refused {
        code: ErrorCode::InvalidConfig,
        reason,
    }
}

/// The settings are changed and the membership is not what they say yet. Whatever hinders it: a
/// refusal would say that nothing was changed, and who believes that asks again.
fn follows(version: SettingsVersion, error: &NodeError) -> NodeError {
    NodeError::Refused {
        code: ErrorCode::OutcomeUnknown,
        reason: format!(
            "the settings are changed, to version {version}, and the members follow as soon as they can: {error}"
        ),
    }
}

fn check_name(
    name: &str,
    node: Option<NodeId>,
    changes: &[SettingChange],
    membership: &Membership,
) -> Result<(), NodeError> {
    let renamed = |other: NodeId| {
        let mut names = changes
            .iter()
            .filter(|change| change.key == SettingKey::Name);
        names.any(|change| change.node == Some(other))
    };
    let mut others = membership.members.iter();
    let holder = others
        .find(|(other, member)| Some(**other) != node && member.name == name && !renamed(**other));
    match holder {
        None => Ok(()),
        Some((holder, _)) => Err(NodeError::NameTaken {
            name: name.to_owned(),
            holder: *holder,
        }),
    }
}

fn types_of(changes: &[SettingChange]) -> Vec<(NodeId, NodeType)> {
    let types = changes.iter().filter_map(|change| match change.value {
        Some(SettingValue::Type(kind)) => Some((change.node?, kind)),
        _ => None,
    });
    types.collect()
}

/// The members that get another name, with it.
fn names_of(changes: &[SettingChange], membership: &Membership) -> Vec<(NodeId, Member)> {
    let names = changes.iter().filter_map(|change| {
        let Some(SettingValue::Name(name)) = &change.value else {
            return None;
        };
        let node = change.node?;
        let member = membership.members.get(&node)?.clone();
        Some((node, member.called(Some(name))))
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hstore_core::id::Incarnation;

    use super::*;

    fn members(names: &[(u64, &str)]) -> Membership {
        let members = names.iter().map(|(node, name)| {
            let member = Member {
                name: (*name).to_owned(),
                incarnation: Incarnation(*node),
                ..Member::default()
            };
            (NodeId(*node), member)
        });
        Membership {
            members: members.collect::<BTreeMap<_, _>>(),
            ..Membership::default()
        }
    }

    fn named(node: u64, name: &str) -> SettingChange {
        SettingChange::set(Some(NodeId(node)), SettingValue::Name(name.into()))
    }

    #[test]
    fn a_name_is_free_unless_another_member_has_it_and_keeps_it() {
        let membership = members(&[(1, "a"), (2, "b")]);
        let check = |changes: &[SettingChange]| {
            let mut each = changes.iter();
            each.try_for_each(|change| match &change.value {
                Some(SettingValue::Name(name)) => {
                    check_name(name, change.node, changes, &membership)
                }
                _ => Ok(()),
            })
        };
        assert_eq!(check(&[named(1, "c")]), Ok(()));
        assert_eq!(check(&[named(1, "a")]), Ok(()));
        assert_eq!(check(&[named(1, "b"), named(2, "a")]), Ok(()));
        let taken = NodeError::NameTaken {
            name: "b".to_owned(),
            holder: NodeId(2),
        };
        assert_eq!(check(&[named(1, "b")]), Err(taken));
    }
}
