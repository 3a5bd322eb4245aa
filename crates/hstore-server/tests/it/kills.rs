//! Processes that die at any moment: the leader under load, all nodes at once. A journal of
//! acknowledged writes is read back whole after every round.

use crate::harness::{Journal, Node, SOON, World, Writers, scan, until};

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
