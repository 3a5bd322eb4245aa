//! What a person does with nodes: start, join, list, stop, kill, restart, remove.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::{Kv, Node, SOON, World, members, ports, scan, status, until};

fn list(world: &World, more: &[&str]) -> serde_json::Value {
    let mut line = vec!["--output", "json", "list"];
    line.extend(more);
    let out = world.server(&line).ok();
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// The rows of a list, wherever the object holds them.
fn rows(list: &serde_json::Value) -> Vec<serde_json::Value> {
    match list {
        serde_json::Value::Array(items) => items.iter().flat_map(rows).collect(),
        serde_json::Value::Object(fields) if fields.contains_key("health") => vec![list.clone()],
        serde_json::Value::Object(fields) => fields.values().flat_map(rows).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn start_join_join_makes_three_voters_and_list_shows_them() {
    let world = World::new();
    let first = Node::start(&world, "n1", &["start"], &[]).ready();
    // Without a host: the running cluster of this machine is found.
    let second = Node::start(&world, "n2", &["join"], &[]).ready();
    let third = Node::start(&world, "n3", &["join"], &[]).ready();
    first.settled(3);
    for node in [&first, &second, &third] {
        let key = format!("by {}", node.name);
        node.kv()
            .put(key.clone(), "1")
            .expect("every node takes writes");
        for other in [&first, &second, &third] {
            assert_eq!(
                other.kv().get(&key).unwrap(),
                Some(Bytes::from_static(b"1"))
            );
        }
    }
    let block = first.talk();
    for words in ["(new)", "hstore-cli", "hstore-server join", "cluster id"] {
        assert!(block.contains(words), "the block says {words}: {block}");
    }
    let table = world.server(&["list"]).ok();
    for words in ["n1", "n2", "n3", "leader", "follower"] {
        assert!(table.contains(words), "{table}");
    }
    let address = third.address();
    let listed = rows(&list(&world, &["--host", &address]));
    assert_eq!(listed.len(), 3, "{listed:?}");
}

#[test]
fn a_stopped_and_a_killed_node_are_rows_and_come_back() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    nodes[0].kv().put("a", "1").expect("a write");
    world.server(&["stop", "n2"]).ok();
    let (code, talk) = nodes[1].end();
    assert_eq!(code, 0, "{talk}");
    world.server(&["kill", "n3"]).ok();
    nodes[2].end();
    let address = nodes[0].address();
    let table = world.server(&["list", "--host", &address]).ok();
    for words in ["n1", "n2", "n3"] {
        assert!(
            table.contains(words),
            "members that do not answer are rows: {table}"
        );
    }
    let rows = nodes[0].members().expect("n1 answers");
    assert_eq!(rows.iter().filter(|row| row.reachable).count(), 1);
    // Both come back by name, from what they recorded.
    for name in ["n2", "n3"] {
        let data = world.data(name);
        let mut back = Node::start(&world, name, &["start"], &[]).ready();
        assert_eq!(back.data, data);
        assert!(back.talk().contains("(resumed)"), "{}", back.talk());
        std::mem::swap(&mut nodes[if name == "n2" { 1 } else { 2 }], &mut back);
    }
    nodes[0].settled(3);
    assert_eq!(
        nodes[2].kv().get("a").unwrap(),
        Some(Bytes::from_static(b"1"))
    );
}

#[test]
fn restart_starts_a_running_and_a_stopped_node_with_their_settings() {
    let world = World::new();
    let _guard = Detached { world: &world };
    let (client, peer) = ports::of(&world.path("hstore-data/n1"));
    let line = format!(
        "start --name n1 --cache-bytes 8MiB --detach --listen 127.0.0.1:{client} \
         --peer-listen 127.0.0.1:{peer}"
    );
    let detached: Vec<&str> = line.split_whitespace().collect();
    let block = world.server(&detached).ok();
    assert!(block.contains("cluster id"), "{block}");
    let first = world.running().pop().expect("it runs in the background");
    let log = first.data.join("server.log");
    assert!(log.exists(), "its log goes to {}", log.display());
    let address = first.client_address.clone();
    let mut kv = Kv::connect(&address);
    kv.put("a", "1").expect("a write");
    let uptime = |address: &str| {
        let process = status(address)?.process?;
        Some(process.uptime_ms)
    };
    until("it has run for a while", SOON, || {
        (uptime(&address)? > 300).then_some(())
    });
    let before = uptime(&address).expect("it runs");

    world.server(&["restart", "n1"]).ok();
    assert!(uptime(&address).expect("it runs again") < before);
    let mut kv = Kv::connect(&address);
    assert_eq!(kv.get("a").unwrap(), Some(Bytes::from_static(b"1")));

    world.server(&["stop", "n1"]).ok();
    assert!(world.running().is_empty());
    world.server(&["restart", "n1"]).ok();
    let again = world.running().pop().expect("it runs again");
    assert_eq!(again.client_address, address, "where clients know it");
    let store = status(&address).and_then(|status| status.store);
    let capacity = store
        .expect("it says what its store holds")
        .cache_capacity_bytes;
    assert_eq!(
        capacity,
        8 << 20,
        "its settings are those of its last start"
    );
    let mut kv = Kv::connect(&address);
    assert_eq!(kv.get("a").unwrap(), Some(Bytes::from_static(b"1")));
}

/// Kills what runs in the background when the case ends, however it ends.
struct Detached<'a> {
    world: &'a World,
}

impl Drop for Detached<'_> {
    fn drop(&mut self) {
        for node in self.world.running() {
            let pid = i32::try_from(node.pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

#[test]
fn nodes_without_a_flag_pick_names_folders_and_ports_also_at_once() {
    let world = World::new();
    let _guard = Detached { world: &world };
    world.server(&["start", "--detach"]).ok();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| world.server(&["join", "--detach"]).ok());
        }
    });
    let running = world.running();
    let mut names: Vec<_> = running.iter().map(|node| node.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for node in &running {
        let data = world.path(&format!("hstore-data/{}", node.name));
        assert_eq!(node.data, data);
    }
    let table = world.server(&["list"]).ok();
    assert_eq!(table.matches("follower").count(), 2, "{table}");
    // A second cluster beside the first one has to be said.
    let done = world.server(&["start", "--detach"]);
    done.failed(4, "conflict").says("--cluster");
    let done = world.server(&["start", "--detach", "--cluster", "other"]);
    assert_eq!(done.code, 0, "{done:?}");
    let table = world.server(&["list"]).ok();
    assert!(table.contains("CLUSTER"), "{table}");
    world.server(&["stop", "--all"]).ok();
}

#[test]
fn a_node_whose_ports_were_taken_moves_and_its_cluster_finds_it() {
    let world = World::new();
    let _guard = Detached { world: &world };
    world.server(&["start", "--detach"]).ok();
    world.server(&["join", "--detach"]).ok();
    world.server(&["join", "--detach"]).ok();
    let former = world.running().into_iter().find(|node| node.name == "n3");
    let former = former.expect("n3 runs");
    world.server(&["stop", "n3"]).ok();
    // If this fails somebody else took it, which is as good.
    let _taken = std::net::TcpListener::bind(&former.peer_address);
    world.server(&["restart", "n3"]).ok();
    let moved = world.running().into_iter().find(|node| node.name == "n3");
    let moved = moved.expect("n3 runs again");
    assert_ne!(moved.peer_address, former.peer_address);
    let first = world.running().remove(0);
    until("the cluster knows where it is", SOON, || {
        let rows = members(&first.client_address)?;
        let row = rows.into_iter().find(|row| {
            let member = row.member.as_ref();
            member.is_some_and(|member| member.client_address == moved.client_address)
        })?;
        (row.reachable && row.voter && row.lag == 0).then_some(())
    });
    world.server(&["stop", "--all"]).ok();
}

#[test]
fn a_start_in_the_background_that_fails_says_why_and_ends_so() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let data = node.data.display().to_string();
    let done = world.server(&["start", "--detach", "--data", &data]);
    done.failed(4, "data_in_use").says("n1");
    let done = world.server(&["--output", "json", "start", "--detach", "--data", &data]);
    let error: serde_json::Value = serde_json::from_str(&done.talk).expect("an error as JSON");
    assert_eq!(error["error"]["code"], "data_in_use");
}

