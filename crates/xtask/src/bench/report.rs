//! The document: tables of medians and ratios.
//!
//! Invariant: a figure that was not measured is a dash, never a guess.

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::figure::{Figure, Figures, Metric, What};
use super::system::System;
use super::{NODES, Options};

/// The whole document.
pub(super) fn document(
    options: &Options,
    versions: &[String],
    medians: &Figures,
    sync_ms: f64,
) -> Result<String> {
    let mut text = String::from("# Benchmarks\n\n");
    text.push_str(
        "Written by `cargo xtask bench`, which starts hstore and etcd in turns on one machine,\n\
         with their default durability, and drives both with the same load generator over etcd's\n\
         wire, spread over all nodes, four connections to each. The generator shares the machine's\n\
         cores with the servers. Absolute figures move from run to run and from machine to machine;\n\
         the ratios and the CPU seconds move less. Figures are medians of the rounds.\n\n",
    );
    writeln!(
        text,
        "- command: `cargo xtask bench --rounds {} --seconds {} --keys {} --value-bytes {}`",
        options.rounds, options.seconds, options.keys, options.value_bytes
    )?;
    writeln!(text, "- versions: {}", versions.join(", "))?;
    writeln!(text, "- machine: {}", machine(sync_ms))?;
    writeln!(
        text,
        "- load: {} keys of 16 bytes, values of {} bytes, random; {} rounds, {} s a phase\n",
        options.keys, options.value_bytes, options.rounds, options.seconds
    )?;
    phases(&mut text, options, medians)?;
    measures(&mut text, medians)?;
    ceiling(&mut text, options, medians)?;
    Ok(text)
}

/// What every phase came to.
fn phases(text: &mut String, options: &Options, medians: &Figures) -> Result<()> {
    text.push_str("## Throughput, latency and server CPU\n\n");
    text.push_str(
        "CPU is that of all servers together, user and system, in seconds per 100 thousand\n\
         operations. A ratio is hstore over etcd: more is better for throughput, less is better for\n\
         the others. Where clients are a number they ask again when they have their answer; a rate\n\
         is kept whatever the answers do, and its latencies begin when the question was due. With\n\
         watchers, what is counted are events, the latency is that of the 16 writers, and the CPU is\n\
         that of writing and telling. Busy cores are those of the servers and of the generator: where\n\
         both together are close to what the machine has, the cores are the limit; where not, it is\n\
         the wait for the disk, for peers and for clients.\n\n",
    );
    text.push_str(
        "| nodes | operation | clients | etcd /s | hstore /s | ratio | etcd p50, p99 ms | \
         hstore p50, p99 ms | ratio of p50 | of p99 | etcd CPU-s | hstore CPU-s | ratio | \
         etcd busy cores | hstore busy cores |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for nodes in NODES {
        for phase in options.phases(System::Hstore) {
            let of = |metric| {
                let what = What::Of(phase, metric);
                (
                    at(medians, System::Etcd, nodes, what),
                    at(medians, System::Hstore, nodes, what),
                )
            };
            let rate = of(Metric::PerSecond);
            if rate == (None, None) {
                continue;
            }
            let (p50, p99, cpu) = (of(Metric::P50), of(Metric::P99), of(Metric::Cpu));
            let (server, own) = (of(Metric::ServerCores), of(Metric::GeneratorCores));
            writeln!(
                text,
                "| {nodes} | {phase} | {} | {} | {} | {}, {} | {}, {} | {} | {} | {} | {} | {} | \
                 {} + {} | {} + {} |",
                show(rate.0, 0),
                show(rate.1, 0),
                ratio(rate),
                show(p50.0, 2),
                show(p99.0, 2),
                show(p50.1, 2),
                show(p99.1, 2),
                ratio(p50),
                ratio(p99),
                show(cpu.0, 2),
                show(cpu.1, 2),
                ratio(cpu),
                show(server.0, 1),
                show(own.0, 1),
                show(server.1, 1),
                show(own.1, 1),
            )?;
        }
    }
    Ok(())
}

