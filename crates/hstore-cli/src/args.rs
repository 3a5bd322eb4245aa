//! The grammar of the command line, which is the grammar of the shell, too.
//!
//! Keys and values are taken as the bytes that were typed; what they mean (`--base64`, `-`) is
//! decided in `input`.

mod auth;
mod config;
mod doctor;
mod lock;
mod top;
mod txn;
mod usages;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hstore_core::limits::LEASE_TTL_MAX_S;

pub(crate) use auth::{AccessWord, Auth, Keys, Role, User};
pub(crate) use config::Config;
use doctor::AFTER_DOCTOR_HELP;
pub(crate) use doctor::Doctor;
pub(crate) use lock::{Elect, Lock};
use top::AFTER_TOP_HELP;
pub(crate) use top::Top;
pub(crate) use txn::{Clause, Condition, Sign, Step, StepLine, Txn};
pub(crate) use usages::followed_by;

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, \
    5 no quorum or unreachable, 6 permission, 7 timeout or outcome unknown, 8 partial, \
    130 interrupted.\n\n\
    Without a command it is a shell on a terminal, and runs the lines of its input otherwise.";

/// Read and write an hstore cluster.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hstore-cli",
    version,
    disable_help_flag = true,
    disable_help_subcommand = false,
    after_help = EXIT_CODES,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    /// Go on after a line that failed, when lines are read from the input
    #[arg(long)]
    pub(crate) keep_going: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// A line of the shell.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "hstore",
    no_binary_name = true,
    override_usage = "COMMAND [ARGUMENTS]",
    disable_help_flag = true,
    args_override_self = true,
    about = "Everything that the command line has. `help COMMAND` tells more.",
    after_help = "Words may be quoted: 'as it is', \"with \\n \\t \\xff\". Tab completes. Ctrl-D leaves."
)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: ShellCommand,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The nodes to ask; one is enough [default: HSTORE_HOST, then the nodes of this machine]
    #[arg(
        short = 'h',
        long,
        value_name = "HOST[,HOST]",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) host: Vec<String>,
    /// Who asks, with the password or without it [default: HSTORE_USER, HSTORE_PASSWORD]
    #[arg(long, value_name = "NAME[:PASSWORD]", global = true)]
    pub(crate) user: Option<String>,
    /// How to write results [default: table]
    #[arg(short, long, value_enum, value_name = "FORMAT", global = true)]
    pub(crate) output: Option<Format>,
    /// The same as --output json
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long one request may take, as 500ms, 5s or 1m [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration, global = true)]
    pub(crate) timeout: Option<Duration>,
    /// Keys and values are base64, typed and shown
    #[arg(long, global = true)]
    pub(crate) base64: bool,
    /// When to use colour
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_default_value = true,
        global = true
    )]
    pub(crate) color: Color,
    /// Print help
    #[arg(long, action = ArgAction::HelpShort, global = true)]
    pub(crate) help: Option<bool>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs: one object a line
    Json,
    /// The bytes as they are
    Raw,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A command.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the value of a key
    Get(Get),
    /// Give a key a value
    #[command(visible_aliases = ["put", "write"])]
    Set(Set),
    /// Give a key that is there already a value
    Update(Update),
    /// Delete a key
    #[command(visible_alias = "del")]
    Delete(Delete),
    /// Write all keys and values; with a key, its value
    Read(ReadAll),
    /// Write the keys that begin with a prefix, and their values
    Scan(Scan),
    /// Give a key a value if it is as expected (compare and set)
    Cas(Cas),
    /// Write the former values of a key
    History(History),
    /// Make, renew and end leases: keys that are attached to one go when it ends
    Lease {
        /// What to do
        #[command(subcommand)]
        what: Lease,
    },
    /// Make and change users
    User {
        /// What to do
        #[command(subcommand)]
        what: User,
    },
    /// Make and change roles: what their users may do
    Role {
        /// What to do
        #[command(subcommand)]
        what: Role,
    },
    /// Ask everybody who they are, or nobody
    Auth {
        /// What to do
        #[command(subcommand)]
        what: Auth,
    },
    /// Write what happens to a key as it happens
    Watch(Watch),
    /// Compare keys, then do one of two lists of steps, all in one revision
    Txn(Txn),
    /// Hold a lock while a command runs, or until Ctrl-C
    Lock(Lock),
    /// Lead an election until Ctrl-C, or follow who leads
    Elect(Elect),
    /// List the nodes of the cluster
    Nodes,
    /// Say who is in the cluster: add, promote, demote, update and remove members
    Member {
        /// What to do
        #[command(subcommand)]
        what: Member,
    },
    /// Say who leads, or hand the leadership over
    Leader {
        /// What to do [default: say who leads]
        #[command(subcommand)]
        what: Option<Leader>,
    },
    /// Change and show the settings of the cluster that hold while it runs
    Config {
        /// What to do
        #[command(subcommand)]
        what: Config,
    },
    /// List or end alarms
    Alarm {
        /// What to do
        #[command(subcommand)]
        what: Alarm,
    },
    /// Drop the history below a revision
    Compact(Compact),
    /// Compare what all members hold
    Hash(Hash),
    /// Show how the cluster and the node that answers are doing
    Status,
    /// Store pairs from JSON lines
    Import(Import),
    /// Write pairs as JSON lines
    Export(Export),
    /// Save the whole state of the cluster in a file, or look at such a file
    Snapshot {
        /// What to do
        #[command(subcommand)]
        what: Snapshot,
    },
    /// Put load on the cluster and measure it
    Bench(Bench),
    /// Look at every node and say what is wrong, why, and what helps
    #[command(after_help = AFTER_DOCTOR_HELP)]
    Doctor(Doctor),
    /// Watch the cluster at work: a picture that renews itself, for a terminal
    #[command(after_help = AFTER_TOP_HELP)]
    Top(Top),
    /// Write a completion script for a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual page
    Man {
        /// Write one page for each command into this folder
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

/// What can be typed in the shell.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ShellCommand {
    #[command(flatten)]
    Common(Command),
    /// List the nodes of the cluster
    List {
        /// What to list
        #[arg(value_enum, default_value_t)]
        what: Listed,
    },
    /// Leave the shell
    #[command(visible_alias = "quit")]
    Exit,
}

