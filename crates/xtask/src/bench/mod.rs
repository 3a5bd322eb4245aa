//! hstore beside etcd on the same machine, in the same run, in turns.
//!
//! Invariants: (1) the load generator, the keys, the values and the order of phases are the same
//! for both; (2) a figure is the median of the rounds; (3) the document says the command, the
//! versions and the kind of machine, and nothing that was not measured in that run.

mod load;
mod report;
mod system;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::load::{Clients, Operation, Shape};
use self::system::{Cluster, System};
use crate::shell;

/// The clients that a phase keeps busy.
const CLIENTS: [usize; 3] = [1, 64, 256];
/// The sizes of cluster.
const NODES: [usize; 2] = [1, 3];

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
    /// Measure only this system (`etcd` or `hstore`), and write no document.
    #[arg(long)]
    only: Option<String>,
    /// Where the document goes [default: docs/benchmarks.md; none with --quick or --only].
    #[arg(long)]
    output: Option<PathBuf>,
    /// This binary is built for release already, and so are the others beside it.
    #[arg(long, hide = true)]
    built: bool,
}

/// The figures of one round, or their medians: a name of a figure to its value.
type Figures = BTreeMap<Figure, f64>;

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Figure {
    system: System,
    nodes: usize,
    what: What,
}

/// What a figure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Operations a second: operation is a get, clients.
    PerSecond(bool, usize),
    /// Latency in milliseconds: operation is a get, clients, thousandths of the distribution.
    Latency(bool, usize, u32),
    /// Server CPU seconds per 100 thousand operations: operation is a get, clients.
    Cpu(bool, usize),
    /// Resident memory of the largest node with all keys loaded, in MiB.
    Resident,
    /// First process to first acknowledged write, in seconds.
    FirstWrite,
    /// First process until all nodes vote, in seconds.
    Complete,
    /// Leader killed to first acknowledged write, in seconds.
    LeaderKilled,
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
        options.seconds = options.seconds.min(1.0);
        options.keys = options.keys.min(10_000);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let binaries = std::env::current_exe()?
        .parent()
        .context("a binary is in a folder")?
        .to_path_buf();
    let systems: Vec<System> = [System::Etcd, System::Hstore]
        .into_iter()
        .filter(|system| {
            options
                .only
                .as_ref()
                .is_none_or(|only| only == system.name())
        })
        .collect();
    let mut versions = Vec::new();
    for system in &systems {
        versions.push(system.version(&binaries)?);
    }
    let begin = Instant::now();
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut figures = Figures::new();
        for nodes in NODES {
            for system in &systems {
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
        None if options.quick || options.only.is_some() => None,
        None => Some(shell::root().join("docs/benchmarks.md")),
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
    let time = Duration::from_secs_f64(options.seconds);
    let mut put = |what, value: f64| {
        figures.insert(
            Figure {
                system,
                nodes,
                what,
            },
            value,
        );
    };
    let mut cluster = Cluster::start(system, nodes, binaries, binaries).await?;
    put(What::FirstWrite, cluster.first_write.as_secs_f64());
    put(What::Complete, cluster.complete.as_secs_f64());
    let clients = Clients::connect(&cluster.addresses).await?;
    clients.fill(shape, 128).await?;
    put(
        What::Resident,
        cluster.resident_bytes()? as f64 / f64::from(1 << 20),
    );
    for count in CLIENTS {
        for operation in [Operation::Put, Operation::Get] {
            let cpu = cluster.cpu_seconds()?;
            let measured = clients.drive(operation, shape, count, time).await?;
            let cpu = cluster.cpu_seconds()? - cpu;
            let get = operation == Operation::Get;
            put(What::PerSecond(get, count), measured.per_second);
            put(
                What::Cpu(get, count),
                cpu * 100_000.0 / measured.operations as f64,
            );
            for thousandths in [500, 990] {
                let value = measured
                    .latency
                    .value_at_quantile(f64::from(thousandths) / 1000.0);
                put(
                    What::Latency(get, count, thousandths),
                    value as f64 / 1000.0,
                );
            }
        }
    }
    if nodes > 1 {
        put(
            What::LeaderKilled,
            cluster.kill_leader().await?.as_secs_f64(),
        );
    }
    Ok(())
}

fn medians(rounds: &[Figures]) -> Figures {
    let mut medians = Figures::new();
    for figure in rounds.iter().flat_map(BTreeMap::keys) {
        let mut values: Vec<f64> = rounds
            .iter()
            .filter_map(|round| round.get(figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        medians.insert(*figure, values[values.len() / 2]);
    }
    medians
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_rounds_that_have_the_figure() {
        let figure = Figure {
            system: System::Hstore,
            nodes: 1,
            what: What::Resident,
        };
        let other = Figure { nodes: 3, ..figure };
        let rounds = [
            Figures::from([(figure, 9.0), (other, 1.0)]),
            Figures::from([(figure, 1.0)]),
            Figures::from([(figure, 5.0)]),
        ];
        let medians = medians(&rounds);
        assert_eq!(medians[&figure].to_bits(), 5.0_f64.to_bits());
        assert_eq!(medians[&other].to_bits(), 1.0_f64.to_bits());
    }
}
