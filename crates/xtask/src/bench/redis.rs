//! Redis, as the ceiling of a networked store that syncs every write: its own wire, with as many
//! requests on their way as there are clients.
//!
//! Redis is one node without a quorum, so it stands beside clusters of one. Invariant: an answer
//! that is not the right one is an error.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::drive::{DEADLINE, Load, Measured, Pace, Servers, histogram};
use super::operation::{Operation, Shape, key};

/// Writes every key once.
pub(super) async fn fill(servers: &Servers, shape: Shape) -> Result<()> {
    for address in servers.addresses.iter().take(1) {
        let mut lane = Lane::open(address, shape, &servers.pool, 0).await?;
        for number in 0..shape.keys {
            lane.put(number);
            if lane.begun.len() >= 256 {
                lane.turn().await?;
            }
        }
        while !lane.begun.is_empty() {
            lane.turn().await?;
        }
    }
    Ok(())
}

/// Drives a load of reads or writes to its end.
pub(super) async fn drive(servers: &Servers, load: Load) -> Result<Measured> {
    let Pace::Closed(clients) = load.pace else {
        anyhow::bail!("redis is driven in a closed loop");
    };
    let count = servers.places().count();
    let mut lanes = Vec::new();
    for (at, address) in servers.places().enumerate() {
        let share = (at..clients).step_by(count).count();
        if share > 0 {
            let lane = Lane::open(address, load.shape, &servers.pool, at as u64).await?;
            lanes.push((lane, share));
        }
    }
    let begin = Instant::now();
    let end = begin + load.time;
    let mut tasks = JoinSet::new();
    for (mut lane, share) in lanes {
        tasks.spawn(async move {
            for _ in 0..share {
                lane.ask(load.operation);
            }
            let mut latency = histogram();
            while !lane.begun.is_empty() {
                for time in lane.turn().await? {
                    latency.saturating_record(time);
                    if Instant::now() < end {
                        lane.ask(load.operation);
                    }
                }
            }
            anyhow::Ok(latency)
        });
    }
    let mut latency = histogram();
    while let Some(done) = tasks.join_next().await {
        latency.add(done??)?;
    }
    Ok(Measured {
        seconds: begin.elapsed().as_secs_f64(),
        operations: latency.len(),
        latency,
    })
}

/// A connection.
struct Lane {
    stream: TcpStream,
    outgoing: BytesMut,
    incoming: BytesMut,
    /// When each question began that has no answer, and how long its value must be.
    begun: VecDeque<(Instant, Option<usize>)>,
    random: StdRng,
    shape: Shape,
    pool: Bytes,
}

impl Lane {
    async fn open(address: &str, shape: Shape, pool: &Bytes, seed: u64) -> Result<Lane> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Lane {
            stream,
            outgoing: BytesMut::new(),
            incoming: BytesMut::new(),
            begun: VecDeque::new(),
            random: StdRng::seed_from_u64(seed),
            shape,
            pool: pool.clone(),
        })
    }

    fn ask(&mut self, operation: Operation) {
        let number = self.random.random_range(0..self.shape.keys);
        if operation == Operation::Put {
            self.put(number);
        } else {
            command(&mut self.outgoing, &[b"GET", &key(number)]);
            let length = Some(self.shape.value_bytes);
            self.begun.push_back((Instant::now(), length));
        }
    }

    fn put(&mut self, number: u64) {
        let last = self.pool.len() - self.shape.value_bytes;
        let at = self.random.random_range(0..=last);
        let value = self.pool.slice(at..at + self.shape.value_bytes);
        command(&mut self.outgoing, &[b"SET", &key(number), &value]);
        self.begun.push_back((Instant::now(), None));
    }

    /// Sends and hears; how long each answered question took, in microseconds.
    async fn turn(&mut self) -> Result<Vec<u64>> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        self.incoming.reserve(64 << 10);
        let read = timeout(DEADLINE, self.stream.read_buf(&mut self.incoming))
            .await
            .context("a question was not answered in time")??;
        ensure!(read > 0, "the server closed the connection");
        let mut times = Vec::new();
        while let Some(&(began, length)) = self.begun.front() {
            let right = match length {
                None => "+OK\r\n".into(),
                Some(length) => {
                    let mut head = String::new();
                    write!(head, "${length}\r\n")?;
                    head
                }
            };
            let whole = right.len() + length.map_or(0, |length| length + 2);
            if self.incoming.len() < whole {
                let came = &self.incoming[..right.len().min(self.incoming.len())];
                ensure!(
                    right.as_bytes().starts_with(came),
                    "redis refused a command"
                );
                break;
            }
            ensure!(
                self.incoming.starts_with(right.as_bytes()),
                "redis refused a command"
            );
            self.incoming.advance(whole);
            self.begun.pop_front();
            times.push(began.elapsed().as_micros() as u64);
        }
        Ok(times)
    }
}

/// A command, as an array of strings.
fn command(to: &mut BytesMut, words: &[&[u8]]) {
    to.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        to.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        to.extend_from_slice(word);
        to.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_how_long_its_words_are() {
        let mut bytes = BytesMut::new();
        command(&mut bytes, &[b"SET", b"k", b"\r\n"]);
        assert_eq!(&*bytes, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n");
    }
}
