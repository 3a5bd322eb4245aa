//! `bench`: load from many clients at once, and how long each request took.
//!
//! It is a closed loop: a client sends its next request when the one before has its answer, so a
//! slow cluster gets less load, and its longest times are counted fewer times than an open loop
//! would count them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use hstore_client::{Client, ErrorCode, KeyRange, Read};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::Bench;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;
use crate::run::progress::Progress;

/// How long it goes on when neither a time nor a count is named.
const DURATION: Duration = Duration::from_secs(10);
/// Clients that share a connection when no number of connections is named.
const CLIENTS_PER_CONNECTION: u32 = 16;
/// The longest time that is told apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 120_000_000;
/// Pairs that are written at once before the measurement.
const FILL_PAIRS: usize = 100;
/// Requests with such pairs that are under way at one time.
const FILL_IN_FLIGHT: usize = 16;
/// The percentiles of a report.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// What a load test measured.
#[derive(Clone, Debug)]
pub(crate) struct BenchReport {
    clients: u32,
    elapsed: Duration,
    reads: Histogram<u64>,
    writes: Histogram<u64>,
    errors: BTreeMap<&'static str, u64>,
}

pub(super) async fn run(context: &Context, args: &Bench) -> Result<Data, Failure> {
    let prefix = context.input.key(&args.prefix)?;
    let connections = args
        .connections
        .unwrap_or(args.clients.div_ceil(CLIENTS_PER_CONNECTION));
    let clients = connect(context, connections)?;
    let load = Load::new(args, prefix.clone())?;
    let filled = if args.reads > 0 {
        fill(context, &load, &clients).await
    } else {
        Ok(())
    };
    let measured = match filled {
        Ok(()) => measure(context, &load, &clients).await,
        Err(failure) => Err(failure),
    };
    if !args.keep {
        let deleted = context.client.delete(KeyRange::prefix(&prefix)).await;
        if measured.is_ok() {
            deleted?;
        }
    }
    Ok(Data::Bench(Box::new(measured?)))
}

/// Clients with connections of their own, each beginning at another of the known nodes.
fn connect(context: &Context, connections: u32) -> Result<Vec<Client>, Failure> {
    let addresses = context.client.addresses();
    (0..connections as usize)
        .map(|place| {
            let client = Client::to(addresses.clone())?;
            client.start_at(place);
            let client = match context.client.user() {
                Some(user) => client.as_user(user),
                None => client,
            };
            Ok(match context.timeout {
                Some(timeout) => client.with_timeout(timeout),
                None => client,
            })
        })
        .collect()
}

/// What is done over and over.
struct Load {
    prefix: Bytes,
    keys: u32,
    value: Bytes,
    reads: u8,
    how: Read,
    clients: u32,
    until: Option<Duration>,
    /// How many requests are left to be sent.
    left: Cell<u64>,
}

impl Load {
    fn new(args: &Bench, prefix: Bytes) -> Result<Load, Failure> {
        let mut value = vec![0; args.value_size as usize];
        random()?.fill_bytes(&mut value);
        Ok(Load {
            prefix,
            keys: args.keys,
            value: value.into(),
            reads: args.reads,
            how: Read {
                serializable: args.serializable,
                ..Read::default()
            },
            clients: args.clients,
            until: match (args.duration, args.ops) {
                (Some(duration), _) => Some(duration),
                (None, Some(_)) => None,
                (None, None) => Some(DURATION),
            },
            left: Cell::new(args.ops.unwrap_or(u64::MAX)),
        })
    }

    fn key(&self, number: u32) -> Bytes {
        let mut key = self.prefix.to_vec();
        key.extend_from_slice(format!("{number:010}").as_bytes());
        key.into()
    }
}

/// Writes every key once, so that reads find something.
async fn fill(context: &Context, load: &Load, clients: &[Client]) -> Result<(), Failure> {
    let progress = Progress::of_pairs(context.progress, load.keys.into());
    let batches = (0..load.keys).step_by(FILL_PAIRS).map(|first| {
        let last = (first + FILL_PAIRS as u32).min(load.keys);
        let pairs = (first..last).map(|number| (load.key(number), load.value.clone()));
        let client = &clients[first as usize / FILL_PAIRS % clients.len()];
        async move { client.put_all(pairs).await.map(|_| last - first) }
    });
    let mut under_way = futures::stream::iter(batches).buffer_unordered(FILL_IN_FLIGHT);
    let mut filled = 0;
    while let Some(count) = under_way.next().await {
        filled += u64::from(count?);
        progress.reached(filled);
    }
    Ok(())
}

