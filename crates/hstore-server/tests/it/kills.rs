//! Processes that die at any moment: the leader under load, all nodes at once. A journal of
//! acknowledged writes is read back whole after every round.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hstore_client::{Client, ErrorCode, Expect, Read, Swap};
use hstore_core::id::Revision;

use crate::harness::{Journal, Node, SOON, World, Writers, scan, server_binary, until};

/// Writers that keep the cluster busy.
const WRITERS: usize = 4;
/// Acknowledged writes that a round waits for, before and after the kill.
const WRITES_A_ROUND: u64 = 60;

/// How many rounds: 50 by default, `HSTORE_ROUNDS` says otherwise.
fn rounds() -> usize {
    std::env::var("HSTORE_ROUNDS")
        .ok()
        .map_or(50, |text| text.parse().expect("HSTORE_ROUNDS is a number"))
}

#[test]
fn killed_leaders_and_killed_clusters_lose_no_acknowledged_write() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
    let journal = Journal::default();
    for round in 0..rounds() {
        let writers = Writers::start(&journal, &addresses, WRITERS);
        wait_for_writes(&writers, WRITES_A_ROUND, round);
        if round % 2 == 0 {
            let leader = leader(&nodes);
            nodes[leader].kill();
            // The others go on without it, under the same load.
            let before = writers.acknowledged();
            wait_for_writes(&writers, before + WRITES_A_ROUND, round);
            writers.stop();
            resume(&world, &mut nodes, &[leader]);
        } else {
            for node in &mut nodes {
                node.kill();
            }
            writers.stop();
            resume(&world, &mut nodes, &[0, 1, 2]);
        }
        nodes[0].settled(3);
        for node in &nodes {
            let whose = format!("{} in round {round}", node.name);
            let pairs = scan_with_patience(&node.address());
            journal.check(&pairs, &whose);
        }
    }
    assert!(journal.len() as u64 >= WRITES_A_ROUND * rounds() as u64);
}

/// A leader that was elected a moment ago may not answer the first read; it must answer soon.
fn scan_with_patience(address: &str) -> std::collections::BTreeMap<bytes::Bytes, bytes::Bytes> {
    until("a linearizable read of everything", SOON, || {
        crate::harness::Kv::connect(address).scan(b"").ok()
    })
}

fn wait_for_writes(writers: &Writers, count: u64, round: usize) {
    until(
        &format!("{count} acknowledged writes in round {round}"),
        SOON,
        || (writers.acknowledged() >= count).then_some(()),
    );
}

fn leader(nodes: &[Node]) -> usize {
    until("a node that leads", SOON, || {
        nodes.iter().position(Node::leads)
    })
}

/// Starts nodes again from their data folders, where they were.
fn resume(world: &World, nodes: &mut [Node], which: &[usize]) {
    // All at once, since none of several is ready before a majority is there.
    let started: Vec<_> = which
        .iter()
        .map(|at| {
            let (name, address) = (nodes[*at].name.clone(), nodes[*at].address());
            let peer = nodes[*at].record().peer_address.clone();
            let more = ["--listen", &address, "--peer-listen", &peer];
            (*at, Node::start(world, &name, &["start"], &more))
        })
        .collect();
    for (at, node) in started {
        nodes[at] = node.ready();
    }
}

#[test]
fn a_killed_single_node_keeps_what_it_acknowledged() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    let journal = Journal::default();
    for _ in 0..3 {
        let writers = Writers::start(&journal, &[node.address()], WRITERS);
        wait_for_writes(&writers, WRITES_A_ROUND, 0);
        node.kill();
        writers.stop();
        let address = node.address();
        node = world.start("n1", &["--listen", &address]);
        journal.check(&scan(&node.address(), b""), "n1");
    }
}

/// Each start after a crash begins a segment of the log, and the node holds all of them open.
#[test]
fn crashes_are_not_limited_by_the_few_open_files_that_a_process_begins_with() {
    let world = World::new();
    let mut command = world.command("sh");
    let limited = "ulimit -Sn 64 && exec \"$0\" \"$@\"";
    command.args(["-c", limited]).arg(server_binary());
    let node = Node::start_with(&world, "n1", command, &world.data("n1"), &["start"], &[]);
    let node = node.ready();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.record().pid)).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "all that the system allows: {limits}");
}

#[test]
fn a_graceful_stop_of_the_leader_is_no_outage() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let leader = leader(&nodes);
    let others: Vec<_> = (0..3)
        .filter(|n| *n != leader)
        .map(|n| nodes[n].address())
        .collect();
    let journal = Journal::default();
    let writers = Writers::start(&journal, &others, WRITERS);
    wait_for_writes(&writers, WRITES_A_ROUND, 0);
    nodes[leader].stop();
    let before = writers.acknowledged();
    wait_for_writes(&writers, before + WRITES_A_ROUND, 0);
    writers.stop();
    for address in &others {
        journal.check(&scan(address, b""), address);
    }
}

#[test]
fn a_write_that_is_tried_again_while_leaders_die_is_applied_once() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let counters: Vec<_> = (0..3)
        .map(|n| {
            let (addresses, stop) = (addresses.clone(), Arc::clone(&stop));
            std::thread::spawn(move || count_up(n, &addresses, &stop))
        })
        .collect();
    for _ in 0..4 {
        let leader = leader(&nodes);
        nodes[leader].kill();
        resume(&world, &mut nodes, &[leader]);
        nodes[0].settled(3);
    }
    stop.store(true, Ordering::SeqCst);
    let mut done = 0;
    let mut unknown = 0;
    for counter in counters {
        let (own, lost) = counter.join().expect("a counter does not panic");
        done += own;
        unknown += lost;
    }
    let found = nodes[0]
        .kv()
        .get("counter")
        .unwrap()
        .expect("it was counted");
    let found: u64 = std::str::from_utf8(&found).unwrap().parse().unwrap();
    assert!(
        (done..=done + unknown).contains(&found),
        "{done} swaps were done, {unknown} may have been, but the counter says {found}"
    );
}

/// Adds one to a shared counter by compare and swap, over and over, with hstore's own client;
/// answers how many swaps were done, and of how many that is not known.
fn count_up(number: usize, addresses: &[String], stop: &AtomicBool) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = Client::connect(addresses)
            .unwrap()
            .with_timeout(SOON)
            .patient();
        client.start_at(number);
        let (mut done, mut unknown) = (0, 0);
        while !stop.load(Ordering::SeqCst) {
            let now = match client.get("counter", Read::default()).await {
                Ok(answer) => answer.value,
                Err(_) => continue,
            };
            let (revision, value) = now.map_or((Revision(0), 0), |pair| {
                let text = std::str::from_utf8(&pair.value).unwrap().to_owned();
                (pair.mod_revision, text.parse::<u64>().unwrap())
            });
            let expect = Expect::Revision(revision);
            let new = (value + 1).to_string();
            match client.swap("counter", expect, new).await {
                Ok(answer) if answer.value == Swap::Done => done += 1,
                Ok(_lost) => {}
                Err(error) if error.code() == ErrorCode::OutcomeUnknown => unknown += 1,
                Err(_refused) => {}
            }
        }
        (done, unknown)
    })
}