/// What `list` lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    /// The nodes of the cluster
    #[default]
    Nodes,
}

/// How to read.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Consistency {
    /// Read as of this revision
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) rev: Option<i64>,
    /// Take what the node at hand has, which may be behind (the default is linearizable)
    #[arg(long)]
    pub(crate) serializable: bool,
}

/// `get`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Get {
    /// The key
    pub(crate) key: OsString,
    #[command(flatten)]
    pub(crate) consistency: Consistency,
}

/// Where a value comes from.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("source").required(true).args(["value", "file"]))]
pub(crate) struct Source {
    /// The value; `-` reads it from the standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<OsString>,
    /// Read the value from this file
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
}

/// `set`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Set {
    /// The key
    pub(crate) key: OsString,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Let the key go after this time, as 30s or 5m, unless its lease is renewed
    #[arg(long, value_name = "TIME", value_parser = lifetime, conflicts_with = "lease")]
    pub(crate) ttl: Option<Duration>,
    /// Let the key go when this lease ends
    #[arg(long, value_name = "LEASE", value_parser = lease_id)]
    pub(crate) lease: Option<i64>,
}

/// `update`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Update {
    /// The key
    pub(crate) key: OsString,
    #[command(flatten)]
    pub(crate) source: Source,
}

/// `lease`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Lease {
    /// Make a lease
    Grant {
        /// How long it lives without a renewal, as 30s or 5m; at least 2s
        #[arg(value_name = "TIME", value_parser = lifetime)]
        ttl: Duration,
        /// Its id, as a hexadecimal number; without it the node draws one
        #[arg(long, value_name = "LEASE", value_parser = lease_id)]
        id: Option<i64>,
    },
    /// Give a lease its full time again, again and again until Ctrl-C
    #[command(visible_alias = "keep-alive")]
    Renew {
        /// The lease
        #[arg(value_name = "LEASE", value_parser = lease_id)]
        lease: i64,
        /// Only once
        #[arg(long)]
        once: bool,
    },
    /// End a lease and delete its keys
    Revoke {
        /// The lease
        #[arg(value_name = "LEASE", value_parser = lease_id)]
        lease: i64,
    },
    /// Show how long a lease has, and its keys
    Show {
        /// The lease
        #[arg(value_name = "LEASE", value_parser = lease_id)]
        lease: i64,
    },
    /// List the leases
    List,
}

/// `snapshot`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Save the state of the node that answers; `hstore-server restore` makes a cluster of it
    Save {
        /// The file
        file: PathBuf,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
    },
    /// Check every byte of a saved file and show what it holds; asks no node
    Status {
        /// The file
        file: PathBuf,
    },
    /// Say who restores: those who come from etcdctl look for it here
    #[command(hide = true)]
    Restore {
        /// Whatever is said
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// `member`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Member {
    /// List the members, those that were added and did not start yet too
    List,
    /// Keep an id for a member that will start with this address for its peers
    Add {
        /// The address, HOST:PORT
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// It gets no vote until it is promoted
        #[arg(long)]
        learner: bool,
    },
    /// Give a learner its vote
    Promote {
        /// Its name or its number
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Take a voter its vote; it stays as a learner until it is promoted
    Demote {
        /// Its name or its number
        #[arg(value_name = "NODE")]
        node: String,
    },
    /// Change where peers look for a member; one that runs says itself where it is
    Update {
        /// Its name or its number
        #[arg(value_name = "NODE")]
        node: String,
        /// The address for its peers, HOST:PORT
        #[arg(long, value_name = "ADDRESS")]
        peer: String,
    },
    /// Remove a member from the cluster, for ever
    Remove {
        /// Its name or its number
        #[arg(value_name = "NODE")]
        node: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// `leader`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Leader {
    /// Hand the leadership over, to this voter or to the best one
    Transfer {
        /// Its name or its number
        #[arg(value_name = "NODE")]
        node: Option<String>,
    },
}

/// `alarm`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Alarm {
    /// List the alarms that are raised
    List,
    /// End all alarms; one whose reason is still there comes back
    Disarm,
}

/// `compact`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Compact {
    /// The oldest revision that stays readable [default: the current one]
    #[arg(value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) revision: Option<i64>,
    /// Wait until the space is free on the node that answers
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `hash`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Hash {
    /// As of this revision [default: the current one]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) rev: Option<i64>,
}

/// `delete`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Delete {
    /// The key
    pub(crate) key: OsString,
    /// Delete every key that begins with it
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `read`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReadAll {
    /// The key; without it all keys are written
    pub(crate) key: Option<OsString>,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// `scan`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Scan {
    /// How the keys begin
    pub(crate) prefix: OsString,
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// Which of many keys, and what of them.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Listing {
    /// At most so many
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// Leave the values out
    #[arg(long)]
    pub(crate) keys_only: bool,
    #[command(flatten)]
    pub(crate) consistency: Consistency,
}

/// `cas`.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("expected").required(true).args(["if_rev", "if_value"]))]
pub(crate) struct Cas {
    /// The key
    pub(crate) key: OsString,
    /// Only if the key was last written at this revision; 0 if it is not there
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) if_rev: Option<i64>,
    /// Only if the key has this value
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) if_value: Option<OsString>,
    #[command(flatten)]
    pub(crate) source: NewSource,
}

