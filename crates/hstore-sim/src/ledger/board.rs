//! What is set, anew: what ADR 0026 promises of the replicated part, in the plainest words that do it.
//! It knows nothing of how the nodes do it.
//!
//! Invariants: (1) a refused change changes nothing; (2) the version counts the changes that
//! changed something.

use std::collections::BTreeMap;

use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, NodeId};
use hstore_core::settings::{ChangeSettings, SettingKey, SettingValue, Settings};

/// A value, and the version that set it.
type Value = (SettingValue, u64);

/// Everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Board {
    version: u64,
    values: BTreeMap<(Option<NodeId>, SettingKey), Value>,
}

impl Board {
    /// A change at a place of the log; the version that it leads to.
    pub(super) fn change(
        &mut self,
        command: &ChangeSettings,
        at: LogIndex,
    ) -> Result<u64, ErrorCode> {
        if let Some(seen) = command.expected
            && seen.0 != self.version
        {
            return Err(ErrorCode::Conflict);
        }
        // Ids are places in the log, so nobody has one that is still to come.
        let mut nodes = command.changes.iter().filter_map(|change| change.node);
        if nodes.any(|node| node.0 == 0 || node.0 > at.0) {
            return Err(ErrorCode::NodeNotFound);
        }
        let mut values = self.values.clone();
        for change in &command.changes {
            let place = (change.node, change.key);
            match &change.value {
                None => {
                    values.remove(&place);
                }
                Some(value) if values.get(&place).is_some_and(|(held, _)| held == value) => {}
                Some(value) => {
                    values.insert(place, (value.clone(), self.version + 1));
                }
            }
        }
        let names: Vec<&SettingValue> = values
            .iter()
            .filter(|((_, key), _)| *key == SettingKey::Name)
            .map(|(_, (name, _))| name)
            .collect();
        for (place, name) in names.iter().enumerate() {
            if names[..place].contains(name) {
                return Err(ErrorCode::InvalidConfig);
            }
        }
        if values != self.values {
            self.values = values;
            self.version += 1;
        }
        Ok(self.version)
    }

    /// Whether a node has the very same.
    pub(super) fn is(&self, settings: &Settings) -> bool {
        let found = settings.iter().map(|(node, setting)| {
            let place = (node, setting.value.key());
            (place, (setting.value.clone(), setting.version.0))
        });
        settings.version().0 == self.version && self.values == found.collect()
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::settings::{SettingChange, SettingsVersion};

    use super::*;

    fn command(expected: Option<u64>, changes: Vec<SettingChange>) -> ChangeSettings {
        ChangeSettings {
            expected: expected.map(SettingsVersion),
            changes,
        }
    }

    fn named(node: u64, name: &str) -> SettingChange {
        SettingChange::set(Some(NodeId(node)), SettingValue::Name(name.into()))
    }

    #[test]
    fn changes_are_counted_and_refused_ones_change_nothing() {
        let cache = |bytes| SettingChange::set(None, SettingValue::CacheBytes(bytes));
        let mut board = Board::default();
        let at = LogIndex(7);
        for (expected, changes, told) in [
            (None, vec![cache(1), named(3, "a")], Ok(1)),
            // Nothing changes, so nothing is counted.
            (Some(1), vec![cache(1)], Ok(1)),
            (Some(0), vec![cache(2)], Err(ErrorCode::Conflict)),
            (
                None,
                vec![cache(2), named(4, "a")],
                Err(ErrorCode::InvalidConfig),
            ),
            (
                None,
                vec![cache(2), named(8, "b")],
                Err(ErrorCode::NodeNotFound),
            ),
            // Two names change places.
            (None, vec![named(4, "b")], Ok(2)),
            (None, vec![named(3, "b"), named(4, "a")], Ok(3)),
            (
                None,
                vec![SettingChange::unset(None, SettingKey::CacheBytes)],
                Ok(4),
            ),
        ] {
            let before = board.clone();
            let command = command(expected, changes);
            assert_eq!(board.change(&command, at), told, "{command:?}");
            assert_eq!(board == before, before.version == board.version);
        }
        assert!(Board::default().is(&Settings::default()));
        assert!(!board.is(&Settings::default()));
    }
}
