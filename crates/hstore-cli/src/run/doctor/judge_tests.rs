//! Facts and what they must mean; every code stands here once.

use std::path::PathBuf;
use std::time::Duration;

use hstore_client::v1::{
    Alarm, ClusterDescription, DiskExamination, ExamineResponse, Member, MemberStatus,
    NodeStatusResponse, PeerTiming, ProcessStatus, Role, Vitals,
};

use super::super::facts::{Clock, FolderFacts};
use super::*;

fn member(id: u64) -> MemberStatus {
    MemberStatus {
        member: Some(Member {
            node_id: id,
            name: format!("n{id}"),
            client_address: format!("192.0.2.{id}:2379"),
            ..Member::default()
        }),
        voter: true,
        reachable: true,
        role: if id == 1 {
            Role::Leader
        } else {
            Role::Follower
        }
        .into(),
        applied_index: 90,
        state_hash: 7,
        ..MemberStatus::default()
    }
}

fn view(from: u64) -> ClusterDescription {
    ClusterDescription {
        node_id: from,
        leader: 1,
        members: (1..=3).map(member).collect(),
        ..ClusterDescription::default()
    }
}

fn found() -> ExamineResponse {
    ExamineResponse {
        connections_max: 4096,
        disk: Some(DiskExamination {
            sync_us: vec![900, 1_100, 4_000],
            free_bytes: 70 << 30,
            total_bytes: 200 << 30,
            problem: String::new(),
        }),
        ..ExamineResponse::default()
    }
}

fn node(id: u64) -> NodeFacts {
    NodeFacts {
        status: Some(NodeStatusResponse {
            leader: 1,
            process: Some(ProcessStatus {
                version: "0.1.0".to_owned(),
                ..ProcessStatus::default()
            }),
            vitals: Some(Vitals {
                open_files: 40,
                open_files_max: 65_536,
                ..Vitals::default()
            }),
            ..NodeStatusResponse::default()
        }),
        view: Some(view(id)),
        trips: vec![Duration::from_micros(400)],
        clock: Some(Clock {
            ahead_us: 20,
            error_us: 200,
        }),
        examined: Examined::Found(Box::new(found())),
        ..NodeFacts::of(&member(id))
    }
}

/// Three nodes on three machines, and nothing wrong.
fn well() -> Facts {
    Facts {
        cluster: Some(view(1)),
        later: Some(view(1)),
        nodes: (1..=3).map(node).collect(),
        ..Facts::default()
    }
}

/// The findings as `severity code nodes`.
fn told(facts: &Facts) -> Vec<String> {
    let found = judge(facts);
    for finding in &found {
        assert!(!finding.help.is_empty(), "{finding:?}");
    }
    let lines = found.iter().map(|finding| {
        let nodes = finding.nodes.join(",");
        let (severity, code) = (finding.severity.as_str(), finding.code.as_str());
        format!("{severity} {code} {nodes}").trim_end().to_owned()
    });
    lines.collect()
}

/// What is told when one thing is not as it should be.
#[track_caller]
fn means(change: impl FnOnce(&mut Facts), expected: &[&str]) {
    let mut facts = well();
    change(&mut facts);
    assert_eq!(told(&facts), expected);
}

fn set_examined(facts: &mut Facts, change: impl FnOnce(&mut ExamineResponse)) {
    let mut told = found();
    change(&mut told);
    facts.nodes[2].examined = Examined::Found(Box::new(told));
}

fn vitals(facts: &mut Facts) -> &mut Vitals {
    let status = facts.nodes[2].status.as_mut().unwrap();
    status.vitals.as_mut().unwrap()
}

/// Nobody hears of n3, here or elsewhere.
fn lose(facts: &mut Facts, door: Door) {
    facts.nodes[2] = NodeFacts {
        door,
        ..NodeFacts::of(&member(3))
    };
    let own = facts.nodes.iter_mut().filter_map(|node| node.view.as_mut());
    for view in own.chain(&mut facts.cluster).chain(&mut facts.later) {
        view.members[2].reachable = false;
    }
}

#[test]
fn nothing_is_wrong_with_a_cluster_that_is_well() {
    means(|_| {}, &[]);
}

