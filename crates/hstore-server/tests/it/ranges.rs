//! A range that is larger than anything a node holds in memory for one who asks.

use bytes::Bytes;
use hstore_proto::etcdserverpb::RangeRequest;
use hstore_proto::etcdserverpb::kv_client::KvClient;

use crate::harness::{SOON, World, endpoint, runtime};

/// Keys of a megabyte each.
const KEYS: usize = 64;
const VALUE_BYTES: usize = 1 << 20;

/// Who asks and does not read.
const READERS: usize = 8;

/// What a node may have more for all of them, its cache included: half of what they asked for.
const MORE_BYTES_MAX: u64 = (KEYS * VALUE_BYTES * READERS / 2) as u64;

#[test]
fn a_large_range_in_pieces_costs_a_piece_for_each_who_does_not_read() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let mut kv = node.kv();
    for n in 0..KEYS {
        kv.put(format!("big/{n:03}"), vec![n as u8; VALUE_BYTES])
            .unwrap();
    }
    let resident = || node.status().unwrap().process.unwrap().resident_bytes;
    let everything = RangeRequest {
        key: Bytes::from_static(b"big/"),
        range_end: Bytes::from_static(b"big0"),
        ..RangeRequest::default()
    };
    let before = resident();
    let runtime = runtime();
    let mut readers = runtime.block_on(async {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            // A connection each, so that nobody's window is another's.
            let client = KvClient::new(endpoint(&node.address()).connect_lazy());
            let mut client = client.max_decoding_message_size(4 * VALUE_BYTES);
            let stream = client.range_stream(everything.clone()).await.unwrap();
            let mut stream = stream.into_inner();
            let first = stream.message().await.unwrap().unwrap();
            readers.push((client, stream, first));
        }
        readers
    });
    let after = resident();
    assert!(
        after < before + MORE_BYTES_MAX,
        "{before} bytes became {after}"
    );
    let (_client, mut stream, first) = readers.pop().unwrap();
    let mut keys = first.range_response.unwrap().kvs.len();
    let read = async {
        while let Some(piece) = stream.message().await.unwrap() {
            keys += piece.range_response.unwrap().kvs.len();
        }
    };
    runtime.block_on(async {
        tokio::time::timeout(SOON, read).await.unwrap();
    });
    assert_eq!(keys, KEYS);
}
