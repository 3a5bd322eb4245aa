//! Settings and their changes to their messages and back.

use super::{DecodeError, wire};
use crate::id::NodeId;
use crate::settings::{
    ChangeSettings, NodeType, Setting, SettingChange, SettingKey, SettingValue, Settings,
    SettingsVersion,
};

/// The number of a key, for ever.
fn number(key: SettingKey) -> u32 {
    match key {
        SettingKey::Name => 1,
        SettingKey::Type => 2,
        SettingKey::Heartbeat => 3,
        SettingKey::LogLevel => 4,
        SettingKey::CacheBytes => 5,
        SettingKey::AutoCompaction => 6,
        SettingKey::QuotaBytes => 7,
    }
}

fn key_of(number_of_key: u32) -> Result<SettingKey, DecodeError> {
    let mut all = SettingKey::ALL.into_iter();
    all.find(|key| number(*key) == number_of_key)
        .ok_or(DecodeError::Malformed("an unknown setting"))
}

impl From<&ChangeSettings> for wire::ChangeSettings {
    fn from(command: &ChangeSettings) -> Self {
        let changes = command.changes.iter().map(|change| wire::SettingChange {
            node: change.node.map_or(0, |node| node.0),
            key: number(change.key),
            value: change.value.as_ref().map(wire::SettingValue::from),
        });
        wire::ChangeSettings {
            expected: command.expected.map(|version| version.0),
            changes: changes.collect(),
        }
    }
}

impl TryFrom<wire::ChangeSettings> for ChangeSettings {
    type Error = DecodeError;

    fn try_from(command: wire::ChangeSettings) -> Result<Self, DecodeError> {
        let changes = command.changes.into_iter().map(|change| {
            let key = key_of(change.key)?;
            Ok(SettingChange {
                node: node_of(change.node),
                key,
                value: change.value.map(|value| value.read(key)).transpose()?,
            })
        });
        let command = ChangeSettings {
            expected: command.expected.map(SettingsVersion),
            changes: changes.collect::<Result<_, _>>()?,
        };
        match command.check() {
            Ok(()) => Ok(command),
            Err(_violation) => Err(DecodeError::Malformed("an impossible change of settings")),
        }
    }
}

fn node_of(node: u64) -> Option<NodeId> {
    (node != 0).then_some(NodeId(node))
}

impl From<&SettingValue> for wire::SettingValue {
    fn from(value: &SettingValue) -> Self {
        let (mut number, mut other, mut text) = (None, None, None);
        match value {
            SettingValue::AutoCompaction { age_ms, revisions } => {
                (number, other) = (*age_ms, *revisions);
            }
            SettingValue::CacheBytes(value) | SettingValue::HeartbeatMs(value) => {
                number = Some(*value);
            }
            SettingValue::LogLevel(value) | SettingValue::Name(value) => {
                text = Some(value.to_string());
            }
            SettingValue::QuotaBytes(value) => number = *value,
            SettingValue::Type(kind) => {
                number = Some(match kind {
                    NodeType::Voter => 1,
                    NodeType::Learner => 2,
                });
            }
        }
        wire::SettingValue {
            number,
            other,
            text,
        }
    }
}

impl wire::SettingValue {
    /// The value of a key. Fields that it has no use for must not be there.
    fn read(self, key: SettingKey) -> Result<SettingValue, DecodeError> {
        let wire::SettingValue {
            number,
            other,
            text,
        } = self;
        Ok(match (key, number, other, text) {
            (SettingKey::AutoCompaction, age_ms, revisions, None) => {
                SettingValue::AutoCompaction { age_ms, revisions }
            }
            (SettingKey::CacheBytes, Some(bytes), None, None) => SettingValue::CacheBytes(bytes),
            (SettingKey::Heartbeat, Some(ms), None, None) => SettingValue::HeartbeatMs(ms),
            (SettingKey::LogLevel, None, None, Some(level)) => SettingValue::LogLevel(level.into()),
            (SettingKey::Name, None, None, Some(name)) => SettingValue::Name(name.into()),
            (SettingKey::QuotaBytes, quota, None, None) => SettingValue::QuotaBytes(quota),
            (SettingKey::Type, Some(1), None, None) => SettingValue::Type(NodeType::Voter),
            (SettingKey::Type, Some(2), None, None) => SettingValue::Type(NodeType::Learner),
            _ => return Err(DecodeError::Malformed("a value of another setting")),
        })
    }
}

impl wire::Settings {
    /// None when nothing was ever set, so that such a state has no such field.
    pub(crate) fn of(settings: &Settings) -> Option<wire::Settings> {
        if settings.version() == SettingsVersion(0) {
            return None;
        }
        let all = settings.iter().map(|(node, setting)| wire::Setting {
            node: node.map_or(0, |node| node.0),
            key: number(setting.value.key()),
            value: Some((&setting.value).into()),
            version: setting.version.0,
        });
        Some(wire::Settings {
            version: settings.version().0,
            settings: all.collect(),
        })
    }

    pub(crate) fn read(settings: Option<wire::Settings>) -> Result<Settings, DecodeError> {
        let Some(wire) = settings else {
            return Ok(Settings::default());
        };
        let mut all = Vec::with_capacity(wire.settings.len());
        for setting in wire.settings {
            let value = setting
                .value
                .ok_or(DecodeError::Malformed("a setting without a value"))?;
            let value = value.read(key_of(setting.key)?)?;
            let version = SettingsVersion(setting.version);
            all.push((node_of(setting.node), Setting { value, version }));
        }
        Settings::restore(SettingsVersion(wire.version), all).map_err(DecodeError::Malformed)
    }
}
