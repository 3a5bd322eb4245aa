//! A range that is larger than anything a node holds in memory for those who ask for it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use bytes::Bytes;
use futures::future::join_all;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::{RangeRequest, RangeStreamResponse};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::harness::{Node, Peak, SOON, World, code_of, endpoint, runtime};
use crate::quota::noise;

const MIB: u64 = 1 << 20;

/// Values of 64 KiB that do not compress, 96 MiB together.
const KEYS: usize = 1536;

/// Who asks for all of it at once.
const READERS: usize = 100;

/// What a node has of a range for one who is told it in pieces: the piece, as it was read and as it is
/// told, and what its connection takes.
const READER_BYTES: u64 = MIB;

/// What it has for all: its cache, and blocks on their way into it.
const SHARED_BYTES: u64 = 64 * MIB;

/// Answers in the making, see the README's limits.
const ANSWERS_BYTES: u64 = 256 * MIB;

/// The largest answer that is asked for here, as it was read.
const ANSWER_BYTES: u64 = KEYS as u64 * 64 * 1024;

fn large(world: &World) -> Node {
    let node = world.start("n1", &["--cache-bytes", "8MiB"]);
    let mut kv = node.kv();
    for n in 0..KEYS {
        kv.put(format!("big/{n:04}"), noise(n as u64)).unwrap();
    }
    node
}

fn everything() -> RangeRequest {
    RangeRequest {
        key: Bytes::from_static(b"big/"),
        range_end: Bytes::from_static(b"big0"),
        ..RangeRequest::default()
    }
}

/// A connection of its own, so that nobody's window is another's.
fn client(node: &Node) -> KvClient<Channel> {
    let client = KvClient::new(endpoint(&node.address()).connect_lazy());
    client.max_decoding_message_size(usize::MAX)
}

fn keys(piece: RangeStreamResponse) -> usize {
    piece.range_response.map_or(0, |range| range.kvs.len())
}

async fn next(stream: &mut Streaming<RangeStreamResponse>) -> usize {
    let piece = tokio::time::timeout(SOON, stream.message()).await;
    piece.expect("in time").unwrap().map_or(0, keys)
}

#[test]
fn a_large_range_in_pieces_costs_a_piece_for_each_who_reads_slowly() {
    let world = World::new();
    let node = large(&world);
    let peak = Peak::of(&node);
    runtime().block_on(async {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut client = client(&node);
            let stream = client.range_stream(everything()).await.unwrap();
            readers.push((client, stream.into_inner(), 0));
        }
        for _ in 0..3 {
            for (_client, stream, told) in &mut readers {
                *told += next(stream).await;
            }
        }
        let (_client, mut stream, mut told) = readers.pop().unwrap();
        while told < KEYS {
            let more = next(&mut stream).await;
            assert!(more > 0, "it ended after {told} keys");
            told += more;
        }
        assert_eq!(next(&mut stream).await, 0);
    });
    let more = peak.bytes();
    let bound = SHARED_BYTES + READERS as u64 * READER_BYTES;
    assert!(more < bound, "{more} bytes, bound {bound}");
}

/// A connection of HTTP/1 on which something was asked for.
fn ask(node: &Node, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// So many bytes of an answer, or all that there are.
fn hear(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    stream.take(bytes as u64).read_to_end(&mut heard).unwrap();
    heard
}

#[test]
fn a_large_range_over_http_costs_a_piece_for_each_who_reads_slowly() {
    let world = World::new();
    let node = large(&world);
    let peak = Peak::of(&node);
    let request = "GET /read?prefix=big/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut readers: Vec<_> = (0..READERS).map(|_| ask(&node, request)).collect();
    for _ in 0..3 {
        for stream in &mut readers {
            assert_eq!(hear(stream, 100_000).len(), 100_000);
        }
    }
    let rest = hear(&mut readers.pop().unwrap(), usize::MAX);
    let heard = String::from_utf8_lossy(&rest[rest.len() - 100..]);
    let count = format!("\"count\":{KEYS},\"more\":false");
    assert!(heard.contains(&count), "{heard}");
    assert!(heard.ends_with("\r\n0\r\n\r\n"), "{heard}");
    let more = peak.bytes();
    let bound = SHARED_BYTES + READERS as u64 * READER_BYTES;
    assert!(more < bound, "{more} bytes, bound {bound}");
}

#[test]
fn large_answers_are_made_as_far_as_there_is_room_and_refused_beyond() {
    let world = World::new();
    let node = large(&world);
    let peak = Peak::of(&node);
    let mut told = BTreeMap::new();
    runtime().block_on(async {
        let calls = (0..READERS).map(|_| async {
            let answer = client(&node).range(everything()).await;
            answer.map(|answer| answer.into_inner().kvs.len())
        });
        for answer in join_all(calls).await {
            *told.entry(outcome(answer)).or_insert(0) += 1;
        }
    });
    assert!(told["whole"] > 0 && told["refused"] > 0, "{told:?}");
    // All that there is room for, one answer more, and two that are being written as they are told.
    let bound = SHARED_BYTES + ANSWERS_BYTES + 3 * ANSWER_BYTES;
    let more = peak.bytes();
    assert!(more < bound, "{more} bytes, bound {bound}: {told:?}");
    let again = runtime().block_on(async { client(&node).range(everything()).await });
    assert_eq!(
        outcome(again.map(|answer| answer.into_inner().kvs.len())),
        "whole"
    );
}

fn outcome(answer: Result<usize, Status>) -> &'static str {
    match answer {
        Ok(KEYS) => "whole",
        Ok(keys) => panic!("{keys} of {KEYS} keys"),
        Err(status) => {
            let overloaded = (Code::ResourceExhausted, "overloaded".to_owned());
            assert_eq!(code_of(&status), overloaded, "{status}");
            "refused"
        }
    }
}

#[test]
fn large_answers_in_json_wait_for_slow_readers_as_far_as_there_is_room() {
    let world = World::new();
    let node = large(&world);
    let peak = Peak::of(&node);
    let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let body = format!(
        "{{\"key\":\"{}\",\"range_end\":\"{}\"}}",
        encoded(b"big/"),
        encoded(b"big0")
    );
    let request = format!(
        "POST /v3/kv/range HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut readers: Vec<_> = (0..READERS).map(|_| ask(&node, &request)).collect();
    let mut told = BTreeMap::new();
    for stream in &mut readers {
        let heard = hear(stream, 16);
        let heard = String::from_utf8_lossy(&heard).into_owned();
        *told.entry(heard).or_insert(0) += 1;
    }
    let (whole, refused) = ("HTTP/1.1 200 OK\r", "HTTP/1.1 429 Too");
    assert!(told[whole] > 0 && told[refused] > 0, "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    // As it was read, its parts, and the text of it twice as it grows.
    let bound = SHARED_BYTES + ANSWERS_BYTES + 6 * ANSWER_BYTES;
    let more = peak.bytes();
    assert!(more < bound, "{more} bytes, bound {bound}: {told:?}");
    drop(readers);
    crate::harness::until("there is room again", SOON, || {
        let mut stream = ask(&node, &request);
        let heard = hear(&mut stream, whole.len());
        if heard == whole.as_bytes() {
            return Some(());
        }
        None
    });
}