/// What is measured once of every cluster.
fn measures(text: &mut String, medians: &Figures) -> Result<()> {
    text.push_str("\n## Memory, disk, start, loss of the leader\n\n");
    text.push_str(
        "A restart stops all nodes as SIGKILL does and starts them again. The leader is killed as\n\
         SIGKILL does; the time ends with the first acknowledged write that began after the kill.\n\n",
    );
    text.push_str("| measure | nodes | etcd | hstore | ratio |\n| --- | --- | --- | --- | --- |\n");
    for (name, what, digits) in [
        (
            "resident memory of the largest node with all keys, MiB",
            What::Resident,
            0,
        ),
        (
            "bytes written to the disk of all nodes for a byte that is put, while loading",
            What::WrittenPerByte,
            2,
        ),
        (
            "first process to first acknowledged write, s",
            What::FirstWrite,
            3,
        ),
        ("first process until every node votes, s", What::Complete, 3),
        (
            "restart of all nodes to first acknowledged write, s",
            What::Restart,
            3,
        ),
        (
            "leader killed to first acknowledged write, s",
            What::LeaderKilled,
            3,
        ),
    ] {
        for nodes in NODES {
            let pair = (
                at(medians, System::Etcd, nodes, what),
                at(medians, System::Hstore, nodes, what),
            );
            if pair == (None, None) {
                continue;
            }
            writeln!(
                text,
                "| {name} | {nodes} | {} | {} | {} |",
                show(pair.0, digits),
                show(pair.1, digits),
                ratio(pair)
            )?;
        }
    }
    Ok(())
}

/// One node beside a store that syncs every write and promises nothing else of hstore.
fn ceiling(text: &mut String, options: &Options, medians: &Figures) -> Result<()> {
    let measured = medians.keys().any(|figure| figure.system == System::Redis);
    if !measured {
        return Ok(());
    }
    text.push_str("\n## One node beside Redis\n\n");
    text.push_str(
        "Redis with `appendfsync always`, which syncs what came in one turn of its loop at once: a\n\
         ceiling, without a quorum, revisions, history or typed messages.\n\n",
    );
    text.push_str(
        "| operation | clients | redis /s | hstore /s | ratio | redis CPU-s | hstore CPU-s | ratio |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for phase in options.phases(System::Redis) {
        let of = |metric| {
            let what = What::Of(phase, metric);
            (
                at(medians, System::Redis, 1, what),
                at(medians, System::Hstore, 1, what),
            )
        };
        let (rate, cpu) = (of(Metric::PerSecond), of(Metric::Cpu));
        writeln!(
            text,
            "| {phase} | {} | {} | {} | {} | {} | {} |",
            show(rate.0, 0),
            show(rate.1, 0),
            ratio(rate),
            show(cpu.0, 2),
            show(cpu.1, 2),
            ratio(cpu),
        )?;
    }
    Ok(())
}

fn at(medians: &Figures, system: System, nodes: usize, what: What) -> Option<f64> {
    let figure = Figure {
        system,
        nodes,
        what,
    };
    medians.get(&figure).copied()
}

/// The median time of an append of 4 KiB and its `fdatasync`, in milliseconds.
pub(super) fn sync_ms(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn machine(sync_ms: f64) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().next()?.to_owned();
            line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib >> 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<_> = kernel.trim().split('.').take(2).collect();
    format!(
        "{cores} cores, {memory} GiB of memory, Linux {}; an append of 4 KiB with fdatasync takes \
         {sync_ms:.2} ms (median)",
        kernel.join(".")
    )
}

fn show(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// What hstore has of what the other has.
fn ratio((other, hstore): (Option<f64>, Option<f64>)) -> String {
    match (other, hstore) {
        (Some(other), Some(hstore)) if other > 0.0 => format!("{:.2}", hstore / other),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_was_not_measured_is_a_dash() {
        assert_eq!(show(None, 2), "-");
        assert_eq!(ratio((Some(2.0), None)), "-");
        assert_eq!(ratio((Some(2.0), Some(3.0))), "1.50");
    }
}
