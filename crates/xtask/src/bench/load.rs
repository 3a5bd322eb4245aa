//! The load: clients in a closed loop, speaking etcd's wire, the same bytes to every system.
//!
//! What it must never know: which system answers.
//!
//! Invariants: (1) every operation of a phase is answered well or the phase is an error: a number
//! over failed requests means nothing; (2) clients are spread over all nodes and over several
//! connections, the same way for every system.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::{PutRequest, RangeRequest};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// Connections to each node; clients share them, as a program with a pool would.
const CONNECTIONS_PER_NODE: usize = 4;
/// How much random data values are cut from. Large, so that no compression helps anybody.
const POOL_BYTES: usize = 4 << 20;
/// The longest wait for one answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a phase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Writes a value to a random key.
    Put,
    /// Reads a random key, linearizable.
    Get,
}

/// The keys and values of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How many keys there are.
    pub(super) keys: u64,
    /// How long a value is.
    pub(super) value_bytes: usize,
}

/// What a phase measured.
pub(super) struct Measured {
    /// Operations a second.
    pub(super) per_second: f64,
    /// How many operations there were.
    pub(super) operations: u64,
    /// Latencies in microseconds.
    pub(super) latency: Histogram<u64>,
}

/// Connections to every node of one cluster.
#[derive(Clone)]
pub(super) struct Clients {
    channels: Vec<Channel>,
    /// What all clients cut their values from.
    pool: Bytes,
}

impl Clients {
    /// Opens the connections.
    pub(super) async fn connect(addresses: &[String]) -> Result<Clients> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS_PER_NODE {
            for address in addresses {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))?
                    .tcp_nodelay(true)
                    .connect_timeout(Duration::from_secs(2));
                let channel = endpoint
                    .connect()
                    .await
                    .with_context(|| format!("no connection to {address}"))?;
                channels.push(channel);
            }
        }
        let mut pool = vec![0; POOL_BYTES];
        StdRng::seed_from_u64(POOL_BYTES as u64).fill_bytes(&mut pool);
        Ok(Clients {
            channels,
            pool: pool.into(),
        })
    }

    fn client(&self, n: usize) -> KvClient<Channel> {
        KvClient::new(self.channels[n % self.channels.len()].clone())
    }

    /// Writes every key once.
    pub(super) async fn fill(&self, shape: Shape, clients: usize) -> Result<()> {
        let mut tasks = JoinSet::new();
        for n in 0..clients {
            let mut kv = self.client(n);
            let mut source = Source::new(n as u64, shape, &self.pool);
            tasks.spawn(async move {
                for number in (n as u64..shape.keys).step_by(clients) {
                    source.put(&mut kv, number).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Keeps `clients` clients busy for so long.
    pub(super) async fn drive(
        &self,
        operation: Operation,
        shape: Shape,
        clients: usize,
        time: Duration,
    ) -> Result<Measured> {
        let begin = Instant::now();
        let end = begin + time;
        let mut tasks = JoinSet::new();
        for n in 0..clients {
            let mut kv = self.client(n);
            let mut source = Source::new(n as u64 + shape.keys, shape, &self.pool);
            tasks.spawn(async move {
                let mut latency = histogram();
                loop {
                    let before = Instant::now();
                    if before >= end {
                        return anyhow::Ok(latency);
                    }
                    let number = source.random.random_range(0..shape.keys);
                    match operation {
                        Operation::Put => source.put(&mut kv, number).await?,
                        Operation::Get => source.get(&mut kv, number).await?,
                    }
                    latency.saturating_record(before.elapsed().as_micros() as u64);
                }
            });
        }
        let mut latency = histogram();
        while let Some(done) = tasks.join_next().await {
            latency.add(done??)?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        let operations = latency.len();
        Ok(Measured {
            per_second: operations as f64 / seconds,
            operations,
            latency,
        })
    }
}

/// One write over a connection of its own; whether it was acknowledged in time.
pub(super) async fn try_put(address: &str, deadline: Duration) -> bool {
    let attempt = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).ok()?;
        let mut kv = KvClient::new(endpoint.connect().await.ok()?);
        kv.put(PutRequest {
            key: "probe".into(),
            value: "1".into(),
            ..PutRequest::default()
        })
        .await
        .ok()
    };
    matches!(tokio::time::timeout(deadline, attempt).await, Ok(Some(_)))
}

/// The keys and values of one client.
struct Source {
    random: StdRng,
    pool: Bytes,
    value_bytes: usize,
}

impl Source {
    fn new(seed: u64, shape: Shape, pool: &Bytes) -> Source {
        Source {
            random: StdRng::seed_from_u64(seed),
            pool: pool.clone(),
            value_bytes: shape.value_bytes,
        }
    }

    async fn put(&mut self, kv: &mut KvClient<Channel>, number: u64) -> Result<()> {
        let at = self
            .random
            .random_range(0..=self.pool.len() - self.value_bytes);
        let request = PutRequest {
            key: key(number).into(),
            value: self.pool.slice(at..at + self.value_bytes),
            ..PutRequest::default()
        };
        tokio::time::timeout(DEADLINE, kv.put(request))
            .await
            .context("a put was not answered in time")?
            .context("a put failed")?;
        Ok(())
    }

    async fn get(&mut self, kv: &mut KvClient<Channel>, number: u64) -> Result<()> {
        let request = RangeRequest {
            key: key(number).into(),
            ..RangeRequest::default()
        };
        let answer = tokio::time::timeout(DEADLINE, kv.range(request))
            .await
            .context("a get was not answered in time")?
            .context("a get failed")?
            .into_inner();
        let found = answer.kvs.first().map_or(0, |pair| pair.value.len());
        if found != self.value_bytes {
            bail!(
                "a get found {found} bytes in the place of {}",
                self.value_bytes
            );
        }
        Ok(())
    }
}

/// A key of 16 bytes, in an order that has nothing to do with its number.
fn key(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these bounds make a histogram")
}
