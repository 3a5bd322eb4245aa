//! What the doctor's facts mean. It asks nobody and is a function of what was seen.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Door, Examined, Facts, NodeFacts, Process, middle};
use super::finding::{Code, Finding, Severity};
use super::machine;
use crate::render::nodes::{self, Health};
use crate::text;

use Severity::{Note, Outage, Problem};

/// A clock that is farther than this from the others is named, in microseconds.
const CLOCK_OFFSET_US: i64 = 500_000;

/// A node that is so many entries behind is named, when it is at both looks.
const LAG_ENTRIES: u64 = 1_000;

/// A node that takes longer to answer is far away, in microseconds.
const ROUND_TRIP_US: u64 = 100_000;

/// Everything that is wrong, the worst first.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    quorum(facts, &mut found);
    for node in &facts.nodes {
        door(facts, node, &mut found);
        leader(facts, node, &mut found);
        found.extend(machine::of_node(&node.name, node.found(), node.vitals()));
        far(facts, node, &mut found);
    }
    apart(facts, &mut found);
    clocks(facts, &mut found);
    versions(facts, &mut found);
    lag(facts, &mut found);
    states(facts, &mut found);
    alarms(facts, &mut found);
    not_examined(facts, &mut found);
    found.extend(facts.folder.iter().flat_map(machine::of_folder));
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.code));
    found
}

fn quorum(facts: &Facts, found: &mut Vec<Finding>) {
    let Some(cluster) = &facts.cluster else {
        let tried: Vec<&str> = facts.nodes.iter().map(|node| &node.address[..]).collect();
        found.push(Finding::new(
            Code::NoQuorum,
            Outage,
            &[],
            format!("no node answers at {}", tried.join(", ")),
            "hstore-server list   shows the nodes of this machine; --host names others",
        ));
        return;
    };
    let voters = cluster.members.iter().filter(|row| row.voter);
    let silent = voters.clone().filter(|row| !row.reachable);
    let silent: Vec<String> = silent.map(nodes::name).collect();
    let silent: Vec<&str> = silent.iter().map(String::as_str).collect();
    match nodes::health(cluster) {
        Health::NoQuorum { up, of } => found.push(Finding::new(
            Code::NoQuorum,
            Outage,
            &silent,
            format!("{up} of {of} voters answer, and there is no leader with a majority: nothing can be written"),
            "start the nodes that are down; the cluster goes on by itself",
        )),
        Health::Degraded { up, of } if up == of / 2 + 1 => found.push(Finding::new(
            Code::QuorumRisk,
            Problem,
            &silent,
            format!("{up} of {of} voters answer: one more failure stops writes"),
            "bring back the nodes that are down, or replace them: hstore-server remove NODE, then join",
        )),
        // Who is down is said by name.
        Health::Degraded { .. } => {}
        Health::Healthy { spare } => too_few(voters.count(), spare, found),
    }
    if cluster.joint {
        found.push(Finding::new(
            Code::MembershipChanges,
            Note,
            &[],
            "a change of voters is under way",
            "hstore-server list --watch   shows how it goes on",
        ));
    }
    let hosts: BTreeSet<&str> = facts.nodes.iter().map(host).collect();
    if facts.nodes.len() > 1 && hosts.len() == 1 {
        found.push(Finding::new(
            Code::OneMachine,
            Note,
            &[],
            "all nodes are on one machine: it takes all of them along when it fails",
            "hstore-server join HOST:PORT   on another machine",
        ));
    }
}

fn too_few(voters: usize, spare: usize, found: &mut Vec<Finding>) {
    let (message, odd) = match voters {
        0 => return,
        1 => ("there is one voter: no failure is survived".to_owned(), 3),
        even if even % 2 == 0 => (
            format!(
                "{even} voters tolerate {}, as many as {} do",
                match spare {
                    0 => "no failure".to_owned(),
                    spare => text::count(spare as u64, "failure"),
                },
                even - 1
            ),
            even + 1,
        ),
        _odd => return,
    };
    found.push(Finding::new(
        Code::QuorumRisk,
        Note,
        &[],
        message,
        format!("hstore-server join   until there are {odd} voters"),
    ));
}

/// The host of a node's address.
fn host(node: &NodeFacts) -> &str {
    node.address
        .rsplit_once(':')
        .map_or(&node.address[..], |(host, _port)| host)
}

