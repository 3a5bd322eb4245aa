//! `list`: every node of the clusters on this machine, or of the cluster of a host. Members that
//! do not answer and nodes that are stopped are rows too.

use std::io::IsTerminal as _;
use std::time::Duration;

use hstore_client::local::{Registry, RunningNode};
use hstore_core::error::ErrorCode;
use hstore_proto::hstore::v1::ClusterDescription;
use serde_json::json;
use tokio::time::sleep;

use crate::discover;
use crate::fault::{Exit, Fault};
use crate::grammar::{List, Output};
use crate::remote::Remote;
use crate::screen;
use crate::screen::members::{Row, sentence, table};
use crate::target;

/// How long a watch waits before it looks for another node to ask.
const AGAIN: Duration = Duration::from_millis(500);

/// What there is to list.
struct Listing {
    clusters: Vec<ClusterDescription>,
    rows: Vec<Row>,
}

/// Lists nodes.
pub(super) async fn run(list: &List, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    if list.watch {
        return watch(list, output, &registry).await;
    }
    let listing = look(list, &registry).await?;
    if listing.rows.is_empty() {
        return Err(nothing(list));
    }
    show(&listing, output);
    Ok(Exit::Ok)
}

async fn look(list: &List, registry: &Registry) -> Result<Listing, Fault> {
    let found = if let Some(host) = &list.host {
        vec![discover::through(host).await?]
    } else {
        let mut found = discover::clusters(registry, &discover::seeds_of_environment()).await?;
        found.retain(|found| list.cluster.as_deref().is_none_or(|name| found.is(name)));
        found
    };
    let clusters: Vec<ClusterDescription> =
        found.into_iter().map(|found| found.description).collect();
    let mut rows: Vec<Row> = clusters
        .iter()
        .flat_map(|cluster| {
            cluster
                .members
                .iter()
                .map(|member| Row::of(cluster, member))
        })
        .collect();
    if list.host.is_none() {
        add_stopped(&mut rows, &target::known(registry), list.cluster.as_deref());
    }
    Ok(Listing { clusters, rows })
}

/// Says `stopped` of the nodes of this machine that are: of members that do not answer, and of
/// clusters of which no node runs.
fn add_stopped(rows: &mut Vec<Row>, known: &[RunningNode], cluster: Option<&str>) {
    for node in known.iter().filter(|node| !node.is_alive()) {
        let same = |row: &&mut Row| row.cluster_id == node.cluster_id && row.id == node.node_id;
        if let Some(row) = rows.iter_mut().find(same) {
            if row.health == "unreachable" {
                row.health = "stopped";
            }
            continue;
        }
        let wanted =
            cluster.is_none_or(|name| node.cluster_name == name || node.cluster_id == name);
        // A running cluster that does not know the node any more has removed it.
        let removed = rows
            .iter()
            .any(|row| row.cluster_id == node.cluster_id && row.term.is_some());
        if !wanted || removed {
            continue;
        }
        rows.push(Row {
            cluster: node.cluster_name.clone(),
            cluster_id: node.cluster_id.clone(),
            name: node.name.clone(),
            id: node.node_id,
            address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
            health: "stopped",
            kind: "",
            voter: false,
            term: None,
            lag: None,
            version: None,
            uptime_ms: None,
        });
    }
    rows.sort_by(|a, b| (&a.cluster, &a.cluster_id, a.id).cmp(&(&b.cluster, &b.cluster_id, b.id)));
}

fn nothing(list: &List) -> Fault {
    match &list.cluster {
        Some(cluster) => Fault::new(
            ErrorCode::NodeNotFound,
            format!("no node of a cluster {cluster} runs on this machine"),
        )
        .hint("hstore-server list --host HOST   asks a node elsewhere"),
        None => Fault::new(
            ErrorCode::NodeNotFound,
            "no node of hstore runs on this machine",
        )
        .hint(
            "hstore-server start              starts one\n\
             hstore-server list --host HOST   asks a node elsewhere",
        ),
    }
}

fn show(listing: &Listing, output: Output) {
    if output.is_json() {
        screen::data(as_json(listing));
        return;
    }
    screen::data(table(&listing.rows));
    for cluster in &listing.clusters {
        screen::talk(sentence(cluster));
    }
}

fn as_json(listing: &Listing) -> serde_json::Value {
    json!({ "nodes": listing.rows })
}

