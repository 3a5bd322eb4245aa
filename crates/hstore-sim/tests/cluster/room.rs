//! A quota that clears by itself, alarms, and history that goes when it is old.

use std::time::Duration;

use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::command::{Command, Compact, Delete, Proposal};
use hstore_core::id::{NodeId, Revision};
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Refusal, Reply};
use hstore_node::{KeepHistory, Node};
use tokio::time::{Instant, sleep};

use hstore_sim::world::{World, everything, put, run, soon, until, within, write};

async fn ask(node: &Node, command: Command) -> Result<Reply, Refusal> {
    let request = None;
    let proposal = Proposal {
        request,
        author: Author::Node,
        command,
    };
    let (_header, outcome) = node.propose(proposal, soon()).await.unwrap();
    outcome.result
}

async fn try_write(node: &Node, key: &str, value: &str) -> Result<Reply, Refusal> {
    ask(node, put(key, value, None).command).await
}

/// A value that no compression makes small.
fn noise(world: &World) -> String {
    let words: Vec<String> = (0..64).map(|_| format!("{:016x}", world.draw())).collect();
    words.concat()
}

/// Alarms that a node knows of.
fn alarms(node: &Node) -> Vec<Alarm> {
    node.notices().alarms.clone()
}

#[test]
fn a_node_without_room_stops_writes_until_it_has_room_again() {
    run(70, async |world| {
        world.set(|config| config.quota_bytes = Some(300_000));
        let nodes = world.cluster(3).await;
        let mut refused = None;
        for n in 0..400 {
            let value = noise(&world);
            if let Err(refusal) = try_write(&nodes[0], &format!("k{n}"), &value).await {
                refused = Some(refusal);
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(refused, Some(Refusal::NoSpace));
        let raised = alarms(&nodes[0]);
        assert!(
            raised
                .iter()
                .all(|alarm| alarm.kind == AlarmKind::NoSpace && alarm.automatic)
        );
        assert!(!raised.is_empty());
        // Everything else goes on.
        assert!(!everything(&nodes[1]).await.is_empty());
        let all = Delete {
            keys: KeyRange::all(),
            prev_kv: false,
        };
        ask(&nodes[2], Command::Delete(all)).await.unwrap();
        let revision = nodes[2].status().store.revision;
        ask(&nodes[2], Command::Compact(Compact { revision }))
            .await
            .unwrap();
        within(Duration::from_mins(1), || {
            alarms(&nodes[0]).is_empty().then_some(())
        })
        .await
        .expect("the alarm is over when the room is back");
        write(&nodes[1], "k", "v").await.unwrap();
        world.settle().await;
    });
}

#[test]
fn what_a_person_raised_stays_through_restarts_until_a_person_clears_it() {
    run(71, async |world| {
        let nodes = world.cluster(3).await;
        let raised = Alarm {
            kind: AlarmKind::NoSpace,
            node: world.id(1),
            automatic: false,
        };
        let told = nodes[0]
            .change_alarm(&Author::Node, AlarmChange::Raise(raised), soon())
            .await;
        assert_eq!(told, Ok(vec![raised]));
        sleep(Duration::from_secs(10)).await;
        for at in 0..3 {
            world.crash(at).await;
            world.start(at).await;
        }
        world.led().await;
        let node = world.node(0).unwrap();
        node.caught_up(soon()).await.unwrap();
        assert_eq!(alarms(&node), [raised]);
        assert_eq!(try_write(&node, "k", "v").await, Err(Refusal::NoSpace));
        let (kind, id) = (raised.kind, raised.node);
        let clear = AlarmChange::Clear { kind, node: id };
        assert_eq!(
            node.change_alarm(&Author::Node, clear, soon()).await,
            Ok(vec![raised])
        );
        assert_eq!(
            node.change_alarm(&Author::Node, clear, soon()).await,
            Ok(vec![])
        );
        write(&node, "k", "v").await.unwrap();
        world.settle().await;
    });
}

#[test]
fn the_alarm_of_a_node_that_is_gone_goes_with_it() {
    run(72, async |world| {
        let nodes = world.cluster(1).await;
        let of_nobody = Alarm {
            kind: AlarmKind::NoSpace,
            node: NodeId(77),
            automatic: true,
        };
        nodes[0]
            .change_alarm(&Author::Node, AlarmChange::Raise(of_nobody), soon())
            .await
            .unwrap();
        until("the alarm goes", || {
            alarms(&nodes[0]).is_empty().then_some(())
        })
        .await;
    });
}

#[test]
fn history_beyond_a_count_goes_and_not_more() {
    run(73, async |world| {
        world.set(|config| {
            config.keep_history = KeepHistory {
                age: None,
                revisions: Some(20),
            };
        });
        let nodes = world.cluster(3).await;
        for n in 0..100 {
            let revision = write(&nodes[0], "k", &format!("{n}")).await.unwrap();
            for node in world.running() {
                let store = node.status().store;
                assert!(store.compacted.0 <= (revision.0 - 20).max(0), "{store:?}");
            }
            sleep(Duration::from_millis(200)).await;
        }
        let all_but = nodes[0].status().store.revision.0 - 20;
        until("what is beyond goes", || {
            (nodes[0].status().store.compacted == Revision(all_but)).then_some(())
        })
        .await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(nodes[0].status().store.compacted, Revision(all_but));
        world.settle().await;
    });
}

#[test]
fn history_goes_when_it_is_old_whoever_leads_and_never_before() {
    run(74, async |world| {
        const AGE: Duration = Duration::from_secs(20);
        world.set(|config| {
            config.keep_history = KeepHistory {
                age: Some(AGE),
                revisions: None,
            };
        });
        world.cluster(3).await;
        let mut written: Vec<(Instant, Revision)> = Vec::new();
        let mut compacted = Revision(0);
        for n in 0..120_u64 {
            let leader = world.led().await;
            if n % 25 == 24 {
                world.crash(leader).await;
                world.start(leader).await;
            }
            let node = world.node(world.led().await).unwrap();
            let asked = Instant::now();
            let Ok(revision) = write(&node, "k", &format!("{n}")).await else {
                continue;
            };
            written.push((asked, revision));
            compacted = compacted.max(node.status().store.compacted);
            let too_young = written.iter().find(|(at, revision)| {
                at.elapsed() + Duration::from_secs(1) < AGE && *revision < compacted
            });
            assert_eq!(too_young, None, "compacted {compacted}");
            sleep(Duration::from_secs(1)).await;
        }
        // What is old goes, however often the leader changed: at most by a few elections late.
        let old = written.iter().filter(|(at, _)| at.elapsed() > 3 * AGE);
        let old = old.map(|(_, revision)| *revision).max().unwrap();
        assert!(compacted >= old, "{compacted} keeps {old}");
        world.settle().await;
    });
}

#[test]
fn members_hash_alike_and_say_what_they_hashed() {
    run(75, async |world| {
        let nodes = world.cluster(3).await;
        for n in 0..50 {
            write(&nodes[n % 3], &format!("k{}", n % 7), &format!("{n}"))
                .await
                .unwrap();
        }
        ask(
            &nodes[0],
            Command::Compact(Compact {
                revision: Revision(20),
            }),
        )
        .await
        .unwrap();
        world.settle().await;
        let mut hashes = Vec::new();
        for node in &nodes {
            let (_header, hash) = node.hash(Revision(40), soon()).await.unwrap();
            let hash = hash.unwrap();
            assert_eq!(
                (hash.revision, hash.compacted),
                (Revision(40), Revision(20))
            );
            hashes.push(hash.hash);
            let (_header, below) = node.hash(Revision(19), soon()).await.unwrap();
            assert!(matches!(below, Err(Refusal::Compacted { .. })), "{below:?}");
            let (_header, above) = node.hash(Revision(1000), soon()).await.unwrap();
            assert!(
                matches!(above, Err(Refusal::FutureRevision { .. })),
                "{above:?}"
            );
        }
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        write(&nodes[0], "k0", "other").await.unwrap();
        let (_header, later) = nodes[0].hash(Revision(0), soon()).await.unwrap();
        assert_ne!(later.unwrap().hash, hashes[0]);
        reclaims(&world, &nodes[0]).await;
    });
}

/// A compaction that is waited for ends with its waste gone.
async fn reclaims(world: &World, node: &Node) {
    let revision = node.status().store.revision;
    ask(node, Command::Compact(Compact { revision }))
        .await
        .unwrap();
    node.reclaimed(revision, soon()).await.unwrap();
    assert_eq!(
        node.status().store.records,
        everything(node).await.len() as u64
    );
    let never = node.reclaimed(revision.next(), Instant::now() + Duration::from_secs(2));
    assert!(never.await.is_err());
    world.settle().await;
}
