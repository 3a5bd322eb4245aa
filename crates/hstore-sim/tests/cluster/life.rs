//! A healthy cluster: founding, growing, writing and reading through every node.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::RequestId;
use hstore_core::id::LogIndex;
use hstore_core::key::KeyRange;
use hstore_core::range::Range;
use hstore_node::{Consistency, NodeError, Role};
use tokio::time::{Instant, sleep};

use hstore_sim::world::{PATIENCE, World, ended, everything, put, run, soon, until, write};

#[test]
fn a_lone_node_founds_a_cluster_and_takes_writes() {
    run(1, async |world| {
        let node = world.found().await;
        let revision = write(&node, "a", "1").await.unwrap();
        assert_eq!(revision.0, 2);
        let found = everything(&node).await;
        assert_eq!(found.get("a".as_bytes()), Some(&Bytes::from_static(b"1")));
        let status = node.status();
        assert_eq!(status.standing.role, Role::Leader);
        assert_eq!(status.standing.membership.members.len(), 1);
    });
}

#[test]
fn three_nodes_take_writes_through_each_and_end_up_equal() {
    run(2, async |world| {
        let nodes = world.cluster(3).await;
        let mut expected = BTreeMap::new();
        for round in 0..20 {
            for (at, node) in nodes.iter().enumerate() {
                let (key, value) = (format!("k{round}-{at}"), format!("v{round}"));
                write(node, &key, &value).await.unwrap();
                expected.insert(Bytes::from(key), Bytes::from(value));
            }
        }
        world.check(&expected).await;
        world.settle().await;
        let rows = nodes[1].cluster(soon()).await;
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|row| row.voter && row.answer.is_some()));
    });
}

#[test]
fn writes_that_come_together_travel_together() {
    run(3, async |world| {
        let nodes = world.cluster(3).await;
        let follower = (world.led().await + 1) % 3;
        let before = nodes[follower].status().last.unwrap();
        let writes = (0..500).map(|n| {
            let node = nodes[follower].clone();
            async move { write(&node, &format!("k{n}"), "v").await.unwrap() }
        });
        let revisions = futures::future::join_all(writes).await;
        let distinct: std::collections::BTreeSet<_> = revisions.into_iter().collect();
        assert_eq!(distinct.len(), 500, "every write has a revision of its own");
        world.settle().await;
        let entries = nodes[follower].status().last.unwrap().0 - before.0;
        assert!(entries < 50, "500 writes took {entries} entries");
    });
}

#[test]
fn a_read_sees_every_write_that_was_answered_before_it() {
    run(4, async |world| {
        let nodes = world.cluster(3).await;
        for round in 0..50 {
            let value = round.to_string();
            write(&nodes[round % 3], "k", &value).await.unwrap();
            for node in &nodes {
                let found = everything(node).await;
                assert_eq!(found.get("k".as_bytes()), Some(&Bytes::from(value.clone())));
            }
        }
    });
}

#[test]
fn a_request_that_is_repeated_through_another_node_is_applied_once() {
    run(5, async |world| {
        let nodes = world.cluster(3).await;
        let request = RequestId {
            client: 7,
            sequence: 1,
            answered_below: 1,
            born: LogIndex(nodes[0].status().applied.unwrap().index.0),
        };
        let first = nodes[0].propose(put("k", "once", Some(request)), soon());
        let (_header, first) = first.await.unwrap();
        write(&nodes[1], "k", "later").await.unwrap();
        let again = nodes[2].propose(put("k", "once", Some(request)), soon());
        let (_header, again) = again.await.unwrap();
        assert_eq!(again.result, first.result);
        let found = everything(&nodes[0]).await;
        let value = found.get("k".as_bytes()).unwrap();
        assert_eq!(
            value,
            &Bytes::from_static(b"later"),
            "the repetition wrote nothing"
        );
    });
}

#[test]
fn leadership_is_handed_to_whom_it_is_meant_for() {
    run(6, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let next = (leader + 1) % 3;
        let to = world.id(next);
        // Asked of a node that neither leads nor will.
        let handed = nodes[(leader + 2) % 3]
            .transfer_leader(Some(to), soon())
            .await;
        assert_eq!(handed, Ok(to));
        write(&nodes[leader], "k", "v").await.unwrap();
        let nobody = nodes[leader].transfer_leader(Some(hstore_core::id::NodeId(99)), soon());
        assert!(nobody.await.is_err());
    });
}

#[test]
fn a_leader_that_stops_wastes_no_time_on_voters_that_are_gone() {
    run(70, async |world| {
        world.cluster(3).await;
        // One follower goes, then the leader, which has to find the other one.
        let leader = world.led().await;
        for at in [(leader + 1) % 3, leader, (leader + 2) % 3] {
            stop_at_once(&world, at).await;
        }
        for at in 0..3 {
            world.start(at).await;
        }
        // Both followers go, then the leader, which finds nobody.
        let leader = world.led().await;
        world.settle().await;
        for at in [(leader + 1) % 3, (leader + 2) % 3, leader] {
            stop_at_once(&world, at).await;
        }
    });
}

