//! `cargo xtask scale`: how the cost of a cluster of hstore grows with the number of keys, and how long a
//! write takes while the cluster does work of its own: a watcher that is far behind, a backup, a node that
//! joins, a compaction.
//!
//! Invariants: (1) every size has a cluster of its own and the same load; (2) a latency begins when the
//! write was due, so that a pause cannot hide what it kept from being asked; (3) work that did not end
//! well is an error, not a figure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hstore_proto::etcdserverpb::kv_client::KvClient;
use hstore_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use hstore_proto::etcdserverpb::watch_client::WatchClient;
use hstore_proto::etcdserverpb::watch_request::RequestUnion;
use hstore_proto::etcdserverpb::{
    CompactionRequest, RangeRequest, SnapshotRequest, WatchCreateRequest, WatchRequest,
};

use super::drive::{Load, Pace, Servers, histogram};
use super::operation::{self, Operation, Shape};
use super::system::{Cluster, System};
use crate::shell;

/// How far behind the watcher is, at most.
const BEHIND: i64 = 500_000;

/// How many clients read.
const READERS: usize = 64;

/// Larger than any answer that is asked for.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What `scale` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many keys there are, one size after the other; 10000000 takes a while.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    keys: Vec<u64>,
    /// How long a value is, in bytes.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// How many nodes there are.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How many writes a second go on while the cluster works.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// How long a phase without such work is, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Where the tables go, beside the terminal.
    #[arg(long)]
    output: Option<PathBuf>,
    /// This binary is built for release already, and so are the others beside it.
    #[arg(long, hide = true)]
    built: bool,
}

/// What was measured with one number of keys.
struct Row {
    keys: u64,
    /// CPU seconds of all nodes for 100 thousand operations.
    insert: f64,
    replace: f64,
    get: f64,
    /// The largest node: with nothing, and with every key once.
    empty_bytes: u64,
    full_bytes: u64,
    /// Killed and started again, all nodes, until a write is acknowledged.
    restart: Duration,
    /// Writes while nothing else goes on, then while each deed does.
    quiet: Histogram<u64>,
    deeds: Vec<Deed>,
}

/// Work of the cluster.
struct Deed {
    what: &'static str,
    time: Duration,
    writes: Histogram<u64>,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.built {
        return shell::build_for_release_and_run_again();
    }
    let runtime = shell::two_workers()?;
    let binaries = std::env::current_exe()?;
    let binaries = binaries.parent().context("a binary is in a folder")?;
    let mut rows = Vec::new();
    for keys in &options.keys {
        println!("{keys} keys");
        let row = runtime.block_on(measure(options, *keys, binaries));
        rows.push(row.with_context(|| format!("{keys} keys"))?);
    }
    let text = tables(options, &rows)?;
    println!("{text}");
    if let Some(path) = &options.output {
        std::fs::write(path, text)?;
    }
    Ok(())
}

async fn measure(options: &Options, keys: u64, binaries: &Path) -> Result<Row> {
    let shape = Shape {
        keys,
        value_bytes: options.value_bytes,
    };
    let mut cluster = Cluster::start(System::Hstore, options.nodes, binaries, binaries).await?;
    let servers = Servers {
        addresses: cluster.addresses.clone(),
        pool: operation::pool(),
    };
    let empty_bytes = cluster.resident_bytes()?;
    let per = |cpu: f64, operations: u64| cpu * 100_000.0 / operations.max(1) as f64;
    let mut fills = Vec::new();
    for what in ["inserted", "replaced"] {
        let (began, before) = (Instant::now(), cluster.cpu_seconds()?);
        servers.fill(shape).await?;
        let cpu = per(cluster.cpu_seconds()? - before, keys);
        println!("  {what} in {:.1} s", began.elapsed().as_secs_f64());
        fills.push((cpu, cluster.resident_bytes()?));
    }
    let (insert, full_bytes) = fills[0];
    let (replace, _bytes) = fills[1];
    let time = Duration::from_secs_f64(options.seconds);
    let load = |operation, pace, time| Load {
        operation,
        pace,
        shape,
        time,
    };
    let before = cluster.cpu_seconds()?;
    let gets = load(Operation::Get, Pace::Closed(READERS), time);
    let gets = servers.drive(gets).await?;
    let get = per(cluster.cpu_seconds()? - before, gets.operations);
    let writes = |time| load(Operation::Put, Pace::Open(options.rate), time);
    let quiet = servers.drive(writes(time)).await?.latency;
    let writes = writes(Duration::from_secs(1));
    let address = servers.addresses[options.nodes - 1].clone();
    let deeds = vec![
        during(
            &servers,
            writes,
            "watcher behind",
            watch_from_behind(&address),
        )
        .await?,
        during(&servers, writes, "backup", backup(&address)).await?,
        during(&servers, writes, "join", cluster.join(binaries)).await?,
        during(&servers, writes, "compaction", compact(&address)).await?,
    ];
    let restart = cluster.restart().await?;
    Ok(Row {
        keys,
        insert,
        replace,
        get,
        empty_bytes,
        full_bytes,
        restart,
        quiet,
        deeds,
    })
}

/// Writes for as long as a deed takes.
async fn during(
    servers: &Servers,
    writes: Load,
    what: &'static str,
    deed: impl Future<Output = Result<Duration>>,
) -> Result<Deed> {
    let is_done = AtomicBool::new(false);
    let doing = async {
        let time = deed.await;
        is_done.store(true, Ordering::Relaxed);
        time
    };
    let writing = async {
        let mut latency = histogram();
        while !is_done.load(Ordering::Relaxed) {
            latency.add(servers.drive(writes).await?.latency)?;
        }
        Ok::<_, anyhow::Error>(latency)
    };
    let (time, latency) = tokio::join!(doing, writing);
    let (time, writes) = (time.context(what)?, latency.context(what)?);
    println!("  {what}: {:.1} s", time.as_secs_f64());
    Ok(Deed { what, time, writes })
}

