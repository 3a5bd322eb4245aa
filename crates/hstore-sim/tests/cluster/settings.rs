//! Settings of the cluster: what survives, what the membership follows, in which rhythm a leader
//! speaks.

use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::membership::Member;
use hstore_core::settings::{
    ChangeSettings, NodeType, SettingChange, SettingKey, SettingValue, SettingsVersion,
};
use hstore_node::{Node, NodeError};
use tokio::time::sleep;

use hstore_sim::world::{World, run, soon, until, within, write};

async fn change(node: &Node, changes: Vec<SettingChange>) -> Result<SettingsVersion, NodeError> {
    let command = ChangeSettings {
        expected: None,
        changes,
    };
    node.change_settings(&Author::Node, command, soon()).await
}

async fn set(node: &Node, at: Option<usize>, world: &World, value: SettingValue) {
    let of = at.map(|at| world.id(at));
    change(node, vec![SettingChange::set(of, value)])
        .await
        .unwrap();
}

/// Waits until every running node has applied the same settings, and gives their version.
async fn same_settings(world: &World) -> SettingsVersion {
    until("all nodes know the same settings", || {
        let nodes = world.running();
        let first = nodes[0].settings();
        let same = nodes.iter().all(|node| *node.settings() == *first);
        same.then(|| first.version())
    })
    .await
}

#[test]
fn settings_survive_crashes_and_come_with_a_snapshot() {
    run(120, async |world| {
        world.set(|config| {
            config.snapshot_log_bytes_min = 32 * 1024;
            config.log_keep_entries_max = 10;
            config.log_keep_bytes_max = 1024;
        });
        let nodes = world.cluster(3).await;
        let away = (world.led().await + 1) % 3;
        let through = nodes[(away + 1) % 3].clone();
        let cache = SettingValue::CacheBytes(3 << 20);
        set(&through, None, &world, cache.clone()).await;
        world.crash(away).await;
        set(
            &through,
            Some(away),
            &world,
            SettingValue::CacheBytes(5 << 20),
        )
        .await;
        set(&through, None, &world, SettingValue::HeartbeatMs(60)).await;
        let before = through.status().last.unwrap();
        let filled = within(Duration::from_mins(5), || {
            let purged = through.status().purged;
            purged
                .is_some_and(|purged| purged.index > before)
                .then_some(())
        });
        let filling = async {
            for n in 0_u64.. {
                let value = format!("{n}").repeat(200);
                write(&through, &format!("k{}", n % 50), &value)
                    .await
                    .unwrap();
            }
        };
        tokio::select! {
            filled = filled => filled.expect("the log is purged beyond what the other has"),
            () = filling => unreachable!("it never ends"),
        }
        let back = world.start(away).await;
        assert_eq!(same_settings(&world).await, SettingsVersion(3));
        let mut others = nodes.iter().enumerate().filter(|(at, _)| *at != away);
        assert!(others.all(|(_, node)| node.effective().cache_bytes == 3 << 20));
        assert_eq!(back.effective().cache_bytes, 5 << 20);
        assert_eq!(back.status().store.cache_bytes_max, 5 << 20);
        for at in 0..3 {
            world.crash(at).await;
            world.start(at).await;
        }
        world.led().await;
        assert_eq!(same_settings(&world).await, SettingsVersion(3));
        world.settle().await;
    });
}

#[test]
fn a_wish_that_its_leader_did_not_live_to_fulfil_is_fulfilled_by_the_next() {
    run(121, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let wanted = (leader + 1) % 3;
        let id = world.id(wanted);
        // The wish is written down, and nobody acts on it: as if its leader had died right then.
        let learner = SettingValue::Type(NodeType::Learner);
        let command = ChangeSettings {
            expected: None,
            changes: vec![SettingChange::set(Some(id), learner)],
        };
        let proposal = hstore_core::command::Proposal {
            request: None,
            author: Author::Node,
            command: hstore_core::command::Command::ChangeSettings(command),
        };
        let (_header, outcome) = nodes[leader].propose(proposal, soon()).await.unwrap();
        outcome.result.unwrap();
        world.crash(leader).await;
        let voters = |world: &World| {
            let node = world.running().pop()?;
            let membership = node.status().standing.membership;
            (!membership.is_joint()).then(|| membership.voters[0].clone())
        };
        // With one of the voters down the other cannot be spared: the wish waits.
        sleep(Duration::from_secs(10)).await;
        assert_eq!(voters(&world).map(|voters| voters.len()), Some(3));
        world.start(leader).await;
        let fulfilled = within(Duration::from_mins(1), || {
            voters(&world).filter(|voters| !voters.contains(&id))
        });
        fulfilled.await.expect("the node is a learner");
        // A restart does not bring its vote back, but somebody does who promotes it.
        world.crash(wanted).await;
        let back = world.start(wanted).await;
        sleep(Duration::from_secs(10)).await;
        assert!(back.is_learner());
        let leader = world.led().await;
        let node = world.node(leader).unwrap();
        node.promote_member(id, soon()).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert!(!back.is_learner());
        world.settle().await;
    });
}

