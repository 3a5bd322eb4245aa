//! The two files of settings: the one a person writes (`--config`), and the one a node leaves in
//! its data folder so that it can be started again as it was.
//!
//! Invariant: the record is replaced whole, by rename; a node that was told nothing new leaves the
//! same record.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layers::{Layer, Origin};
use super::{Problem, Settings, SettingsError};

/// The sources that settings are merged from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The command line.
    pub(crate) flags: Layer,
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The settings file, if one was named.
    pub(crate) config: Option<PathBuf>,
}

impl Sources {
    /// The command line, the process's environment and the settings file that one of them names.
    pub(crate) fn of_process(flags: Layer, config: Option<PathBuf>) -> Sources {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("HSTORE_"))
            .collect();
        let named = environment
            .get("HSTORE_CONFIG")
            .filter(|path| !path.is_empty());
        let config = config.or_else(|| named.map(PathBuf::from));
        Sources {
            flags,
            environment,
            config,
        }
    }

    /// Everything merged, over the defaults.
    pub(crate) fn merge(&self) -> Result<Layer, SettingsError> {
        self.merge_over(Layer::default())
    }

    /// Everything merged, over what was recorded, over the defaults.
    pub(crate) fn merge_over(&self, recorded: Layer) -> Result<Layer, SettingsError> {
        let file = match &self.config {
            None => Layer::default(),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|source| {
                    SettingsError::one(Problem::Unreadable {
                        path: path.clone(),
                        source,
                    })
                })?;
                Layer::of_toml(&text, path, &Origin::File(path.clone()))?
            }
        };
        let environment = Layer::of_environment(self.environment.clone())?;
        Ok(self
            .flags
            .clone()
            .over(environment)
            .over(file)
            .over(recorded)
            .over(Layer::defaults()))
    }

    /// What the merged layers mean.
    pub(crate) fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::of(&self.merge()?)
    }
}

/// What a node leaves in its data folder about how it was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The node's name, as it was started.
    pub(crate) name: String,
    /// The name that the cluster gave it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renamed: Option<String>,
    /// Where it last listened for clients.
    pub(crate) client_address: String,
    /// Where it last listened for peers.
    pub(crate) peer_address: String,
    /// The nodes through which it joins. While the list is there the folder belongs to a join
    /// that has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joining: Option<Vec<String>>,
    /// Whether it was started in the background.
    #[serde(default)]
    pub(crate) detached: bool,
    /// The settings that were given, by anyone.
    #[serde(default)]
    pub(crate) settings: toml::Table,
}

/// The name of the record in a data folder.
const FILE: &str = "settings.toml";

impl Record {
    /// The record in a data folder; none when there is none.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Record>> {
        match fs::read_to_string(data.join(FILE)) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Leaves the record in a data folder.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        let body = toml::to_string(self).map_err(io::Error::other)?;
        let text = format!(
            "# Written by hstore-server at each start: how this node was started.\n\
             # Changes made here last until the next start; use flags or --config instead.\n\n{body}"
        );
        let target = data.join(FILE);
        let beside = data.join(format!("{FILE}.tmp"));
        let mut file = fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&beside, &target)?;
        fs::File::open(data)?.sync_all()
    }

    /// What the node is called.
    pub(crate) fn called(&self) -> &str {
        self.renamed.as_deref().unwrap_or(&self.name)
    }

    /// Notes what the node is called.
    pub(crate) fn call(&mut self, name: &str) {
        self.renamed = (name != self.name).then(|| name.to_owned());
    }

    /// Notes the settings that somebody gave; defaults are left to the version that runs.
    pub(crate) fn note(&mut self, merged: &Layer) {
        self.settings = merged
            .iter()
            .filter(|(_, given)| given.origin != Origin::Default)
            // Where the record is says where the data is, also when the folder was moved.
            .filter(|(key, _)| key.name != "data")
            .map(|(key, given)| {
                let value = toml::Value::from(given.value.as_str());
                (key.name.to_owned(), value)
            })
            .collect();
    }

    /// The settings that were noted, as a layer of their own.
    pub(crate) fn layer(&self, data: &Path) -> Result<Layer, SettingsError> {
        let path = data.join(FILE);
        let text = toml::to_string(&self.settings).unwrap_or_default();
        Layer::of_toml(&text, &path, &Origin::Recorded(path.clone()))
    }
}
