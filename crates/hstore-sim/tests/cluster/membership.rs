//! Members come, go, move, and lose their disks.

use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::membership::Member;
use hstore_node::{JoinProgress, NodeError, StopReason};
use tokio::time::{Instant, sleep};

use hstore_sim::world::{ended, run, soon, until, write};

#[test]
fn a_wiped_node_joins_under_a_new_id_and_its_old_id_goes() {
    run(40, async |world| {
        let nodes = world.cluster(3).await;
        write(&nodes[0], "k", "v").await.unwrap();
        let wiped = (world.led().await + 1) % 3;
        let old = world.id(wiped);
        world.crash(wiped).await;
        world.wipe(wiped);
        // The others have to notice that it is gone before its name is free.
        sleep(Duration::from_secs(3)).await;
        let through = nodes[(wiped + 1) % 3].clone();
        let watched = async {
            let mut standing = through.standing();
            loop {
                for config in &standing.borrow_and_update().membership.voters {
                    assert!(
                        config.len() <= 3,
                        "a fourth voter: if it dies, nobody leads again"
                    );
                }
                standing.changed().await.unwrap();
            }
        };
        tokio::select! {
            () = watched => unreachable!("it never ends"),
            _node = world.join(wiped, &through) => {}
        }
        assert_ne!(world.id(wiped), old);
        world.settle().await;
        let membership = through.status().standing.membership;
        assert!(!membership.members.contains_key(&old), "the old id is gone");
        assert_eq!(membership.members.len(), 3);
        assert!(membership.is_voter(world.id(wiped)));
    });
}

#[test]
fn a_name_that_a_living_member_has_is_refused() {
    run(41, async |world| {
        let nodes = world.cluster(2).await;
        let at = world.seat();
        world.rename(at, "n0");
        let member = world.member(at);
        let allocation = nodes[1]
            .allocate(&Author::Node, member.incarnation, "", soon())
            .await
            .unwrap();
        let mut events = nodes[1].add_member(allocation.node, member, soon());
        let refused = events.recv().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
        assert!(refused.to_string().contains("n0"), "{refused}");
        assert_eq!(events.recv().await, None);
    });
}

#[test]
fn an_id_that_was_never_given_out_is_refused() {
    run(42, async |world| {
        let node = world.found().await;
        let mut events = node.add_member(NodeId(1_000_000), Member::default(), soon());
        let refused = events.recv().await.unwrap().unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    });
}

#[test]
fn ids_that_one_entry_gave_to_many_are_all_known() {
    run(52, async |world| {
        let node = world.found().await;
        let folders: Vec<_> = (0..8).map(|_| world.member(world.seat())).collect();
        let asked = folders.iter().map(|member| {
            let to = Author::Node;
            let node = &node;
            async move {
                node.allocate(&to, member.incarnation, "", soon())
                    .await
                    .map(|given| given.node)
            }
        });
        let given = futures::future::join_all(asked).await;
        let (newest, member) = given
            .into_iter()
            .map(Result::unwrap)
            .zip(folders)
            .max_by_key(|(id, _)| *id)
            .unwrap();
        let applied = node.status().applied.map_or(0, |id| id.index.0);
        assert!(newest.0 > applied, "{newest} came from an entry of many");
        let mut events = node.add_member(newest, member, soon());
        assert_eq!(events.recv().await, Some(Ok(JoinProgress::Learner)));
    });
}

#[test]
fn a_join_that_was_interrupted_goes_on_when_it_is_asked_for_again() {
    run(43, async |world| {
        let nodes = world.cluster(2).await;
        let at = world.seat();
        let member = world.member(at);
        let allocation = nodes[0]
            .allocate(&Author::Node, member.incarnation, "", soon())
            .await
            .unwrap();
        // Nobody runs there yet, so it stays a learner that is behind.
        let short = Instant::now() + Duration::from_secs(1);
        let mut events = nodes[0].add_member(allocation.node, member, short);
        assert_eq!(events.recv().await, Some(Ok(JoinProgress::Learner)));
        drop(events);
        world.join(at, &nodes[1].clone()).await;
        world.settle().await;
        assert_eq!(world.id(at), allocation.node);
    });
}

