//! Clients of HTTP/2 that mean harm: what each of them costs is bounded, and an ordinary client is
//! served all the while.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use hstore_proto::etcdserverpb::{
    PutRequest, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, watch_request,
};
use hyper::Request;
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::get;
use super::hardening::is_served;
use crate::grpc::tests::{LONG, World, text, world};
use crate::meter::{CALLS, Counter};

const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// The flags of a head that has no body and is not over, and of one that is all there.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Longer than any client may hold on to anything without a use.
const BORED: Duration = Duration::from_mins(5);

/// What the sockets of both ends and the node's own buffers may take of what nobody reads.
const BUFFERS_BYTES: usize = 64 * 1024 * 1024;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The head of `GET /` at localhost, and more fields.
fn block(more: &[u8]) -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost", more].concat()
}

/// A field that no table keeps.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.bytes());
    field.push(value.len() as u8);
    field.extend(value.bytes());
    field
}

/// Says the same again and again until it is shown out; how much it could say, and what it heard, unless
/// it does not listen.
async fn says(world: &World, begins: &[u8], goes_on: &[u8], listens: bool) -> (usize, Vec<u8>) {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut reads, mut writes) = stream.into_split();
    let mut heard = Vec::new();
    let mut said = 0;
    let speaks = async {
        if writes.write_all(begins).await.is_err() {
            return;
        }
        while writes.write_all(goes_on).await.is_ok() {
            said += goes_on.len();
            assert!(said < 1 << 30, "it may go on for ever");
        }
    };
    let hears = async {
        if listens {
            let _reset = reads.read_to_end(&mut heard).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let shown_out = async {
        tokio::select! {
            () = speaks => {}
            () = hears => {}
        }
    };
    timeout(BORED, shown_out).await.expect("it may stay");
    (said, heard)
}

/// Whether somebody was told to go (GOAWAY: RFC 9113, section 6.8) because of this.
fn was_told_to_go(heard: &[u8], why: Reason) -> bool {
    let why = u32::from(why).to_be_bytes();
    let mut frames = heard;
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            return false;
        };
        if head[3] == 7 && payload.get(4..8) == Some(&why) {
            return true;
        }
        frames = rest;
    }
    false
}

/// A piece that fills a head: fields, so many of them that few frames are too many.
fn much() -> Vec<u8> {
    field("x", &"y".repeat(100)).repeat(150)
}

#[tokio::test]
async fn a_head_without_end_is_not_read_to_its_end() {
    let world = world().await;
    let begin = [GREETING, &frame(HEADERS, END_STREAM, 1, &block(&[]))].concat();
    for (what, payload) in [("full frames", much()), ("empty frames", Vec::new())] {
        let goes_on = frame(CONTINUATION, 0, 1, &payload).repeat(10);
        let attack = says(&world, &begin, &goes_on, true);
        let ((said, heard), ()) = tokio::join!(attack, is_served(&world));
        assert!(said < BUFFERS_BYTES, "{what}: {said} bytes were taken");
        assert!(heard.len() < 10_000, "{what}");
    }
    is_served(&world).await;
}

#[tokio::test]
async fn a_head_that_is_large_when_it_is_unpacked_is_refused() {
    let world = world().await;
    // One field of 4000 bytes is kept in the table, and then named by a byte.
    let mut kept = vec![0x40, 1, b'x', 0x7f, 0xa1, 0x1e];
    kept.extend(vec![b'y'; 127 + 0x21 + 0x1e * 128]);
    let bomb = block(&[kept, vec![0xbe; 10_000]].concat());
    let says = [
        GREETING,
        &frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb),
        &frame(HEADERS, END_STREAM | END_HEADERS, 3, &block(&[])),
    ]
    .concat();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(&says).await.unwrap();
    // Both are answered: the first with 431, by its place in the table of the codes that are written
    // out, or the connection ends.
    let mut heard = Vec::new();
    let heads = |heard: &[u8]| {
        let mut streams = Vec::new();
        let mut frames = heard;
        while let Some((head, rest)) = frames.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(rest) = rest.get(length..) else {
                break;
            };
            if head[3] == HEADERS {
                streams.push(head[8]);
            }
            frames = rest;
        }
        streams
    };
    let told = async {
        let mut piece = [0; 4096];
        while !heads(&heard).contains(&3) {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(length) => heard.extend_from_slice(&piece[..length]),
            }
        }
    };
    timeout(LONG, told).await.expect("it is answered or ends");
    assert!(heard.len() < 64 * 1024, "{} bytes", heard.len());
    is_served(&world).await;
}

