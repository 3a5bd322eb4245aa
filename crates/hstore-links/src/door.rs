//! A door: where the others reach a node.
//!
//! Invariant: while nobody listens behind it, nobody listens at it either, so that a dead node is
//! told from a silent one as without the proxy.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::carry::{self, Ends};
use crate::{Links, Origins, Way};

/// How soon a closed door looks whether its node listens again.
const LOOK: Duration = Duration::from_millis(5);
/// How long it rests at most between two looks: a fleet has many doors, most of which may be closed.
const LOOK_MAX: Duration = Duration::from_millis(80);
/// How long a node's machine takes to accept a connection; a stopped process's kernel does it too.
const CONNECT: Duration = Duration::from_secs(2);

/// Whether the door can be opened at all.
pub(crate) fn check(way: Way) -> io::Result<()> {
    std::net::TcpListener::bind(way.told)
        .map(drop)
        .map_err(|error| {
            let what = format!("there is no listening at {}: {error}", way.told);
            io::Error::new(error.kind(), what)
        })
}

/// Keeps a door until it is aborted, and with it all connections through it.
pub(crate) async fn keep(way: Way, links: Arc<Links>, origins: Arc<Origins>) {
    let dead = Arc::new(Notify::new());
    let mut carried = JoinSet::new();
    loop {
        let mut rest = LOOK;
        while TcpStream::connect(way.listens).await.is_err() {
            sleep(rest).await;
            rest = (rest * 2).min(LOOK_MAX);
        }
        let Ok(listener) = TcpListener::bind(way.told).await else {
            sleep(LOOK).await;
            continue;
        };
        loop {
            let accepted = tokio::select! {
                biased;
                // First, so that a node that just died takes no further connection.
                () = dead.notified() => break,
                accepted = listener.accept() => accepted,
                Some(_ended) = carried.join_next() => continue,
            };
            let Ok((near, from)) = accepted else {
                continue;
            };
            let (links, origins) = (Arc::clone(&links), Arc::clone(&origins));
            let dead = Arc::clone(&dead);
            carried.spawn(async move {
                let target = timeout(CONNECT, TcpStream::connect(way.listens)).await;
                match target {
                    Ok(Ok(far)) => {
                        let ends = Ends {
                            from: if way.ruled {
                                origins.origin(from, way.told)
                            } else {
                                0
                            },
                            to: way.node,
                        };
                        carry::carry(near, far, ends, &links).await;
                        if TcpStream::connect(way.listens).await.is_err() {
                            dead.notify_one();
                        }
                    }
                    Ok(Err(error)) => {
                        if error.kind() == io::ErrorKind::ConnectionRefused {
                            dead.notify_one();
                        }
                        carry::reset(&near);
                    }
                    Err(_elapsed) => carry::reset(&near),
                }
            });
        }
    }
}
