//! `txn`: the grammar of its clauses. A clause is words, as a line of the shell is.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::lease_id;

const CLAUSES: &str = "Clauses, each one argument or one line:\n  \
    if value KEY = VALUE          also != > <\n  \
    if revision KEY = NUMBER      the revision that wrote the key last\n  \
    if created KEY = NUMBER       the revision that created it: the fence of a lock\n  \
    if version KEY > NUMBER       how often it was written\n  \
    if lease KEY = LEASE\n  \
    if exists KEY, if missing KEY\n  \
    then set KEY VALUE [--lease LEASE]\n  \
    then get KEY [--prefix]\n  \
    then delete KEY [--prefix]\n  \
    else ...                      as after `then`\n\n\
    All `if` must hold for the `then`; otherwise the `else` are done. Without an `else` it is \
    exit code 4 then. The standard input may also be what `etcdctl txn` takes.";

/// `txn`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CLAUSES)]
pub(crate) struct Txn {
    /// The clauses; without any they are the lines of the standard input
    #[arg(value_name = "CLAUSE")]
    pub(crate) clauses: Vec<OsString>,
}

/// One clause.
#[derive(Clone, Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) enum Clause {
    /// What must hold
    If {
        /// What
        #[command(subcommand)]
        what: Condition,
    },
    /// What is done when all of it holds
    Then {
        /// What
        #[command(subcommand)]
        what: Step,
    },
    /// What is done otherwise
    Else {
        /// What
        #[command(subcommand)]
        what: Step,
    },
}

/// A step alone, as etcdctl's lines have it.
#[derive(Clone, Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
pub(crate) struct StepLine {
    #[command(subcommand)]
    pub(crate) what: Step,
}

/// What must hold.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Condition {
    /// The key's value
    Value {
        key: OsString,
        relation: Sign,
        #[arg(allow_hyphen_values = true)]
        value: OsString,
    },
    /// The revision that wrote the key last
    #[command(alias = "mod")]
    Revision {
        key: OsString,
        relation: Sign,
        number: i64,
    },
    /// The revision that created the key
    #[command(alias = "create")]
    Created {
        key: OsString,
        relation: Sign,
        number: i64,
    },
    /// How often the key was written
    Version {
        key: OsString,
        relation: Sign,
        number: i64,
    },
    /// The lease that the key is attached to
    Lease {
        key: OsString,
        relation: Sign,
        #[arg(value_parser = lease_id)]
        lease: i64,
    },
    /// The key is there
    Exists { key: OsString },
    /// The key is not there
    Missing { key: OsString },
}

/// How things compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sign {
    /// The same
    #[value(name = "=", alias = "==")]
    Equal,
    /// Not the same
    #[value(name = "!=")]
    NotEqual,
    /// Larger
    #[value(name = ">")]
    Greater,
    /// Smaller
    #[value(name = "<")]
    Less,
}

/// What is done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Step {
    /// Give a key a value
    #[command(alias = "put")]
    Set {
        key: OsString,
        #[arg(allow_hyphen_values = true)]
        value: OsString,
        #[arg(long, value_parser = lease_id)]
        lease: Option<i64>,
    },
    /// Read a key
    Get {
        key: OsString,
        #[arg(long)]
        prefix: bool,
    },
    /// Delete a key
    #[command(alias = "del")]
    Delete {
        key: OsString,
        #[arg(long)]
        prefix: bool,
    },
}
