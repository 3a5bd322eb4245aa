//! What the system says of the process. Where it does not say, there is no number.

use std::fs;

use super::text::Text;

/// How many ticks a second has in what Linux tells programs, on every machine that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The size of a page of memory on the machines that we run on.
const PAGE_BYTES: u64 = 4096;

/// Writes what the system says. Its files are made by the kernel on the spot, so reading them never
/// waits for a disk.
pub(super) fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(stat) = Stat::parse(&stat) {
        let seconds = stat.cpu_ticks as f64 / TICKS_PER_SECOND;
        text.counter(
            "process_cpu_seconds_total",
            "Time that processors spent.",
            seconds,
        );
        text.gauge(
            "process_virtual_memory_bytes",
            "Memory that is addressed.",
            stat.virtual_bytes,
        );
        text.gauge(
            "process_resident_memory_bytes",
            "Memory that is resident.",
            stat.resident_pages * PAGE_BYTES,
        );
        if let Some(booted) = booted() {
            text.gauge(
                "process_start_time_seconds",
                "When the process began, in seconds since 1970.",
                booted + stat.began_ticks as f64 / TICKS_PER_SECOND,
            );
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let open = open.count();
        text.gauge("process_open_fds", "Open files.", open);
        text.gauge("os_fd_used", "Open files, as etcd calls them.", open);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        text.gauge("process_max_fds", "How many files may be open.", limit);
        text.gauge(
            "os_fd_limit",
            "How many files may be open, as etcd calls it.",
            limit,
        );
    }
}

/// A part of `/proc/self/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    began_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Stat> {
        // The name of the program stands in brackets and may hold anything.
        let (_name, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)? + field(15)?,
            began_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine began, in seconds since 1970.
fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 70 30 13 14 15 16 17 18 500 8192 2 19";
        let expected = Stat {
            cpu_ticks: 100,
            began_ticks: 500,
            virtual_bytes: 8192,
            resident_pages: 2,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse(""), None);
        assert_eq!(Stat::parse("7 (a) S"), None);
    }
}
