//! Members of a cluster as rows: the same for tables and for JSON.
//!
//! Invariant: a member that does not answer is a row, never a gap.

use std::time::Duration;

use hstore_core::id::ClusterId;
use hstore_proto::hstore::v1::{ClusterDescription, MemberStatus, Role};
use serde::Serialize;

use super::Table;

/// One member, or one stopped node that only this machine knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The cluster's id.
    pub(crate) cluster_id: String,
    /// The node's name.
    pub(crate) name: String,
    /// The node's id.
    pub(crate) id: u64,
    /// Where clients reach it.
    pub(crate) address: String,
    /// Where peers reach it.
    pub(crate) peer_address: String,
    /// `ok`, `behind`, `no quorum`, `unreachable`, `stopped`.
    pub(crate) health: &'static str,
    /// `leader`, `follower`, `learner`, `candidate`; empty when nobody knows.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Whether it votes.
    pub(crate) voter: bool,
    /// Its term, if it says.
    pub(crate) term: Option<u64>,
    /// How many entries it has yet to apply, if it says.
    pub(crate) lag: Option<u64>,
    /// The version it runs, if it says.
    pub(crate) version: Option<String>,
    /// How long it runs, if it says.
    pub(crate) uptime_ms: Option<u64>,
}

/// From this lag on a member is said to be behind.
const BEHIND: u64 = 1_000;

impl Row {
    /// A member as the cluster describes it.
    pub(crate) fn of(cluster: &ClusterDescription, status: &MemberStatus) -> Row {
        let member = status.member.clone().unwrap_or_default();
        let answered = status.reachable;
        Row {
            cluster: cluster.cluster_name.clone(),
            cluster_id: ClusterId(cluster.cluster_id).to_string(),
            name: member.name,
            id: member.node_id,
            address: member.client_address,
            peer_address: member.peer_address,
            health: health(status),
            kind: kind(status),
            voter: status.voter,
            term: answered.then_some(status.term),
            lag: answered.then_some(status.lag),
            version: answered.then(|| status.version.clone()),
            uptime_ms: answered.then_some(status.uptime_ms),
        }
    }

    /// How long it runs, for people.
    fn uptime(&self) -> String {
        let uptime = self.uptime_ms.map(Duration::from_millis);
        uptime.map_or_else(|| "-".to_owned(), super::duration)
    }
}

fn health(status: &MemberStatus) -> &'static str {
    if !status.reachable {
        "unreachable"
    } else if status.leader == 0 {
        "no quorum"
    } else if status.lag >= BEHIND {
        "behind"
    } else {
        "ok"
    }
}

fn kind(status: &MemberStatus) -> &'static str {
    match (status.reachable, status.role(), status.voter) {
        (false, _, true) => "voter",
        (_, _, false) => "learner",
        (true, Role::Leader, _) => "leader",
        (true, Role::Candidate, _) => "candidate",
        (true, _, _) => "follower",
    }
}

/// The rows as a table; with the clusters as a column when there are several.
pub(crate) fn table(rows: &[Row]) -> String {
    let several = rows.iter().any(|row| row.cluster_id != rows[0].cluster_id);
    let mut header = vec![
        "NAME", "ID", "ADDRESS", "HEALTH", "TYPE", "TERM", "LAG", "VERSION", "UPTIME",
    ];
    if several {
        header.insert(0, "CLUSTER");
    }
    let mut table = Table::new(&header);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let word = |word: &str| if word.is_empty() { "-" } else { word }.to_owned();
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.id.to_string(),
            row.address.clone(),
            row.health.to_owned(),
            word(row.kind),
            number(row.term),
            number(row.lag),
            word(row.version.as_deref().unwrap_or_default()),
            row.uptime(),
        ];
        if several {
            cells.insert(0, row.cluster.clone());
        }
        table.row(cells);
    }
    table.render()
}

