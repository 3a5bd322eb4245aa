//! Strangers at the doors: bytes that are no HTTP/2, frames that are too large, halves of frames
//! and then silence, at both ports, while a cluster is at work.
//!
//! Each stranger must be shown out within a bound, and nobody else may notice it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use hstore_client::Client;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};
use turmoil::Sim;
use turmoil::net::TcpStream;

use crate::net::{LATENCY_MAX, LATENCY_MIN, Net};
use crate::place::{CLIENT_PORT, CONNECTIONS_MAX, NODES, PEER_PORT, Place};

/// How long a stranger may stay that says what no client says.
const NONSENSE_MAX: Duration = Duration::from_secs(2);

/// How long one may stay that speaks HTTP/1 and does not go on: the client port waits for the next
/// request, the peer port has no use for it.
const OLDER_MAX: [(u16, Duration); 2] = [
    (CLIENT_PORT, Duration::from_secs(32)),
    (PEER_PORT, NONSENSE_MAX),
];

/// How long one may stay that has not said yet what it speaks.
const GREETING_MAX: Duration = Duration::from_secs(11);

/// How long one may stay that fell silent afterwards: the keep-alive of the port, and the time that
/// its answer has.
const SILENCE_MAX: [(u16, Duration); 2] = [
    (CLIENT_PORT, Duration::from_secs(42)),
    (PEER_PORT, Duration::from_secs(7)),
];

/// How long a well-behaved call may take beside all that.
const CALL_MAX: Duration = Duration::from_secs(1);

