//! Settings of a running cluster: each is changed and seen to work on every node, is there after a
//! restart and after a snapshot, and what makes no sense is refused.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::{Done, Node, SOON, World, until};

/// Makes a snapshot file due often.
const SMALL_LOG: [&str; 2] = ["--snapshot-log-bytes", "1MiB"];

fn config(world: &World, line: &str) -> Done {
    let words = line.split_whitespace();
    let line: Vec<&str> = ["--output", "json", "config"]
        .into_iter()
        .chain(words)
        .collect();
    world.server(&line)
}

/// Value and origin of a setting as a node has it.
fn holds(world: &World, key: &str, node: &str) -> (String, String) {
    let out = config(world, &format!("get {key} --node {node}")).ok();
    let told: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let field = |name: &str| told[name].as_str().expect("a text").to_owned();
    (field("value"), field("origin"))
}

#[track_caller]
fn until_everywhere(world: &World, key: &str, value: &str, origin: &str) {
    for node in ["n1", "n2", "n3"] {
        until(&format!("{key} is {value} at {node}"), SOON, || {
            let held = holds(world, key, node);
            (held == (value.to_owned(), origin.to_owned())).then_some(())
        });
    }
}

/// Names and votes of the members as a node sees them.
fn members(node: &Node) -> Option<Vec<(String, bool)>> {
    let rows = node.members()?.into_iter();
    let rows = rows.map(|row| Some((row.member?.name, row.voter)));
    let mut rows: Vec<_> = rows.collect::<Option<_>>()?;
    rows.sort();
    Some(rows)
}

#[track_caller]
fn until_members(nodes: &[&Node], expected: &[(&str, bool)]) {
    let mut expected: Vec<_> = expected
        .iter()
        .map(|(name, vote)| ((*name).to_owned(), *vote))
        .collect();
    expected.sort();
    for node in nodes {
        until(&format!("{} sees {expected:?}", node.name), SOON, || {
            (members(node)? == expected).then_some(())
        });
    }
}

#[test]
fn every_setting_works_on_every_node_while_they_run() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let all: Vec<&Node> = nodes.iter().collect();

    // The log of each node becomes talkative, and one goes its own way.
    assert!(all.iter().all(|node| !node.talk().contains("DEBUG")));
    config(&world, "set log-level debug").ok();
    config(&world, "set log-level warn --node n2").ok();
    for node in [&nodes[0], &nodes[2]] {
        until(&format!("{} is talkative", node.name), SOON, || {
            nodes[0].kv().put("a", "1").ok()?;
            node.talk().contains("DEBUG").then_some(())
        });
    }
    assert_eq!(holds(&world, "log-level", "n2").1, "cluster, for this node");
    config(&world, "unset log-level").ok();
    config(&world, "unset log-level --node n2").ok();
    until_everywhere(&world, "log-level", "info", "default");

    config(&world, "set cache-bytes 3MiB").ok();
    for node in &nodes {
        until("the cache has its size", SOON, || {
            let capacity = node.status()?.store?.cache_capacity_bytes;
            (capacity == 3 << 20).then_some(())
        });
    }

    // All history but the newest goes by itself, on every node.
    let mut kv = nodes[1].kv();
    for n in 0..100 {
        kv.put("counted", n.to_string()).expect("a write");
    }
    config(&world, "set auto-compaction").failed(2, "error");
    world
        .server(&["config", "set", "auto-compaction", "10 revisions"])
        .ok();
    for node in &nodes {
        until("old history is gone", SOON, || {
            (node.status()?.store?.compacted_revision > 50).then_some(())
        });
    }

    // The leader looks more often.
    config(&world, "set heartbeat 50ms").ok();
    until_everywhere(&world, "heartbeat", "50ms", "cluster");
    nodes[0].settled(3);
}

#[test]
fn a_quota_that_is_set_stops_writes_and_one_that_is_taken_back_allows_them() {
    let world = World::new();
    let nodes = world.cluster(3, &["--snapshot-log-bytes", "1GiB"]);
    let taken = nodes
        .iter()
        .map(|node| node.status()?.store.map(|store| store.engine_bytes));
    let taken = taken
        .map(|bytes| bytes.expect("it answers"))
        .max()
        .expect("three");
    let quota = taken + (1 << 20);
    config(&world, &format!("set quota-bytes {quota}")).ok();
    let value = Bytes::from(vec![b'v'; 1 << 20]);
    let mut kv = nodes[0].kv();
    let mut number = 0_u64;
    let refused = until("writes are refused", Duration::from_mins(1), || {
        number += 1;
        kv.put(format!("big/{number}"), value.clone()).err()
    });
    assert!(format!("{refused:?}").contains("no_space"), "{refused:?}");
    // Room is made by a setting, in a cluster that takes no other writes. Whichever node is asked
    // compares with what it has applied itself.
    for node in &nodes {
        until("every node has applied what was taken", SOON, || {
            let keys = node.status()?.store?.keys;
            (keys + 1 >= number).then_some(())
        });
    }
    config(&world, "set quota-bytes 1MiB").failed(2, "invalid_config");
    config(&world, "set quota-bytes off").ok();
    until("writes are taken again", SOON, || {
        kv.put("after", "1").ok().map(|_| ())
    });
}