/// One sentence about a cluster: how many more of its voters it can lose.
pub(crate) fn sentence(cluster: &ClusterDescription) -> String {
    let voters = cluster.members.iter().filter(|row| row.voter);
    let (all, up) = voters.fold((0_usize, 0_usize), |(all, up), row| {
        (all + 1, up + usize::from(row.reachable))
    });
    let quorum = all / 2 + 1;
    let name = &cluster.cluster_name;
    let led = cluster
        .members
        .iter()
        .any(|row| row.reachable && row.role() == Role::Leader);
    if up < quorum {
        return format!(
            "cluster {name}: no quorum, {up} of {all} voters answer and {quorum} are needed"
        );
    }
    let health = match (led, up == all) {
        (false, _) => "electing a leader",
        (true, true) => "healthy",
        (true, false) => "degraded",
    };
    let losses = match up - quorum {
        0 => "cannot lose a voter".to_owned(),
        1 => "tolerates the loss of 1 voter".to_owned(),
        losses => format!("tolerates the loss of {losses} voters"),
    };
    format!("cluster {name}: {health}, {losses}")
}

#[cfg(test)]
mod tests {
    use hstore_proto::hstore::v1::Member;

    use super::*;

    fn member(id: u64, role: Role, reachable: bool) -> MemberStatus {
        MemberStatus {
            member: Some(Member {
                node_id: id,
                name: format!("n{id}"),
                client_address: format!("127.0.0.1:{}", 2377 + 2 * id),
                ..Member::default()
            }),
            voter: role != Role::Learner,
            reachable,
            role: role.into(),
            term: if reachable { 3 } else { 0 },
            leader: u64::from(reachable),
            version: if reachable { "0.1.0" } else { "" }.to_owned(),
            uptime_ms: if reachable { 61_000 } else { 0 },
            ..MemberStatus::default()
        }
    }

    fn cluster(members: Vec<MemberStatus>) -> ClusterDescription {
        ClusterDescription {
            cluster_id: 0xc1,
            cluster_name: "k7f2".to_owned(),
            members,
            ..ClusterDescription::default()
        }
    }

    #[test]
    fn a_member_that_does_not_answer_is_a_row() {
        let cluster = cluster(vec![
            member(1, Role::Leader, true),
            member(2, Role::Follower, false),
            member(3, Role::Learner, true),
        ]);
        let rows: Vec<Row> = cluster
            .members
            .iter()
            .map(|row| Row::of(&cluster, row))
            .collect();
        assert_eq!(
            table(&rows),
            "NAME  ID  ADDRESS         HEALTH       TYPE     TERM  LAG  VERSION  UPTIME\n\
             n1    1   127.0.0.1:2379  ok           leader   3     0    0.1.0    1 min\n\
             n2    2   127.0.0.1:2381  unreachable  voter    -     -    -        -\n\
             n3    3   127.0.0.1:2383  ok           learner  3     0    0.1.0    1 min"
        );
    }

    #[test]
    fn the_sentence_counts_what_may_still_be_lost() {
        let up = |id| member(id, Role::Follower, true);
        let down = |id| member(id, Role::Follower, false);
        let leader = member(1, Role::Leader, true);
        let table = [
            (vec![leader.clone()], "healthy, cannot lose a voter"),
            (
                vec![leader.clone(), up(2), up(3)],
                "healthy, tolerates the loss of 1 voter",
            ),
            (
                vec![leader.clone(), up(2), down(3)],
                "degraded, cannot lose a voter",
            ),
            (
                vec![leader.clone(), down(2), down(3)],
                "no quorum, 1 of 3 voters answer and 2 are needed",
            ),
            (
                vec![up(1), up(2), up(3)],
                "electing a leader, tolerates the loss of 1 voter",
            ),
            (
                vec![leader, up(2), up(3), up(4), up(5)],
                "healthy, tolerates the loss of 2 voters",
            ),
        ];
        for (members, expected) in table {
            let sentence = sentence(&cluster(members));
            assert_eq!(sentence, format!("cluster k7f2: {expected}"));
        }
    }
}
