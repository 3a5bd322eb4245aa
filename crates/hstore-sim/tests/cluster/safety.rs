//! Bad days: nothing that was acknowledged is lost, and nobody says what it cannot know.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::key::KeyRange;
use hstore_core::range::Range;
use hstore_node::{Consistency, NodeError};
use tokio::time::{Instant, sleep};

use hstore_sim::world::{
    PATIENCE, World, ended, everything, put, run, soon, until, write, write_by,
};

/// Writes until it is told to stop; what was acknowledged, and what may have been written.
async fn load(
    world: &World,
    writer: usize,
    count: usize,
) -> (BTreeMap<Bytes, Bytes>, Vec<NodeError>) {
    let mut acknowledged = BTreeMap::new();
    let mut errors = Vec::new();
    for n in 0..count {
        let running = world.running();
        let node = &running[(writer + n) % running.len()];
        let (key, value) = (format!("w{writer}-{n}"), format!("v{n}"));
        let deadline = Instant::now() + Duration::from_secs(5);
        match write_by(node, &key, &value, deadline).await {
            Ok(_revision) => {
                acknowledged.insert(Bytes::from(key), Bytes::from(value));
            }
            Err(error) => errors.push(error),
        }
    }
    (acknowledged, errors)
}

#[test]
fn no_acknowledged_write_is_lost_when_the_leader_loses_its_power() {
    for seed in 10..16 {
        run(seed, async |world| {
            world.cluster(3).await;
            let mut acknowledged = BTreeMap::new();
            for _round in 0..3 {
                let (more, _errors) = load(&world, 0, 20).await;
                acknowledged.extend(more);
                let leader = world.led().await;
                // Writes are on their way when the power fails.
                let node = world.node(leader).unwrap();
                let on_the_way = tokio::spawn(async move {
                    let deadline = Instant::now() + Duration::from_secs(1);
                    write_by(&node, "late", "x", deadline).await
                });
                sleep(Duration::from_micros(world.draw() % 3000)).await;
                world.crash(leader).await;
                let late = on_the_way.await.unwrap();
                world.led().await;
                let (more, _errors) = load(&world, 1, 20).await;
                assert!(!more.is_empty(), "the majority goes on");
                acknowledged.extend(more);
                if late.is_ok() {
                    acknowledged.insert(Bytes::from_static(b"late"), Bytes::from_static(b"x"));
                }
                world.start(leader).await;
                world.settle().await;
                world.check(&acknowledged).await;
            }
        });
    }
}

#[test]
fn no_acknowledged_write_is_lost_when_all_nodes_lose_their_power_at_once() {
    for seed in 20..24 {
        run(seed, async |world| {
            world.cluster(3).await;
            let mut acknowledged = BTreeMap::new();
            for _round in 0..3 {
                let (more, _errors) = load(&world, 0, 30).await;
                acknowledged.extend(more);
                for at in 0..3 {
                    world.crash(at).await;
                }
                for at in 0..3 {
                    world.start(at).await;
                }
                world.led().await;
                world.settle().await;
                world.check(&acknowledged).await;
            }
        });
    }
}

#[test]
fn nothing_is_lost_while_connections_break_all_the_time() {
    run(30, async |world| {
        world.cluster(3).await;
        world.net.break_connections(20_000);
        let (one, two) = futures::future::join(load(&world, 0, 100), load(&world, 1, 100)).await;
        world.net.break_connections(0);
        assert!(one.0.len() + two.0.len() > 100, "most writes came through");
        world.settle().await;
        world.check(&one.0).await;
        world.check(&two.0).await;
    });
}