/// The clock stands still while anything is on its way; what waits is hurried along.
#[tokio::test(start_paused = true)]
async fn who_asks_without_end_and_does_not_listen_is_shown_out() {
    let world = world().await;
    let request = |stream: u32| {
        let flags = END_STREAM | END_HEADERS;
        frame(HEADERS, flags, stream, &block(&[]))
    };
    let requests: Vec<u8> = (0..20_000).flat_map(|call| request(2 * call + 1)).collect();
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1000);
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    for (what, begins, goes_on) in [
        ("settings", Vec::new(), settings),
        ("pings", Vec::new(), pings.clone()),
        ("requests", requests, pings),
    ] {
        let begins = [GREETING, &begins].concat();
        let attack = says(&world, &begins, &goes_on, false);
        let ((said, _), ()) = tokio::join!(attack, is_served(&world));
        assert!(said < BUFFERS_BYTES, "{what}: {said} bytes were taken");
    }
    is_served(&world).await;
}

#[tokio::test]
async fn pings_and_settings_without_end_are_answered_one_by_one() {
    let world = world().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let many = [
        frame(PING, 0, 0, &[7; 8]).repeat(5_000),
        frame(SETTINGS, 0, 0, &[]).repeat(5_000),
        frame(PING, 0, 0, &[9; 8]),
    ]
    .concat();
    let (mut reads, mut writes) = stream.split();
    let speaks = async {
        writes.write_all(GREETING).await.unwrap();
        // It may have been shown out before its end.
        let _shown_out = writes.write_all(&many).await;
    };
    let hears = async {
        let mut heard = Vec::new();
        let mut piece = vec![0; 65536];
        let last = frame(PING, 1, 0, &[9; 8]);
        while !heard
            .windows(last.len())
            .rev()
            .take(70_000)
            .any(|it| it == last)
        {
            match reads.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(length) => heard.extend_from_slice(&piece[..length]),
            }
        }
        heard
    };
    let both = async { tokio::join!(speaks, hears, is_served(&world)) };
    let ((), heard, ()) = timeout(LONG, both).await.expect("it goes on for ever");
    assert!(
        heard.len() <= many.len() + 1000,
        "more was answered than was asked: {}",
        heard.len()
    );
}

/// A connection of HTTP/2 whose windows the test opens.
async fn connected(world: &World, window: u32, of_all: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let mut settings = client::Builder::new();
    settings
        .initial_window_size(window)
        .initial_connection_window_size(of_all);
    let (sender, connection) = settings.handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    sender.ready().await.unwrap()
}

fn call(
    sender: &mut SendRequest<Bytes>,
    path: &str,
    more: &[(&str, &str)],
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap()
}

/// A message as it travels.
fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut framed = vec![0];
    framed.extend((bytes.len() as u32).to_be_bytes());
    framed.extend(bytes);
    framed.into()
}

fn everything() -> Bytes {
    framed(&RangeRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..RangeRequest::default()
    })
}