#[test]
fn names_and_votes_change_and_outlive_restarts_with_the_flags_of_before() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    config(&world, "set name alpha --node n2").ok();
    let all: Vec<&Node> = nodes.iter().collect();
    until_members(&all, &[("n1", true), ("alpha", true), ("n3", true)]);
    // The new name is one that commands understand.
    assert_eq!(holds(&world, "name", "alpha").0, "alpha");
    config(&world, "set name n1 --node alpha").failed(2, "invalid_argument");

    config(&world, "set type learner --node n3").ok();
    until_members(&all, &[("n1", true), ("alpha", true), ("n3", false)]);
    // The leader, too, gives its vote away.
    let leader = if nodes[0].leads() { "n1" } else { "alpha" };
    let (one, other) = (leader == "alpha", leader == "n1");
    config(&world, &format!("set type learner --node {leader}")).ok();
    until_members(&all, &[("n1", one), ("alpha", other), ("n3", false)]);
    let last = if one { "n1" } else { "alpha" };
    config(&world, &format!("set type learner --node {last}"))
        .failed(4, "too_few_started")
        .says("last voter");
    config(&world, &format!("set type voter --node {leader}")).ok();
    until_members(&all, &[("n1", true), ("alpha", true), ("n3", false)]);

    // The same command lines start the same nodes: what the cluster says goes before them.
    for node in &mut nodes {
        node.stop();
        let (client, peer) = (node.address(), node.record().peer_address.clone());
        let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
        let name = node.name.clone();
        *node = Node::start(&world, &name, &["start"], &more).ready();
    }
    let all: Vec<&Node> = nodes.iter().collect();
    until_members(&all, &[("n1", true), ("alpha", true), ("n3", false)]);
    config(&world, "set type voter --node n3").ok();
    until_members(&all, &[("n1", true), ("alpha", true), ("n3", true)]);
    // A member that is gone takes its settings along.
    world.server(&["remove", "n3", "--yes"]).ok();
    until("nothing is said of n3", SOON, || {
        let out = config(&world, "get").ok();
        let all: serde_json::Value = serde_json::from_str(&out).ok()?;
        let mut nodes = all["settings"].as_array()?.iter().map(|row| &row["node"]);
        nodes
            .all(|node| *node == "n1" || *node == "alpha")
            .then_some(())
    });
}

#[test]
fn settings_come_with_a_snapshot_and_outlive_a_kill_of_all() {
    let world = World::new();
    let mut nodes = world.cluster(3, &SMALL_LOG);
    let mut away = nodes.pop().expect("three nodes");
    let before = away.status().and_then(|status| status.log);
    let before = before.expect("it serves").last_index;
    away.kill();
    config(&world, "set cache-bytes 5MiB").ok();
    config(&world, "set log-level debug --node n3").ok();
    let value = Bytes::from(vec![b'v'; 1 << 20]);
    let mut kv = nodes[0].kv();
    let mut written = 0;
    until(
        "the log that n3 needs is purged",
        Duration::from_mins(2),
        || {
            for _ in 0..20 {
                kv.put(format!("big/{:03}", written % 40), value.clone())
                    .expect("a write");
                written += 1;
            }
            let purged = |node: &Node| {
                let log = node.status().and_then(|status| status.log);
                log.is_some_and(|log| log.purged_index > before)
            };
            nodes.iter().all(purged).then_some(())
        },
    );
    let start = |node: &Node| {
        let (client, peer) = (node.address(), node.record().peer_address.clone());
        let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
        Node::start(&world, &node.name, &["start"], &more).ready()
    };
    nodes.push(start(&away));
    nodes[0].settled(3);
    until_everywhere(&world, "cache-bytes", "5MiB", "cluster");
    until("n3 is as talkative as it is set", SOON, || {
        nodes[2].talk().contains("DEBUG").then_some(())
    });
    for node in &mut nodes {
        node.kill();
    }
    let nodes: Vec<Node> = nodes.iter().map(start).collect();
    nodes[0].settled(3);
    until_everywhere(&world, "cache-bytes", "5MiB", "cluster");
    assert_eq!(holds(&world, "log-level", "n3").0, "debug");
}

#[test]
fn what_makes_no_sense_is_refused_and_whoever_comes_second_hears_of_the_first() {
    let world = World::new();
    let _node = world.start("n1", &["--cache-bytes", "8MiB"]);
    config(&world, "set colour red")
        .failed(2, "invalid_config")
        .says("there is no setting");
    config(&world, "set listen 1.2.3.4")
        .failed(2, "invalid_config")
        .says("another --listen");
    config(&world, "set cache-bytes 1TiB")
        .failed(2, "invalid_config")
        .says("memory");
    config(&world, "set heartbeat 300ms")
        .failed(2, "invalid_config")
        .says("election time");
    config(&world, "set name n1")
        .failed(2, "invalid_config")
        .says("name the node");
    config(&world, "set name x --node nobody")
        .failed(3, "node_not_found")
        .says("n1");
    config(&world, "set type learner --node n1").failed(4, "too_few_started");
    config(&world, "set log-level info --if-version 0").ok();
    config(&world, "set log-level warn --if-version 0")
        .failed(4, "conflict")
        .says("version 1");
    assert_eq!(holds(&world, "log-level", "n1").0, "info");
    // Who said what is told for the node that runs, as a settings file.
    let printed = world
        .server(&["config", "print", "--origin", "--node", "n1"])
        .ok();
    for (line, origin) in [
        ("cache-bytes = \"8MiB\"", "# flag"),
        ("log-level = \"info\"", "# cluster"),
        ("heartbeat = \"100ms\"", "# default"),
    ] {
        let found = printed.lines().find(|printed| printed.starts_with(line));
        assert!(
            found.is_some_and(|found| found.ends_with(origin)),
            "{line}: {printed}"
        );
    }
    let table = world.server(&["config", "get"]).ok();
    assert!(
        table.contains("log-level") && table.contains("version 1"),
        "{table}"
    );
}