#[test]
fn a_minority_refuses_to_write_and_says_that_nothing_was_written() {
    for leader_stays in [true, false] {
        run(31, async |world| {
            let nodes = world.cluster(3).await;
            let leader = world.led().await;
            let alone = if leader_stays {
                leader
            } else {
                (leader + 1) % 3
            };
            let address = world.address(alone);
            let others: Vec<String> = world
                .addresses()
                .into_iter()
                .filter(|other| *other != address)
                .collect();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            world.net.cut(&address, &others);
            until("the node noticed", || {
                (!nodes[alone].status().standing.quorum).then_some(())
            })
            .await;
            let deadline = Instant::now() + Duration::from_secs(2);
            let refused = write_by(&nodes[alone], "k", "lost", deadline).await;
            assert_eq!(refused, Err(NodeError::NoQuorum));
            assert!(Instant::now() <= deadline + Duration::from_millis(100));
            let read = nodes[alone].range(
                &Author::Node,
                Range::of(KeyRange::all()),
                Consistency::Linearizable,
                Instant::now() + Duration::from_secs(1),
            );
            assert!(read.await.is_err());
            // The others go on, and the one comes back without a quarrel.
            let majority = &nodes[(alone + 1) % 3];
            write(majority, "k", "kept").await.unwrap();
            let term = majority.status().standing.term;
            world.net.heal();
            world.settle().await;
            assert_eq!(
                majority.status().standing.term,
                term,
                "the return cost an election"
            );
            let expected =
                BTreeMap::from([(Bytes::from_static(b"k"), Bytes::from_static(b"kept"))]);
            world.check(&expected).await;
        });
    }
}

#[test]
fn a_follower_behind_the_purged_log_gets_a_snapshot() {
    run(32, async |world| {
        world.set(|config| {
            config.snapshot_log_bytes_min = 32 * 1024;
            config.log_keep_entries_max = 8;
            config.log_keep_bytes_max = 4 * 1024;
        });
        let nodes = world.cluster(3).await;
        let behind = (world.led().await + 1) % 3;
        world.crash(behind).await;
        let node = &nodes[(behind + 1) % 3];
        let value = "x".repeat(2000);
        let mut expected = BTreeMap::new();
        for n in 0..100 {
            let key = format!("k{n}");
            write(node, &key, &value).await.unwrap();
            expected.insert(Bytes::from(key), Bytes::from(value.clone()));
        }
        until("the log was purged", || {
            world
                .running()
                .iter()
                .all(|node| node.status().purged.is_some())
                .then_some(())
        })
        .await;
        let back = world.start(behind).await;
        world.settle().await;
        assert!(back.status().snapshot.is_some(), "it took a snapshot in");
        world.check(&expected).await;
        // And it survives what it took in.
        world.crash(behind).await;
        world.start(behind).await;
        world.settle().await;
        world.check(&expected).await;
    });
}

#[test]
fn a_killed_process_finds_its_store_as_it_was() {
    run(33, async |world| {
        let node = world.found().await;
        for n in 0..50 {
            write(&node, &format!("k{n}"), "v").await.unwrap();
        }
        sleep(PATIENCE).await;
        world.kill(0).await;
        let node = world.start(0).await;
        world.led().await;
        assert_eq!(everything(&node).await.len(), 50);
    });
}

#[test]
fn a_disk_that_fails_to_sync_stops_the_node_and_not_the_cluster() {
    use hstore_storage::disk::memory::{Fault, Operation};
    for (fault, code) in [
        (Fault::Broken, hstore_core::error::ErrorCode::DiskFailed),
        (Fault::Full, hstore_core::error::ErrorCode::DiskFull),
    ] {
        run(34, async |world| {
            let nodes = world.cluster(3).await;
            let leader = world.led().await;
            world.disk(leader).fail(Operation::Sync, 1, fault);
            let deadline = Instant::now() + Duration::from_secs(2);
            let result = write_by(&nodes[leader], "k", "v", deadline).await;
            let reason = ended(&nodes[leader]).await;
            assert_eq!(reason.code(), code);
            assert_ne!(
                result.err(),
                Some(NodeError::NoQuorum),
                "what was handed on may be applied"
            );
            let after = nodes[leader].range(
                &Author::Node,
                Range::of(KeyRange::all()),
                Consistency::Serializable,
                soon(),
            );
            assert_eq!(after.await.unwrap_err().code(), code, "no further answer");
            world.crash(leader).await;
            write(&nodes[(leader + 1) % 3], "k", "w").await.unwrap();
            world.start(leader).await;
            world.settle().await;
        });
    }
}