/// A node that does not answer, and why.
fn door(facts: &Facts, node: &NodeFacts, found: &mut Vec<Finding>) {
    let (name, address) = (&node.name, &node.address);
    let restart = format!("hstore-server restart {name}   on its machine");
    let (code, message, help) = match (&node.door, node.process) {
        (Door::Answers, _) => return,
        (Door::Refused, Process::Gone(pid)) => (
            Code::NodeDown,
            format!("{name} is down: its process {pid} has ended"),
            format!("hstore-server restart {name}"),
        ),
        (Door::Refused, _) => (
            Code::NodeDown,
            format!("{name} is down: nobody listens at {address}"),
            restart,
        ),
        (Door::Silent, Process::Stopped(pid)) => (
            Code::NodeSilent,
            format!("{name} does not answer: its process {pid} is stopped by a signal"),
            format!("kill -CONT {pid}"),
        ),
        (Door::Silent, _) => (
            Code::NodeSilent,
            format!(
                "{name} takes connections at {address} and does not answer: its process stands still, or gets no \
                 processor or memory"
            ),
            format!("ps -o pid,stat,wchan,rss,args -C hstore-server   on its machine; {restart}"),
        ),
        (Door::NoRoute(why), _) => (
            Code::NodeUnreachable,
            format!(
                "nothing answers at {address} of {name} ({why}): its machine is off, or the network or a firewall is between"
            ),
            format!("ping {}", host(node)),
        ),
        (Door::NoName(why), _) => (
            Code::NodeUnreachable,
            format!("the host of {name} cannot be found: {why}"),
            format!("getent hosts {}", host(node)),
        ),
        (Door::Stranger(why), _) => (
            Code::NodeUnreachable,
            format!("at {address} of {name} is something else: {why}"),
            restart,
        ),
    };
    if facts.reached_by_others(node.id) {
        let message = format!("{name} answers its peers, but not here: {message}");
        found.push(Finding::new(
            Code::NotExamined,
            Note,
            &[name],
            message,
            help,
        ));
    } else {
        found.push(Finding::new(code, Problem, &[name], message, help));
    }
}

/// A node that is cut off from the majority, where there is one.
fn leader(facts: &Facts, node: &NodeFacts, found: &mut Vec<Finding>) {
    let is_led = facts.cluster.as_ref().is_some_and(|it| it.leader != 0);
    let Some(status) = node.status.as_ref().filter(|_| is_led) else {
        return;
    };
    if status.leader == 0 {
        let name = &node.name;
        found.push(Finding::new(
            Code::NoLeader,
            Problem,
            &[name],
            format!("{name} knows no leader, others do: it is cut off from the majority, or just starting"),
            "check the network between the nodes, on their peer ports",
        ));
    }
}

/// Nodes that answer here and that others do not reach.
fn apart(facts: &Facts, found: &mut Vec<Finding>) {
    for node in facts.nodes.iter().filter(|node| node.door == Door::Answers) {
        let from = facts.not_reached_by(node.id);
        if from.is_empty() {
            continue;
        }
        let name = &node.name;
        found.push(Finding::new(
            Code::PeersApart,
            Problem,
            &[name],
            format!(
                "{name} answers here, but {} cannot reach its peer port",
                from.join(" and ")
            ),
            "check the network and the firewalls between them, one way and the other",
        ));
    }
}

/// Nodes that are far from here, and peers that are far from their leader.
fn far(facts: &Facts, node: &NodeFacts, found: &mut Vec<Finding>) {
    let mut note = |name: &str, message: String| {
        let help = "move them nearer to each other, or give --heartbeat and --election more room";
        found.push(Finding::new(Code::RoundTrip, Note, &[name], message, help));
    };
    if let Some(trip) = node.trip_us().filter(|trip| *trip > ROUND_TRIP_US) {
        let message = format!(
            "{} takes {} to answer from here",
            node.name,
            text::millis(trip)
        );
        note(&node.name, message);
    }
    for peer in node.vitals().iter().flat_map(|it| &it.peers) {
        if peer.mean_us > ROUND_TRIP_US {
            let (name, took) = (facts.name_of(peer.node_id), text::millis(peer.mean_us));
            note(
                &name,
                format!("{name} takes {took} to answer its leader {}", node.name),
            );
        }
    }
}

/// Clocks that are far from where most are. This machine's counts as one of them.
fn clocks(facts: &Facts, found: &mut Vec<Finding>) {
    let offsets = facts.nodes.iter().filter_map(|node| node.clock);
    let all = offsets.map(|clock| clock.ahead_us).chain([0]);
    let Some(usual) = middle(all) else { return };
    for node in &facts.nodes {
        let Some(clock) = node.clock else { continue };
        let ahead = clock.ahead_us - usual;
        if ahead.abs() <= CLOCK_OFFSET_US + clock.error_us {
            continue;
        }
        let (name, way) = (&node.name, if ahead > 0 { "ahead" } else { "behind" });
        let by = text::span(ahead.unsigned_abs() / 1000);
        found.push(Finding::new(
            Code::ClockOffset,
            Problem,
            &[name],
            format!("the clock of {name} is {by} {way} of the others; the store does not mind, logs and certificates do"),
            "timedatectl set-ntp true   on its machine",
        ));
    }
}

