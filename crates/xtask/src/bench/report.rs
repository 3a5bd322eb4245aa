//! The document: tables of medians and ratios.
//!
//! Invariant: a figure that was not measured is a dash, never a guess.

use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::system::System;
use super::{CLIENTS, Figure, Figures, NODES, Options, What};

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
         wire: clients in a closed loop, spread over all nodes. The generator shares the machine's\n\
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
    text.push_str("## Throughput, latency and server CPU\n\n");
    text.push_str(
        "CPU is that of all servers together, user and system, per 100 thousand operations. A ratio\n\
         is hstore over etcd: more is better for throughput, less is better for the others.\n\n",
    );
    text.push_str(
        "| nodes | operation | clients | etcd /s | hstore /s | ratio | etcd p50, p99 ms | \
         hstore p50, p99 ms | ratio of p50 | etcd CPU-s | hstore CPU-s | ratio |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for nodes in NODES {
        for get in [false, true] {
            for clients in CLIENTS {
                let of = |what| {
                    let at = |system| {
                        medians
                            .get(&Figure {
                                system,
                                nodes,
                                what,
                            })
                            .copied()
                    };
                    (at(System::Etcd), at(System::Hstore))
                };
                let rate = of(What::PerSecond(get, clients));
                let p50 = of(What::Latency(get, clients, 500));
                let p99 = of(What::Latency(get, clients, 990));
                let cpu = of(What::Cpu(get, clients));
                writeln!(
                    text,
                    "| {nodes} | {} | {clients} | {} | {} | {} | {}, {} | {}, {} | {} | {} | {} | {} |",
                    if get { "linearizable get" } else { "put" },
                    show(rate.0, 0),
                    show(rate.1, 0),
                    ratio(rate),
                    show(p50.0, 2),
                    show(p99.0, 2),
                    show(p50.1, 2),
                    show(p99.1, 2),
                    ratio(p50),
                    show(cpu.0, 2),
                    show(cpu.1, 2),
                    ratio(cpu),
                )?;
            }
        }
    }
    text.push_str("\n## Memory, start, loss of the leader\n\n");
    text.push_str(
        "The leader is killed as `kill -9` does; the time ends with the first acknowledged write\n\
         that began after the kill.\n\n",
    );
    text.push_str("| measure | nodes | etcd | hstore | ratio |\n| --- | --- | --- | --- | --- |\n");
    for (name, what, digits) in [
        (
            "resident memory of the largest node after the load, MiB",
            What::Resident,
            0,
        ),
        (
            "first process to first acknowledged write, s",
            What::FirstWrite,
            3,
        ),
        ("first process until every node votes, s", What::Complete, 3),
        (
            "leader killed to first acknowledged write, s",
            What::LeaderKilled,
            3,
        ),
    ] {
        for nodes in NODES {
            let at = |system| {
                medians
                    .get(&Figure {
                        system,
                        nodes,
                        what,
                    })
                    .copied()
            };
            let pair = (at(System::Etcd), at(System::Hstore));
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
    Ok(text)
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

fn ratio((etcd, hstore): (Option<f64>, Option<f64>)) -> String {
    match (etcd, hstore) {
        (Some(etcd), Some(hstore)) if etcd > 0.0 => format!("{:.2}", hstore / etcd),
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
