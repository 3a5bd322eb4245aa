//! etcd's Snapshot over the wire: the framing that its clients rely on, and its bounds.

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::{PutRequest, SnapshotRequest, SnapshotResponse};
use hstore_proto::status;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;

use super::{LONG, World, text, world};

impl World {
    fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }
}

/// Puts more than what a connection takes that nobody reads.
async fn fill(world: &World) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for n in 0..1200 {
        // Values that do not compress.
        let noise = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let value: Vec<u8> = (0..3900).map(noise).collect();
        let put = PutRequest {
            key: text(&format!("key-{n:04}")),
            value: value.into(),
            ..PutRequest::default()
        };
        world.kv().put(put).await.unwrap();
    }
}

async fn all(mut stream: Streaming<SnapshotResponse>) -> Vec<SnapshotResponse> {
    let mut messages = Vec::new();
    while let Some(message) = timeout(LONG, stream.message()).await.unwrap().unwrap() {
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn a_snapshot_is_blobs_that_count_down_and_then_its_checksum() {
    let world = world().await;
    fill(&world).await;
    let answer = world.maintenance().snapshot(SnapshotRequest {}).await;
    let messages = all(answer.unwrap().into_inner()).await;
    let (trailer, blobs) = messages.split_last().unwrap();
    assert!(blobs.len() > 5, "{}", blobs.len());
    assert_eq!((trailer.blob.len(), trailer.remaining_bytes), (32, 0));
    let mut left: u64 = blobs.iter().map(|message| message.blob.len() as u64).sum();
    assert_eq!(left % 512, 0);
    for (at, message) in blobs.iter().enumerate() {
        let is_last = at + 1 == blobs.len();
        assert!(message.blob.len() == 32 * 1024 || is_last, "blob {at}");
        left -= message.blob.len() as u64;
        assert_eq!(message.remaining_bytes, left, "blob {at}");
        assert_eq!(message.header.is_some(), at == 0, "blob {at}");
    }
    assert!(messages.iter().all(|message| message.version == "3.6.0"));
    let status = world.node.status();
    let header = blobs[0].header.unwrap();
    assert_eq!(header.revision, status.store.revision.0);
    assert_eq!(header.member_id, status.node.0);
    assert_eq!(blobs[0].applied_index, status.applied.unwrap().index.0);
}

#[tokio::test]
async fn a_third_snapshot_is_refused_until_one_of_two_is_over() {
    let world = world().await;
    fill(&world).await;
    let begin = || async { world.maintenance().snapshot(SnapshotRequest {}).await };
    let one = begin().await.unwrap().into_inner();
    let two = begin().await.unwrap().into_inner();
    let refused = begin().await.unwrap_err();
    assert_eq!(status::read(&refused).code, ErrorCode::Overloaded);
    // One is read to its end, the other's listener goes away.
    assert!(all(one).await.len() > 5);
    drop(two);
    for _ in 0..2 {
        let begun = async {
            loop {
                match begin().await {
                    Ok(answer) => return answer.into_inner(),
                    Err(_refused) => tokio::task::yield_now().await,
                }
            }
        };
        let stream = timeout(LONG, begun).await.unwrap();
        assert!(all(stream).await.len() > 5);
    }
}

#[tokio::test]
async fn a_node_that_stops_ends_its_snapshots_with_an_error() {
    let world = world().await;
    fill(&world).await;
    let answer = world.maintenance().snapshot(SnapshotRequest {}).await;
    let mut stream = answer.unwrap().into_inner();
    world.node.abort();
    let ended = loop {
        match timeout(LONG, stream.message()).await.unwrap() {
            Ok(Some(_piece)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    // What was on its way may be all of it: then it is whole.
    if let Some(error) = ended {
        assert_eq!(status::read(&error).code, ErrorCode::ShuttingDown);
    }
    assert!(
        world
            .maintenance()
            .snapshot(SnapshotRequest {})
            .await
            .is_err()
    );
}
