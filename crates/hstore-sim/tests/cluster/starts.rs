//! Starts that were interrupted, and folders that no node may start from.

use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, Incarnation};
use hstore_node::{Identity, Stage, StartError};
use hstore_storage::disk::Disk;
use tokio::time::sleep;

use hstore_sim::world::{data_dir, everything, run, until, write};

#[test]
fn a_founding_that_loses_its_power_at_any_moment_is_finished_by_the_next_start() {
    for seed in 70..82 {
        run(seed, async |world| {
            let at = world.seat();
            Identity::found(ClusterId(5), "sim".to_owned(), Incarnation(9))
                .write(&world.disk(at), &data_dir())
                .unwrap();
            for _crash in 0..3 {
                world.start(at).await;
                sleep(Duration::from_micros(world.draw() % 1_500_000)).await;
                world.crash(at).await;
            }
            let node = world.start(at).await;
            world.led().await;
            write(&node, "k", "v").await.unwrap();
            let members = node.status().standing.membership.members;
            assert_eq!(members.len(), 1);
            let disk = world.disk(at);
            until("the founder is a member", || {
                let identity = Identity::read(&disk, &data_dir()).unwrap().unwrap();
                (identity.stage == Stage::Member).then_some(())
            })
            .await;
        });
    }
}

#[test]
fn a_folder_without_an_identity_or_without_a_cluster_is_refused() {
    run(83, async |world| {
        let at = world.seat();
        let refused = world.try_start(at).await.unwrap_err();
        assert_eq!(refused, StartError::NoIdentity);
        Identity::draw(Incarnation(3))
            .write(&world.disk(at), &data_dir())
            .unwrap();
        let refused = world.try_start(at).await.unwrap_err();
        assert_eq!(refused, StartError::NoCluster);
    });
}

#[test]
fn a_member_whose_log_is_gone_does_not_begin_anew() {
    run(84, async |world| {
        let node = world.found().await;
        write(&node, "k", "v").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        world.kill(0).await;
        let disk = world.disk(0);
        disk.remove_dir_all(&data_dir().join("wal")).unwrap();
        let refused = world.try_start(0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::DataCorrupt);
    });
}

#[test]
fn a_flipped_bit_in_the_middle_of_the_log_is_refused() {
    run(85, async |world| {
        let node = world.found().await;
        for n in 0..20 {
            write(&node, &format!("k{n}"), "v").await.unwrap();
        }
        assert_eq!(everything(&node).await.len(), 20);
        world.kill(0).await;
        let disk = world.disk(0);
        let dir = data_dir().join("wal");
        let names = disk.list(&dir).unwrap();
        let segment = names.first().expect("the log has a segment");
        assert!(disk.flip(&dir.join(segment), 300, 1));
        let refused = world.try_start(0).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::DataCorrupt);
    });
}