async fn kv(address: &str) -> Result<KvClient<tonic::transport::Channel>> {
    Ok(KvClient::connect(format!("http://{address}")).await?)
}

/// The newest revision.
async fn revision(address: &str) -> Result<i64> {
    let request = RangeRequest {
        key: Bytes::from_static(b"0"),
        ..RangeRequest::default()
    };
    let answer = kv(address).await?.range(request).await?.into_inner();
    Ok(answer.header.context("an answer has a header")?.revision)
}

/// Hears everything that a watcher missed who is far behind.
async fn watch_from_behind(address: &str) -> Result<Duration> {
    let newest = revision(address).await?;
    let begin = Instant::now();
    let create = WatchCreateRequest {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        start_revision: (newest - BEHIND).max(1),
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The stream of questions stays open as long as the answers are wanted.
    let asked =
        futures::StreamExt::chain(futures::stream::iter([request]), futures::stream::pending());
    let client = WatchClient::connect(format!("http://{address}")).await?;
    let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut told = client.watch(asked).await?.into_inner();
    while let Some(answer) = told.message().await? {
        if answer.canceled {
            bail!("the watch was refused: {}", answer.cancel_reason);
        }
        let last = answer.events.last().and_then(|event| event.kv.as_ref());
        if last.is_some_and(|pair| pair.mod_revision >= newest) {
            return Ok(begin.elapsed());
        }
    }
    bail!("the watch ended")
}

/// Takes a backup, and keeps nothing of it.
async fn backup(address: &str) -> Result<Duration> {
    let begin = Instant::now();
    let client = MaintenanceClient::connect(format!("http://{address}")).await?;
    let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut pieces = client.snapshot(SnapshotRequest {}).await?.into_inner();
    let mut bytes = 0;
    while let Some(piece) = pieces.message().await? {
        bytes += piece.blob.len();
    }
    if bytes == 0 {
        bail!("the backup is empty");
    }
    Ok(begin.elapsed())
}

/// Drops all history, and waits until its room is free.
async fn compact(address: &str) -> Result<Duration> {
    let revision = revision(address).await?;
    let begin = Instant::now();
    let request = CompactionRequest {
        revision,
        physical: true,
    };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_mins(15));
    kv(address).await?.compact(request).await?;
    Ok(begin.elapsed())
}

fn tables(options: &Options, rows: &[Row]) -> Result<String> {
    let mut text = format!(
        "{} nodes, values of {} bytes; CPU is that of all nodes, in seconds per 100 thousand \
         operations; memory that of the largest node\n\n\
         | keys | CPU-s insert | replace | get | RSS MiB | bytes a key | restart s |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
        options.nodes, options.value_bytes
    );
    for row in rows {
        let more = row.full_bytes.saturating_sub(row.empty_bytes);
        writeln!(
            text,
            "| {} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} | {:.2} |",
            row.keys,
            row.insert,
            row.replace,
            row.get,
            row.full_bytes as f64 / f64::from(1 << 20),
            more as f64 / row.keys as f64,
            row.restart.as_secs_f64()
        )?;
    }
    writeln!(
        text,
        "\nPuts at {} a second, from when they were due, in milliseconds\n\n\
         | keys | while | it took s | p50 | p99 | p99.9 | max |\n\
         | --- | --- | --- | --- | --- | --- | --- |",
        options.rate
    )?;
    for row in rows {
        latencies(&mut text, row.keys, "nothing", options.seconds, &row.quiet)?;
        for Deed { what, time, writes } in &row.deeds {
            latencies(&mut text, row.keys, what, time.as_secs_f64(), writes)?;
        }
    }
    Ok(text)
}

fn latencies(
    text: &mut String,
    keys: u64,
    what: &str,
    seconds: f64,
    writes: &Histogram<u64>,
) -> Result<()> {
    let at = |quantile| writes.value_at_quantile(quantile) as f64 / 1000.0;
    let (middle, high, highest) = (at(0.5), at(0.99), at(0.999));
    let max = writes.max() as f64 / 1000.0;
    writeln!(
        text,
        "| {keys} | {what} | {seconds:.1} | {middle:.2} | {high:.2} | {highest:.2} | {max:.2} |"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_size_and_for_each_deed() {
        let mut writes = histogram();
        writes.record(1500).unwrap();
        let row = Row {
            keys: 1000,
            insert: 1.0,
            replace: 2.0,
            get: 3.0,
            empty_bytes: 1 << 20,
            full_bytes: 2 << 20,
            restart: Duration::from_millis(1500),
            quiet: writes.clone(),
            deeds: vec![Deed {
                what: "join",
                time: Duration::from_secs(2),
                writes,
            }],
        };
        let options = Options {
            keys: vec![1000],
            value_bytes: 256,
            nodes: 3,
            rate: 1000,
            seconds: 5.0,
            output: None,
            built: true,
        };
        let text = tables(&options, &[row]).unwrap();
        let line = "| 1000 | 1.00 | 2.00 | 3.00 | 2 | 1049 | 1.50 |";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("| 1000 | join | 2.0 | 1.50 | 1.50 | 1.50 | 1.50 |"),
            "{text}"
        );
        assert!(text.contains("| 1000 | nothing | 5.0 |"), "{text}");
    }
}
