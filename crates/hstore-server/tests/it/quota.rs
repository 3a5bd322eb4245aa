//! A quota on a real disk: writes stop above it and go on below it, and nobody has to say so.

use bytes::Bytes;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{StatusRequest, StatusResponse};
use tonic::Code;

use crate::harness::{Node, SOON, World, code_of, maintenance, until};

const QUOTA: u64 = 4 << 20;

/// History is short, so that what is deleted goes without a word from anybody. It ends by time: a count
/// of revisions stands still while nothing is written.
const SETTINGS: [&str; 4] = ["--quota-bytes", "4MiB", "--auto-compaction", "1s"];

/// Bytes that do not compress.
pub(crate) fn noise(number: u64) -> Bytes {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..64 * 1024).map(|_| next()).collect::<Vec<u8>>().into()
}

fn status(node: &Node) -> StatusResponse {
    maintenance(&node.address(), async |mut client: MaintenanceClient<_>| {
        client.status(StatusRequest {}).await
    })
    .unwrap()
}

/// Writes half as much again as the quota, and waits until writes are refused.
fn fill(node: &Node) {
    let mut kv = node.kv();
    for n in 0..QUOTA * 3 / 2 / (64 * 1024) {
        if kv.put(format!("big/{n}"), noise(n)).is_err() {
            break;
        }
    }
    until("writes are refused", SOON, || {
        let refused = kv.put("small", "x").err()?;
        let told = (Code::ResourceExhausted, "no_space".to_owned());
        assert_eq!(code_of(&refused), told);
        let words = "etcdserver: mvcc: database space exceeded";
        assert_eq!(refused.message(), words);
        Some(())
    });
}

/// Deletes what is large, and waits until writes are let through again.
fn make_room(world: &World, node: &Node) {
    let address = node.address();
    world
        .cli(&["-h", &address, "delete", "big/", "--prefix", "--yes"])
        .ok();
    let mut kv = node.kv();
    until("writes go on", SOON, || kv.put("small", "y").ok());
    let told = status(node);
    assert!(told.errors.is_empty(), "{told:?}");
    assert!((told.db_size as u64) < QUOTA / 10 * 9, "{told:?}");
    assert!(told.db_size_in_use <= told.db_size, "{told:?}");
}

#[test]
fn a_full_store_takes_writes_again_when_what_was_deleted_is_gone_and_starts_when_it_is_full() {
    let world = World::new();
    let mut node = world.start("n1", &SETTINGS);
    for _ in 0..2 {
        fill(&node);
        let told = status(&node);
        assert_eq!(told.errors.len(), 1, "{told:?}");
        assert!(told.db_size as u64 > QUOTA, "{told:?}");
        assert!(node.kv().get("big/0").unwrap().is_some());
        make_room(&world, &node);
    }
    fill(&node);
    node.stop();
    let node = world.start("n1", &SETTINGS);
    let refused = node.kv().put("small", "x").unwrap_err();
    assert_eq!(code_of(&refused).1, "no_space");
    assert!(node.kv().get("big/0").unwrap().is_some());
    make_room(&world, &node);
}
