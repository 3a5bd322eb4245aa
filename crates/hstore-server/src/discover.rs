//! Finding the cluster without being told where it is: the nodes that run on this machine, and the
//! seeds, whose names stand for all of their addresses.
//!
//! Invariant: what is found answered just now; a record of a node is only a hint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use futures::future::join_all;
use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_core::id::ClusterId;
use hstore_proto::hstore::v1::ClusterDescription;

use crate::fault::Fault;
use crate::remote::{Remote, addresses};
use crate::settings::items;

/// A cluster that answers.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// As one of its nodes sees it.
    pub(crate) description: ClusterDescription,
    /// The nodes of it that answered.
    pub(crate) nodes: Vec<Remote>,
}

impl Found {
    /// The cluster's id, as it is written.
    pub(crate) fn id(&self) -> String {
        ClusterId(self.description.cluster_id).to_string()
    }

    /// Whether `wanted` is the cluster's name or its id.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        self.description.cluster_name == wanted || self.id() == wanted
    }

    /// The names of its members.
    pub(crate) fn names(&self) -> Vec<String> {
        let members = self.description.members.iter();
        let members = members.filter_map(|status| status.member.as_ref());
        let names = members.flat_map(|member| [&member.name, &member.started_as]);
        names.filter(|name| !name.is_empty()).cloned().collect()
    }
}

/// The seeds that the environment names, for commands that have no settings.
pub(crate) fn seeds_of_environment() -> Vec<String> {
    let seeds = std::env::var("HSTORE_SEEDS").unwrap_or_default();
    items(&seeds).map(str::to_owned).collect()
}

/// The cluster of the first of some hosts (with commas between) that answers.
pub(crate) async fn through(hosts: &str) -> Result<Found, Fault> {
    let mut last = None;
    for host in items(hosts) {
        let asked = async {
            let node = Remote::connect(host).await?;
            let description = node.describe().await?;
            Ok(Found {
                description,
                nodes: vec![node],
            })
        };
        match asked.await {
            Ok(found) => return Ok(found),
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.unwrap_or_else(|| Fault::new(ErrorCode::InvalidArgument, "no host is named")))
}

/// Every cluster that a node of this machine or a seed belongs to, by name. Where nodes are there
/// but none tells this user anything, that is the failure: it is not as if nobody were there.
pub(crate) async fn clusters(registry: &Registry, seeds: &[String]) -> Result<Vec<Found>, Fault> {
    let local = registry.running();
    let named = local
        .iter()
        .map(|node| node.client_address.as_str())
        .chain(seeds.iter().map(String::as_str));
    let looked_up = join_all(named.map(addresses)).await;
    let candidates: BTreeSet<SocketAddr> = looked_up.into_iter().flatten().flatten().collect();
    let answers = join_all(candidates.into_iter().map(ask)).await;
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    let mut refused = None;
    for answer in answers {
        let (remote, description) = match answer {
            Ok(answer) => answer,
            Err(fault) => {
                if is_about_the_user(fault.code) {
                    refused = Some(fault);
                }
                continue;
            }
        };
        let cluster = found
            .entry(description.cluster_id)
            .or_insert_with(|| Found {
                description: description.clone(),
                nodes: Vec::new(),
            });
        cluster.nodes.push(remote);
        // The node with the newest term knows best who leads and who is a member.
        if description.term > cluster.description.term {
            cluster.description = description;
        }
    }
    if let Some(fault) = refused
        && found.is_empty()
    {
        return Err(fault);
    }
    let mut found: Vec<Found> = found.into_values().collect();
    found.sort_by(|a, b| a.description.cluster_name.cmp(&b.description.cluster_name));
    Ok(found)
}

async fn ask(address: SocketAddr) -> Result<(Remote, ClusterDescription), Fault> {
    let remote = Remote::connect_to(address).await?;
    let description = remote.describe().await?;
    Ok((remote, description))
}

/// Whether a node is there and refuses whoever asks.
fn is_about_the_user(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AuthFailed
            | ErrorCode::InvalidAuthToken
            | ErrorCode::PermissionDenied
            | ErrorCode::UserEmpty
    )
}

/// The one cluster that is meant: of that name or id, or the only one there is.
pub(crate) fn the_one(
    mut found: Vec<Found>,
    wanted: Option<&str>,
    seeds: &[String],
) -> Result<Found, Fault> {
    if let Some(wanted) = wanted {
        let there: Vec<String> = found.iter().map(named).collect();
        found.retain(|cluster| cluster.is(wanted));
        if found.is_empty() {
            let others = if there.is_empty() {
                "no cluster was found".to_owned()
            } else {
                format!("found were {}", there.join(", "))
            };
            return Err(Fault::new(
                ErrorCode::NodeNotFound,
                format!("no running cluster {wanted}: {others}"),
            )
            .hint("hstore-server join HOST   joins through a node that you name"));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 if seeds.is_empty() => Err(Fault::new(
            ErrorCode::NodeNotFound,
            "no node of hstore runs on this machine",
        )
        .hint(
            "hstore-server start       founds a cluster here\n\
             hstore-server join HOST   joins through a node elsewhere",
        )),
        0 => Err(Fault::new(
            ErrorCode::Unreachable,
            format!(
                "no node of hstore runs on this machine, and none of the seeds answers: {}",
                seeds.join(", ")
            ),
        )
        .hint("check that the seeds run and that the addresses are their client addresses")),
        _ => Err(several(&found)),
    }
}

/// More than one cluster, and nobody said which.
fn several(found: &[Found]) -> Fault {
    let names: Vec<String> = found.iter().map(named).collect();
    let mut unique: Vec<&str> = found
        .iter()
        .map(|cluster| cluster.description.cluster_name.as_str())
        .collect();
    unique.dedup();
    let example = if unique.len() == found.len() {
        found[0].description.cluster_name.clone()
    } else {
        found[0].id()
    };
    Fault::new(
        ErrorCode::SeveralClusters,
        format!("{} clusters run here: {}", found.len(), names.join(", ")),
    )
    .hint(format!("say which one you mean: --cluster {example}"))
}

fn named(cluster: &Found) -> String {
    format!("{} ({})", cluster.description.cluster_name, cluster.id())
}
