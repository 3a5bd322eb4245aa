//! `config set`, `unset`, `get` and `print --node`: the settings of a running cluster.
//!
//! Invariant: a change is asked of one node after the other only while none of them has it.

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, EffectiveSetting, GetSettingsResponse, SettingChange,
};
use serde_json::{Map, Value, json};

use crate::discover::{self, Found};
use crate::fault::{Exit, Fault};
use crate::grammar::{ConfigGet, ConfigSet, ConfigUnset, Output, WhichCluster};
use crate::remote::Remote;
use crate::screen;

/// Sets a setting.
pub(super) async fn set(set: ConfigSet, output: Output) -> Result<Exit, Fault> {
    let ConfigSet {
        key,
        value,
        node,
        if_version,
        which,
    } = set;
    change(
        &which,
        &key,
        Some(value),
        node.as_deref(),
        if_version,
        output,
    )
    .await
}

/// Takes a setting back.
pub(super) async fn unset(unset: ConfigUnset, output: Output) -> Result<Exit, Fault> {
    let ConfigUnset {
        key,
        node,
        if_version,
        which,
    } = unset;
    change(&which, &key, None, node.as_deref(), if_version, output).await
}

async fn change(
    which: &WhichCluster,
    key: &str,
    value: Option<String>,
    node: Option<&str>,
    if_version: Option<u64>,
    output: Output,
) -> Result<Exit, Fault> {
    let found = cluster(which, node).await?;
    let node_id = node.map_or(Ok(0), |node| member(&found, node).map(|(id, _)| id))?;
    let request = ChangeSettingsRequest {
        expected_version: if_version,
        changes: vec![SettingChange {
            key: key.to_owned(),
            node_id,
            value: value.clone(),
        }],
    };
    let mut last = None;
    for remote in &found.nodes {
        match remote.change_settings(request.clone()).await {
            Ok(version) => {
                told(output, &found, key, value.as_deref(), node, version);
                return Ok(Exit::Ok);
            }
            Err(fault) if fault.code == ErrorCode::Unreachable => last = Some(fault),
            Err(fault) => return Err(fault),
        }
    }
    Err(last.unwrap_or_else(|| nobody(&found)))
}

fn told(
    output: Output,
    found: &Found,
    key: &str,
    value: Option<&str>,
    node: Option<&str>,
    version: u64,
) {
    let cluster = &found.description.cluster_name;
    if output.is_json() {
        screen::data(json!({
            "key": key,
            "value": value,
            "node": node,
            "cluster": cluster,
            "version": version,
        }));
        return;
    }
    let of = node.map_or_else(
        || format!("cluster {cluster}"),
        |node| format!("node {node} of cluster {cluster}"),
    );
    match value {
        Some(value) => screen::data(format_args!(
            "{key} of {of} is {value} (settings version {version})"
        )),
        None => screen::data(format_args!(
            "{key} of {of} is what each node was started with (settings version {version})"
        )),
    }
}

/// Shows what is set, or the value of one setting where it holds.
pub(super) async fn get(get: ConfigGet, output: Output) -> Result<Exit, Fault> {
    let ConfigGet { key, node, which } = get;
    let found = cluster(&which, node.as_deref()).await?;
    let settings = ask(&found, node.as_deref()).await?;
    let Some(key) = key else {
        all_set(&found, &settings, node.is_some(), output);
        return Ok(Exit::Ok);
    };
    let holds = settings.effective.iter().find(|row| row.key == key);
    let holds = holds.ok_or_else(|| {
        let names: Vec<&str> = settings
            .effective
            .iter()
            .map(|row| row.key.as_str())
            .collect();
        Fault::new(
            ErrorCode::InvalidConfig,
            format!("there is no setting \"{key}\""),
        )
        .hint(format!("there are {}", names.join(", ")))
    })?;
    if output.is_json() {
        screen::data(json!({
            "key": holds.key,
            "value": holds.value,
            "origin": holds.origin,
            "node": name_of(&found, settings.node_id),
            "version": settings.version,
        }));
    } else {
        screen::data(&holds.value);
    }
    Ok(Exit::Ok)
}