#[test]
fn two_clusters_on_one_machine_ask_for_a_name() {
    let world = World::new();
    let one = world.start("n1", &["--cluster", "one"]);
    let two = world.start("m1", &["--cluster", "two"]);
    let data = world.data("n2").display().to_string();
    let done = world.server(&["join", "--name", "n2", "--data", &data]);
    done.failed(4, "several_clusters").says("--cluster");
    done.says("one").says("two");
    let _third = Node::start(&world, "n2", &["join"], &["--cluster", "two"]).ready();
    two.settled(2);
    assert_eq!(one.members().map(|rows| rows.len()), Some(1));
}

#[test]
fn join_through_any_node_and_through_seeds() {
    let world = World::new();
    let first = world.start("n1", &[]);
    let second = world.join("n2", &first, &[]);
    // n2 does not lead for certain only if n1 does; either way one of the two is a follower.
    let follower = if first.leads() { &second } else { &first };
    let _third = world.join("n3", follower, &[]);
    // A corner with another registry finds nobody by itself, but finds the seeds.
    let elsewhere = World::new();
    let seeds = format!("127.0.0.1:1,{}", second.address());
    let _fourth = Node::start(&elsewhere, "n4", &["join"], &["--seeds", &seeds]).ready();
    first.settled(4);
}