/// Where the new value of `cas` comes from.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("new_source").required(true).args(["new", "file"]))]
pub(crate) struct NewSource {
    /// The new value; `-` reads it from the standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) new: Option<OsString>,
    /// Read the new value from this file
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
}

/// `history`.
#[derive(Args, Clone, Debug)]
pub(crate) struct History {
    /// The key
    pub(crate) key: OsString,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    /// Only what was written before this revision
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) before: Option<i64>,
}

/// `watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Watch {
    /// The key
    pub(crate) key: OsString,
    /// Watch every key that begins with it
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Begin with what happened at this revision [default: what happens next]
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) rev: Option<i64>,
    /// Show what each change replaced
    #[arg(long)]
    pub(crate) prev: bool,
    /// Show only changes of this kind
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) filter: Option<ChangeKind>,
    /// End after so many changes [default: when you say stop]
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChangeKind {
    /// A key was given a value
    Put,
    /// A key was deleted
    Delete,
}

/// `import`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Import {
    /// The file; `-` reads the standard input. A line is {"key": .., "value": ..}, with key_b64
    /// and value_b64 for bytes that are not text
    pub(crate) file: PathBuf,
    /// Pairs that are written at once, in one revision
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) batch: u16,
    /// Requests that wait for their answers at one time
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) in_flight: u16,
    /// Begin with this line, to go on after an import that ended early
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from_line: u64,
    /// Go on after a pair that cannot be stored
    #[arg(long = "skip-failed")]
    pub(crate) skip_failed: bool,
}

/// `export`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Export {
    /// How the keys begin; without it all are written
    pub(crate) prefix: Option<OsString>,
    /// Write into this file
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) consistency: Consistency,
}

/// `bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Bench {
    /// Requests that are under way at one time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Connections that the clients share [default: one for 16 clients]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) connections: Option<u32>,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub(crate) value_size: u32,
    /// Different keys
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) keys: u32,
    /// How many of a hundred requests are reads
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) reads: u8,
    /// How long [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "ops")]
    pub(crate) duration: Option<Duration>,
    /// How many requests
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: Option<u64>,
    /// Reads take what the node at hand has, which may be behind
    #[arg(long)]
    pub(crate) serializable: bool,
    /// How the keys begin; they are deleted at the end
    #[arg(long, default_value = "hstore-bench/")]
    pub(crate) prefix: OsString,
    /// Leave the keys there
    #[arg(long)]
    pub(crate) keep: bool,
}

/// Reads how long a lease lives.
fn lifetime(text: &str) -> Result<Duration, String> {
    let units = "a time is a number with s, m, h or d";
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_each = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(units.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| units.to_owned())?;
    match number.checked_mul(seconds_each).map(Duration::from_secs) {
        Some(span)
            if span >= Duration::from_secs(1) && span.as_secs() <= LEASE_TTL_MAX_S as u64 =>
        {
            Ok(span)
        }
        _ => Err(format!("a lease lives between 1 s and {LEASE_TTL_MAX_S} s")),
    }
}

/// Reads the id of a lease as it is shown: a hexadecimal number.
fn lease_id(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    match u64::from_str_radix(digits, 16) {
        Ok(id) if id != 0 && !digits.starts_with('+') => Ok(id.cast_signed()),
        _ => Err("the id of a lease is a hexadecimal number above 0".to_owned()),
    }
}

/// Reads a time span: a number with `ms`, `s` or `m`; without a unit it is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time is a number with ms, s, m or h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "a time begins with a number".to_owned())?;
    match Duration::try_from_secs_f64(number * seconds_each) {
        Ok(span) if span >= Duration::from_millis(1) && span <= Duration::from_hours(24) => {
            Ok(span)
        }
        _ => Err("a time is between 1ms and 24h".to_owned()),
    }
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
