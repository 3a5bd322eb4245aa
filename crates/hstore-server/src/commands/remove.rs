//! `remove`: takes a node out of the membership, for ever. A running node ends by itself when it
//! hears of it; its data folder stays for whoever wants to look.

use std::time::Duration;

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_proto::hstore::v1::{Member, MemberStatus};
use serde_json::json;
use tokio::time::Instant;

use crate::discover::{self, Found};
use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Remove};
use crate::remote::Remote;
use crate::screen;

/// Removes a node.
pub(super) async fn run(remove: &Remove, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    let found = match &remove.host {
        Some(host) => discover::through(host).await?,
        None => cluster_of(remove, &registry).await?,
    };
    let cluster = found.description.cluster_name.clone();
    let row = found
        .description
        .members
        .iter()
        .find(|row| is_meant(row, &remove.node))
        .ok_or_else(|| {
            Fault::new(
                ErrorCode::NodeNotFound,
                format!("cluster {cluster} has no member {}", remove.node),
            )
            .hint(format!("its members are {}", found.names().join(", ")))
        })?;
    let member = row.member.clone().unwrap_or_default();
    if !remove.yes {
        confirm(&cluster, row, &member.name, &found)?;
    }
    remove_through(&found, &member, remove.timeout).await?;
    told(output, &cluster, &member.name, member.node_id);
    Ok(Exit::Ok)
}

/// Asks the members that answered, the one that is to go last. One that cannot do it for want of
/// a connection is not the end of it; any other answer is the answer.
async fn remove_through(found: &Found, member: &Member, at_most: Duration) -> Result<(), Fault> {
    let deadline = Instant::now() + at_most;
    let mut nodes: Vec<&Remote> = found.nodes.iter().collect();
    nodes.sort_by_key(|node| node.host == member.client_address);
    let mut last = None;
    for node in nodes {
        let left = deadline.saturating_duration_since(Instant::now());
        match node.remove_member(member.node_id, left).await {
            Err(fault) if fault.code == ErrorCode::Unreachable => last = Some(fault),
            told => return told,
        }
    }
    Err(last.unwrap_or_else(|| {
        let cluster = &found.description.cluster_name;
        Fault::new(
            ErrorCode::Unreachable,
            format!("no node of cluster {cluster} answers"),
        )
    }))
}

/// The cluster that has a member of that name.
async fn cluster_of(remove: &Remove, registry: &Registry) -> Result<Found, Fault> {
    let seeds = discover::seeds_of_environment();
    let mut found = discover::clusters(registry, &seeds).await?;
    if let Some(wanted) = &remove.cluster {
        found.retain(|cluster| cluster.is(wanted));
    }
    let has = |cluster: &Found| {
        let mut members = cluster.description.members.iter();
        members.any(|row| is_meant(row, &remove.node))
    };
    if found.iter().any(has) {
        found.retain(has);
    }
    discover::the_one(found, remove.cluster.as_deref(), &seeds)
}

fn is_meant(row: &MemberStatus, word: &str) -> bool {
    row.member.as_ref().is_some_and(|member| {
        member.name == word || member.client_address == word || member.node_id.to_string() == word
    })
}

fn confirm(cluster: &str, row: &MemberStatus, name: &str, found: &Found) -> Result<(), Fault> {
    let voters = found
        .description
        .members
        .iter()
        .filter(|row| row.voter)
        .count();
    let left = voters - usize::from(row.voter);
    if !screen::can_ask() {
        return Err(Fault::new(
            ErrorCode::InvalidArgument,
            format!("removing {name} from cluster {cluster} is for ever and was not confirmed"),
        )
        .hint("--yes confirms it"));
    }
    let question = format!(
        "Remove {name} from cluster {cluster} for ever? {left} voter{} will be left.",
        if left == 1 { "" } else { "s" }
    );
    if screen::ask(&question) {
        return Ok(());
    }
    Err(Fault::new(ErrorCode::InvalidArgument, "nothing was removed").exit(Exit::Failure))
}

fn told(output: Output, cluster: &str, name: &str, node: u64) {
    if output.is_json() {
        screen::data(
            json!({ "node": name, "node_id": node, "cluster": cluster, "result": "removed" }),
        );
    } else {
        screen::data(format_args!("{name} removed from cluster {cluster}"));
    }
}
