//! Who said what: flags over environment over file over recorded over default, key by key.
//!
//! Values stay the text they were given as; what they mean is decided once, in `Settings`.
//! Invariant: a key that is not in the table of settings never gets into a layer.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use super::keys::{KEYS, Key, Kind, distance, nearest};
use super::{Problem, SettingsError};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The cluster, while it runs.
    Cluster,
    /// The command line.
    Flag,
    /// An environment variable.
    Environment(String),
    /// A settings file.
    File(PathBuf),
    /// What the node was last started with.
    Recorded(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Cluster => f.write_str("cluster"),
            Origin::Flag => f.write_str("flag"),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Recorded(path) => write!(f, "last start, {}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// As it was written; lists with commas between.
    pub(crate) value: String,
    /// Who wrote it.
    pub(crate) origin: Origin,
}

/// The values of one source, or of several merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer(BTreeMap<&'static str, Given>);

impl Layer {
    /// Notes a value.
    pub(crate) fn set(&mut self, key: &'static Key, value: impl Into<String>, origin: Origin) {
        let value = value.into();
        self.0.insert(key.name, Given { value, origin });
    }

    /// The value of a setting.
    pub(crate) fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// Takes from `lower` what this layer does not say.
    #[must_use]
    pub(crate) fn over(mut self, lower: Layer) -> Layer {
        for (name, given) in lower.0 {
            self.0.entry(name).or_insert(given);
        }
        self
    }

    /// Forgets everything but these settings.
    pub(crate) fn keep(&mut self, names: &[&str]) {
        self.0.retain(|name, _| names.contains(name));
    }

    /// Every value with its setting, in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static Key, &Given)> {
        KEYS.iter()
            .filter_map(|key| self.0.get(key.name).map(|given| (key, given)))
    }

    /// What nobody needs to say.
    pub(crate) fn defaults() -> Layer {
        let mut layer = Layer::default();
        for key in KEYS {
            if let Some(value) = key.default {
                layer.set(key, value, Origin::Default);
            }
        }
        layer
    }

    /// What the environment says. An empty variable says nothing. A variable that looks like a
    /// slip of the finger is refused; others that begin with `HSTORE_` belong to someone else
    /// (an orchestrator makes variables out of the names of its services).
    pub(crate) fn of_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Layer, SettingsError> {
        let known: BTreeMap<String, &'static Key> =
            KEYS.iter().map(|key| (key.variable(), key)).collect();
        let mut layer = Layer::default();
        let mut problems = Vec::new();
        for (variable, value) in variables {
            if value.is_empty() || !variable.starts_with("HSTORE_") {
                continue;
            }
            if let Some(key) = known.get(&variable) {
                layer.set(key, value, Origin::Environment(variable));
                continue;
            }
            let near = known.keys().find(|name| distance(name, &variable) <= 1);
            if let Some(near) = near {
                problems.push(Problem::UnknownVariable {
                    variable,
                    nearest: near.clone(),
                });
            }
        }
        SettingsError::of(problems).map_or(Ok(layer), Err)
    }

    /// What a settings file says.
    pub(crate) fn of_toml(
        text: &str,
        path: &Path,
        origin: &Origin,
    ) -> Result<Layer, SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            SettingsError::one(Problem::Malformed {
                path: path.to_owned(),
                line: error.span().map_or(1, |span| {
                    text[..span.start.min(text.len())].lines().count().max(1)
                }),
                message: error.message().to_owned(),
            })
        })?;
        let mut layer = Layer::default();
        let mut problems = Vec::new();
        for (name, value) in &table {
            let Some(key) = Key::find(name) else {
                problems.push(Problem::UnknownKey {
                    path: path.to_owned(),
                    key: name.clone(),
                    nearest: nearest(name, KEYS.iter().map(|key| key.name)).map(str::to_owned),
                });
                continue;
            };
            match text_of(key.kind, value) {
                Some(value) => layer.set(key, value, origin.clone()),
                None => problems.push(Problem::WrongType {
                    path: path.to_owned(),
                    key: key.name,
                    found: value.type_str(),
                    wanted: match key.kind {
                        Kind::Bytes => "a size such as \"64MiB\"",
                        Kind::Count => "a whole number",
                        Kind::Switch => "true or false",
                        Kind::List => "a list of strings",
                        Kind::Text => "a string",
                    },
                }),
            }
        }
        SettingsError::of(problems).map_or(Ok(layer), Err)
    }

    /// As a settings file that says the same.
    pub(crate) fn to_toml(&self, with_origin: bool) -> String {
        let mut text = String::new();
        for (key, given) in self.iter() {
            let value = match key.kind {
                Kind::Count | Kind::Switch => given.value.clone(),
                Kind::Bytes | Kind::Text => toml::Value::from(given.value.as_str()).to_string(),
                Kind::List => {
                    let items: Vec<&str> = items(&given.value).collect();
                    toml::Value::from(items).to_string()
                }
            };
            let written = if with_origin {
                let line = format!("{} = {value}", key.name);
                writeln!(text, "{line:<40} # {}", given.origin)
            } else {
                writeln!(text, "{} = {value}", key.name)
            };
            written.expect("writing to a String cannot fail");
        }
        text
    }
}

/// The items of a list that was given with commas between.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// The text of a value of a settings file, if it is of the kind that the setting takes.
fn text_of(kind: Kind, value: &toml::Value) -> Option<String> {
    match (kind, value) {
        (_, toml::Value::String(text)) => Some(text.clone()),
        (Kind::Bytes | Kind::Count, toml::Value::Integer(number)) => Some(number.to_string()),
        (Kind::Switch, toml::Value::Boolean(switch)) => Some(switch.to_string()),
        (Kind::List, toml::Value::Array(items)) => {
            let items: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Some(items?.join(","))
        }
        _ => None,
    }
}