/// Writes so many values of 3000 bytes.
async fn fill(world: &World, keys: usize) {
    for number in 0..keys {
        let put = PutRequest {
            key: text(&format!("k{number}")),
            value: vec![b'v'; 3000].into(),
            ..PutRequest::default()
        };
        world.kv().put(put).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_is_given_up_and_one_that_is_taken_slowly_is_not() {
    let world = world().await;
    fill(&world, 40).await;
    let mut sender = connected(&world, 0, 1 << 20).await;
    let mut answers = Vec::new();
    for _ in 0..50 {
        let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
        body.send_data(everything(), true).unwrap();
        answers.push(answer);
    }
    is_served(&world).await;
    let began = Instant::now();
    for answer in answers {
        let mut body = timeout(LONG, answer).await.unwrap().unwrap().into_body();
        let told = timeout(BORED, body.data()).await.expect("it may stay");
        let error = told.expect("it does not end well").unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
    }
    assert!(began.elapsed() < BORED);

    let mut sender = connected(&world, 70_000, 1 << 20).await;
    let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
    body.send_data(everything(), true).unwrap();
    let mut body = timeout(LONG, answer).await.unwrap().unwrap().into_body();
    let mut heard = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        heard.extend_from_slice(&data);
        tokio::time::sleep(Duration::from_secs(10)).await;
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let told = RangeResponse::decode(&heard[5..]).unwrap();
    assert!(told.count >= 40, "{}", told.count);
}

#[tokio::test]
async fn an_answer_that_is_not_read_holds_up_no_other_call_of_its_connection() {
    let world = world().await;
    fill(&world, 40).await;
    let mut sender = connected(&world, 65_535, 1 << 24).await;
    let (unread, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
    body.send_data(everything(), true).unwrap();
    let unread = timeout(LONG, unread).await.unwrap().unwrap().into_body();
    for _ in 0..20 {
        let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
        let one = RangeRequest {
            key: text("k1"),
            ..RangeRequest::default()
        };
        body.send_data(framed(&one), true).unwrap();
        let mut body = timeout(LONG, answer).await.unwrap().unwrap().into_body();
        let told = timeout(LONG, body.data()).await.unwrap().unwrap().unwrap();
        assert!(told.len() > 3000);
    }
    drop(unread);
}

/// How many calls are under way.
fn under_way() -> u64 {
    let open = |started: u64, handled: u64| started.saturating_sub(handled);
    CALLS
        .iter()
        .map(|meter| {
            let handled = meter.handled.iter().map(Counter::get).sum();
            open(meter.started.get(), handled)
        })
        .sum()
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_the_node_and_so_do_all_of_a_connection_that_breaks() {
    let world = world().await;
    fill(&world, 40).await;
    let begin = |sender: &mut SendRequest<Bytes>| {
        let create = WatchCreateRequest {
            key: text("k"),
            ..WatchCreateRequest::default()
        };
        let watch = framed(&WatchRequest {
            request_union: Some(watch_request::RequestUnion::CreateRequest(create)),
        });
        let mut calls = Vec::new();
        for number in 0..60 {
            // A stream that lasts, a heavy answer that nobody reads, half of a light call.
            let (path, says, is_over) = match number % 3 {
                0 => ("/etcdserverpb.Watch/Watch", watch.clone(), false),
                1 => ("/etcdserverpb.KV/Range", everything(), true),
                _half => ("/etcdserverpb.KV/Put", Bytes::from_static(b"\0\0"), false),
            };
            let (answer, mut body) = call(sender, path, &[]);
            body.send_data(says, is_over).unwrap();
            calls.push((answer, body));
        }
        calls
    };
    let until = async |count: u64| {
        let is_so = async {
            while under_way() != count {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, is_so).await.expect("so many are under way");
    };
    let mut sender = connected(&world, 100, 1 << 20).await;
    for breaks in [false, true] {
        let calls = begin(&mut sender);
        until(60).await;
        if breaks {
            // The connection goes with its last handle.
            drop(calls);
            sender = connected(&world, 100, 1 << 20).await;
        } else {
            for (answer, mut body) in calls {
                body.send_reset(Reason::CANCEL);
                drop(answer);
            }
        }
        until(0).await;
        is_served(&world).await;
    }
    drop(sender);
}

/// The form in which every call is at work before it is given up (CVE-2023-44487), so that no call
/// counts against the bound of those that run.
#[tokio::test]
async fn calls_that_are_given_up_as_soon_as_they_are_at_work_do_not_pile_up() {
    let world = world().await;
    fill(&world, 40).await;
    let begun = || -> u64 { CALLS.iter().map(|meter| meter.started.get()).sum() };
    let mut most = 0;
    let attack = async {
        let mut sender = connected(&world, 100, 1 << 20).await;
        for _ in 0..500 {
            let before = begun();
            let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
            body.send_data(everything(), true).unwrap();
            let is_at_work = async {
                while begun() == before {
                    tokio::task::yield_now().await;
                }
            };
            timeout(LONG, is_at_work).await.expect("it is begun");
            body.send_reset(Reason::CANCEL);
            drop(answer);
            most = most.max(under_way());
        }
        sender
    };
    let ordinary = async {
        for _ in 0..5 {
            is_served(&world).await;
        }
    };
    let (sender, ()) = tokio::join!(attack, ordinary);
    assert!(most < 100, "{most} calls were at work at a time");
    let none = async {
        while under_way() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, none).await.expect("all of them end");
    drop(sender);
}

#[tokio::test]
async fn a_body_of_frames_with_nothing_in_them_is_shown_out() {
    let world = world().await;
    let begin = [GREETING, &frame(HEADERS, END_HEADERS, 1, &block(&[]))].concat();
    let goes_on = frame(DATA, 0, 1, &[]).repeat(100);
    let attack = says(&world, &begin, &goes_on, true);
    let ((said, heard), ()) = tokio::join!(attack, is_served(&world));
    assert!(said < BUFFERS_BYTES, "{said} bytes were taken");
    assert!(heard.len() < 100_000, "{} bytes", heard.len());
    is_served(&world).await;
}

#[tokio::test(start_paused = true)]
async fn half_of_a_call_is_given_up_and_the_connection_goes_on() {
    let world = world().await;
    let mut sender = connected(&world, 65_535, 1 << 20).await;
    let (answer, mut half) = call(&mut sender, "/etcdserverpb.KV/Put", &[]);
    half.send_data(Bytes::from_static(b"\0\0\0\0\x09"), false)
        .unwrap();
    let told = timeout(BORED, answer).await.expect("it keeps its place");
    let told = told.unwrap();
    assert_eq!(told.headers()["hstore-code"], "timeout", "{told:?}");
    let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Range", &[]);
    body.send_data(everything(), true).unwrap();
    assert_eq!(timeout(LONG, answer).await.unwrap().unwrap().status(), 200);
    drop(half);
}

#[tokio::test]
async fn a_message_byte_by_byte_is_one_message() {
    let world = world().await;
    let mut sender = connected(&world, 65_535, 1 << 20).await;
    let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Put", &[]);
    let put = framed(&PutRequest {
        key: text("slow"),
        value: vec![b'v'; 3000].into(),
        ..PutRequest::default()
    });
    for byte in &put {
        body.send_data(Bytes::copy_from_slice(&[*byte]), false)
            .unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
    let told = timeout(LONG, answer).await.unwrap().unwrap();
    assert_eq!(told.headers().get("grpc-status"), None, "{told:?}");
}

#[tokio::test]
async fn a_call_whose_length_is_a_lie_or_that_names_an_encoding_is_none() {
    let world = world().await;
    for more in [
        ("content-length", "3"),
        ("content-length", "9000"),
        ("content-length", "8, 9"),
    ] {
        let mut sender = connected(&world, 65_535, 1 << 20).await;
        let put = framed(&PutRequest {
            key: text("smuggled"),
            value: text("v"),
            ..PutRequest::default()
        });
        let (answer, mut body) = call(&mut sender, "/etcdserverpb.KV/Put", &[more]);
        let _reset = body.send_data(put, true);
        let told = timeout(LONG, answer).await.unwrap();
        let is_refused = told
            .as_ref()
            .is_ok_and(|told| told.headers().contains_key("grpc-status"));
        assert!(told.is_err() || is_refused, "{more:?}: {told:?}");
        is_served(&world).await;
    }
    for (name, value) in [("transfer-encoding", "chunked"), ("connection", "close")] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let block = block(&field(name, value));
        let says = [
            GREETING,
            &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block),
        ];
        stream.write_all(&says.concat()).await.unwrap();
        // The stream is reset, because its head is none (RFC 9113, section 8.2.2).
        let mut reset = vec![0, 0, 4, 3, 0, 0, 0, 0, 1];
        reset.extend(u32::from(Reason::PROTOCOL_ERROR).to_be_bytes());
        let mut heard = Vec::new();
        let told = async {
            while !heard.windows(reset.len()).any(|bytes| bytes == reset) {
                let mut piece = [0; 4096];
                let length = stream.read(&mut piece).await.unwrap();
                assert!(length > 0, "{name}: {heard:?}");
                heard.extend_from_slice(&piece[..length]);
            }
        };
        timeout(LONG, told).await.expect("it is refused");
    }
    let told = get(world.address, "/read/smuggled").await;
    assert_eq!(told.status, 404, "{told:?}");
}

/// The clock stands still while anything is on its way; what waits is hurried along.
#[tokio::test(start_paused = true)]
async fn connections_without_a_use_make_room_for_an_ordinary_client() {
    let world = world().await;
    // More than there are places, and all of them answer when they are asked whether they live.
    let mut idle = Vec::new();
    for _ in 0..100 {
        let world = world.address;
        idle.push(tokio::spawn(async move {
            let stream = TcpStream::connect(world).await.unwrap();
            let greeted = client::handshake(stream).await;
            let (_sender, connection) = greeted.unwrap();
            let _ended = connection.await;
        }));
    }
    let began = Instant::now();
    for _ in 0..3 {
        is_served(&world).await;
    }
    // Who has been at work all the while was not shown out.
    fill(&world, 1).await;
    assert!(began.elapsed() < BORED, "{:?}", began.elapsed());
    for one in idle {
        one.abort();
    }
}

#[tokio::test]
async fn who_is_shown_out_for_a_head_hears_why() {
    let world = world().await;
    let begin = [GREETING, &frame(HEADERS, END_STREAM, 1, &block(&[]))].concat();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(&begin).await.unwrap();
    let few = frame(CONTINUATION, 0, 1, &[]).repeat(100);
    let _shown_out = stream.write_all(&few).await;
    let mut heard = Vec::new();
    let _reset = timeout(LONG, stream.read_to_end(&mut heard)).await.unwrap();
    assert!(
        was_told_to_go(&heard, Reason::ENHANCE_YOUR_CALM) || heard.len() < 1000,
        "{heard:?}"
    );
}