#[test]
fn removing_the_leader_and_shrinking_to_one_keeps_the_data() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    nodes[0].kv().put("a", "1").expect("a write");
    let leader = until("a leader", SOON, || nodes.iter().position(Node::leads));
    let stays: Vec<_> = (0..3).filter(|n| *n != leader).collect();
    let through = nodes[stays[0]].address();
    let name = nodes[leader].name.clone();
    world
        .server(&["remove", &name, "--host", &through, "--yes"])
        .ok();
    nodes[stays[0]].settled(2);
    let name = nodes[stays[1]].name.clone();
    world
        .server(&["remove", &name, "--host", &through, "--yes"])
        .ok();
    nodes[stays[0]].settled(1);
    let mut kv = nodes[stays[0]].kv();
    kv.put("b", "2").expect("one node is a majority of one");
    assert_eq!(kv.get("a").unwrap(), Some(Bytes::from_static(b"1")));
    let done = world.server(&["remove", "nobody", "--host", &through, "--yes"]);
    done.failed(3, "node_not_found");
}

#[test]
fn a_whole_cluster_stops_and_resumes_in_order() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let mut kv = nodes[1].kv();
    for n in 0..100 {
        kv.put(format!("k{n}"), format!("{n}")).expect("a write");
    }
    let before = scan(&nodes[1].address(), b"");
    let places: Vec<_> = nodes
        .iter()
        .map(|node| {
            (
                node.name.clone(),
                node.address(),
                node.record().peer_address.clone(),
            )
        })
        .collect();
    world.server(&["stop", "--all"]).ok();
    for node in &mut nodes {
        assert_eq!(node.end().0, 0);
    }
    drop(nodes);
    let started: Vec<_> = places
        .iter()
        .map(|(name, _, _)| Node::start(&world, name, &["start"], &[]))
        .collect();
    let nodes: Vec<_> = started.into_iter().map(Node::ready).collect();
    nodes[0].settled(3);
    for (node, (_, client, peer)) in nodes.iter().zip(&places) {
        assert_eq!(
            node.address(),
            *client,
            "a node stays where its clients know it"
        );
        assert_eq!(node.record().peer_address, *peer);
        assert_eq!(scan(&node.address(), b""), before);
    }
}

#[test]
fn a_second_signal_ends_a_stop_that_takes_long() {
    let world = World::new();
    let mut nodes = world.cluster(2, &["--stop-timeout", "60s"]);
    let mut gone = nodes.pop().expect("two nodes");
    gone.kill();
    // Alone of two it cannot hand anything over; two signals end it whatever it waits for.
    nodes[0].terminate();
    // Two signals that wait at the same time are one.
    until("it has the first signal", SOON, || {
        nodes[0]
            .talk()
            .contains("once more ends it now")
            .then_some(())
    });
    nodes[0].terminate();
    let begin = std::time::Instant::now();
    nodes[0].end();
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn settings_are_merged_key_by_key_and_say_where_they_come_from() {
    let world = World::new();
    let file = world.file(
        "settings.toml",
        b"cache-bytes = \"1MiB\"\nelection = \"700ms\"\n",
    );
    let file = file.display().to_string();
    let mut command = world.command(crate::harness::server_binary());
    command
        .args([
            "config",
            "print",
            "--origin",
            "--config",
            &file,
            "--max-txn-ops",
            "64",
        ])
        .env("HSTORE_CACHE_BYTES", "2MiB");
    let out = world.finish(&mut command).ok();
    for (key, value) in [
        ("cache-bytes", "2MiB"),
        ("election", "700ms"),
        ("max-txn-ops", "64"),
        ("heartbeat", "100ms"),
    ] {
        let line = out.lines().find(|line| line.trim_start().starts_with(key));
        assert!(
            line.is_some_and(|line| line.contains(value)),
            "{key}: {out}"
        );
    }
    world.server(&["config", "check", "--config", &file]).ok();
}