#[test]
fn a_node_that_does_not_answer_is_named_by_how_it_does_not() {
    let risk = "problem quorum_risk n3";
    let why = || "no".to_owned();
    for (door, code) in [
        (Door::Refused, "problem node_down n3"),
        (Door::Silent, "problem node_silent n3"),
        (Door::NoRoute(why()), "problem node_unreachable n3"),
        (Door::NoName(why()), "problem node_unreachable n3"),
        (Door::Stranger(why()), "problem node_unreachable n3"),
    ] {
        let mut expected = [code, risk];
        expected.sort_unstable();
        means(|facts| lose(facts, door), &expected);
    }
}

#[test]
fn a_process_of_this_machine_is_named_with_what_helps_it() {
    for (door, process, message, help) in [
        (
            Door::Refused,
            Process::Gone(42),
            "process 42 has ended",
            "hstore-server restart n3",
        ),
        (
            Door::Silent,
            Process::Stopped(42),
            "stopped by a signal",
            "kill -CONT 42",
        ),
    ] {
        let mut facts = well();
        lose(&mut facts, door);
        facts.nodes[2].process = process;
        let found = judge(&facts);
        let found = found
            .iter()
            .find(|it| it.nodes == ["n3"] && it.help == help);
        assert!(
            found.is_some_and(|it| it.message.contains(message)),
            "{found:?}"
        );
    }
}

#[test]
fn a_node_that_only_this_machine_does_not_reach_is_no_problem_of_the_cluster() {
    means(
        |facts| facts.nodes[2].door = Door::NoName("no".to_owned()),
        &["note not_examined n3"],
    );
}

#[test]
fn a_cluster_without_a_majority_is_an_outage() {
    means(
        |facts| {
            lose(facts, Door::Refused);
            let cluster = facts.cluster.as_mut().unwrap();
            (cluster.leader, cluster.members[1].reachable) = (0, false);
        },
        &["outage no_quorum n2,n3", "problem node_down n3"],
    );
    let nobody = Facts {
        nodes: vec![NodeFacts {
            door: Door::Refused,
            ..NodeFacts::at("127.0.0.1:2379".to_owned())
        }],
        ..Facts::default()
    };
    let expected = ["outage no_quorum", "problem node_down 127.0.0.1:2379"];
    assert_eq!(told(&nobody), expected);
}

#[test]
fn disks_are_judged_by_their_syncs_and_their_room() {
    let with = |change: fn(&mut DiskExamination)| {
        move |facts: &mut Facts| set_examined(facts, |told| change(told.disk.as_mut().unwrap()))
    };
    means(
        with(|disk| disk.sync_us = vec![12_000]),
        &["note sync_slow n3"],
    );
    means(
        with(|disk| disk.sync_us = vec![1, 60_000, 70_000]),
        &["problem sync_slow n3"],
    );
    // One that was late is no slow disk.
    means(with(|disk| disk.sync_us = vec![900, 950, 800_000]), &[]);
    means(
        with(|disk| disk.problem = "EIO".to_owned()),
        &["problem sync_failed n3"],
    );
    means(
        with(|disk| disk.free_bytes = 100 << 20),
        &["problem disk_full n3"],
    );
    means(
        |facts| {
            facts.folder = Some(FolderFacts {
                path: PathBuf::from("/slow"),
                disk: DiskExamination {
                    sync_us: vec![90_000],
                    free_bytes: 1 << 20,
                    ..DiskExamination::default()
                },
            });
        },
        &["problem disk_full /slow", "problem sync_slow /slow"],
    );
}

#[test]
fn room_is_wanted_for_a_snapshot_beside_the_store() {
    means(
        |facts| {
            vitals(facts).engine_bytes = 90 << 30;
        },
        &["problem disk_full n3"],
    );
}

#[test]
fn limits_are_judged_by_what_a_node_wants_and_has() {
    for (open, max, expected) in [
        (40, 1024, &["problem file_limit n3"][..]),
        (60_000, 65_536, &["problem file_limit n3"]),
        (40, 0, &[]),
        (40, 4352, &[]),
    ] {
        means(
            |facts| {
                let vitals = vitals(facts);
                (vitals.open_files, vitals.open_files_max) = (open, max);
            },
            expected,
        );
    }
}