#[test]
fn a_join_of_a_node_that_never_catches_up_ends_at_its_deadline() {
    run(49, async |world| {
        let nodes = world.cluster(2).await;
        let at = world.seat();
        let member = world.member(at);
        let allocation = nodes[0]
            .allocate(&Author::Node, member.incarnation, "", soon())
            .await
            .unwrap();
        let leader = world.led().await;
        let short = Instant::now() + Duration::from_secs(2);
        let mut events = nodes[leader].add_member(allocation.node, member, short);
        let mut last = None;
        while let Some(event) = events.recv().await {
            last = Some(event);
        }
        assert_eq!(last, Some(Err(NodeError::Timeout)));
        assert!(Instant::now() < short + Duration::from_secs(1));
    });
}

#[test]
fn a_removed_member_learns_it_and_stops() {
    run(44, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        for gone in [(leader + 1) % 3, leader] {
            let id = world.id(gone);
            let through = nodes[(leader + 2) % 3].clone();
            through.remove_member(id, soon()).await.unwrap();
            assert_eq!(ended(&nodes[gone]).await, StopReason::Removed);
            let refused = write(&nodes[gone], "k", "v").await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::NodeRemoved);
            world.leave(gone);
            write(&through, "k", "v").await.unwrap();
        }
        let last = world.led().await;
        let id = world.id(last);
        let refused = nodes[last].remove_member(id, soon()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TooFewStarted);
    });
}

#[test]
fn a_removal_that_would_cost_the_quorum_is_refused() {
    run(45, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3);
        world.crash(dead).await;
        sleep(Duration::from_secs(3)).await;
        let alive_id = world.id(alive);
        let refused = nodes[leader].remove_member(alive_id, soon()).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::ClusterUnhealthy);
        let unknown = nodes[leader].remove_member(NodeId(99), soon()).await;
        assert_eq!(unknown.unwrap_err().code(), ErrorCode::NodeNotFound);
        let dead_id = world.id(dead);
        nodes[leader].remove_member(dead_id, soon()).await.unwrap();
        write(&nodes[alive], "k", "v").await.unwrap();
    });
}

#[test]
fn a_removed_member_that_comes_back_with_its_data_is_turned_away() {
    run(46, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        let gone = (leader + 1) % 3;
        world.crash(gone).await;
        sleep(Duration::from_secs(3)).await;
        let id = world.id(gone);
        nodes[leader].remove_member(id, soon()).await.unwrap();
        let back = world.start(gone).await;
        assert_eq!(ended(&back).await, StopReason::Removed);
        let term = nodes[leader].status().standing.term;
        write(&nodes[leader], "k", "v").await.unwrap();
        assert_eq!(nodes[leader].status().standing.term, term);
    });
}

#[test]
fn a_member_that_moved_tells_the_cluster_where_it_is() {
    run(47, async |world| {
        let nodes = world.cluster(3).await;
        let moved = (world.led().await + 1) % 3;
        world.crash(moved).await;
        world.move_to(moved, "elsewhere:1");
        let back = world.start(moved).await;
        let id = world.id(moved);
        let other = nodes[(moved + 1) % 3].clone();
        until("the move is known", || {
            let membership = other.status().standing.membership;
            (membership.members[&id].peer_address == "elsewhere:1").then_some(())
        })
        .await;
        write(&back, "k", "v").await.unwrap();
        world.settle().await;
    });
}

#[test]
fn nobody_is_removed_or_added_without_a_quorum() {
    run(48, async |world| {
        let nodes = world.cluster(3).await;
        let leader = world.led().await;
        for at in 0..3 {
            if at != leader {
                world.crash(at).await;
            }
        }
        sleep(Duration::from_secs(3)).await;
        let deadline = Instant::now() + Duration::from_secs(2);
        let id = world.id((leader + 1) % 3);
        let refused = nodes[leader].remove_member(id, deadline).await;
        assert_eq!(refused, Err(NodeError::NoQuorum));
        assert!(Instant::now() < deadline + Duration::from_secs(1));
    });
}
