//! The node's words in those of the wire.

use hstore_core::alarm::AlarmKind;
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogId, NodeId};
use hstore_core::membership::Member;
use hstore_node::{Header, MemberAnswer, MemberStatus, NodeStatus, Role};
use hstore_proto::etcdserverpb::ResponseHeader;
use hstore_proto::hstore::v1;
use hstore_proto::status;

use crate::vitals;

/// The header of an answer about keys.
pub(super) fn header(header: Header) -> ResponseHeader {
    ResponseHeader {
        cluster_id: header.cluster.0,
        member_id: header.member.0,
        revision: header.revision.0,
        raft_term: header.term.0,
    }
}

/// The header of an answer that is not about keys.
pub(super) fn header_without_revision(status: &NodeStatus) -> ResponseHeader {
    ResponseHeader {
        cluster_id: status.cluster.0,
        member_id: status.node.0,
        revision: 0,
        raft_term: status.standing.term.0,
    }
}

/// What a member does.
pub(super) fn role(role: Role) -> v1::Role {
    match role {
        Role::Candidate => v1::Role::Candidate,
        Role::Follower => v1::Role::Follower,
        Role::Leader => v1::Role::Leader,
        Role::Learner => v1::Role::Learner,
        Role::Stopped => v1::Role::Stopped,
    }
}

/// A member's name, addresses and data folder.
pub(super) fn member(node: NodeId, member: Member) -> v1::Member {
    v1::Member {
        node_id: node.0,
        name: member.name,
        peer_address: member.peer_address,
        client_address: member.client_address,
        incarnation: member.incarnation.0,
        started_as: member.started_as.unwrap_or_default(),
    }
}

/// What is wrong with a node or with its cluster, in words.
pub(crate) fn problems(status: &NodeStatus) -> Vec<String> {
    let mut problems = Vec::new();
    if status.standing.role == Role::Stopped {
        problems.push("the node has stopped".to_owned());
    } else if !status.standing.quorum {
        problems.push("no majority of the voters can be reached".to_owned());
    }
    let alarms = status.alarms.iter();
    problems.extend(alarms.map(|alarm| {
        let what = match alarm.kind {
            AlarmKind::Corrupt => "the data of node {} is damaged",
            AlarmKind::NoSpace => "node {} has no room left",
        };
        let what = what.replace("{}", &alarm.node.to_string());
        format!("alarm {}: {what}", alarm.kind.as_str())
    }));
    problems
}

/// The same as etcd says it.
pub(super) fn errors(status: &NodeStatus) -> Vec<String> {
    let mut errors = Vec::new();
    if status.standing.leader.is_none() || !status.standing.quorum {
        errors.push(status::text(ErrorCode::NoQuorum).to_owned());
    }
    let alarms = status.alarms.iter();
    errors.extend(alarms.map(|alarm| {
        // The text form of etcd's message, with the blank at its end.
        format!("memberID:{} alarm:{} ", alarm.node, alarm.kind.as_str())
    }));
    errors
}

/// The whole cluster, with what each member says of how it works, if that is wanted.
pub(crate) fn description(
    status: NodeStatus,
    members: Vec<MemberStatus>,
    with_vitals: bool,
) -> v1::ClusterDescription {
    let committed = members
        .iter()
        .filter_map(|row| row.answer.as_ref())
        .map(|answer| answer.committed.0)
        .max()
        .unwrap_or(0);
    v1::ClusterDescription {
        cluster_id: status.cluster.0,
        cluster_name: status.cluster_name,
        node_id: status.node.0,
        leader: number(status.standing.leader),
        term: status.standing.term.0,
        revision: status.store.revision.0,
        joint: status.standing.membership.is_joint(),
        settings_version: status.settings.0,
        members: members
            .into_iter()
            .map(|row| member_status(row, committed, with_vitals))
            .collect(),
        quorum: status.standing.quorum,
        alarms: status
            .alarms
            .iter()
            .map(|alarm| v1::Alarm {
                node_id: alarm.node.0,
                kind: alarm.kind.as_str().to_owned(),
            })
            .collect(),
    }
}

fn member_status(row: MemberStatus, committed: u64, with_vitals: bool) -> v1::MemberStatus {
    let told = v1::MemberStatus {
        member: Some(member(row.node, row.member)),
        voter: row.voter,
        ..v1::MemberStatus::default()
    };
    match row.answer {
        None => v1::MemberStatus {
            problem: "it did not answer in time".to_owned(),
            ..told
        },
        Some(answer) => {
            let vitals = with_vitals.then(|| vitals::read(&answer.note)).flatten();
            v1::MemberStatus {
                vitals,
                ..answered(told, answer, committed)
            }
        }
    }
}

fn answered(told: v1::MemberStatus, answer: MemberAnswer, committed: u64) -> v1::MemberStatus {
    v1::MemberStatus {
        reachable: true,
        role: role(answer.role).into(),
        term: answer.term.0,
        leader: number(answer.leader),
        commit_index: answer.committed.0,
        applied_index: answer.applied.0,
        lag: committed.saturating_sub(answer.applied.0),
        revision: answer.revision.0,
        version: answer.version,
        uptime_ms: answer.uptime.as_millis() as u64,
        state_hash: answer.state_hash,
        settings_version: answer.settings.0,
        ..told
    }
}

/// Everything about one node.
pub(super) fn node_status(
    status: NodeStatus,
    data_folder: String,
    resident_bytes: u64,
) -> v1::NodeStatusResponse {
    let store = status.store;
    let problems = problems(&status);
    v1::NodeStatusResponse {
        cluster_id: status.cluster.0,
        cluster_name: status.cluster_name,
        voter: status.standing.membership.is_voter(status.node),
        role: role(status.standing.role).into(),
        term: status.standing.term.0,
        leader: number(status.standing.leader),
        problems,
        member: Some(member(status.node, status.member)),
        log: Some(v1::LogStatus {
            commit_index: index(status.committed),
            applied_index: index(status.applied),
            last_index: status.last.map_or(0, |last| last.0),
            snapshot_index: index(status.snapshot),
            purged_index: index(status.purged),
            disk_bytes: status.log_bytes,
            proposals_waiting: status.proposals_waiting as u64,
        }),
        store: Some(v1::StoreStatus {
            revision: store.revision.0,
            compacted_revision: store.compacted.0,
            keys: store.keys,
            records: store.records,
            recent_bytes: store.recent_bytes,
            cache_bytes: store.cache_bytes,
            cache_capacity_bytes: store.cache_bytes_max,
            cache_hits: store.cache_hits,
            cache_misses: store.cache_misses,
            blocks: store.blocks,
            engine_bytes: store.engine_bytes,
            state_hash: store.state_hash,
        }),
        process: Some(v1::ProcessStatus {
            version: status.version,
            pid: std::process::id(),
            uptime_ms: status.uptime.as_millis() as u64,
            resident_bytes,
            data_folder,
        }),
        vitals: None,
    }
}

/// A node id, or 0 for none.
pub(super) fn number(node: Option<NodeId>) -> u64 {
    node.map_or(0, |node| node.0)
}

/// A log index, or 0 for none.
pub(super) fn index(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index.0)
}
