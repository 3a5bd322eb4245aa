//! `config`: the settings of the cluster that change while it runs.

use hstore_client::v1::SettingChange;
use hstore_client::{Client, Error, ErrorCode};

use super::operate::resolve;
use crate::args::Config;
use crate::failure::Failure;
use crate::render::{Data, SettingRow, SettingsData};
use crate::run::Context;

pub(super) async fn run(context: &Context, what: &Config) -> Result<Data, Failure> {
    let client = &context.client;
    let data = match what {
        Config::List => list(client).await?,
        Config::Get { key } => get(client, key).await?,
        Config::Set {
            key,
            value,
            node,
            if_version,
        } => change(client, key, Some(value), node.as_deref(), *if_version).await?,
        Config::Unset {
            key,
            node,
            if_version,
        } => change(client, key, None, node.as_deref(), *if_version).await?,
    };
    Ok(Data::Settings(data))
}

async fn list(client: &Client) -> Result<SettingsData, Failure> {
    let settings = client.settings().await?;
    let members = client.members().await?;
    let name = |node: u64| {
        let known = members.iter().find(|member| member.id == node);
        known.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let rows = settings.settings.into_iter().map(|row| SettingRow {
        node: (row.node_id != 0).then(|| name(row.node_id)),
        key: row.key,
        value: row.value,
        version: row.version,
    });
    Ok(SettingsData::All {
        version: settings.version,
        rows: rows.collect(),
    })
}

async fn get(client: &Client, key: &str) -> Result<SettingsData, Failure> {
    let settings = client.settings().await?;
    let names: Vec<String> = settings
        .effective
        .iter()
        .map(|row| row.key.clone())
        .collect();
    let mut all = settings.effective.into_iter();
    let holds = all.find(|row| row.key == key).ok_or_else(|| {
        let message = format!(
            "there is no setting \"{key}\"; there are {}",
            names.join(", ")
        );
        let code = ErrorCode::InvalidConfig;
        Error::Refused { code, message }
    })?;
    Ok(SettingsData::Holds {
        key: holds.key,
        value: holds.value,
        origin: holds.origin,
    })
}

async fn change(
    client: &Client,
    key: &str,
    value: Option<&String>,
    node: Option<&str>,
    if_version: Option<u64>,
) -> Result<SettingsData, Failure> {
    let node_id = match node {
        Some(node) => resolve(client, node).await?,
        None => 0,
    };
    let change = SettingChange {
        key: key.to_owned(),
        node_id,
        value: value.cloned(),
    };
    let version = client.change_settings(if_version, vec![change]).await?;
    Ok(SettingsData::Changed { version })
}
