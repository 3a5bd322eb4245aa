//! RangeStream over the wire: all chunks together are Range's answer, and what is held is small.

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use hstore_proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse,
};
use hstore_proto::status;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::{LONG, World, text, world};

const ALL: (&str, &[u8]) = ("a", b"\0");

fn range((key, end): (&str, &[u8])) -> RangeRequest {
    RangeRequest {
        key: text(key),
        range_end: Bytes::copy_from_slice(end),
        ..RangeRequest::default()
    }
}

impl World {
    async fn put(&self, key: String, value: Vec<u8>) {
        let put = PutRequest {
            key: key.into(),
            value: value.into(),
            ..PutRequest::default()
        };
        self.kv().put(put).await.unwrap();
    }

    async fn chunks(&self, request: RangeRequest) -> Result<Vec<RangeResponse>, Status> {
        let mut stream = self.kv().range_stream(request).await?.into_inner();
        let mut chunks = Vec::new();
        while let Some(chunk) = timeout(LONG, stream.message()).await.unwrap()? {
            chunks.push(chunk.range_response.unwrap());
        }
        Ok(chunks)
    }

    /// What Range answers, held against the chunks; gives the chunks.
    async fn same(&self, request: RangeRequest) -> Vec<RangeResponse> {
        let whole = self.kv().range(request.clone()).await.unwrap().into_inner();
        let chunks = self.chunks(request.clone()).await.unwrap();
        let (last, others) = chunks.split_last().unwrap();
        for chunk in others {
            assert!(chunk.header.is_none() && !chunk.more && chunk.count == 0);
            assert!(!chunk.kvs.is_empty());
        }
        let mut together = last.clone();
        together.kvs = chunks.iter().flat_map(|chunk| chunk.kvs.clone()).collect();
        assert_eq!(together, whole, "{request:?}");
        chunks
    }
}

