//! What the system says of the process. Where it does not say, there is no number.

use std::fs;

use super::text::Text;
use crate::process::{Stat, open_files, open_files_max};

/// Writes what the system says.
pub(super) fn write(text: &mut Text) {
    if let Some(stat) = Stat::read() {
        text.counter(
            "process_cpu_seconds_total",
            "Time that processors spent.",
            stat.cpu().as_secs_f64(),
        );
        text.gauge(
            "process_virtual_memory_bytes",
            "Memory that is addressed.",
            stat.virtual_bytes,
        );
        text.gauge(
            "process_resident_memory_bytes",
            "Memory that is resident.",
            stat.resident_bytes(),
        );
        if let Some(booted) = booted() {
            text.gauge(
                "process_start_time_seconds",
                "When the process began, in seconds since 1970.",
                booted + stat.began(),
            );
        }
    }
    if let Some(open) = open_files() {
        text.gauge("process_open_fds", "Open files.", open);
        text.gauge("os_fd_used", "Open files, as etcd calls them.", open);
    }
    if let Some(limit) = open_files_max() {
        text.gauge("process_max_fds", "How many files may be open.", limit);
        text.gauge(
            "os_fd_limit",
            "How many files may be open, as etcd calls it.",
            limit,
        );
    }
}

/// When the machine began, in seconds since 1970.
fn booted() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}
