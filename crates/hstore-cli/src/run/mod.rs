//! One file a verb. A verb talks to the cluster and returns what it found out; it never decides
//! how that looks. Only listings, exports and watches, which may be larger than memory, write as they go.

mod auth;
pub(crate) mod bench;
mod config;
mod delete;
pub(crate) mod doctor;
mod elect;
mod export;
mod get;
mod history;
mod hold;
pub(crate) mod import;
mod lease;
mod list;
mod lock;
mod manual;
mod nodes;
mod operate;
pub(crate) mod progress;
mod set;
pub(crate) mod snapshot;
mod swap;
pub(crate) mod top;
mod txn;
mod watch;

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use hstore_client::{Client, Read};

use crate::args::{Command, Consistency, Snapshot};
use crate::failure::Failure;
use crate::input::Input;
use crate::render::{Data, View};
use crate::text;

/// What a command runs with.
#[derive(Clone)]
pub(crate) struct Context {
    /// The way to the cluster.
    pub(crate) client: Client,
    /// How words become bytes.
    pub(crate) input: Input,
    /// How results look.
    pub(crate) view: View,
    /// How long one request may take, where that was said.
    pub(crate) timeout: Option<Duration>,
    /// Whether a person sits at the terminal and can be asked.
    pub(crate) interactive: bool,
    /// Whether progress may be drawn on the standard error.
    pub(crate) progress: bool,
}

impl Context {
    /// Bytes as a person sees them in a sentence.
    fn shown(&self, bytes: &[u8]) -> String {
        if self.view.base64 {
            text::to_base64(bytes)
        } else {
            text::escape(bytes)
        }
    }
}

/// Runs a command.
pub(crate) async fn command(context: &Context, command: &Command) -> Result<Data, Failure> {
    match command {
        Command::Get(args) => get::run(context, args).await,
        Command::Set(args) => set::set(context, args).await,
        Command::Update(args) => set::update(context, args).await,
        Command::Delete(args) => delete::run(context, args).await,
        Command::Read(args) => list::read(context, args).await,
        Command::Scan(args) => list::scan(context, args).await,
        Command::Cas(args) => swap::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Lease { what } => lease::run(context, what).await,
        Command::User { what } => auth::user(context, what).await,
        Command::Role { what } => auth::role(context, what).await,
        Command::Auth { what } => auth::auth(context, what).await,
        Command::Watch(args) => watch::run(context, args).await,
        Command::Txn(args) => txn::run(context, args).await,
        Command::Lock(args) => lock::run(context, args).await,
        Command::Elect(args) => elect::run(context, args).await,
        Command::Member { what } => operate::member(context, what).await,
        Command::Leader { what } => operate::leader(context, what.as_ref()).await,
        Command::Alarm { what } => operate::alarm(context, what).await,
        Command::Config { what } => config::run(context, what).await,
        Command::Compact(args) => operate::compact(context, args).await,
        Command::Hash(args) => operate::hash(context, args).await,
        Command::Nodes => nodes::list(context).await,
        Command::Status => nodes::status(context).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Snapshot { what } => snapshot::run(context, what).await,
        Command::Bench(args) => bench::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Top(args) => top::run(context, *args).await,
        Command::Completion { shell } => Ok(manual::completion(*shell)),
        Command::Man { dir } => manual::man(dir.as_deref()),
    }
}

/// Whether a command talks to a cluster at all.
pub(crate) fn needs_cluster(command: &Command) -> bool {
    !matches!(
        command,
        Command::Completion { .. }
            | Command::Man { .. }
            | Command::Snapshot {
                what: Snapshot::Status { .. }
            }
    )
}

/// Whether a command ends by itself, and tells how far it came, when the person says stop.
pub(crate) fn minds_interrupts(command: &Command) -> bool {
    matches!(
        command,
        Command::Import(_)
            | Command::Bench(_)
            | Command::Watch(_)
            | Command::Lock(_)
            | Command::Elect(_)
    )
}

fn read(consistency: Consistency) -> Read {
    Read {
        revision: hstore_core::id::Revision(consistency.rev.unwrap_or(0)),
        serializable: consistency.serializable,
        keys_only: false,
    }
}

/// The standard output, for what is written as it comes.
fn output() -> BufWriter<impl Write> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}
