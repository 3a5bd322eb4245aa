//! The proxy between this process, which stands for node 1, and echoes, which stand for node 2.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::*;

/// Longer than anything takes that happens at all.
const SOON: Duration = Duration::from_secs(20);
/// How long nothing must come.
const SILENCE: Duration = Duration::from_millis(150);

struct Wire {
    proxy: Proxy,
    told: SocketAddr,
    listens: SocketAddr,
    echo: JoinHandle<()>,
}

async fn echo(listens: SocketAddr) {
    let listener = TcpListener::bind(listens).await.unwrap();
    let mut open = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        open.spawn(async move {
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte).await {
                if stream.write_all(&byte).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Wire {
    fn new() -> Wire {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = held.local_addr().unwrap();
        drop(held);
        let told = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 99), listens.port()));
        let mut proxy = Proxy::new();
        proxy.origins().runs(1, std::process::id());
        let way = Way {
            told,
            listens,
            node: 2,
            ruled: true,
        };
        proxy.open(way).unwrap();
        let echo = tokio::spawn(echo(listens));
        Wire {
            proxy,
            told,
            listens,
            echo,
        }
    }

    async fn connect(&self) -> TcpStream {
        let begin = Instant::now();
        loop {
            match TcpStream::connect(self.told).await {
                Ok(stream) => return stream,
                Err(error) => assert!(begin.elapsed() < SOON, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn say(stream: &mut TcpStream, byte: u8) {
    stream.write_all(&[byte]).await.unwrap();
}

async fn hears(stream: &mut TcpStream, byte: u8) {
    let mut heard = [0];
    let read = timeout(SOON, stream.read_exact(&mut heard)).await;
    read.expect("an answer comes").unwrap();
    assert_eq!(heard, [byte]);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let mut heard = [0];
    let read = timeout(SILENCE, stream.read(&mut heard)).await;
    assert!(read.is_err(), "nothing passes: {read:?}");
}

/// The kind of the error that a stream ends with.
async fn ends(stream: &mut TcpStream) -> ErrorKind {
    let mut heard = [0];
    let read = timeout(SOON, stream.read(&mut heard)).await;
    read.expect("it ends").unwrap_err().kind()
}

#[tokio::test]
async fn a_cut_holds_everything_back_and_its_end_lets_it_through() {
    let wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    let links = wire.proxy.links();
    let cut = links.harm(between(&[1], &[2]), Harm::Cut);
    say(&mut stream, 2).await;
    hears_nothing(&mut stream).await;
    links.mend(cut);
    hears(&mut stream, 2).await;
}

#[tokio::test]
async fn a_cut_between_other_nodes_is_not_felt() {
    let wire = Wire::new();
    wire.proxy.links().harm(between(&[1, 2], &[3]), Harm::Cut);
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
}

#[tokio::test]
async fn a_one_way_cut_leaves_the_other_way_open() {
    let wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    let links = wire.proxy.links();
    // The answers are cut off: what is said arrives, so they are all there when the cut ends.
    let back = links.harm(vec![(2, 1)], Harm::Cut);
    say(&mut stream, 2).await;
    hears_nothing(&mut stream).await;
    let there = links.harm(vec![(1, 2)], Harm::Cut);
    say(&mut stream, 3).await;
    links.mend(back);
    hears(&mut stream, 2).await;
    hears_nothing(&mut stream).await;
    links.mend(there);
    hears(&mut stream, 3).await;
}

#[tokio::test]
async fn a_delay_is_as_long_as_it_says_and_keeps_the_order() {
    let wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    let delay = Duration::from_millis(60);
    wire.proxy
        .links()
        .harm(between(&[1], &[2]), Harm::Delay(delay));
    let begin = Instant::now();
    say(&mut stream, 2).await;
    say(&mut stream, 3).await;
    hears(&mut stream, 2).await;
    assert!(begin.elapsed() >= delay * 2, "there and back");
    hears(&mut stream, 3).await;
}

#[tokio::test]
async fn a_reset_ends_open_connections_and_a_new_one_works() {
    let wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    wire.proxy.links().break_now(Break {
        a: 2,
        b: 1,
        half_open: false,
    });
    assert_eq!(ends(&mut stream).await, ErrorKind::ConnectionReset);
    let mut stream = wire.connect().await;
    say(&mut stream, 2).await;
    hears(&mut stream, 2).await;
}

#[tokio::test]
async fn a_half_open_connection_says_nothing_for_ever() {
    let wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    wire.proxy.links().break_now(Break {
        a: 1,
        b: 2,
        half_open: true,
    });
    hears_nothing(&mut stream).await;
    say(&mut stream, 2).await;
    hears_nothing(&mut stream).await;
}

#[tokio::test]
async fn the_door_of_a_dead_node_refuses_until_the_node_is_back() {
    let mut wire = Wire::new();
    let mut stream = wire.connect().await;
    say(&mut stream, 1).await;
    hears(&mut stream, 1).await;
    wire.echo.abort();
    let mut rest = Vec::new();
    let _reset_or_end = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("it ends");
    let begin = Instant::now();
    let is_refused = |told: std::io::Result<TcpStream>| {
        told.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    while !is_refused(TcpStream::connect(wire.told).await) {
        assert!(begin.elapsed() < SOON, "the door closes");
    }
    wire.echo = tokio::spawn(echo(wire.listens));
    let mut stream = wire.connect().await;
    say(&mut stream, 2).await;
    hears(&mut stream, 2).await;
}
