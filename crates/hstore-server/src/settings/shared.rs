//! Settings of the cluster as a person writes them: the same words as the flags, with the same
//! bounds.
//!
//! Invariant: what `show` writes, `read` reads as the same value.

use hstore_core::settings::{NodeType, SettingKey, SettingValue};
use hstore_node::KeepHistory;

use super::keys::{KEYS, nearest};
use super::layers::{Layer, Origin};
use super::{Key, Reader, SettingsError, history, show_bytes, show_duration};

/// The key of a name that can be changed while nodes run, or why there is none.
pub(crate) fn key(name: &str) -> Result<SettingKey, String> {
    if let Some(key) = SettingKey::parse(name) {
        return Ok(key);
    }
    if Key::find(name).is_some() {
        return Err(format!(
            "{name} holds from the start of a node to its end. Start the node again with another --{name}"
        ));
    }
    let names = || SettingKey::ALL.into_iter().map(SettingKey::as_str);
    let all: Vec<&str> = names().collect();
    let meant = nearest(name, names());
    let meant = meant.map_or_else(
        || ". There are".to_owned(),
        |meant| format!("; did you mean \"{meant}\"? There are"),
    );
    Err(format!(
        "there is no setting \"{name}\" that changes while nodes run{meant} {}",
        all.join(", ")
    ))
}

/// Reads a value.
pub(crate) fn read(key: SettingKey, text: &str) -> Result<SettingValue, SettingsError> {
    if key == SettingKey::Type {
        let of_type = |kind: &NodeType| kind.as_str() == text.trim();
        let mut kinds = [NodeType::Learner, NodeType::Voter].into_iter();
        let kind = kinds.find(of_type);
        return kind.map(SettingValue::Type).ok_or_else(|| {
            SettingsError::one(super::Problem::Value {
                key: key.as_str(),
                value: text.to_owned(),
                origin: Origin::Cluster,
                wanted: "use voter or learner".to_owned(),
            })
        });
    }
    let row = KEYS.iter().find(|row| row.name == key.as_str());
    let row = row.expect("a setting of the cluster has a flag of its name, but for the type");
    let mut layer = Layer::default();
    layer.set(row, text, Origin::Cluster);
    let mut read = Reader {
        layer: &layer,
        problems: Vec::new(),
    };
    let value = match key {
        SettingKey::AutoCompaction => {
            let KeepHistory { age, revisions } = read.history();
            SettingValue::AutoCompaction {
                age_ms: age.map(|age| age.as_millis() as u64),
                revisions,
            }
        }
        SettingKey::CacheBytes => SettingValue::CacheBytes(read.cache()),
        SettingKey::Heartbeat => SettingValue::HeartbeatMs(read.heartbeat().as_millis() as u64),
        SettingKey::LogLevel => SettingValue::LogLevel(read.level().into()),
        SettingKey::Name => SettingValue::Name(read.word("name").unwrap_or_default().into()),
        SettingKey::QuotaBytes => SettingValue::QuotaBytes(read.quota()),
        SettingKey::Type => unreachable!("it was read above"),
    };
    SettingsError::of(read.problems).map_or(Ok(value), Err)
}

/// Writes a value.
pub(crate) fn show(value: &SettingValue) -> String {
    match value {
        SettingValue::AutoCompaction { age_ms, revisions } => history::show(KeepHistory {
            age: age_ms.map(std::time::Duration::from_millis),
            revisions: *revisions,
        }),
        SettingValue::CacheBytes(bytes) | SettingValue::QuotaBytes(Some(bytes)) => {
            show_bytes(*bytes)
        }
        SettingValue::HeartbeatMs(ms) => show_duration(std::time::Duration::from_millis(*ms)),
        SettingValue::LogLevel(text) | SettingValue::Name(text) => text.to_string(),
        SettingValue::QuotaBytes(None) => "off".to_owned(),
        SettingValue::Type(kind) => kind.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for (key, text, shown) in [
            (SettingKey::AutoCompaction, "off", "off"),
            (SettingKey::AutoCompaction, "72h", "72h"),
            (SettingKey::AutoCompaction, "90s", "90s"),
            (SettingKey::AutoCompaction, "1500ms", "1500ms"),
            (
                SettingKey::AutoCompaction,
                "5 revisions,1h",
                "1h, 5 revisions",
            ),
            (SettingKey::CacheBytes, "67108864", "64MiB"),
            (SettingKey::Heartbeat, "0.25s", "250ms"),
            (
                SettingKey::LogLevel,
                "info,hstore_node=debug",
                "info,hstore_node=debug",
            ),
            (SettingKey::Name, "alpha", "alpha"),
            (SettingKey::QuotaBytes, "off", "off"),
            (SettingKey::QuotaBytes, "2GiB", "2GiB"),
            (SettingKey::Type, "learner", "learner"),
            (SettingKey::Type, "voter", "voter"),
        ] {
            let value = read(key, text).expect(text);
            assert_eq!(value.key(), key);
            assert_eq!(value.check(), Ok(()), "{text}");
            assert_eq!(show(&value), shown);
            assert_eq!(read(key, shown).expect(shown), value);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for (key, text, part) in [
            (SettingKey::AutoCompaction, "soon", "such as 72h"),
            (SettingKey::AutoCompaction, "500ms", "such as 72h"),
            (SettingKey::CacheBytes, "10", "from 1MiB"),
            (SettingKey::CacheBytes, "2TiB", "to 1TiB"),
            (SettingKey::Heartbeat, "100", "with its unit"),
            (SettingKey::Heartbeat, "1m", "from 10ms to 10s"),
            (SettingKey::LogLevel, "=nonsense=", "error, warn"),
            (SettingKey::LogLevel, "", "error, warn"),
            (SettingKey::Name, "a/b", "letters"),
            (SettingKey::Name, "", "empty"),
            (SettingKey::QuotaBytes, "1KiB", "at least 1MiB"),
            (SettingKey::Type, "leader", "voter or learner"),
        ] {
            let refused = read(key, text).expect_err(text).to_string();
            assert!(refused.contains(part), "{key} {text}: {refused}");
        }
    }

    #[test]
    fn a_name_that_is_no_setting_of_the_cluster_is_told_from_one_that_is_none() {
        assert_eq!(key("log-level"), Ok(SettingKey::LogLevel));
        let refused = key("listen").expect_err("of a start");
        assert!(refused.contains("--listen"), "{refused}");
        let refused = key("log_level").expect_err("none");
        assert!(
            refused.contains("did you mean \"log-level\"? There are"),
            "{refused}"
        );
        assert!(
            refused.contains("auto-compaction, cache-bytes"),
            "{refused}"
        );
    }
}