#[test]
fn the_last_voter_stays_one_and_so_does_one_that_the_others_need() {
    run(122, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let (down, other) = ((leader + 1) % 3, (leader + 2) % 3);
        let learner = || SettingValue::Type(NodeType::Learner);
        world.crash(down).await;
        // Whether a node answers is known after an election time.
        sleep(Duration::from_secs(5)).await;
        let of = SettingChange::set(Some(world.id(other)), learner());
        let refused = change(&nodes[leader], vec![of]).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ClusterUnhealthy, "{refused}");
        assert_eq!(nodes[leader].settings().version(), SettingsVersion(0));
        world.start(down).await;
        world.settle().await;
        // The leader hands over and becomes a learner; then another; the last one stays.
        for _ in 0..2 {
            let leader = world.led().await;
            set(&nodes[other], Some(leader), &world, learner()).await;
        }
        let last = world.led().await;
        let of = SettingChange::set(Some(world.id(last)), learner());
        let refused = change(&world.node(last).unwrap(), vec![of])
            .await
            .unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TooFewStarted, "{refused}");
        write(&world.node(last).unwrap(), "k", "v").await.unwrap();
    });
}

#[test]
fn a_member_is_renamed_and_stays_so_whatever_it_is_started_as() {
    run(123, async |world| {
        let nodes = world.cluster(3).await;
        set(
            &nodes[0],
            Some(2),
            &world,
            SettingValue::Name("alpha".into()),
        )
        .await;
        let id = world.id(2);
        let name = |node: &Node| node.status().standing.membership.members[&id].name.clone();
        until("everybody knows the name", || {
            nodes.iter().all(|node| name(node) == "alpha").then_some(())
        })
        .await;
        let taken = SettingChange::set(Some(world.id(1)), SettingValue::Name("alpha".into()));
        let refused = change(&nodes[0], vec![taken]).await.unwrap_err();
        assert!(matches!(refused, NodeError::NameTaken { .. }), "{refused}");
        world.crash(2).await;
        let back = world.start(2).await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(back.status().member.name, "alpha");
        assert_eq!(name(&nodes[0]), "alpha");
        // What is set for a member goes with it.
        nodes[0].remove_member(id, soon()).await.unwrap();
        until("nothing is set for who is gone", || {
            let settings = nodes[0].settings();
            settings
                .get(Some(id), SettingKey::Name)
                .is_none()
                .then_some(())
        })
        .await;
    });
}

#[test]
fn a_heartbeat_that_is_set_is_the_rhythm_of_whoever_leads() {
    run(124, async |world| {
        let nodes = world.cluster(3).await;
        let beats = async |world: &World| {
            let leader = world.led().await;
            let count = |node: &Node| -> u64 {
                let trips = node.round_trips();
                trips.iter().map(|(_, trips)| trips.count).sum()
            };
            let node = world.node(leader).unwrap();
            let before = count(&node);
            sleep(Duration::from_secs(20)).await;
            count(&node) - before
        };
        let usual = beats(&world).await;
        set(&nodes[0], None, &world, SettingValue::HeartbeatMs(20)).await;
        let often = beats(&world).await;
        assert!(often > 3 * usual, "{often} after {usual}");
        // Whoever leads next speaks as often.
        let leader = world.led().await;
        world.crash(leader).await;
        let next = beats(&world).await;
        world.start(leader).await;
        assert!(next > usual, "{next} after {usual}, with one to speak to");
        let unset = SettingChange::unset(None, SettingKey::Heartbeat);
        let through = world.node(world.led().await).unwrap();
        change(&through, vec![unset]).await.unwrap();
        let again = beats(&world).await;
        assert!(again < 2 * usual, "{again} after {usual}");
        // Nobody lost its place by it.
        let before = through.status().standing.term;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(through.status().standing.term, before);
    });
}

#[test]
fn a_wiped_node_takes_its_place_whatever_it_was_called_since() {
    run(127, async |world| {
        let nodes = world.cluster(3).await;
        let wiped = (world.led().await + 1) % 3;
        let other = (wiped + 1) % 3;
        let (old, through) = (world.id(wiped), nodes[other].clone());
        set(
            &through,
            Some(wiped),
            &world,
            SettingValue::Name("a".into()),
        )
        .await;
        // A third is called what the wiped one is started as: it is somebody else all the same.
        let own = world.member(wiped).name;
        set(
            &through,
            Some(other),
            &world,
            SettingValue::Name(own.as_str().into()),
        )
        .await;
        same_settings(&world).await;
        world.crash(wiped).await;
        world.wipe(wiped);
        sleep(Duration::from_secs(3)).await;
        let member = world.member(wiped);
        let allocation = through.allocate(&Author::Node, member.incarnation, "", soon());
        let id = allocation.await.unwrap().node;
        let refused = refusal(&through, id, member).await.to_string();
        let holder = world.id(other);
        let taken = format!("the name {own} belongs to member {holder}");
        assert!(refused.contains(&taken), "{refused}");

        set(
            &through,
            Some(other),
            &world,
            SettingValue::Name("b".into()),
        )
        .await;
        same_settings(&world).await;
        world.join(wiped, &through).await;
        world.settle().await;
        let membership = through.status().standing.membership;
        assert!(!membership.members.contains_key(&old), "the old id is gone");
        assert_eq!(membership.members.len(), 3);
    });
}

/// Why a member is not taken.
async fn refusal(through: &Node, id: NodeId, member: Member) -> NodeError {
    let mut steps = through.add_member(id, member, soon());
    while let Some(step) = steps.recv().await {
        if let Err(error) = step {
            return error;
        }
    }
    panic!("it was taken");
}
