//! The cluster in JSON, as one node sees it: the head, and a row for every member.
//!
//! Invariants: (1) a member that does not answer is a row, never a gap; (2) what a node says of
//! others is said as what it is: with who says it, and how long ago it heard of them.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::id::ClusterId;
use hstore_proto::hstore::v1::{CallRate, ClusterDescription, MemberStatus, Role, Timing, Vitals};
use serde_json::{Map, Value, json};

/// An election that this node saw the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Election {
    /// When, in milliseconds since 1970.
    pub(super) at_ms: u64,
    pub(super) term: u64,
    pub(super) leader: u64,
}

/// What a node knows of the members beside what they say.
pub(super) trait Known {
    /// How long ago a member was heard of.
    fn heard(&self, node: u64) -> Option<Duration>;

    /// Whether a member is a stopped node of this machine.
    fn is_stopped_here(&self, node: u64) -> bool;
}

/// The cluster at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scene {
    /// Everything but the members.
    pub(super) head: Map<String, Value>,
    /// The members, by node id.
    pub(super) rows: BTreeMap<u64, Value>,
}

/// What always moves, so that it alone is no change.
const ALWAYS_MOVES: [&str; 2] = ["last_contact_ms", "uptime_ms"];

impl Scene {
    /// A scene of what a node sees.
    pub(super) fn of(
        told: &ClusterDescription,
        elections: impl Iterator<Item = Election>,
        known: &impl Known,
    ) -> Scene {
        let rows = told.members.iter().map(|member| {
            let id = member.member.as_ref().map_or(0, |member| member.node_id);
            (id, row(member, known))
        });
        Scene {
            head: head(told, elections),
            rows: rows.collect(),
        }
    }

    /// All of it.
    pub(super) fn whole(&self) -> Value {
        let mut whole = self.head.clone();
        let rows = self.rows.values().cloned().collect();
        whole.insert("members".to_owned(), Value::Array(rows));
        Value::Object(whole)
    }

    /// What is other than it was; none when nothing is.
    pub(super) fn since(&self, before: &Scene) -> Option<Value> {
        let changed = self
            .head
            .iter()
            .filter(|(name, value)| before.head.get(*name) != Some(value));
        let mut told: Map<String, Value> = changed
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let rows: Vec<Value> = self
            .rows
            .iter()
            .filter(|(id, row)| before.rows.get(id).is_none_or(|was| is_other(was, row)))
            .map(|(_, row)| row.clone())
            .collect();
        let gone = before.rows.keys().filter(|id| !self.rows.contains_key(id));
        let gone: Vec<Value> = gone.map(|id| json!(id)).collect();
        if !rows.is_empty() {
            told.insert("members".to_owned(), Value::Array(rows));
        }
        if !gone.is_empty() {
            told.insert("gone".to_owned(), Value::Array(gone));
        }
        (!told.is_empty()).then_some(Value::Object(told))
    }
}

fn is_other(was: &Value, row: &Value) -> bool {
    let (Some(was), Some(row)) = (was.as_object(), row.as_object()) else {
        return was != row;
    };
    row.iter()
        .any(|(name, value)| !ALWAYS_MOVES.contains(&name.as_str()) && was.get(name) != Some(value))
}

fn head(
    told: &ClusterDescription,
    elections: impl Iterator<Item = Election>,
) -> Map<String, Value> {
    let up = || told.members.iter().filter(|member| member.reachable);
    let own = up().find(|member| {
        let member = member.member.as_ref();
        member.is_some_and(|member| member.node_id == told.node_id)
    });
    let commit = up().map(|member| member.commit_index).max();
    let mut versions: Vec<&str> = up().map(|member| member.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    let alarms = told.alarms.iter();
    let alarms = alarms.map(|alarm| json!({"node": alarm.node_id, "kind": alarm.kind}));
    let elections = elections.map(|election| {
        json!({"at_ms": election.at_ms, "term": election.term, "leader": election.leader})
    });
    let head = json!({
        "cluster": {
            "id": ClusterId(told.cluster_id).to_string(),
            "name": told.cluster_name,
        },
        "via": told.node_id,
        "health": Health::of(told).json(),
        "leader": some(told.leader),
        "term": told.term,
        "revision": told.revision,
        "commit": commit.unwrap_or(0),
        "applied": own.map_or(0, |own| own.applied_index),
        "joint": told.joint,
        "quorum": told.quorum,
        "settings": told.settings_version,
        "alarms": alarms.collect::<Vec<Value>>(),
        "versions": versions,
        "elections": elections.collect::<Vec<Value>>(),
    });
    match head {
        Value::Object(head) => head,
        _other => Map::new(),
    }
}

fn row(status: &MemberStatus, known: &impl Known) -> Value {
    let member = status.member.clone().unwrap_or_default();
    let id = member.node_id;
    let state = match status.reachable {
        true => "up",
        false if known.is_stopped_here(id) => "stopped",
        false => "down",
    };
    let up = status.reachable;
    json!({
        "id": id,
        "name": member.name,
        "client_address": member.client_address,
        "peer_address": member.peer_address,
        "voter": status.voter,
        "state": state,
        "problem": status.problem,
        "last_contact_ms": known.heard(id).map(|ago| ago.as_millis() as u64),
        "role": up.then(|| role(status.role())),
        "term": up.then_some(status.term),
        "leader": some(status.leader),
        "commit": up.then_some(status.commit_index),
        "applied": up.then_some(status.applied_index),
        "lag": up.then_some(status.lag),
        "revision": up.then_some(status.revision),
        "settings": up.then_some(status.settings_version),
        "state_hash": up.then(|| format!("{:016x}", status.state_hash)),
        "version": up.then_some(&status.version),
        "uptime_ms": up.then_some(status.uptime_ms),
        "vitals": status.vitals.as_ref().map(vitals),
    })
}

/// A number, where 0 stands for none.
fn some(number: u64) -> Option<u64> {
    (number != 0).then_some(number)
}

/// The word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Stopped => "stopped",
    }
}