#[test]
fn a_leader_that_was_cut_off_never_answers_a_stale_read() {
    let mut answered_late = 0;
    for seed in 50..60 {
        run(seed, async |world| {
            let nodes = world.cluster(3).await;
            write(&nodes[0], "k", "old").await.unwrap();
            let old = world.led().await;
            let followers = [(old + 1) % 3, (old + 2) % 3];
            let cut_off = world.address(old);
            let others = followers.map(|at| world.address(at));
            // Followers that restart forget that they promised the leader to wait.
            for at in followers {
                world.crash(at).await;
            }
            world.net.cut(&cut_off, &[&others[0], &others[1]]);
            let mut majority = Vec::new();
            for at in followers {
                majority.push(world.start(at).await);
            }
            let writing = async {
                loop {
                    let deadline = Instant::now() + Duration::from_millis(300);
                    if write_by(&majority[0], "k", "new", deadline).await.is_ok() {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, writing).await.unwrap();
            for _ in 0..100 {
                let read = nodes[old].range(
                    &Author::Node,
                    Range::of(KeyRange::all()),
                    Consistency::Linearizable,
                    Instant::now() + Duration::from_millis(20),
                );
                if let Ok((_header, result)) = read.await {
                    let value = &result.unwrap().records[0].value;
                    assert_eq!(
                        value,
                        &Bytes::from_static(b"new"),
                        "seed {seed}: a stale read"
                    );
                    answered_late += 1;
                }
            }
            world.net.heal();
            world.settle().await;
        });
    }
    assert_eq!(answered_late, 0, "nobody could have confirmed these reads");
}

#[test]
fn a_repeated_request_is_applied_once_whatever_becomes_of_the_leader() {
    use hstore_core::command::RequestId;
    use hstore_core::outcome::Outcome;
    for seed in 60..68 {
        run(seed, async |world| {
            let nodes = world.cluster(3).await;
            let leader = world.led().await;
            let through = nodes[(leader + 1) % 3].clone();
            let born = through.status().applied.unwrap().index;
            let requests: Vec<_> = (1..=20)
                .map(|sequence| {
                    let through = through.clone();
                    tokio::spawn(async move {
                        let request = RequestId {
                            client: 9,
                            sequence,
                            answered_below: 1,
                            born,
                        };
                        let proposal = put(&format!("k{sequence}"), "v", Some(request));
                        through.propose(proposal, soon()).await
                    })
                })
                .collect();
            sleep(Duration::from_micros(world.draw() % 8000)).await;
            world.crash(leader).await;
            for request in requests {
                // It carries a request id, so the node goes on until it knows.
                let (_header, Outcome { result, .. }) = request.await.unwrap().unwrap();
                assert!(result.is_ok(), "{result:?}");
            }
            let read = through.range(
                &Author::Node,
                Range::of(KeyRange::all()),
                Consistency::Linearizable,
                soon(),
            );
            let records = read.await.unwrap().1.unwrap().records;
            assert_eq!(records.len(), 20);
            for record in records {
                assert_eq!(record.meta.version, 1, "seed {seed}: {:?}", record.key);
            }
        });
    }
}

#[test]
fn a_process_that_stands_still_fires_no_timer_and_wakes_up_late() {
    for seed in 90..94 {
        run(seed, async |world| {
            let nodes = world.cluster(3).await;
            let leader = world.led().await;
            let at = (leader + usize::from(seed % 2 == 0)) % 3;
            let life = world.life(at);
            let mut standing = nodes[at].standing();
            let before = standing.borrow_and_update().clone();
            world.pause(at);
            // Long enough for ten elections; a leader that runs would step down, a follower stand.
            sleep(Duration::from_secs(10)).await;
            assert!(!standing.has_changed().unwrap(), "it did something");
            assert_eq!(*standing.borrow(), before);
            let others = world.running_at().into_iter().filter(|other| *other != at);
            for other in others {
                write(&nodes[other], "k", &other.to_string()).await.unwrap();
            }
            world.resume(at, life);
            world.settle().await;
            write(&nodes[at], "k", "again").await.unwrap();
        });
    }
}