fn versions(facts: &Facts, found: &mut Vec<Finding>) {
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in &facts.nodes {
        let process = node.status.as_ref().and_then(|it| it.process.as_ref());
        if let Some(process) = process {
            by_version
                .entry(&process.version)
                .or_default()
                .push(&node.name);
        }
    }
    if by_version.len() < 2 {
        return;
    }
    let told = by_version.iter();
    let told = told.map(|(version, nodes)| format!("{version} on {}", nodes.join(", ")));
    let told: Vec<String> = told.collect();
    found.push(Finding::new(
        Code::VersionsMixed,
        Problem,
        &[],
        format!("nodes run different versions: {}", told.join("; ")),
        "hstore-server restart NODE   starts a node with the program that is installed now",
    ));
}

/// Nodes that are behind, and still are at the second look.
fn lag(facts: &Facts, found: &mut Vec<Finding>) {
    let (Some(first), Some(later)) = (&facts.cluster, &facts.later) else {
        return;
    };
    for row in first.members.iter().filter(|row| row.reachable) {
        let again = later
            .members
            .iter()
            .find(|again| again.member == row.member);
        let behind = again.filter(|again| again.reachable);
        let behind = behind.map_or(0, |again| again.lag.min(row.lag));
        if behind > LAG_ENTRIES {
            let name = nodes::name(row);
            found.push(Finding::new(
                Code::Lag,
                Problem,
                &[&name],
                format!("{name} is {behind} entries behind: its disk, its processor or the way to it is slower than the others"),
                format!("hstore-server status {name}; look at its sync times and round trips here"),
            ));
        }
    }
}

/// Members that applied the same entries and do not hold the same.
fn states(facts: &Facts, found: &mut Vec<Finding>) {
    let mut by_index: BTreeMap<u64, BTreeMap<u64, Vec<String>>> = BTreeMap::new();
    for row in facts.cluster.iter().flat_map(|it| &it.members) {
        if row.reachable && row.state_hash != 0 {
            let hashes = by_index.entry(row.applied_index).or_default();
            hashes
                .entry(row.state_hash)
                .or_default()
                .push(nodes::name(row));
        }
    }
    for (index, hashes) in by_index {
        if hashes.len() < 2 {
            continue;
        }
        let nodes: Vec<&str> = hashes.values().flatten().map(String::as_str).collect();
        found.push(Finding::new(
            Code::StateDiffers,
            Problem,
            &nodes,
            format!("after entry {index}, {} do not hold the same: data of at least one is damaged", nodes.join(" and ")),
            "hstore-cli hash   says who differs; then replace that node: hstore-server remove NODE, then join",
        ));
    }
}

fn alarms(facts: &Facts, found: &mut Vec<Finding>) {
    for alarm in facts.cluster.iter().flat_map(|it| &it.alarms) {
        let name = facts.name_of(alarm.node_id);
        let (message, help) = match alarm.kind.as_str() {
            "NOSPACE" => (
                format!(
                    "{name} has no room left, so the whole cluster refuses writes (alarm NOSPACE)"
                ),
                "hstore-cli delete PREFIX --prefix, then hstore-cli compact; or hstore-cli config set quota-bytes 8GiB",
            ),
            other => (
                format!("{name} raised the alarm {other}"),
                "hstore-cli hash; replace the node that differs, then hstore-cli alarm disarm",
            ),
        };
        found.push(Finding::new(Code::Alarm, Outage, &[&name], message, help));
    }
}

/// Nodes that answer and did not say what only they can see.
fn not_examined(facts: &Facts, found: &mut Vec<Finding>) {
    let mut denied = Vec::new();
    for node in &facts.nodes {
        let (message, help) = match &node.examined {
            Examined::Denied => {
                denied.push(&node.name[..]);
                continue;
            }
            Examined::Unsupported => (
                format!("the version of {} cannot look at its machine", node.name),
                "hstore-server restart NODE   with a newer program".to_owned(),
            ),
            Examined::Failed(why) => (
                format!(
                    "{} did not say what it finds at its machine: {why}",
                    node.name
                ),
                format!("hstore-cli doctor -h {}", node.address),
            ),
            Examined::Found(_) | Examined::NotAsked => continue,
        };
        found.push(Finding::new(
            Code::NotExamined,
            Note,
            &[&node.name],
            message,
            help,
        ));
    }
    if !denied.is_empty() {
        found.push(Finding::new(
            Code::NotExamined,
            Note,
            &denied,
            "clocks and disks of the nodes are told to root alone",
            "hstore-cli --user root doctor",
        ));
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