#[tokio::test]
async fn all_chunks_together_are_what_range_answers() {
    let world = world().await;
    for n in 0..300 {
        world.put(format!("key/{n:03}"), vec![b'v'; n % 90]).await;
    }
    let gone = DeleteRangeRequest {
        key: text("key/111"),
        ..DeleteRangeRequest::default()
    };
    world.kv().delete_range(gone).await.unwrap();
    let all = range(ALL);
    let chunks = world.same(all.clone()).await;
    assert!(chunks.len() > 3, "{}", chunks.len());
    assert_eq!(chunks[0].kvs.len(), 10, "the first chunk has ten keys");
    let changed = |change: fn(&mut RangeRequest)| {
        let mut request = all.clone();
        change(&mut request);
        request
    };
    let requests = [
        changed(|r| r.limit = 1),
        changed(|r| r.limit = 10),
        changed(|r| r.limit = 57),
        changed(|r| r.limit = 299),
        changed(|r| r.limit = 1000),
        changed(|r| r.keys_only = true),
        changed(|r| r.count_only = true),
        changed(|r| r.revision = 100),
        changed(|r| r.serializable = true),
        changed(|r| r.sort_order = SortOrder::Ascend.into()),
        changed(|r| r.key = text("key/290")),
        changed(|r| r.key = text("zzz")),
        range(("key/1", b"key/2")),
        range(("key/2", b"key/1")),
        range(("key/007", b"")),
        range(("nothing", b"")),
    ];
    for request in requests {
        world.same(request).await;
    }
    // Without an order every target means the order of keys, as it is nothing else here.
    let unordered = changed(|r| r.sort_target = SortTarget::Mod.into());
    assert_eq!(world.chunks(unordered).await.unwrap(), chunks);
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_in_etcds_words() {
    let world = world().await;
    let sorted = |order: SortOrder, target: SortTarget| RangeRequest {
        sort_order: order.into(),
        sort_target: target.into(),
        ..range(ALL)
    };
    let filtered = |change: fn(&mut RangeRequest)| {
        let mut request = range(ALL);
        change(&mut request);
        request
    };
    let custom = "RangeStream does not support custom sort orders";
    let filter = "RangeStream does not support revision filters";
    let table = [
        (sorted(SortOrder::Descend, SortTarget::Key), custom),
        (sorted(SortOrder::Ascend, SortTarget::Mod), custom),
        (
            RangeRequest {
                min_mod_revision: 1,
                ..sorted(SortOrder::Descend, SortTarget::Key)
            },
            custom,
        ),
        (filtered(|r| r.min_mod_revision = 1), filter),
        (filtered(|r| r.max_mod_revision = 1), filter),
        (filtered(|r| r.min_create_revision = 1), filter),
        (filtered(|r| r.max_create_revision = 1), filter),
    ];
    for (request, words) in table {
        let refused = world.chunks(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{request:?}");
        assert_eq!(refused.message(), words, "{request:?}");
    }
    let refusals = [
        (range(("", b"")), ErrorCode::EmptyKey),
        (filtered(|r| r.sort_order = 99), ErrorCode::InvalidArgument),
        (filtered(|r| r.sort_target = 99), ErrorCode::InvalidArgument),
        (filtered(|r| r.revision = 99), ErrorCode::FutureRevision),
    ];
    for (request, code) in refusals {
        let refused = world.chunks(request.clone()).await.unwrap_err();
        assert_eq!(status::read(&refused).code, code, "{request:?}");
    }
    for n in 0..9 {
        world.put(format!("k{n}"), Vec::new()).await;
    }
    let compaction = CompactionRequest {
        revision: 8,
        physical: false,
    };
    world.kv().compact(compaction).await.unwrap();
    let refused = world
        .chunks(filtered(|r| r.revision = 7))
        .await
        .unwrap_err();
    assert_eq!(status::read(&refused).code, ErrorCode::Compacted);
}

#[tokio::test]
async fn a_stream_holds_one_chunk_of_bounded_size_and_sees_one_revision() {
    let world = world().await;
    // Far more than a connection takes that nobody reads: 2 MiB for a stream.
    let keys = 2000;
    for n in 0..keys {
        world.put(format!("k{n:05}"), vec![b'1'; 3000]).await;
    }
    let mut stream = world
        .kv()
        .range_stream(range(ALL))
        .await
        .unwrap()
        .into_inner();
    let mut seen = Vec::new();
    // While nobody reads, no page is read from the store: what is applied now is later than the
    // stream's revision, and what is compacted now was not read yet.
    for n in 0..keys {
        if n % 50 == 0 {
            world.put(format!("k{n:05}"), b"2".to_vec()).await;
        }
    }
    let mut largest = 0;
    while let Some(chunk) = timeout(LONG, stream.message()).await.unwrap().unwrap() {
        let chunk = chunk.range_response.unwrap();
        let bytes = chunk
            .kvs
            .iter()
            .map(|pair| pair.key.len() + pair.value.len());
        largest = largest.max(bytes.sum());
        seen.extend(chunk.kvs);
    }
    // A chunk ends with the record that fills it.
    let bound = 256 * 1024 + 3000 + 6;
    assert!(largest <= bound, "{largest} of {bound}");
    assert_eq!(seen.len(), keys);
    assert!(seen.iter().all(|pair| pair.value.len() == 3000));
}

#[tokio::test]
async fn a_stream_that_compaction_overtakes_ends_as_compacted() {
    let world = world().await;
    for n in 0..2000 {
        world.put(format!("k{n:05}"), vec![b'1'; 3000]).await;
    }
    let mut stream = world
        .kv()
        .range_stream(range(ALL))
        .await
        .unwrap()
        .into_inner();
    world.put("k00000".to_owned(), b"2".to_vec()).await;
    let revision = world.node.status().store.revision.0;
    let compaction = CompactionRequest {
        revision,
        physical: false,
    };
    world.kv().compact(compaction).await.unwrap();
    let mut pairs = 0;
    let ended = loop {
        match timeout(LONG, stream.message()).await.unwrap() {
            Ok(Some(chunk)) => pairs += chunk.range_response.unwrap().kvs.len(),
            Ok(None) => panic!("it ended well after {pairs} pairs"),
            Err(error) => break error,
        }
    };
    // What was read before is less than the whole: nothing is read ahead of the reader.
    assert!(pairs < 1500, "{pairs}");
    assert_eq!(ended.code(), Code::OutOfRange);
    assert_eq!(status::read(&ended).code, ErrorCode::Compacted);
}
