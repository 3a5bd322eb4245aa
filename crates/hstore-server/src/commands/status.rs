//! `status`: everything worth knowing about one node, or about every node of this machine.

use std::time::Duration;

use hstore_client::local::Registry;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation};
use hstore_proto::hstore::v1::{NodeStatusResponse, Role};
use serde_json::{Value, json};

use crate::fault::{Exit, Fault};
use crate::grammar::{Output, Status};
use crate::remote::Remote;
use crate::screen;
use crate::target::{self, Target};

/// Shows nodes.
pub(super) async fn run(status: &Status, output: Output) -> Result<Exit, Fault> {
    let registry = Registry::of_this_user();
    let hosts = if let Some(word) = &status.node {
        vec![host_of(word, status, &registry).await?]
    } else {
        let mut running = registry.running();
        running.retain(|node| {
            let wanted = status.cluster.as_deref();
            wanted.is_none_or(|wanted| node.cluster_name == wanted || node.cluster_id == wanted)
        });
        running
            .into_iter()
            .map(|node| node.client_address)
            .collect()
    };
    if hosts.is_empty() {
        return Err(Fault::new(
            ErrorCode::NodeNotFound,
            "no node of hstore runs on this machine",
        )
        .hint("hstore-server status HOST   asks a node elsewhere"));
    }
    let mut nodes = Vec::new();
    let mut last = None;
    for host in &hosts {
        let asked = async { Remote::connect(host).await?.status().await };
        match asked.await {
            Ok(node) => nodes.push(node),
            Err(fault) => {
                if let Some(earlier) = last.replace(fault) {
                    earlier.tell(output.is_json());
                }
            }
        }
    }
    show(&nodes, status.node.is_some(), output);
    match last {
        None => Ok(Exit::Ok),
        Some(fault) if nodes.is_empty() => Err(fault),
        Some(fault) => Err(fault.exit(Exit::Partial)),
    }
}

async fn host_of(word: &str, status: &Status, registry: &Registry) -> Result<String, Fault> {
    let here = super::here()?;
    match target::find(word, status.cluster.as_deref(), registry, &here).await? {
        Target::Running(node) => Ok(node.client_address),
        Target::Elsewhere { host, .. } => Ok(host),
        Target::Stopped(node) => Err(Fault::new(
            ErrorCode::NodeNotFound,
            format!(
                "node {} is stopped; its data is in {}",
                node.name,
                node.data.display()
            ),
        )
        .hint(format!("hstore-server restart {}", node.name))),
    }
}

fn show(nodes: &[NodeStatusResponse], single: bool, output: Output) {
    if output.is_json() {
        let objects: Vec<Value> = nodes.iter().map(as_json).collect();
        match objects.as_slice() {
            [object] if single => screen::data(object),
            _ => screen::data(json!({ "nodes": objects })),
        }
        return;
    }
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            screen::data("");
        }
        for (name, value) in lines(node) {
            screen::data(format_args!("{name:<13} {value}"));
        }
    }
}

fn role(node: &NodeStatusResponse) -> &'static str {
    match node.role() {
        Role::Unspecified => "unknown",
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Stopped => "stopped",
    }
}

/// The share of reads that the cache answered, in percent.
fn hit_rate(hits: u64, misses: u64) -> Option<f64> {
    let all = hits + misses;
    (all > 0).then(|| 100.0 * hits as f64 / all as f64)
}

fn lines(node: &NodeStatusResponse) -> Vec<(&'static str, String)> {
    let member = node.member.clone().unwrap_or_default();
    let log = node.log.unwrap_or_default();
    let store = node.store.unwrap_or_default();
    let process = node.process.clone().unwrap_or_default();
    let bytes = screen::bytes;
    let rate = match hit_rate(store.cache_hits, store.cache_misses) {
        Some(rate) => format!(
            "{rate:.1} % of {} reads",
            store.cache_hits + store.cache_misses
        ),
        None => "no reads yet".to_owned(),
    };
    let leader = match node.leader {
        0 => "none known".to_owned(),
        leader => format!("node {leader}"),
    };
    let mut lines = vec![
        (
            "node",
            format!("{} (id {}), {}", member.name, member.node_id, role(node)),
        ),
        (
            "cluster",
            format!("{} ({})", node.cluster_name, ClusterId(node.cluster_id)),
        ),
        ("term", format!("{}, leader: {leader}", node.term)),
        ("client", member.client_address),
        ("peers", member.peer_address),
        ("data", process.data_folder),
        (
            "process",
            format!(
                "{}, hstore {}, up {}, {} resident",
                process.pid,
                process.version,
                screen::duration(Duration::from_millis(process.uptime_ms)),
                bytes(process.resident_bytes),
            ),
        ),
        (
            "log",
            format!(
                "applied {} of {} committed, last {}, snapshot {}, purged {}, {} on disk",
                log.applied_index,
                log.commit_index,
                log.last_index,
                log.snapshot_index,
                log.purged_index,
                bytes(log.disk_bytes),
            ),
        ),
        (
            "store",
            format!(
                "revision {}, compacted {}, {} keys, {} records",
                store.revision, store.compacted_revision, store.keys, store.records,
            ),
        ),
        (
            "memory",
            format!(
                "cache {} of {}, hit rate {rate}; recent records {}",
                bytes(store.cache_bytes),
                bytes(store.cache_capacity_bytes),
                bytes(store.recent_bytes),
            ),
        ),
        (
            "engine",
            format!(
                "{} blocks, {} on disk",
                store.blocks,
                bytes(store.engine_bytes),
            ),
        ),
        (
            "state hash",
            format!("{:016x} at {}", store.state_hash, log.applied_index),
        ),
    ];
    for problem in &node.problems {
        lines.push(("problem", problem.clone()));
    }
    lines
}

fn as_json(node: &NodeStatusResponse) -> Value {
    let member = node.member.clone().unwrap_or_default();
    let log = node.log.unwrap_or_default();
    let store = node.store.unwrap_or_default();
    let process = node.process.clone().unwrap_or_default();
    json!({
        "name": member.name,
        "id": member.node_id,
        "incarnation": Incarnation(member.incarnation).to_string(),
        "cluster": node.cluster_name,
        "cluster_id": ClusterId(node.cluster_id).to_string(),
        "role": role(node),
        "voter": node.voter,
        "term": node.term,
        "leader": node.leader,
        "problems": node.problems,
        "client_address": member.client_address,
        "peer_address": member.peer_address,
        "data": process.data_folder,
        "process": {
            "pid": process.pid,
            "version": process.version,
            "uptime_ms": process.uptime_ms,
            "resident_bytes": process.resident_bytes,
        },
        "log": {
            "applied_index": log.applied_index,
            "commit_index": log.commit_index,
            "last_index": log.last_index,
            "snapshot_index": log.snapshot_index,
            "purged_index": log.purged_index,
            "disk_bytes": log.disk_bytes,
        },
        "store": {
            "revision": store.revision,
            "compacted_revision": store.compacted_revision,
            "keys": store.keys,
            "records": store.records,
            "recent_bytes": store.recent_bytes,
            "engine_bytes": store.engine_bytes,
            "blocks": store.blocks,
            "state_hash": format!("{:016x}", store.state_hash),
        },
        "cache": {
            "bytes": store.cache_bytes,
            "capacity_bytes": store.cache_capacity_bytes,
            "hits": store.cache_hits,
            "misses": store.cache_misses,
            "hit_rate_percent": hit_rate(store.cache_hits, store.cache_misses),
        },
    })
}
