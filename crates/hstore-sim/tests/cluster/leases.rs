//! Leases end at their time, whoever leads.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{Command, GrantLease, Proposal, Put};
use hstore_core::outcome::{LeaseReply, Refusal, Reply};
use hstore_node::Node;
use tokio::time::{Instant, sleep, sleep_until};

use hstore_sim::world::{World, everything, run, soon, write};

/// How much later than at its time a lease may end: an election, and a little.
const LATE: Duration = Duration::from_secs(3);

async fn ask(node: &Node, command: Command) -> Result<Reply, Refusal> {
    let proposal = Proposal {
        request: None,
        author: Author::Nobody,
        command,
    };
    let (_header, outcome) = node.propose(proposal, soon()).await.unwrap();
    outcome.result
}

async fn grant(node: &Node, lease: i64, ttl: i64) {
    let granted = ask(node, Command::GrantLease(GrantLease { lease, ttl })).await;
    assert_eq!(granted, Ok(Reply::Lease(LeaseReply::Granted { ttl })));
}

async fn put(node: &Node, key: &'static str, lease: i64) {
    let put = Put {
        key: key.into(),
        value: Bytes::new(),
        lease,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    };
    ask(node, Command::Put(put)).await.unwrap();
}

async fn remaining(node: &Node, lease: i64) -> Option<Duration> {
    let (_header, found) = node
        .lease(&Author::Node, lease, false, soon())
        .await
        .unwrap();
    found.map(|lease| lease.remaining)
}

/// Waits until the keys are gone; when that was.
async fn gone(world: &World) -> Instant {
    loop {
        for node in world.running() {
            if everything(&node).await.is_empty() {
                return Instant::now();
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn keys_go_when_their_lease_ends_and_not_before() {
    run(40, async |world| {
        let nodes = world.cluster(3).await;
        let asked = Instant::now();
        grant(&nodes[1], 7, 10).await;
        put(&nodes[2], "a", 7).await;
        put(&nodes[0], "b", 7).await;
        let promised = asked + Duration::from_secs(10);
        let ended = gone(&world).await;
        assert!(ended >= promised, "{:?} too early", promised - ended);
        assert!(ended <= promised + LATE, "{:?} late", ended - promised);
        for node in &nodes {
            assert_eq!(remaining(node, 7).await, None);
        }
        let renewed = ask(&nodes[0], Command::RenewLease { lease: 7 }).await;
        assert_eq!(renewed, Err(Refusal::LeaseNotFound));
        world.settle().await;
    });
}

#[test]
fn a_lease_lives_as_long_as_it_is_renewed() {
    run(41, async |world| {
        let nodes = world.cluster(3).await;
        grant(&nodes[0], 7, 5).await;
        put(&nodes[0], "a", 7).await;
        let mut asked = Instant::now();
        for round in 0..20 {
            sleep(Duration::from_secs(3)).await;
            asked = Instant::now();
            let renewed = ask(&nodes[round % 3], Command::RenewLease { lease: 7 }).await;
            assert_eq!(renewed, Ok(Reply::Lease(LeaseReply::Renewed { ttl: 5 })));
            assert_eq!(everything(&nodes[0]).await.len(), 1);
        }
        let ended = gone(&world).await;
        assert!(ended >= asked + Duration::from_secs(5));
        assert!(ended <= asked + Duration::from_secs(5) + LATE);
    });
}

#[test]
fn what_is_left_of_a_lease_survives_every_change_of_the_leader() {
    for seed in 42..46 {
        run(seed, async |world| {
            world.cluster(3).await;
            let node = world.running()[0].clone();
            let asked = Instant::now();
            grant(&node, 7, 60).await;
            put(&node, "a", 7).await;
            for round in 1..=4 {
                sleep_until(asked + Duration::from_secs(10 * round)).await;
                let lost = world.led().await;
                if round % 2 == 0 {
                    world.kill(lost).await;
                } else {
                    world.crash(lost).await;
                }
                let leader = world.led().await;
                world.start(lost).await;
                let node = world.node(leader).unwrap();
                let left = remaining(&node, 7).await.unwrap();
                let passed = asked.elapsed();
                let total = left + passed;
                assert!(total >= Duration::from_mins(1), "{total:?}");
                assert!(total <= Duration::from_secs(62), "{total:?}");
            }
            let ended = gone(&world).await;
            assert!(ended >= asked + Duration::from_mins(1));
            assert!(ended <= asked + Duration::from_mins(1) + LATE);
        });
    }
}

#[test]
fn time_in_which_nobody_ran_is_not_counted_and_little_else_is_forgotten() {
    run(46, async |world| {
        world.cluster(3).await;
        let node = world.running()[0].clone();
        let asked = Instant::now();
        grant(&node, 7, 600).await;
        sleep(Duration::from_mins(5)).await;
        let ran = asked.elapsed();
        for at in 0..3 {
            world.crash(at).await;
        }
        sleep(Duration::from_mins(90)).await;
        for at in 0..3 {
            world.start(at).await;
        }
        let leader = world.led().await;
        let left = remaining(&world.node(leader).unwrap(), 7).await.unwrap();
        let should = Duration::from_mins(10).checked_sub(ran).unwrap();
        assert!(
            left >= should.saturating_sub(LATE),
            "{left:?} of {should:?}"
        );
        assert!(
            left <= should + Duration::from_secs(6),
            "{left:?} of {should:?}"
        );
    });
}

#[test]
fn thousands_of_leases_end_at_once_and_writes_go_on() {
    run(47, async |world| {
        let nodes = world.cluster(3).await;
        let grants = (1..=5000).map(|lease| grant(&nodes[0], lease, 10));
        futures::future::join_all(grants).await;
        let keys: Vec<&'static str> = (0..5000)
            .map(|n| &*Box::leak(format!("leased-{n}").into_boxed_str()))
            .collect();
        let puts = keys
            .iter()
            .zip(1..)
            .map(|(key, lease)| put(&nodes[1], key, lease));
        futures::future::join_all(puts).await;
        let mut longest = Duration::ZERO;
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            let asked = Instant::now();
            write(&nodes[2], "alive", "x").await.unwrap();
            longest = longest.max(asked.elapsed());
            sleep(Duration::from_millis(5)).await;
        }
        assert!(longest < Duration::from_millis(500), "{longest:?}");
        assert_eq!(everything(&nodes[1]).await.len(), 1);
        let (_header, left) = nodes[0].leases(&Author::Node, soon()).await.unwrap();
        assert_eq!(left, Vec::<i64>::new());
    });
}
