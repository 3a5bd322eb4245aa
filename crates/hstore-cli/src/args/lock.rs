//! `lock` and `elect`: what can be said about them.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

use super::lifetime;

const LOCK_HELP: &str = "The command finds the key by which the lock is held in HSTORE_LOCK_KEY, \
    and the fencing token in HSTORE_LOCK_REVISION: compare it in what it writes.\n\n\
    The exit code is the command's own; 128 and the number of a signal that ended it; 126 or 127 \
    when it cannot be started. When the lock is lost the command gets SIGTERM, and SIGKILL 5 s later; \
    the exit code is then 4. --timeout says how long to wait for the lock; without it there is no limit.";

/// `lock`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LOCK_HELP)]
pub(crate) struct Lock {
    /// The name of the lock
    pub(crate) name: OsString,
    /// After how long without a renewal the lock is lost, as 10s or 1m
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "10s")]
    pub(crate) ttl: Duration,
    /// What to run while the lock is held [default: nothing, until Ctrl-C]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// `elect`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Elect {
    /// The name of the election
    pub(crate) name: OsString,
    /// What to proclaim
    #[arg(required_unless_present = "observe", conflicts_with = "observe")]
    pub(crate) value: Option<OsString>,
    /// Write who leads, and each change of that, until Ctrl-C
    #[arg(long)]
    pub(crate) observe: bool,
    /// End after so many leaders or proclamations were seen
    #[arg(short = 'n', long, value_name = "COUNT", conflicts_with = "value", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// After how long without a renewal the leadership is lost, as 10s or 1m
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "10s")]
    pub(crate) ttl: Duration,
}
