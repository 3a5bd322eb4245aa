//! Nodes and clusters in words: what is healthy, what a node does, how far behind it is.

use std::fmt;

use hstore_client::v1::{ClusterDescription, MemberStatus, NodeStatusResponse, Role};
use serde_json::{Value, json};

/// How a cluster is doing, as one node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Every voter answers; so many more may fail.
    Healthy {
        /// How many voters may fail.
        spare: usize,
    },
    /// There is a majority, but not everyone answers.
    Degraded {
        /// How many voters answer.
        up: usize,
        /// How many voters there are.
        of: usize,
    },
    /// There is no majority, or no leader.
    NoQuorum {
        /// How many voters answer.
        up: usize,
        /// How many voters there are.
        of: usize,
    },
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Health::Healthy { spare: 0 } => write!(f, "healthy; tolerates no failure"),
            Health::Healthy { spare: 1 } => write!(f, "healthy; tolerates 1 failure"),
            Health::Healthy { spare } => write!(f, "healthy; tolerates {spare} failures"),
            Health::Degraded { up, of } => write!(f, "degraded; {up} of {of} voters answer"),
            Health::NoQuorum { up, of } => write!(f, "no quorum; {up} of {of} voters answer"),
        }
    }
}

/// How a cluster is doing.
pub(crate) fn health(cluster: &ClusterDescription) -> Health {
    let voters = || cluster.members.iter().filter(|member| member.voter);
    let of = voters().count();
    let up = voters().filter(|member| member.reachable).count();
    let majority = of / 2 + 1;
    if up < majority || cluster.leader == 0 {
        Health::NoQuorum { up, of }
    } else if up < of {
        Health::Degraded { up, of }
    } else {
        Health::Healthy {
            spare: up - majority,
        }
    }
}

/// What a member does, in one word.
pub(crate) fn role(member: &MemberStatus) -> &'static str {
    if !member.reachable {
        return if member.voter { "voter" } else { "learner" };
    }
    role_word(member.role())
}

pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Learner => "learner",
        Role::Stopped => "stopped",
        Role::Unspecified => "unknown",
    }
}

/// The member's name, or its number where it has none.
pub(crate) fn name(member: &MemberStatus) -> String {
    match &member.member {
        Some(member) if !member.name.is_empty() => member.name.clone(),
        Some(member) => format!("#{}", member.node_id),
        None => "?".to_owned(),
    }
}

/// A member for programs.
pub(super) fn member_json(status: &MemberStatus) -> Value {
    let member = status.member.clone().unwrap_or_default();
    json!({
        "id": member.node_id,
        "name": member.name,
        "client_address": member.client_address,
        "peer_address": member.peer_address,
        "voter": status.voter,
        "reachable": status.reachable,
        "role": role(status),
        "term": status.term,
        "leader": status.leader,
        "commit_index": status.commit_index,
        "applied_index": status.applied_index,
        "lag": status.lag,
        "revision": status.revision,
        "version": status.version,
        "uptime_ms": status.uptime_ms,
        "state_hash": format!("{:016x}", status.state_hash),
        "problem": status.problem,
    })
}

/// The node that answered, for programs.
pub(super) fn status_json(node: &NodeStatusResponse, address: &str) -> Value {
    let member = node.member.clone().unwrap_or_default();
    let log = node.log.unwrap_or_default();
    let store = node.store.unwrap_or_default();
    let process = node.process.clone().unwrap_or_default();
    json!({
        "address": address,
        "id": member.node_id,
        "name": member.name,
        "client_address": member.client_address,
        "peer_address": member.peer_address,
        "voter": node.voter,
        "role": role_word(node.role()),
        "term": node.term,
        "leader": node.leader,
        "problems": node.problems,
        "log": {
            "commit_index": log.commit_index,
            "applied_index": log.applied_index,
            "last_index": log.last_index,
            "snapshot_index": log.snapshot_index,
            "purged_index": log.purged_index,
            "disk_bytes": log.disk_bytes,
            "proposals_waiting": log.proposals_waiting,
        },
        "store": {
            "revision": store.revision,
            "compacted_revision": store.compacted_revision,
            "keys": store.keys,
            "records": store.records,
            "recent_bytes": store.recent_bytes,
            "cache_bytes": store.cache_bytes,
            "cache_capacity_bytes": store.cache_capacity_bytes,
            "cache_hits": store.cache_hits,
            "cache_misses": store.cache_misses,
            "blocks": store.blocks,
            "engine_bytes": store.engine_bytes,
            "state_hash": format!("{:016x}", store.state_hash),
        },
        "process": {
            "version": process.version,
            "pid": process.pid,
            "uptime_ms": process.uptime_ms,
            "resident_bytes": process.resident_bytes,
            "data_folder": process.data_folder,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_counts_voters_and_wants_a_leader() {
        let member = |voter, reachable| MemberStatus {
            voter,
            reachable,
            ..MemberStatus::default()
        };
        for (leader, members, expected) in [
            (1, vec![member(true, true)], "healthy; tolerates no failure"),
            (
                1,
                vec![member(true, true); 3],
                "healthy; tolerates 1 failure",
            ),
            (
                1,
                vec![member(true, true); 5],
                "healthy; tolerates 2 failures",
            ),
            (
                0,
                vec![member(true, true); 3],
                "no quorum; 3 of 3 voters answer",
            ),
            (
                1,
                vec![member(true, true), member(true, true), member(true, false)],
                "degraded; 2 of 3 voters answer",
            ),
            (
                1,
                vec![member(true, true), member(true, false), member(false, true)],
                "no quorum; 1 of 2 voters answer",
            ),
        ] {
            let cluster = ClusterDescription {
                leader,
                members,
                ..ClusterDescription::default()
            };
            assert_eq!(health(&cluster).to_string(), expected);
        }
    }
}
