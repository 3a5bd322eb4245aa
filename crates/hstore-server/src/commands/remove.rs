//! `remove`: takes a node out of the membership, for ever. A running node ends by itself when it
//! hears of it; its data folder stays for whoever wants to look.

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_proto::hstore::v1::MemberStatus;
use serde_json::json;

use crate::discover::{self, Found};
use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Remove};
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
    let mut last = None;
    for node in &found.nodes {
        match node.remove_member(member.node_id, remove.timeout).await {
            Ok(()) => {
                told(output, &cluster, &member.name, member.node_id);
                return Ok(Exit::Ok);
            }
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.unwrap_or_else(|| {
        Fault::new(
            ErrorCode::Unreachable,
            format!("no node of cluster {cluster} answers"),
        )
    }))
}

/// The cluster that has a member of that name.
async fn cluster_of(remove: &Remove, registry: &Registry) -> Result<Found, Fault> {
    let seeds = discover::seeds_of_environment();
    let mut found = discover::clusters(registry, &seeds).await;
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
