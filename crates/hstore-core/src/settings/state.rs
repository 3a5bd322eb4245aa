//! The settings as a part of the replicated state.
//!
//! Invariants: (1) the version grows by one for each command that changed something, and by
//! nothing else; (2) every value is one that can be; (3) no two nodes are given one name;
//! (4) at most `NODES_WITH_SETTINGS_MAX` nodes have settings of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChangeSettings, NodeType, SettingChange, SettingKey, SettingValue, SettingsVersion};
use crate::id::NodeId;
use crate::outcome::Refusal;
use crate::planted::{self, Bug};

/// So many nodes may have settings of their own; a cluster has far fewer members.
pub const NODES_WITH_SETTINGS_MAX: usize = 256;

/// A value and since when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: SettingValue,
    /// The version that set it.
    pub version: SettingsVersion,
}

/// Everything that was set, for the cluster and for its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    version: SettingsVersion,
    values: BTreeMap<(Option<NodeId>, SettingKey), Setting>,
}

impl Settings {
    /// The number of the last change; 0 before the first.
    pub fn version(&self) -> SettingsVersion {
        self.version
    }

    /// Everything that was set: the cluster's first, then each node's, by key.
    pub fn iter(&self) -> impl Iterator<Item = (Option<NodeId>, &Setting)> {
        self.values
            .iter()
            .map(|((node, _), setting)| (*node, setting))
    }

    /// What was set for exactly this node, or for the cluster.
    pub fn get(&self, node: Option<NodeId>, key: SettingKey) -> Option<&Setting> {
        self.values.get(&(node, key))
    }

    /// What holds for a node: its own, or else the cluster's.
    pub fn of_node(&self, node: NodeId, key: SettingKey) -> Option<&Setting> {
        let (own, of_all) = (self.get(Some(node), key), self.get(None, key));
        if planted::is(Bug::SettingsOfNodeOverruled) {
            return of_all.or(own);
        }
        own.or(of_all)
    }

    /// The name that a node was given.
    pub fn name(&self, node: NodeId) -> Option<&Arc<str>> {
        match &self.get(Some(node), SettingKey::Name)?.value {
            SettingValue::Name(name) => Some(name),
            _other => None,
        }
    }

    /// Whether a node is to vote, if somebody said so.
    pub fn node_type(&self, node: NodeId) -> Option<NodeType> {
        match &self.get(Some(node), SettingKey::Type)?.value {
            SettingValue::Type(kind) => Some(*kind),
            _other => None,
        }
    }

    /// Everything that is said about one node, taken back.
    pub fn forget(&self, node: NodeId) -> Vec<SettingChange> {
        let own = self.values.keys().filter(|(of, _)| *of == Some(node));
        own.map(|(of, key)| SettingChange::unset(*of, *key))
            .collect()
    }

    /// Makes the changes, all of them or none. Node ids up to `last_node` were given to somebody.
    pub(crate) fn apply(
        &self,
        command: ChangeSettings,
        last_node: NodeId,
    ) -> Result<Settings, Refusal> {
        let version = self.version;
        let has_seen = command.expected.is_none_or(|seen| seen == version);
        if !has_seen && !planted::is(Bug::SettingsChangeUnseen) {
            return Err(Refusal::SettingsChanged { version });
        }
        let steps = if planted::is(Bug::SettingsChangedTwice) {
            2
        } else {
            1
        };
        let next = SettingsVersion(version.0.saturating_add(steps));
        let mut settings = self.clone();
        for SettingChange { node, key, value } in command.changes {
            if node.is_some_and(|node| node.0 == 0 || node > last_node) {
                return Err(Refusal::NoSuchNode);
            }
            match value {
                None => {
                    settings.values.remove(&(node, key));
                }
                Some(value) => {
                    let known = settings.get(node, key);
                    if known.is_some_and(|known| known.value == value) {
                        continue;
                    }
                    let version = next;
                    settings
                        .values
                        .insert((node, key), Setting { value, version });
                }
            }
        }
        settings.check_laws()?;
        if settings != *self {
            settings.version = next;
        }
        Ok(settings)
    }

    /// What several values together must not do.
    fn check_laws(&self) -> Result<(), Refusal> {
        let mut names: Vec<&Arc<str>> = Vec::new();
        let mut nodes: Vec<NodeId> = Vec::new();
        for ((node, _), setting) in &self.values {
            if let SettingValue::Name(name) = &setting.value {
                names.push(name);
            }
            // They come in the order of nodes.
            if let Some(node) = node
                && nodes.last() != Some(node)
            {
                nodes.push(*node);
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < count {
            return Err(Refusal::NameTaken);
        }
        if nodes.len() > NODES_WITH_SETTINGS_MAX {
            return Err(Refusal::TooManySettings);
        }
        Ok(())
    }

    /// What another cluster takes over: what was said of nodes was said of others.
    pub(crate) fn of_cluster(&self) -> Settings {
        let values = self.values.iter().filter(|((node, _), _)| node.is_none());
        Settings {
            version: self.version,
            values: values
                .map(|(place, setting)| (*place, setting.clone()))
                .collect(),
        }
    }

    /// Takes in what was written down. Says no to what `apply` never makes.
    pub(crate) fn restore(
        version: SettingsVersion,
        all: impl IntoIterator<Item = (Option<NodeId>, Setting)>,
    ) -> Result<Settings, &'static str> {
        let mut values = BTreeMap::new();
        for (node, setting) in all {
            let key = setting.value.key();
            let change = ChangeSettings {
                expected: None,
                changes: vec![SettingChange::set(node, setting.value.clone())],
            };
            let possible = setting.version > SettingsVersion(0) && setting.version <= version;
            if !possible || change.check().is_err() {
                return Err("an impossible setting");
            }
            if values.insert((node, key), setting).is_some() {
                return Err("a setting that is named twice");
            }
        }
        let settings = Settings { version, values };
        match settings.check_laws() {
            Ok(()) => Ok(settings),
            Err(_law) => Err("settings that cannot be together"),
        }
    }
}