/// All clients at once, until the time or the count is reached or the person says stop.
async fn measure(
    context: &Context,
    load: &Load,
    clients: &[Client],
) -> Result<BenchReport, Failure> {
    let report = RefCell::new(BenchReport {
        clients: load.clients,
        elapsed: Duration::ZERO,
        reads: histogram()?,
        writes: histogram()?,
        errors: BTreeMap::new(),
    });
    let begun = Instant::now();
    let end = load.until.map(|span| begun + span);
    let mut loops = FuturesUnordered::new();
    for number in 0..load.clients {
        let client = &clients[number as usize % clients.len()];
        loops.push(one_client(load, client, end, &report, random()?));
    }
    let progress = match load.until {
        Some(span) => Progress::of_pairs(false, span.as_secs()),
        None => Progress::of_pairs(context.progress, load.left.get()),
    };
    tokio::select! {
        () = async { while loops.next().await.is_some() {} } => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    drop(loops);
    progress.done();
    let mut report = report.into_inner();
    report.elapsed = begun.elapsed();
    let answers = report.reads.len() + report.writes.len();
    match report.errors.keys().next() {
        Some(code) if answers == 0 => Err(Failure::Cluster(hstore_client::Error::Refused {
            code: ErrorCode::ALL
                .iter()
                .copied()
                .find(|known| known.as_str() == *code)
                .unwrap_or(ErrorCode::Internal),
            message: "no request had an answer".to_owned(),
        })),
        _ => Ok(report),
    }
}

async fn one_client(
    load: &Load,
    client: &Client,
    end: Option<Instant>,
    report: &RefCell<BenchReport>,
    mut random: StdRng,
) {
    loop {
        let begun = Instant::now();
        if load.left.get() == 0 || end.is_some_and(|end| begun >= end) {
            return;
        }
        load.left.set(load.left.get() - 1);
        let key = load.key(random.random_range(0..load.keys));
        let is_read = random.random_range(0..100) < load.reads;
        let answer = if is_read {
            client.get(key, load.how).await.map(|_| ())
        } else {
            client.put(key, load.value.clone()).await.map(|_| ())
        };
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(LONGEST_US);
        let mut report = report.borrow_mut();
        match answer {
            Ok(()) if is_read => report.reads.saturating_record(took),
            Ok(()) => report.writes.saturating_record(took),
            Err(error) => *report.errors.entry(error.code().as_str()).or_default() += 1,
        }
    }
}

impl BenchReport {
    /// What was measured, in one line.
    pub(crate) fn sentence(&self) -> String {
        let answers = self.reads.len() + self.writes.len();
        let seconds = self.elapsed.as_secs_f64();
        let done = format!(
            "{answers} requests in {seconds:.1} s by {}: {:.0}/s",
            crate::text::count(self.clients.into(), "client"),
            answers as f64 / seconds.max(f64::MIN_POSITIVE)
        );
        let errors = self
            .errors
            .iter()
            .map(|(code, count)| format!(", {count} {code}"));
        std::iter::once(done).chain(errors).collect()
    }

    /// The rows of a table, its head first.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let head = [
            "",
            "COUNT",
            "PER SECOND",
            "MEAN ms",
            "P50",
            "P90",
            "P99",
            "P99.9",
            "MAX",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for (name, times) in [("get", &self.reads), ("put", &self.writes)] {
            if times.is_empty() {
                continue;
            }
            let mut row = vec![
                name.to_owned(),
                times.len().to_string(),
                format!("{:.0}", self.per_second(times)),
                ms(times.mean()),
            ];
            row.extend(PERCENTILES.map(|p| ms(times.value_at_percentile(p) as f64)));
            row.push(ms(times.max() as f64));
            rows.push(row);
        }
        rows
    }

    /// For programs: times in microseconds.
    pub(crate) fn json(&self) -> Value {
        let side = |times: &Histogram<u64>| {
            json!({
                "count": times.len(),
                "per_second": self.per_second(times),
                "mean_us": times.mean(),
                "p50_us": times.value_at_percentile(50.0),
                "p90_us": times.value_at_percentile(90.0),
                "p99_us": times.value_at_percentile(99.0),
                "p999_us": times.value_at_percentile(99.9),
                "max_us": times.max(),
            })
        };
        json!({
            "clients": self.clients,
            "elapsed_ms": self.elapsed.as_millis() as u64,
            "get": side(&self.reads),
            "put": side(&self.writes),
            "errors": self.errors,
        })
    }

    fn per_second(&self, times: &Histogram<u64>) -> f64 {
        times.len() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

fn ms(us: f64) -> String {
    format!("{:.2}", us / 1000.0)
}

fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_bounds(1, LONGEST_US, 3)
        .map_err(|error| Failure::Usage(format!("the histogram cannot be made: {error}")))
}

fn random() -> Result<StdRng, Failure> {
    StdRng::try_from_rng(&mut SysRng).map_err(|error| Failure::File {
        what: "the system's random numbers".to_owned(),
        error: std::io::Error::other(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_row_for_what_was_done() {
        let mut report = BenchReport {
            clients: 2,
            elapsed: Duration::from_secs(2),
            reads: histogram().unwrap(),
            writes: histogram().unwrap(),
            errors: BTreeMap::from([("timeout", 3)]),
        };
        for us in [1000, 2000, 3000, 4000] {
            report.writes.saturating_record(us);
        }
        assert_eq!(
            report.sentence(),
            "4 requests in 2.0 s by 2 clients: 2/s, 3 timeout"
        );
        let rows = report.rows();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1][..4], ["put", "4", "2", "2.50"]);
        assert_eq!(report.json()["put"]["count"], 4);
        assert_eq!(report.json()["get"]["count"], 0);
    }
}