/// Stops a node in order, which must take less than any election does.
async fn stop_at_once(world: &World, at: usize) {
    let began = Instant::now();
    let node = world.node(at).unwrap();
    node.stop(began + Duration::from_secs(10)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_millis(400), "{at} took {took:?}");
    world.kill_now(at);
}

#[test]
fn a_leader_that_stops_hands_over_and_its_data_is_whole_when_it_starts_again() {
    run(7, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        write(&nodes[leader], "k", "v").await.unwrap();
        let began = Instant::now();
        nodes[leader].stop(soon()).await;
        assert_eq!(
            ended(&nodes[leader]).await,
            hstore_node::StopReason::Requested
        );
        let refused = write(&nodes[leader], "k", "w").await;
        assert_eq!(refused, Err(NodeError::ShuttingDown));
        let other = &nodes[(leader + 1) % 3];
        write(other, "k", "w").await.unwrap();
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "no election was waited for, and nobody waited to hear of the new leader"
        );
        world.leave(leader);
        let back = world.start(leader).await;
        until("the node caught up", || {
            let applied = back.status().applied;
            (applied.is_some() && applied == other.status().applied).then_some(())
        })
        .await;
        world.settle().await;
    });
}

#[test]
fn a_serializable_read_needs_nobody() {
    run(8, async |world| {
        let nodes = world.cluster(3).await;
        write(&nodes[0], "k", "v").await.unwrap();
        world.settle().await;
        let leader = world.led().await;
        let alone = (leader + 1) % 3;
        for at in 0..3 {
            if at != alone {
                world.crash(at).await;
            }
        }
        let range = || Range::of(KeyRange::One(Bytes::from_static(b"k")));
        let read = nodes[alone].range(&Author::Node, range(), Consistency::Serializable, soon());
        let (_header, result) = read.await.unwrap();
        assert_eq!(result.unwrap().records.len(), 1);
        let deadline = Instant::now() + PATIENCE / 10;
        let read = nodes[alone].range(&Author::Node, range(), Consistency::Linearizable, deadline);
        let refused = read.await.unwrap_err();
        assert!(matches!(refused, NodeError::NoQuorum | NodeError::Timeout));
    });
}

#[test]
fn a_peer_that_is_down_is_dialled_now_and_then() {
    run(9, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let down = (leader + 1) % 3;
        world.crash(down).await;
        let address = world.address(down);
        let before = world.net.dials(&address);
        // There is always something that the peer does not have.
        for count in 0..100 {
            write(&nodes[leader], "k", &count.to_string())
                .await
                .unwrap();
            sleep(Duration::from_millis(100)).await;
        }
        let dials = world.net.dials(&address) - before;
        assert!(dials > 0, "it may come back");
        // Heartbeats ask ten times a second, appends try again five times a second.
        assert!(dials < 300, "{dials} dials in ten seconds");
    });
}

#[test]
fn a_leader_whose_process_dies_is_followed_at_once() {
    run(10, async |world| {
        let nodes = world.cluster(5).await;
        for _ in 0..2 {
            let leader = world.led().await;
            world.kill(leader).await;
            let began = Instant::now();
            let alive = world.running().pop().unwrap();
            write(&alive, "k", "v").await.unwrap();
            let gap = began.elapsed();
            assert!(gap < Duration::from_millis(100), "no write for {gap:?}");
        }
        drop(nodes);
    });
}

#[test]
fn of_many_nodes_that_lose_their_leader_not_everybody_asks_everybody() {
    run(13, async |world| {
        let nodes = world.cluster(13).await;
        let leader = world.led().await;
        // Who has the smallest id goes last, so hardly anybody has a question for it.
        let last = usize::from(leader == 0);
        let address = world.addresses()[last].clone();
        let before = world.net.dials(&address);
        world.kill(leader).await;
        let began = Instant::now();
        write(&nodes[last], "k", "v").await.unwrap();
        let gap = began.elapsed();
        assert!(gap < Duration::from_millis(300), "no write for {gap:?}");
        let dials = world.net.dials(&address) - before;
        assert!(dials < 8, "{dials} of 11 others dialled one of them");
    });
}

#[test]
fn a_leader_that_one_node_alone_is_refused_by_stays_the_leader() {
    run(11, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let term = nodes[leader].status().standing.term;
        let addresses = world.addresses();
        let refused = (leader + 1) % 3;
        world.net.refuse(&addresses[refused], &addresses[leader]);
        for count in 0..20 {
            let through = [leader, (leader + 2) % 3][count % 2];
            write(&nodes[through], "k", "v").await.unwrap();
            sleep(Duration::from_millis(200)).await;
        }
        world.net.heal();
        world.settle().await;
        for node in &nodes {
            let standing = node.status().standing;
            assert_eq!(standing.term, term, "an election disturbed the leader");
        }
    });
}