/// Everything that is set; with a node, everything that is set for it.
fn all_set(found: &Found, settings: &GetSettingsResponse, one: bool, output: Output) {
    let mut rows: Vec<_> = settings.settings.iter().collect();
    rows.retain(|row| !one || row.node_id == 0 || row.node_id == settings.node_id);
    if output.is_json() {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                let node = (row.node_id != 0).then(|| name_of(found, row.node_id));
                json!({ "key": row.key, "node": node, "value": row.value, "version": row.version })
            })
            .collect();
        screen::data(json!({ "version": settings.version, "settings": rows }));
        return;
    }
    if rows.is_empty() {
        screen::talk(format_args!(
            "nothing is set in cluster {}: each node does what it was started with",
            found.description.cluster_name
        ));
        return;
    }
    let mut table = screen::Table::new(&["KEY", "NODE", "VALUE", "SINCE"]);
    for row in rows {
        let node = match row.node_id {
            0 => "all".to_owned(),
            node => name_of(found, node),
        };
        table.row(vec![
            row.key.clone(),
            node,
            row.value.clone(),
            format!("version {}", row.version),
        ]);
    }
    screen::data(table.render());
}

/// Prints everything that holds at a running node, as a settings file.
pub(super) async fn print(
    node: &str,
    origin: bool,
    which: &WhichCluster,
    output: Output,
) -> Result<Exit, Fault> {
    let found = cluster(which, Some(node)).await?;
    let settings = ask(&found, Some(node)).await?;
    if output.is_json() {
        let object: Map<String, Value> = settings
            .effective
            .into_iter()
            .map(|row| {
                let value = if origin {
                    json!({ "value": row.value, "origin": row.origin })
                } else {
                    Value::from(row.value)
                };
                (row.key, value)
            })
            .collect();
        screen::data(Value::Object(object));
        return Ok(Exit::Ok);
    }
    for EffectiveSetting {
        key,
        value,
        origin: from,
        ..
    } in settings.effective
    {
        // No settings file says whether a node votes.
        let comment = if key == "type" { "# " } else { "" };
        let line = format!("{comment}{key} = {}", toml::Value::from(value));
        if origin {
            screen::data(format_args!("{line:<40} # {from}"));
        } else {
            screen::data(line);
        }
    }
    Ok(Exit::Ok)
}

/// What a node says: the one that is named, or the first that answers.
async fn ask(found: &Found, node: Option<&str>) -> Result<GetSettingsResponse, Fault> {
    if let Some(node) = node {
        let (_, host) = member(found, node)?;
        return Remote::connect(&host).await?.settings().await;
    }
    let mut last = None;
    for remote in &found.nodes {
        match remote.settings().await {
            Err(fault) if fault.code == ErrorCode::Unreachable => last = Some(fault),
            told => return told,
        }
    }
    Err(last.unwrap_or_else(|| nobody(found)))
}

fn nobody(found: &Found) -> Fault {
    let cluster = &found.description.cluster_name;
    Fault::new(
        ErrorCode::Unreachable,
        format!("no node of cluster {cluster} answers"),
    )
}

/// The cluster that is meant; of several the one that has the node.
async fn cluster(which: &WhichCluster, node: Option<&str>) -> Result<Found, Fault> {
    if let Some(host) = &which.host {
        return discover::through(host).await;
    }
    let seeds = discover::seeds_of_environment();
    let mut found = discover::clusters(&Registry::of_this_user(), &seeds).await?;
    if let Some(wanted) = &which.cluster {
        found.retain(|cluster| cluster.is(wanted));
    }
    if let Some(node) = node {
        let has = |cluster: &Found| member(cluster, node).is_ok();
        if found.iter().any(has) {
            found.retain(has);
        }
    }
    discover::the_one(found, which.cluster.as_deref(), &seeds)
}

/// The id of a member and where clients reach it.
fn member(found: &Found, word: &str) -> Result<(u64, String), Fault> {
    let members = found.description.members.iter();
    let mut members = members.filter_map(|row| row.member.as_ref());
    let meant = members.find(|member| {
        member.name == word || member.client_address == word || member.node_id.to_string() == word
    });
    let meant = meant.ok_or_else(|| {
        let cluster = &found.description.cluster_name;
        Fault::new(
            ErrorCode::NodeNotFound,
            format!("cluster {cluster} has no member {word}"),
        )
        .hint(format!("its members are {}", found.names().join(", ")))
    })?;
    Ok((meant.node_id, meant.client_address.clone()))
}

fn name_of(found: &Found, node: u64) -> String {
    let members = found.description.members.iter();
    let mut members = members.filter_map(|row| row.member.as_ref());
    let known = members.find(|member| member.node_id == node);
    known.map_or_else(|| format!("node {node}"), |member| member.name.clone())
}
