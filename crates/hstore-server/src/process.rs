//! What the system says of this process. Where it does not say, there is no number.
//!
//! The files are made by the kernel on the spot, so reading them never waits for a disk.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// How many ticks a second has in what Linux tells programs, on every machine that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The size of a page of memory on the machines that we run on.
const PAGE_BYTES: u64 = 4096;

/// A part of `/proc/self/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    cpu_ticks: u64,
    began_ticks: u64,
    /// Memory that is addressed.
    pub(crate) virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// As of now.
    pub(crate) fn read() -> Option<Stat> {
        Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Time that processors spent.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_secs_f64(self.cpu_ticks as f64 / TICKS_PER_SECOND)
    }

    /// When the process began, in seconds since the machine did.
    pub(crate) fn began(&self) -> f64 {
        self.began_ticks as f64 / TICKS_PER_SECOND
    }

    /// Memory that is resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.resident_pages * PAGE_BYTES
    }

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

/// Open files.
pub(crate) fn open_files() -> Option<u64> {
    let open = fs::read_dir("/proc/self/fd").ok()?;
    Some(open.count() as u64)
}

/// How many files may be open.
pub(crate) fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
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
        assert_eq!(expected.cpu(), Duration::from_secs(1));
        assert_eq!(Stat::parse(""), None);
        assert_eq!(Stat::parse("7 (a) S"), None);
    }
}
