//! hstore beside others on the same machine, in the same run, in turns.
//!
//! Invariants: (1) the load generator, the keys, the values and the order of phases are the same
//! for all; (2) a figure is the median of the rounds; (3) the document says the command, the
//! versions and the kind of machine, and nothing that was not measured in that run.

mod drive;
mod figure;
mod operation;
mod plan;
mod redis;
mod report;
pub(crate) mod scale;
mod system;
mod watch;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::drive::{Load, Measured, Servers};
use self::figure::{Figure, Figures, Metric, Phase, What, medians};
use self::operation::Shape;
use self::system::{Cluster, System};
use crate::{process, shell};

/// The sizes of cluster.
const NODES: [usize; 2] = [1, 3];

/// How long a key is.
const KEY_BYTES: u64 = 16;

/// What `bench` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How many rounds the medians are of.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long a phase is, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many keys there are.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// How long a value is, in bytes.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// One short round with few keys: to see that everything works, not to publish.
    #[arg(long)]
    quick: bool,
    /// Measure only this system (`etcd`, `hstore` or `redis`), and write no document.
    #[arg(long)]
    only: Option<String>,
    /// Only clusters of this size, and write no document.
    #[arg(long)]
    nodes: Option<usize>,
    /// Only phases whose line in the table contains this, such as `put | 64`, and write no document.
    #[arg(long)]
    phase: Option<String>,
    /// Where the document goes [default: docs/benchmarks.md, if everything was measured].
    #[arg(long)]
    output: Option<PathBuf>,
    /// This binary is built for release already, and so are the others beside it.
    #[arg(long, hide = true)]
    built: bool,
}

impl Options {
    /// Whether everything is measured.
    fn whole(&self) -> bool {
        !self.quick && self.only.is_none() && self.nodes.is_none() && self.phase.is_none()
    }

    fn phases(&self, system: System) -> Vec<Phase> {
        let mut phases = plan::phases();
        phases.retain(|phase| {
            let named = self.phase.as_ref();
            (system != System::Redis || plan::plain(phase))
                && named.is_none_or(|named| phase.to_string().contains(named))
        });
        phases
    }
}

/// Measures and writes the document.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.built {
        // The load generator must be as fast as it can.
        return shell::build_for_release_and_run_again();
    }
    let mut options = options.clone();
    if options.quick {
        options.rounds = 1;
        options.seconds = options.seconds.min(0.5);
        options.keys = options.keys.min(10_000);
    }
    let runtime = shell::two_workers()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let binaries = std::env::current_exe()?
        .parent()
        .context("a binary is in a folder")?
        .to_path_buf();
    let mut systems = Vec::new();
    let mut versions = Vec::new();
    for system in System::ALL {
        if options
            .only
            .as_ref()
            .is_some_and(|only| only != system.name())
        {
            continue;
        }
        match system.version(&binaries) {
            Ok(version) => {
                systems.push(system);
                versions.push(version);
            }
            Err(error) if system == System::Redis => println!("not run: redis: {error:#}"),
            Err(error) => return Err(error),
        }
    }
    let sizes = NODES
        .into_iter()
        .filter(|size| options.nodes.is_none_or(|nodes| nodes == *size));
    let begin = Instant::now();
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut figures = Figures::new();
        for nodes in sizes.clone() {
            for system in systems.iter().filter(|system| system.can_be(nodes)) {
                println!(
                    "round {round} of {}: {} with {nodes} nodes ({:.0} s so far)",
                    options.rounds,
                    system.name(),
                    begin.elapsed().as_secs_f64()
                );
                measure_cluster(*system, nodes, options, &binaries, &mut figures)
                    .await
                    .with_context(|| format!("{} with {nodes} nodes", system.name()))?;
            }
        }
        rounds.push(figures);
    }
    let disk = report::sync_ms(&binaries)?;
    let text = report::document(options, &versions, &medians(&rounds), disk)?;
    println!("{text}");
    let output = match &options.output {
        Some(path) => Some(path.clone()),
        None if options.whole() => Some(shell::root().join("docs/benchmarks.md")),
        None => None,
    };
    if let Some(path) = output {
        std::fs::write(&path, text)?;
        println!("written to {}", path.display());
    }
    Ok(())
}

async fn measure_cluster(
    system: System,
    nodes: usize,
    options: &Options,
    binaries: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let shape = Shape {
        keys: options.keys,
        value_bytes: options.value_bytes,
    };
    let mut put = |what, value: f64| {
        let figure = Figure {
            system,
            nodes,
            what,
        };
        figures.insert(figure, value);
    };
    let mut cluster = Cluster::start(system, nodes, binaries, binaries).await?;
    put(What::FirstWrite, cluster.first_write.as_secs_f64());
    put(What::Complete, cluster.complete.as_secs_f64());
    let servers = Servers {
        addresses: cluster.addresses.clone(),
        pool: operation::pool(),
    };
    let written = cluster.written_bytes()?;
    match system {
        System::Redis => redis::fill(&servers, shape).await?,
        System::Etcd | System::Hstore => servers.fill(shape).await?,
    }
    let loaded = shape.keys * (KEY_BYTES + shape.value_bytes as u64);
    if let (Some(before), Some(after)) = (written, cluster.written_bytes()?) {
        put(
            What::WrittenPerByte,
            (after - before) as f64 / loaded as f64,
        );
    }
    put(
        What::Resident,
        cluster.resident_bytes()? as f64 / f64::from(1 << 20),
    );
    for phase in options.phases(system) {
        let (servers_before, own_before) = (cluster.cpu_seconds()?, process::own_cpu_seconds()?);
        let measured = drive(system, &servers, phase, shape, options)
            .await
            .with_context(|| phase.to_string())?;
        let cpu = cluster.cpu_seconds()? - servers_before;
        let own = process::own_cpu_seconds()? - own_before;
        let (operations, seconds) = (measured.operations as f64, measured.seconds);
        let quantile = |at| measured.latency.value_at_quantile(at) as f64 / 1000.0;
        for (metric, value) in [
            (Metric::PerSecond, operations / seconds),
            (Metric::P50, quantile(0.5)),
            (Metric::P99, quantile(0.99)),
            (Metric::Cpu, cpu * 100_000.0 / operations),
            (Metric::ServerCores, cpu / seconds),
            (Metric::GeneratorCores, own / seconds),
        ] {
            put(What::Of(phase, metric), value);
        }
    }
    if system != System::Redis && options.phase.is_none() {
        put(What::Restart, cluster.restart().await?.as_secs_f64());
        if nodes > 1 {
            put(
                What::LeaderKilled,
                cluster.kill_leader().await?.as_secs_f64(),
            );
        }
    }
    Ok(())
}

async fn drive(
    system: System,
    servers: &Servers,
    phase: Phase,
    shape: Shape,
    options: &Options,
) -> Result<Measured> {
    let time = Duration::from_secs_f64(options.seconds);
    match phase {
        Phase::Watchers(watchers) => watch::drive(servers, watchers, shape, time).await,
        Phase::Clients(operation, pace) => {
            let load = Load {
                operation,
                pace,
                shape,
                time,
            };
            match system {
                System::Redis => redis::drive(servers, load).await,
                System::Etcd | System::Hstore => servers.drive(load).await,
            }
        }
    }
}
