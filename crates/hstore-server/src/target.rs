//! Which node a person means: a name that the registry knows, a name of a member of a running
//! cluster, a stopped node of this folder, or an address.
//!
//! Invariant: a name that stands for nodes of two clusters is never guessed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;

use crate::discover;
use crate::fault::Fault;
use crate::place;
use crate::settings::Record;

/// A node that a person named.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// It runs on this machine.
    Running(RunningNode),
    /// It lives on this machine and does not run.
    Stopped(Stopped),
    /// It is elsewhere, or belongs to someone else on this machine.
    Elsewhere {
        /// As a person would call it.
        name: String,
        /// Where clients reach it.
        host: String,
    },
}

/// A node of this machine that does not run.
#[derive(Clone, Debug)]
pub(crate) struct Stopped {
    /// Its name.
    pub(crate) name: String,
    /// Its data folder.
    pub(crate) data: PathBuf,
}

impl Target {
    /// What the node is called.
    pub(crate) fn name(&self) -> &str {
        match self {
            Target::Running(node) => &node.name,
            Target::Stopped(node) => &node.name,
            Target::Elsewhere { name, .. } => name,
        }
    }
}

/// Finds the node that `word` names.
pub(crate) async fn find(
    word: &str,
    cluster: Option<&str>,
    registry: &Registry,
    here: &Path,
) -> Result<Target, Fault> {
    let known = known(registry);
    let of_cluster = |node: &&RunningNode| {
        cluster.is_none_or(|wanted| node.cluster_name == wanted || node.cluster_id == wanted)
    };
    let mut named: Vec<&RunningNode> = known
        .iter()
        .filter(|node| node.name == word || node.client_address == word)
        .filter(of_cluster)
        .collect();
    if named.iter().any(|node| node.is_alive()) {
        named.retain(|node| node.is_alive());
    }
    match named.as_slice() {
        [] => {}
        [node] => return Ok(of_record(node)),
        several => return Err(ambiguous(word, several)),
    }
    if word.contains(std::path::MAIN_SEPARATOR) {
        return by_folder(&here.join(word), &known);
    }
    if word.contains([':', '.']) {
        return Ok(Target::Elsewhere {
            name: word.to_owned(),
            host: word.to_owned(),
        });
    }
    if let Some((data, record)) = place::by_name(here, word) {
        let name = record.called().to_owned();
        return Ok(Target::Stopped(Stopped { name, data }));
    }
    let seeds = discover::seeds_of_environment();
    let mut hosts = Vec::new();
    let mut names: BTreeSet<String> = known.iter().map(|node| node.name.clone()).collect();
    for found in discover::clusters(registry, &seeds).await? {
        if cluster.is_some_and(|wanted| !found.is(wanted)) {
            continue;
        }
        for status in &found.description.members {
            let Some(member) = &status.member else {
                continue;
            };
            if member.name == word || member.node_id.to_string() == word {
                hosts.push((member.name.clone(), member.client_address.clone()));
            }
            names.insert(member.name.clone());
        }
    }
    match hosts.len() {
        1 => {
            let (name, host) = hosts.remove(0);
            Ok(Target::Elsewhere { name, host })
        }
        0 if word == "localhost" => Ok(Target::Elsewhere {
            name: word.to_owned(),
            host: word.to_owned(),
        }),
        0 => Err(unknown(word, &names)),
        _ => Err(Fault::new(
            ErrorCode::SeveralClusters,
            format!("several clusters have a node {word}"),
        )
        .hint("say which one you mean: --cluster CLUSTER, or name the node's address")),
    }
}

/// The node of a data folder.
fn by_folder(folder: &Path, known: &[RunningNode]) -> Result<Target, Fault> {
    if let Some(node) = known.iter().find(|node| place::same(&node.data, folder)) {
        return Ok(of_record(node));
    }
    let data = std::path::absolute(folder)
        .map_err(|error| Fault::of_file(folder.display().to_string(), &error))?;
    match Record::read(&data) {
        Ok(Some(record)) => Ok(Target::Stopped(Stopped {
            name: record.called().to_owned(),
            data,
        })),
        Ok(None) => Err(Fault::new(
            ErrorCode::NodeNotFound,
            format!("{} is no data folder of a node", data.display()),
        )),
        Err(error) => Err(Fault::of_file(data.display().to_string(), &error)),
    }
}

/// The nodes that this machine remembers. A record whose data folder is gone is forgotten.
pub(crate) fn known(registry: &Registry) -> Vec<RunningNode> {
    let mut known = registry.known();
    known.retain(|node| {
        let there = node.is_alive() || node.data.exists();
        if !there && let Err(error) = registry.withdraw(node) {
            tracing::debug!(%error, node = node.name, "the record of a node that is gone stays");
        }
        there
    });
    known
}

fn of_record(node: &RunningNode) -> Target {
    if node.is_alive() {
        return Target::Running(node.clone());
    }
    Target::Stopped(Stopped {
        name: Record::read(&node.data)
            .ok()
            .flatten()
            .map_or_else(|| node.name.clone(), |record| record.called().to_owned()),
        data: node.data.clone(),
    })
}

fn ambiguous(word: &str, nodes: &[&RunningNode]) -> Fault {
    let clusters: Vec<String> = nodes
        .iter()
        .map(|node| format!("{} ({})", node.cluster_name, node.cluster_id))
        .collect();
    Fault::new(
        ErrorCode::SeveralClusters,
        format!(
            "several clusters have a node {word}: {}",
            clusters.join(", ")
        ),
    )
    .hint(format!(
        "say which one you mean: --cluster {}",
        nodes[0].cluster_id
    ))
}

fn unknown(word: &str, names: &BTreeSet<String>) -> Fault {
    let hint = if names.is_empty() {
        "no node runs on this machine, and none is remembered; name the node's address".to_owned()
    } else {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("there are {}; or name the node's address", names.join(", "))
    };
    Fault::new(ErrorCode::NodeNotFound, format!("there is no node {word}")).hint(hint)
}