fn vitals(told: &Vitals) -> Value {
    let calls = told.calls.iter().map(call);
    let peers = told.peers.iter();
    let peers = peers
        .map(|peer| json!({"node": peer.node_id, "count": peer.count, "mean_us": peer.mean_us}));
    json!({
        "window_ms": told.window_ms,
        "log_sync": timing(told.log_sync.as_ref()),
        "store_commit": timing(told.store_commit.as_ref()),
        "requests": timing(told.requests.as_ref()),
        "requests_per_second": rounded(told.requests_per_second),
        "calls": calls.collect::<Vec<Value>>(),
        "peers": peers.collect::<Vec<Value>>(),
        "resident_bytes": told.resident_bytes,
        "cpu_thousandths": told.cpu_thousandths,
        "open_files": told.open_files,
        "open_files_max": told.open_files_max,
        "watch_streams": told.watch_streams,
        "watches": told.watches,
        "watch_waiting_bytes": told.watch_waiting_bytes,
        "leases": told.leases,
        "keys": told.keys,
        "cache_hits": told.cache_hits,
        "cache_misses": told.cache_misses,
        "cache_bytes": told.cache_bytes,
        "cache_capacity_bytes": told.cache_capacity_bytes,
        "engine_bytes": told.engine_bytes,
        "live_bytes": told.live_bytes,
        "room_bytes": told.room_bytes,
        "quota_bytes": some(told.quota_bytes),
        "log_bytes": told.log_bytes,
        "last_index": told.last_index,
        "snapshot_index": told.snapshot_index,
        "purged_index": told.purged_index,
        "compacted_revision": told.compacted_revision,
        "proposals_waiting": told.proposals_waiting,
        "reads_waiting": told.reads_waiting,
        "proposals_failed": told.proposals_failed,
        "leader_changes": told.leader_changes,
        "quorum": told.quorum,
        "pid": told.pid,
        "data_folder": told.data_folder,
        "problems": told.problems,
    })
}

fn call(told: &CallRate) -> Value {
    json!({
        "call": told.call,
        "per_second": rounded(told.per_second),
        "failed_per_second": rounded(told.failed_per_second),
        "timing": told.timing.as_ref().map(|told| timing(Some(told))),
        "total": told.total,
        "failed_total": told.failed_total,
    })
}

fn timing(told: Option<&Timing>) -> Value {
    let told = told.copied().unwrap_or_default();
    json!({"count": told.count, "p50_us": told.p50_us, "p99_us": told.p99_us})
}

/// A rate with as many digits as it is worth.
pub(super) fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// How the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// `healthy`, `degraded`, `electing` or `no_quorum`.
    pub(super) level: &'static str,
    /// How many more voters may fail.
    pub(super) tolerates: usize,
    /// The same in a sentence.
    pub(super) sentence: String,
}