/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4), and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// The head of a frame (RFC 9113, section 4.1).
fn frame(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

/// The flag of a frame of headers that says that no more of them follow.
const END_HEADERS: u8 = 4;

/// A call of a method, up to its message: HPACK without a table and without Huffman's code
/// (RFC 7541, section 6.2.2), POST and http from the static table.
fn call(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let fields = [
        (":path", path),
        (":authority", "n1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    let mut bytes = frame(block.len() as u32, 1, END_HEADERS, 1);
    bytes.extend(block);
    bytes
}

/// What a stranger says, and how long it may stay.
struct Stranger {
    what: &'static str,
    says: Vec<u8>,
    stays: Duration,
}

fn strangers(port: u16) -> Vec<Stranger> {
    let at_port = |table: &[(u16, Duration)]| {
        let found = table.iter().find(|(at, _)| *at == port);
        found.expect("both ports").1
    };
    let silence = at_port(&SILENCE_MAX);
    let older = at_port(&OLDER_MAX);
    let hello = [PREFACE, SETTINGS].concat();
    let method = if port == CLIENT_PORT {
        "/etcdserverpb.KV/Put"
    } else {
        "/hstore.v1.Peer/Open"
    };
    let mut garbage = vec![0; 4096];
    StdRng::seed_from_u64(7).fill_bytes(&mut garbage);
    let says = |parts: &[&[u8]]| parts.concat();
    let stranger = |what, says, stays| Stranger { what, says, stays };
    vec![
        stranger("garbage", garbage.clone(), NONSENSE_MAX),
        stranger(
            "an older HTTP",
            b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n".to_vec(),
            older,
        ),
        stranger(
            "half a head of an older HTTP",
            b"GET / HTTP/1.1\r\nHost: n1\r\nx: y".to_vec(),
            older,
        ),
        stranger(
            "garbage for a frame",
            says(&[&hello, &[0xff; 64]]),
            NONSENSE_MAX,
        ),
        stranger(
            "a frame larger than any that was agreed on",
            says(&[&hello, &frame(0x00ff_ffff, 0, 0, 1)]),
            NONSENSE_MAX,
        ),
        stranger(
            "headers that are no headers",
            says(&[&hello, &frame(4, 1, 5, 1), &[0xff; 4]]),
            NONSENSE_MAX,
        ),
        stranger(
            "data for no call",
            says(&[&hello, &frame(1, 0, 0, 1), &[0]]),
            NONSENSE_MAX,
        ),
        stranger("nothing", Vec::new(), GREETING_MAX),
        stranger("half a greeting", PREFACE[..12].to_vec(), GREETING_MAX),
        stranger(
            "a greeting and half a frame",
            says(&[&hello, &frame(64, 0, 0, 1)[..5]]),
            silence,
        ),
        stranger(
            "half of the headers of a call",
            says(&[&hello, &call(method)[..40]]),
            silence,
        ),
        stranger(
            "half of a message",
            says(&[
                &hello,
                &call(method),
                &frame(64, 0, 0, 1),
                &[0, 0, 0, 0, 200, 1, 2],
            ]),
            silence,
        ),
        stranger(
            "a message of four gigabytes",
            says(&[
                &hello,
                &call(method),
                &frame(5, 0, 0, 1),
                &[0, 0xff, 0xff, 0xff, 0xff],
            ]),
            silence,
        ),
    ]
}

/// Goes to a port, says its words, and waits to be shown out.
async fn visit(port: u16, stranger: &Stranger) -> Result<()> {
    let began = Instant::now();
    let mut stream = TcpStream::connect((NODES[0], port)).await?;
    // It may be shown out while it still speaks.
    let _shown_out = stream.write_all(&stranger.says).await;
    let mut answer = Vec::new();
    let read = timeout(stranger.stays, stream.read_to_end(&mut answer)).await;
    ensure!(
        read.is_ok(),
        "port {port} lets stay who says {}: it has answered {} bytes, for {:?}",
        stranger.what,
        answer.len(),
        began.elapsed()
    );
    Ok(())
}

/// A cluster without weather.
struct Town<'s> {
    sim: Sim<'s>,
    net: Net,
    places: Vec<Place>,
}

impl Town<'_> {
    fn new(seed: u64) -> Self {
        let net = Net::default();
        let places: Vec<Place> = NODES
            .iter()
            .zip(1..)
            .map(|(name, nth)| Place::new(name, &net, seed + nth))
            .collect();
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .epoch(SystemTime::UNIX_EPOCH)
            .simulation_duration(Duration::from_mins(10))
            .min_message_latency(LATENCY_MIN)
            .max_message_latency(LATENCY_MAX)
            .tcp_capacity(1024)
            .build();
        for place in &places {
            let place = place.clone();
            sim.host(place.name, move || place.clone().live());
        }
        let mut town = Town { sim, net, places };
        for _ in 0..30_000 {
            if town.places.iter().all(Place::is_member) {
                return town;
            }
            town.sim.step().expect("no client has a reason to fail");
        }
        panic!("the cluster did not come together");
    }

    fn run(mut self) -> Self {
        self.sim.run().expect("every visitor says what went wrong");
        let troubles: Vec<String> = self.places.iter().flat_map(Place::troubles).collect();
        assert_eq!(troubles, Vec::<String>::new());
        self
    }
}

/// A client that writes and reads until the strangers are gone, and always gets its answer soon.
async fn well_behaved(net: Net, busy: Arc<Mutex<usize>>) -> Result<()> {
    let host = format!("{}:{CLIENT_PORT}", NODES[0]);
    let client = Client::through(vec![host.parse()?], net.dialler("good"), 1)?;
    let client = client.with_timeout(CALL_MAX);
    let mut nth = 0;
    while *busy.lock().expect("nobody panics with it") > 0 {
        nth += 1;
        let what = || {
            format!(
                "call {nth} beside the strangers, after {:?}",
                turmoil::elapsed()
            )
        };
        client.put("k", format!("{nth}")).await.with_context(what)?;
        let found = client
            .get("k", hstore_client::Read::default())
            .await
            .with_context(what)?;
        ensure!(
            found
                .value
                .is_some_and(|pair| pair.value == format!("{nth}"))
        );
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(nth > 20, "the strangers were gone after {nth} calls");
    Ok(())
}

#[test]
fn strangers_are_shown_out_and_nobody_else_notices() {
    let mut town = Town::new(11);
    let open = |net: &Net| [CLIENT_PORT, PEER_PORT].map(|port| net.open(NODES[0], port));
    let before = open(&town.net);
    let tasks = town.places[0].tasks();
    let busy = Arc::new(Mutex::new(1_usize));
    let (net, working) = (town.net.clone(), busy.clone());
    town.sim
        .client("good", async move { Ok(well_behaved(net, working).await?) });
    town.sim.client("bad", async move {
        let strangers = [CLIENT_PORT, PEER_PORT].map(|port| (port, strangers(port)));
        let visits = strangers
            .iter()
            .flat_map(|(port, strangers)| strangers.iter().map(|stranger| visit(*port, stranger)));
        let visits = futures::future::join_all(visits).await;
        let stayed = visits.into_iter().filter_map(Result::err);
        let stayed: Vec<String> = stayed.map(|stayed| format!("{stayed:#}")).collect();
        assert!(stayed.is_empty(), "{}", stayed.join("\n"));
        *busy.lock().expect("nobody panics with it") -= 1;
        Ok(())
    });
    let mut town = town.run();
    // The good client is gone too, and the word of it takes a moment.
    for _ in 0..1_000 {
        town.sim.step().expect("all clients have ended");
    }
    let after = open(&town.net);
    assert!(
        after[0] <= before[0] && after[1] <= before[1],
        "{before:?} {after:?}"
    );
    assert!(
        town.places[0].tasks() <= tasks,
        "{tasks} {}",
        town.places[0].tasks()
    );
}

#[test]
fn a_full_house_of_silent_strangers_lets_others_in_when_they_are_shown_out() {
    let mut town = Town::new(12);
    let net = town.net.clone();
    town.sim.client("bad", async {
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect((NODES[0], CLIENT_PORT)).await?);
        }
        sleep(Duration::from_mins(1)).await;
        Ok(())
    });
    town.sim.client("good", async move {
        sleep(Duration::from_secs(1)).await;
        let full = net.open(NODES[0], CLIENT_PORT);
        assert!(full >= CONNECTIONS_MAX, "the house is not full: {full}");
        let host = format!("{}:{CLIENT_PORT}", NODES[0]);
        let client = Client::through(vec![host.parse()?], net.dialler("good"), 1)?;
        let client = client.patient().with_timeout(Duration::from_secs(15));
        client.put("k", "v").await.context("behind a full house")?;
        Ok(())
    });
    town.run();
}
