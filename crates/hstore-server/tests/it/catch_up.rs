//! Nodes that were away: behind the purged log, wiped, or interrupted while they joined.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::{Node, SOON, World, scan, until};

/// Makes a snapshot file due often.
const SMALL_LOG: [&str; 2] = ["--snapshot-log-bytes", "1MiB"];

#[test]
fn a_follower_behind_the_purged_log_catches_up_by_snapshot() {
    let world = World::new();
    let mut nodes = world.cluster(3, &SMALL_LOG);
    let mut away = nodes.pop().expect("three nodes");
    let before = away
        .status()
        .expect("it serves")
        .log
        .expect("it has a log")
        .last_index;
    away.kill();
    let value = Bytes::from(vec![b'v'; 1 << 20]);
    let mut kv = nodes[0].kv();
    let mut written = 0;
    until(
        "the log that the follower needs is purged on both others",
        Duration::from_mins(2),
        || {
            for _ in 0..20 {
                // Few enough keys that one answer of a scan holds them all.
                let key = format!("big/{:03}", written % 40);
                kv.put(key, value.clone()).expect("a write");
                written += 1;
            }
            let purged = |node: &Node| {
                let log = node.status().and_then(|status| status.log);
                log.is_some_and(|log| log.purged_index > before)
            };
            nodes.iter().all(purged).then_some(())
        },
    );
    kv.put("last", "word").expect("a write");
    let (client, peer) = (away.address(), away.record().peer_address.clone());
    let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
    let back = Node::start(&world, "n3", &["start"], &more).ready();
    until("the follower has applied what it missed", SOON, || {
        (back.kv().get_serializable("last").ok()? == Some(Bytes::from_static(b"word")))
            .then_some(())
    });
    nodes[0].settled(3);
    assert_eq!(scan(&back.address(), b""), scan(&nodes[0].address(), b""));
    same_state(&[&nodes[0], &nodes[1], &back]);
}

/// Waits until all nodes have applied the same index, and holds their state hashes together.
fn same_state(nodes: &[&Node]) {
    let hashes = until("all nodes stand at one applied index", SOON, || {
        let seen: Option<Vec<_>> = nodes
            .iter()
            .map(|node| {
                let status = node.status()?;
                Some((status.log?.applied_index, status.store?.state_hash))
            })
            .collect();
        let seen = seen?;
        seen.iter()
            .all(|(index, _)| *index == seen[0].0)
            .then_some(seen)
    });
    assert!(
        hashes.iter().all(|(_, hash)| *hash == hashes[0].1),
        "{hashes:?}"
    );
}

#[test]
fn a_wiped_node_comes_back_under_a_new_id() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    nodes[0].kv().put("a", "1").expect("a write");
    let old = nodes[2].record().node_id;
    let mut wiped = nodes.pop().expect("three nodes");
    wiped.kill();
    std::fs::remove_dir_all(&wiped.data).unwrap();
    let first = nodes[0].address();
    world
        .server(&["remove", "n3", "--host", &first, "--yes"])
        .ok();
    let back = world.join("n3", &nodes[0], &[]);
    nodes[0].settled(3);
    assert_ne!(back.record().node_id, old, "an id is never used twice");
    assert_eq!(back.kv().get("a").unwrap(), Some(Bytes::from_static(b"1")));
    // The new one counts: with it and one other, there is a majority.
    nodes[1].kill();
    until("writes with the new node and one other", SOON, || {
        back.kv().put("b", "2").ok()
    });
}

#[test]
fn a_removed_node_does_not_come_back_with_its_data() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let mut removed = nodes.pop().expect("three nodes");
    removed.kill();
    let first = nodes[0].address();
    world
        .server(&["remove", "n3", "--host", &first, "--yes"])
        .ok();
    let (client, peer) = (removed.address(), removed.record().peer_address.clone());
    let more = ["--listen", client.as_str(), "--peer-listen", peer.as_str()];
    let mut ghost = Node::start(&world, "n3", &["start"], &more);
    let (code, talk) = ghost.end();
    assert_eq!(code, 4, "{talk}");
    assert!(talk.contains("node_removed"), "{talk}");
    nodes[0]
        .kv()
        .put("a", "1")
        .expect("the others are not disturbed");
}

#[test]
fn an_interrupted_join_resumes() {
    let world = World::new();
    let first = world.start("n1", &[]);
    let mut kv = first.kv();
    for n in 0..50 {
        kv.put(format!("k{n}"), vec![b'v'; 256 << 10])
            .expect("a write");
    }
    let address = first.address();
    // Interrupted at several moments on the way in, the last run goes through.
    for pause_ms in [5, 40, 120, 300, 700] {
        let mut joining = Node::start(&world, "n2", &["join", &address], &[]);
        std::thread::sleep(Duration::from_millis(pause_ms));
        joining.kill();
    }
    let second = world.join("n2", &first, &[]);
    first.settled(2);
    assert_eq!(
        first.members().map(|rows| rows.len()),
        Some(2),
        "one member, not one for each try"
    );
    assert_eq!(scan(&second.address(), b""), scan(&address, b""));
}