/// Shows the list again at every change, until interrupted. On a terminal the list stays in its
/// place; elsewhere each list is added to the ones before.
async fn watch(list: &List, output: Output, registry: &Registry) -> Result<Exit, Fault> {
    tokio::select! {
        biased; // The interrupt ends it, whatever else happens.
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| Fault::new(ErrorCode::Internal, error.to_string()))?;
            Ok(Exit::Interrupted)
        }
        fault = follow(list, output, registry) => Err(fault),
    }
}

async fn follow(list: &List, output: Output, registry: &Registry) -> Fault {
    let in_place = !output.is_json() && std::io::stdout().is_terminal();
    let mut shown = None;
    let mut seen = false;
    loop {
        match look(list, registry).await {
            Ok(listing) => {
                if listing.rows.is_empty() && !seen {
                    return nothing(list);
                }
                seen = true;
                let mut timeless = listing.rows.clone();
                for row in &mut timeless {
                    row.uptime_ms = None;
                }
                if in_place || shown.as_ref() != Some(&timeless) {
                    draw(&listing, output, in_place);
                    shown = Some(timeless);
                }
                next_change(&listing, list, registry).await;
            }
            Err(fault) if !seen => return fault,
            Err(fault) => {
                fault.tell(output.is_json());
                sleep(AGAIN * 2).await;
            }
        }
    }
}

fn draw(listing: &Listing, output: Output, in_place: bool) {
    if in_place {
        // Home, then clear to the end: no flicker, and nothing above is lost.
        screen::raw(b"\x1b[H\x1b[2J");
        screen::data(table(&listing.rows));
        for cluster in &listing.clusters {
            screen::data(sentence(cluster));
        }
        screen::talk("updates at every change; Ctrl-C ends it");
    } else if output.is_json() {
        screen::data(as_json(listing));
    } else {
        screen::data(format_args!("{}\n", table(&listing.rows)));
    }
}

/// Waits until a cluster says that something changed. A single cluster is watched through one of
/// its nodes; several are looked at again and again.
async fn next_change(listing: &Listing, list: &List, registry: &Registry) {
    let host = match (&list.host, listing.clusters.as_slice()) {
        (Some(host), _) => Some(host.clone()),
        (None, [cluster]) => registry
            .running()
            .into_iter()
            .find(|node| {
                let id = hstore_core::id::ClusterId(cluster.cluster_id).to_string();
                node.cluster_id == id
            })
            .map(|node| node.client_address),
        _ => None,
    };
    let Some(host) = host else {
        sleep(AGAIN * 2).await;
        return;
    };
    let watched = async {
        let mut changes = Remote::connect(&host).await?.watch().await?;
        // The first answer is the present; the second is a change.
        for _ in 0..2 {
            if !matches!(changes.message().await, Ok(Some(_))) {
                break;
            }
        }
        Ok::<(), Fault>(())
    };
    tokio::select! {
        told = watched => {
            if told.is_err() {
                sleep(AGAIN).await;
            }
        }
        // Nodes of this machine that start and stop are seen by looking.
        () = sleep(AGAIN * 2) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(name: &str, id: u64, cluster: &str) -> RunningNode {
        RunningNode {
            name: name.to_owned(),
            node_id: id,
            cluster_name: cluster.to_owned(),
            cluster_id: format!("id-{cluster}"),
            pid: u32::MAX,
            ..RunningNode::default()
        }
    }

    fn row(name: &str, id: u64, cluster: &str, health: &'static str) -> Row {
        Row {
            cluster: cluster.to_owned(),
            cluster_id: format!("id-{cluster}"),
            name: name.to_owned(),
            id,
            address: String::new(),
            peer_address: String::new(),
            health,
            kind: "voter",
            voter: true,
            term: (health == "ok").then_some(1),
            lag: None,
            version: None,
            uptime_ms: None,
        }
    }

    #[test]
    fn stopped_nodes_of_this_machine_are_rows() {
        let mut rows = vec![row("n1", 1, "a", "ok"), row("n2", 5, "a", "unreachable")];
        let known = [
            gone("n2", 5, "a"),
            gone("removed", 9, "a"),
            gone("x1", 1, "b"),
        ];
        add_stopped(&mut rows, &known, None);
        let seen: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.health))
            .collect();
        assert_eq!(seen, [("n1", "ok"), ("n2", "stopped"), ("x1", "stopped")]);
        let mut only = vec![row("n1", 1, "a", "ok")];
        add_stopped(&mut only, &known, Some("a"));
        assert_eq!(only.len(), 1);
    }
}
