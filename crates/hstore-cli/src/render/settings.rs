//! Settings of the cluster in all three forms.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{View, table as columns};

/// What was asked about settings.
#[derive(Clone, Debug)]
pub(crate) enum SettingsData {
    /// Everything that is set.
    All {
        /// The last change.
        version: u64,
        /// What is set.
        rows: Vec<SettingRow>,
    },
    /// What holds somewhere.
    Holds {
        /// Of what.
        key: String,
        /// The value.
        value: String,
        /// Who said it.
        origin: String,
    },
    /// They were changed.
    Changed {
        /// The version now.
        version: u64,
    },
}

/// A setting that was made.
#[derive(Clone, Debug)]
pub(crate) struct SettingRow {
    /// Of what.
    pub(crate) key: String,
    /// For which node; none is for all.
    pub(crate) node: Option<String>,
    /// The value.
    pub(crate) value: String,
    /// Since which version.
    pub(crate) version: u64,
}

pub(super) fn table(out: &mut dyn Write, view: View, data: &SettingsData) -> io::Result<()> {
    match data {
        SettingsData::All { rows, .. } if rows.is_empty() => {
            writeln!(
                out,
                "nothing is set: each node does what it was started with"
            )
        }
        SettingsData::All { rows, .. } => {
            let head = ["SETTING", "NODE", "VALUE", "SINCE"].map(str::to_owned);
            let row = |row: &SettingRow| {
                vec![
                    row.key.clone(),
                    row.node.clone().unwrap_or_else(|| "all".to_owned()),
                    row.value.clone(),
                    row.version.to_string(),
                ]
            };
            let rows: Vec<_> = rows.iter().map(row).collect();
            columns::columns(out, view, &head, &rows, &[3], |_| false)
        }
        SettingsData::Holds { value, origin, .. } => writeln!(out, "{value}  ({origin})"),
        SettingsData::Changed { version } => {
            writeln!(out, "{}  settings version {version}", columns::ok(view))
        }
    }
}

pub(super) fn raw(out: &mut dyn Write, data: &SettingsData) -> io::Result<()> {
    match data {
        SettingsData::All { rows, .. } => rows.iter().try_for_each(|row| {
            let node = row.node.as_deref().unwrap_or_default();
            writeln!(out, "{}\t{node}\t{}\t{}", row.key, row.value, row.version)
        }),
        SettingsData::Holds { value, .. } => writeln!(out, "{value}"),
        SettingsData::Changed { version } => writeln!(out, "{version}"),
    }
}

pub(super) fn json(data: &SettingsData) -> Value {
    match data {
        SettingsData::All { version, rows } => {
            let row = |row: &SettingRow| {
                json!({
                    "key": row.key,
                    "node": row.node,
                    "value": row.value,
                    "version": row.version,
                })
            };
            json!({"version": version, "settings": rows.iter().map(row).collect::<Vec<_>>()})
        }
        SettingsData::Holds { key, value, origin } => {
            json!({"key": key, "value": value, "origin": origin})
        }
        SettingsData::Changed { version } => json!({"version": version}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_in_all_forms() {
        let row = |key: &str, node: Option<&str>, value: &str, version| SettingRow {
            key: key.to_owned(),
            node: node.map(str::to_owned),
            value: value.to_owned(),
            version,
        };
        let data = SettingsData::All {
            version: 7,
            rows: vec![
                row("log-level", None, "debug", 2),
                row("name", Some("alpha"), "alpha", 7),
            ],
        };
        let mut out = Vec::new();
        table(&mut out, View::default(), &data).unwrap();
        let shown = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["SETTING", "NODE", "VALUE", "SINCE"]);
        assert_eq!(lines[1], ["log-level", "all", "debug", "2"]);
        assert_eq!(lines[2], ["name", "alpha", "alpha", "7"]);
        let mut out = Vec::new();
        raw(&mut out, &data).unwrap();
        assert_eq!(out, b"log-level\t\tdebug\t2\nname\talpha\talpha\t7\n");
        let shown = json(&data);
        assert_eq!(shown["version"], 7);
        assert_eq!(shown["settings"][0]["node"], Value::Null);
        assert_eq!(shown["settings"][1]["node"], "alpha");
    }
}
