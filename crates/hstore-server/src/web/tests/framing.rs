//! Requests that are slow, endless, half or of two minds end in bounded time, and an ordinary
//! client is served all the while.

use std::time::Duration;

use hstore_proto::etcdserverpb::PutRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Told, get, say};
use crate::grpc::tests::{LONG, text, world};

const HOST: &str = "host: localhost\r\n";

#[tokio::test]
async fn one_connection_answers_one_request_after_the_other() {
    let world = world().await;
    let two = format!(
        "GET /livez HTTP/1.1\r\n{HOST}\r\nGET /version HTTP/1.1\r\n{HOST}connection: close\r\n\r\n"
    );
    let heard = String::from_utf8(say(world.address, two.as_bytes()).await).unwrap();
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 2, "{heard}");
    assert!(heard.contains("etcdserver"));
}

#[tokio::test]
async fn a_request_whose_end_can_be_read_in_two_ways_is_refused() {
    let world = world().await;
    let smuggled = "GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for (what, head) in [
        ("two lengths", "content-length: 0\r\ncontent-length: 5\r\n"),
        ("a list of lengths", "content-length: 0, 5\r\n"),
        ("a length with a sign", "content-length: +5\r\n"),
        (
            "a length that is too large",
            "content-length: 99999999999999999999\r\n",
        ),
        (
            "chunks that are not last",
            "transfer-encoding: chunked, identity\r\n",
        ),
        (
            "chunks of something",
            "transfer-encoding: gzip, chunked\r\n",
        ),
        (
            "chunks of chunks",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "an encoding that is none",
            "transfer-encoding: xchunked\r\n",
        ),
        (
            "a space before the colon",
            "transfer-encoding : chunked\r\n",
        ),
        ("a folded line", "transfer-encoding:\r\n chunked\r\n"),
        ("a zero byte", "x: \0\r\n"),
        (
            "a lone carriage return",
            "x: a\rtransfer-encoding: chunked\r\n",
        ),
    ] {
        let request = format!("GET /livez HTTP/1.1\r\n{HOST}{head}\r\n{smuggled}");
        let heard = String::from_utf8(say(world.address, request.as_bytes()).await).unwrap();
        assert!(heard.starts_with("HTTP/1.1 400 "), "{what}: {heard}");
        assert!(!heard.contains("etcdserver"), "{what}: {heard}");
    }
    let old =
        format!("GET /livez HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    let heard = String::from_utf8(say(world.address, old.as_bytes()).await).unwrap();
    assert!(heard.starts_with("HTTP/1.1 400 "), "{heard}");
}

/// RFC 9112, section 6.3, has a server take the chunks for it and end the connection, so that
/// nothing behind it is taken for a request.
#[tokio::test]
async fn behind_a_request_with_chunks_and_a_length_nothing_is_heard() {
    let world = world().await;
    let smuggled = "GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for head in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
    ] {
        let request = format!("GET /livez HTTP/1.1\r\n{HOST}{head}\r\n0\r\n\r\n{smuggled}");
        let heard = String::from_utf8(say(world.address, request.as_bytes()).await).unwrap();
        assert!(!heard.contains("etcdserver"), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let world = world().await;
    let large = format!("x: {}\r\n", "y".repeat(20_000));
    let many = "x: y\r\n".repeat(200);
    for head in [large, many] {
        let request = format!("GET /livez HTTP/1.1\r\n{HOST}{head}\r\n");
        let told = Told::parse(&say(world.address, request.as_bytes()).await);
        assert_eq!(told.status, 431);
    }
}

/// The clock is real to the sockets, and stands still while anything is on its way; what waits is
/// hurried along.
#[tokio::test(start_paused = true)]
async fn what_does_not_go_on_ends_while_others_are_served() {
    let world = world().await;
    let began = Instant::now();
    let mut stuck = Vec::new();
    for says in [
        String::new(),
        "GET /livez HT".to_owned(),
        format!("GET /livez HTTP/1.1\r\n{HOST}x: y"),
        // Idle between two requests.
        format!("GET /livez HTTP/1.1\r\n{HOST}\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM".to_owned(),
        // Half of a head of HTTP/2, behind which nothing but its rest may come.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0\0\0\u{1}\u{1}\u{1}\0\0\0\u{1}\u{4}"
            .to_owned(),
        // HTTP/2 that never answers a ping.
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(says.as_bytes()).await.unwrap();
        stuck.push((says, stream));
    }
    for (says, mut stream) in stuck {
        let mut heard = Vec::new();
        let ended = timeout(Duration::from_mins(5), stream.read_to_end(&mut heard)).await;
        assert!(ended.is_ok(), "{says:?} keeps its place");
        // An ordinary client is served.
        assert_eq!(get(world.address, "/livez").await.status, 200);
        let put = PutRequest {
            key: text("k"),
            value: text("v"),
            ..PutRequest::default()
        };
        timeout(LONG, world.kv().put(put)).await.unwrap().unwrap();
    }
    assert!(began.elapsed() < Duration::from_mins(5));
}