impl Health {
    /// Judged by who answers the node that was asked.
    pub(super) fn of(told: &ClusterDescription) -> Health {
        let voters = told.members.iter().filter(|member| member.voter);
        let (all, up) = voters.fold((0_usize, 0_usize), |(all, up), voter| {
            (all + 1, up + usize::from(voter.reachable))
        });
        let needed = all / 2 + 1;
        if up < needed {
            let sentence = format!(
                "no quorum: {up} of {all} voters answer{}, {needed} are needed; nothing can be written",
                if up == 1 { "s" } else { "" }
            );
            return Health {
                level: "no_quorum",
                tolerates: 0,
                sentence,
            };
        }
        let tolerates = up - needed;
        let losses = match tolerates {
            0 => "tolerates no failure".to_owned(),
            1 => "tolerates 1 more failure".to_owned(),
            more => format!("tolerates {more} more failures"),
        };
        let silent = told
            .members
            .iter()
            .filter(|member| !member.reachable)
            .count();
        let (level, what) = if told.leader == 0 || !told.quorum {
            ("electing", "electing a leader".to_owned())
        } else if !told.alarms.is_empty() {
            let kinds = told.alarms.iter().map(|alarm| alarm.kind.as_str());
            let kinds: Vec<&str> = kinds.collect();
            ("degraded", format!("alarm {}", kinds.join(", ")))
        } else if silent > 0 {
            let node = if silent == 1 { "node does" } else { "nodes do" };
            ("degraded", format!("{silent} {node} not answer"))
        } else {
            ("healthy", "healthy".to_owned())
        };
        Health {
            level,
            tolerates,
            sentence: format!("{what}; {losses}"),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "level": self.level,
            "tolerates": self.tolerates,
            "sentence": self.sentence,
        })
    }
}

#[cfg(test)]
mod tests {
    use hstore_proto::hstore::v1::{Alarm, Member};

    use super::*;

    struct Nothing;

    impl Known for Nothing {
        fn heard(&self, node: u64) -> Option<Duration> {
            (node == 1).then_some(Duration::ZERO)
        }

        fn is_stopped_here(&self, node: u64) -> bool {
            node == 3
        }
    }

    fn told(up: &[bool]) -> ClusterDescription {
        let member = |(at, up): (usize, &bool)| MemberStatus {
            member: Some(Member {
                node_id: at as u64 + 1,
                name: format!("n{}", at + 1),
                ..Member::default()
            }),
            voter: true,
            reachable: *up,
            commit_index: 7,
            vitals: Some(Vitals::default()),
            ..MemberStatus::default()
        };
        ClusterDescription {
            node_id: 1,
            leader: 1,
            term: 2,
            quorum: true,
            members: up.iter().enumerate().map(member).collect(),
            ..ClusterDescription::default()
        }
    }

    fn scene(told: &ClusterDescription) -> Scene {
        Scene::of(told, std::iter::empty(), &Nothing)
    }

    #[test]
    fn one_sentence_says_how_the_cluster_is() {
        let table: [(&[bool], &str, &str); 6] = [
            (
                &[true, true, true],
                "healthy",
                "healthy; tolerates 1 more failure",
            ),
            (&[true], "healthy", "healthy; tolerates no failure"),
            (&[true; 7], "healthy", "healthy; tolerates 3 more failures"),
            (
                &[true, true, false],
                "degraded",
                "1 node does not answer; tolerates no failure",
            ),
            (
                &[true, false, false],
                "no_quorum",
                "no quorum: 1 of 3 voters answers, 2 are needed; nothing can be written",
            ),
            (
                &[true, true, true, false, false],
                "degraded",
                "2 nodes do not answer; tolerates no failure",
            ),
        ];
        for (up, level, sentence) in table {
            let health = Health::of(&told(up));
            assert_eq!((health.level, &health.sentence[..]), (level, sentence));
        }
        let mut electing = told(&[true, true, true]);
        electing.leader = 0;
        assert_eq!(Health::of(&electing).level, "electing");
        let mut alarmed = told(&[true, true, true]);
        alarmed.alarms.push(Alarm {
            node_id: 2,
            kind: "NOSPACE".to_owned(),
        });
        let health = Health::of(&alarmed);
        assert_eq!(health.sentence, "alarm NOSPACE; tolerates 1 more failure");
    }

    #[test]
    fn a_member_that_does_not_answer_is_a_row_without_words_of_its_own() {
        let whole = scene(&told(&[true, false, false])).whole();
        let rows = whole["members"].as_array().unwrap();
        let states: Vec<&Value> = rows.iter().map(|row| &row["state"]).collect();
        assert_eq!(states, ["up", "down", "stopped"]);
        assert_eq!(rows[0]["last_contact_ms"], 0);
        for row in &rows[1..] {
            assert_eq!(
                (&row["lag"], &row["last_contact_ms"]),
                (&Value::Null, &Value::Null)
            );
        }
    }

    #[test]
    fn a_change_is_what_is_other_and_time_alone_is_none() {
        let before = told(&[true, true]);
        let mut now = before.clone();
        now.members[0].uptime_ms = 99;
        assert_eq!(scene(&now).since(&scene(&before)), None);
        now.members[1].lag = 5;
        now.term = 3;
        let change = scene(&now).since(&scene(&before)).unwrap();
        assert_eq!(change["term"], 3);
        assert_eq!(change["members"].as_array().unwrap().len(), 1);
        assert_eq!(change["members"][0]["lag"], 5);
        assert!(change.get("gone").is_none() && change.get("leader").is_none());
        now.members.pop();
        let change = scene(&now).since(&scene(&before)).unwrap();
        assert_eq!(change["gone"], json!([2]));
    }
}