#[test]
fn a_clock_is_judged_by_the_others_and_not_by_this_machine_alone() {
    let shift = |ahead_us| {
        move |facts: &mut Facts| facts.nodes[2].clock.as_mut().unwrap().ahead_us = ahead_us
    };
    means(shift(3_600_000_000), &["problem clock_offset n3"]);
    means(shift(-2_000_000), &["problem clock_offset n3"]);
    means(shift(400_000), &[]);
    // This machine is wrong, not the nodes.
    means(
        |facts| {
            for node in &mut facts.nodes {
                node.clock.as_mut().unwrap().ahead_us = 9_000_000;
            }
        },
        &[],
    );
}

#[test]
fn who_is_behind_is_named_only_when_it_stays_behind() {
    let behind = |first, later| {
        move |facts: &mut Facts| {
            facts.cluster.as_mut().unwrap().members[1].lag = first;
            facts.later.as_mut().unwrap().members[1].lag = later;
        }
    };
    means(behind(9_000, 8_000), &["problem lag n2"]);
    means(behind(9_000, 10), &[]);
}

#[test]
fn everything_else_that_has_a_code() {
    means(
        |facts| {
            let process = facts.nodes[1].status.as_mut().unwrap().process.as_mut();
            process.unwrap().version = "0.2.0".to_owned();
        },
        &["problem versions_mixed"],
    );
    means(
        |facts| facts.nodes[1].status.as_mut().unwrap().leader = 0,
        &["problem no_leader n2"],
    );
    means(
        |facts| facts.nodes[0].view.as_mut().unwrap().members[1].reachable = false,
        &["problem peers_apart n2"],
    );
    means(
        |facts| facts.nodes[1].trips = vec![Duration::from_millis(150)],
        &["note round_trip n2"],
    );
    means(
        |facts| facts.cluster.as_mut().unwrap().members[1].state_hash = 8,
        &["problem state_differs n1,n3,n2"],
    );
    means(
        |facts| {
            facts.cluster.as_mut().unwrap().alarms.push(Alarm {
                node_id: 2,
                kind: "NOSPACE".to_owned(),
            });
        },
        &["outage alarm n2"],
    );
    for (kept, files, expected) in [
        (95, 300, &["problem quota n3"][..]),
        (130, 300, &["problem quota n3"]),
        // A quota does not bound the files.
        (50, 95, &[]),
        (50, 300, &[]),
    ] {
        means(
            |facts| {
                let vitals = vitals(facts);
                (vitals.room_bytes, vitals.engine_bytes) = (kept, files);
                vitals.quota_bytes = 100;
            },
            expected,
        );
    }
    means(
        |facts| vitals(facts).watch_waiting_bytes = 200 << 20,
        &["problem slow_watchers n3"],
    );
    means(
        |facts| {
            vitals(facts).peers.push(PeerTiming {
                node_id: 1,
                count: 9,
                mean_us: 200_000,
            });
        },
        &["note round_trip n1"],
    );
    means(
        |facts| facts.cluster.as_mut().unwrap().joint = true,
        &["note membership_changes"],
    );
    means(
        |facts| facts.nodes[1].examined = Examined::Unsupported,
        &["note not_examined n2"],
    );
    means(
        |facts| {
            for node in &mut facts.nodes {
                node.examined = Examined::Denied;
            }
        },
        &["note not_examined n1,n2,n3"],
    );
    means(
        |facts| {
            for (node, port) in facts.nodes.iter_mut().zip(["1", "2", "3"]) {
                node.address = format!("127.0.0.1:{port}");
            }
        },
        &["note one_machine"],
    );
    means(
        |facts| {
            facts.nodes.truncate(2);
            facts.cluster.as_mut().unwrap().members.truncate(2);
        },
        &["note quorum_risk"],
    );
}

#[test]
fn every_code_has_its_words_in_the_guide() {
    let guide = include_str!("../../../../../docs/guide/doctor.md");
    for code in Code::ALL {
        let line = format!("| `{}` |", code.as_str());
        assert!(
            guide.contains(&line),
            "docs/guide/doctor.md has no line {line}"
        );
    }
}
