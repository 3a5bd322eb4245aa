//! Requests that would hurt: each is bounded, and an ordinary client is served all the while.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Told, say, send};
use crate::grpc::tests::{LONG, World, world};
use crate::web::TABLES;

/// An ordinary client, which writes and reads.
pub(super) async fn is_served(world: &World) {
    for (method, path) in [("PUT", "/write/ordinary"), ("GET", "/read/ordinary")] {
        let told = send(world.address, method, path, &[], b"value");
        let told = timeout(LONG, told).await.expect("an ordinary client waits");
        assert_eq!(told.status, 200, "{told:?}");
    }
}

/// Begins to say something and leaves the connection open.
async fn begin(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The clock stands still while anything is on its way; what waits is hurried along.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_is_given_up() {
    let world = world().await;
    let mut stuck = Vec::new();
    for (what, says) in [
        (
            "half of a body",
            "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{",
        ),
        (
            "a body of chunks without an end",
            "PUT /write/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nv\r\n",
        ),
        (
            "half of a chunk",
            "PUT /api/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nff\r\n1",
        ),
    ] {
        stuck.push((what, begin(world.address, says.as_bytes()).await));
    }
    for (what, mut stream) in stuck {
        let mut heard = Vec::new();
        let ended = timeout(Duration::from_mins(5), stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "{what} keeps its place");
        let told = Told::parse(&heard);
        assert_eq!(told.status, 504, "{what}: {told:?}");
        is_served(&world).await;
    }
    let told = send(world.address, "GET", "/read/k", &[], b"").await;
    assert_eq!(told.status, 404, "half of a body was written: {told:?}");
}

#[tokio::test]
async fn a_body_without_end_is_refused_at_its_bound() {
    let world = world().await;
    for path in ["/write", "/write/k", "/update/k", "/api/k", "/v0/kv"] {
        let method = if path.ends_with('k') { "PUT" } else { "POST" };
        let method = if path == "/v0/kv" { "POST" } else { method };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let mut stream = begin(world.address, head.as_bytes()).await;
        let (mut reads, mut writes) = stream.split();
        let mut heard = Vec::new();
        let piece = format!("10000\r\n{}\r\n", "v".repeat(0x10000));
        let pours = async {
            // Until the other end has had enough.
            while writes.write_all(piece.as_bytes()).await.is_ok() {}
        };
        let hears = async {
            let _reset = reads.read_to_end(&mut heard).await;
        };
        timeout(LONG, async {
            tokio::select! {
                () = pours => {}
                () = hears => {}
            }
        })
        .await
        .expect("it is read for ever");
        is_served(&world).await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_by_its_own_word_is_refused_before_it_is_there() {
    let world = world().await;
    // The gateway has the status that etcd's has.
    for (method, path, status) in [("PUT", "/write/k", 413), ("POST", "/v3/kv/put", 400)] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10000000000\r\n\r\n"
        );
        let told = Told::parse(&say(world.address, head.as_bytes()).await);
        assert_eq!(told.status, status, "{path}: {told:?}");
        let is_said = told.header("hstore-code") == "request_too_large"
            || told.body.contains("request_too_large");
        assert!(is_said, "{path}: {told:?}");
    }
    is_served(&world).await;
}

#[tokio::test]
async fn chunks_that_are_none_are_the_senders_mistake() {
    let world = world().await;
    for chunks in [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
    ] {
        let text = format!(
            "PUT /write/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        );
        let told = Told::parse(&say(world.address, text.as_bytes()).await);
        assert_eq!(
            (told.status, told.code().as_str()),
            (400, "invalid_argument"),
            "{chunks:?}: {told:?}"
        );
    }
    let told = send(world.address, "GET", "/read/k", &[], b"").await;
    assert_eq!(told.status, 404, "what is no body was written: {told:?}");
}

/// A request to read something, and the reset that gives it up at once, as one piece.
fn given_up(stream: u32) -> Vec<u8> {
    let block = [0x82, 0x86, 0x84, 0x41, 9];
    let block = [&block[..], b"localhost"].concat();
    let id = stream.to_be_bytes();
    let mut bytes = vec![0, 0, block.len() as u8, 1, 5];
    bytes.extend(id);
    bytes.extend(block);
    bytes.extend([0, 0, 4, 3, 0]);
    bytes.extend(id);
    bytes.extend([0, 0, 0, 8]);
    bytes
}

#[tokio::test]
async fn who_only_begins_and_gives_up_is_shown_out() {
    let world = world().await;
    let mut says = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in 0..20_000 {
        says.extend(given_up(2 * stream + 1));
    }
    let attack = async {
        let mut heard = Vec::new();
        let stream = TcpStream::connect(world.address).await.unwrap();
        let (mut reads, mut writes) = stream.into_split();
        let says = async {
            // It is shown out while it speaks.
            let _shown_out = writes.write_all(&says).await;
        };
        let hears = async {
            let _reset = timeout(LONG, reads.read_to_end(&mut heard))
                .await
                .expect("it may stay");
        };
        tokio::join!(says, hears);
        heard
    };
    let ordinary = async {
        for _ in 0..10 {
            is_served(&world).await;
        }
    };
    let (heard, ()) = tokio::join!(attack, ordinary);
    // GOAWAY, because of its ways (RFC 9113, section 7), if that reached it before the end.
    let goaway = heard.windows(4).any(|bytes| bytes == [0, 0, 0, 11]);
    assert!(
        heard.len() < 100_000,
        "it was answered {} bytes",
        heard.len()
    );
    assert!(
        goaway || heard.len() < 1000,
        "it was not told to go: {heard:?}"
    );
}

#[tokio::test]
async fn a_body_is_no_request() {
    let world = world().await;
    let told = send(world.address, "PUT", "/write/k", &[], b"v").await;
    assert_eq!(told.status, 200);
    let inner = "DELETE /read/k HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = inner.len();
    for outer in [
        format!(
            "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{inner}"
        ),
        format!(
            "GET /read/k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
        ),
        format!(
            "PUT /write/other HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{inner}"
        ),
        // Also one whose length is a lie of two minds, or a name that is none.
        format!(
            "POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\ncontent-length: {length}\r\n\r\n{inner}"
        ),
        format!(
            "POST /write HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: \u{b}chunked\r\n\r\n{inner}"
        ),
        format!(
            "POST /write HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0;\nx\r\n\r\n{inner}"
        ),
        format!(
            "POST /write HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n{inner}"
        ),
    ] {
        let heard =
            String::from_utf8_lossy(&say(world.address, outer.as_bytes()).await).into_owned();
        let told = send(world.address, "GET", "/read/k", &[], b"").await;
        assert_eq!(
            told.status, 200,
            "the inner request was taken for one: {heard}"
        );
    }
}

#[tokio::test]
async fn whoever_watches_and_does_not_read_holds_up_nobody() {
    let world = world().await;
    let mut watchers = Vec::new();
    for _ in 0..20 {
        let says = b"GET /watch/k?prefix HTTP/1.1\r\nhost: localhost\r\n\r\n";
        watchers.push(begin(world.address, says).await);
    }
    let value = vec![b'v'; 3000];
    for number in 0..300 {
        let path = format!("/write/k{number}");
        let told = send(world.address, "PUT", &path, &[], &value);
        let told = timeout(LONG, told).await.expect("a writer waits");
        assert_eq!(told.status, 200, "{told:?}");
    }
    is_served(&world).await;
    // Who reads after all hears everything.
    let mut heard = Vec::new();
    let stream = &mut watchers[7];
    while !heard.windows(12).any(|bytes| bytes == b"\"key\":\"k299\"") {
        let mut piece = vec![0; 65536];
        let length = timeout(LONG, stream.read(&mut piece))
            .await
            .unwrap()
            .unwrap();
        assert!(length > 0, "the watch ended");
        heard.extend_from_slice(&piece[..length]);
    }
}

#[tokio::test]
async fn a_name_that_the_node_does_not_go_by_opens_no_page() {
    let world = world().await;
    for line in TABLES.iter().flat_map(|table| table.iter()) {
        let path = line.path.replace("{key*}", "w").replace(['{', '}'], "");
        let text = format!(
            "{} {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            line.verb.as_str()
        );
        let told = Told::parse(&say(world.address, text.as_bytes()).await);
        assert_eq!(
            (told.status, told.code().as_str()),
            (421, "unknown_host"),
            "{path}"
        );
    }
}
