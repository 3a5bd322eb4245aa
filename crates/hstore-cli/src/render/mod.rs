//! How results look. What a command found out comes as `Data`; which of the three forms it takes
//! is decided here and nowhere else.

mod auth;
mod doctor;
mod json;
mod members;
pub(crate) mod nodes;
mod raw;
mod settings;
mod table;
pub(crate) mod top;

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use hstore_client::etcdserverpb::{AlarmMember, Member};
use hstore_client::v1::{ClusterDescription, NodeStatusResponse};
use hstore_client::{Change, History, KeyValue, Lease, Page};

use crate::args::Format;
use crate::run::bench::BenchReport;
use crate::run::doctor::Diagnosis;
use crate::run::import::ImportReport;
use crate::run::snapshot::{BackupReport, Saved};
use crate::run::top::Picture;

pub(crate) use auth::AuthData;
pub(crate) use settings::{SettingRow, SettingsData};

/// What a command found out.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// A key as it is.
    Value(KeyValue),
    /// A key was written.
    Written {
        /// By this revision.
        revision: i64,
    },
    /// A key was written that goes with a lease of its own.
    WrittenFor {
        /// By this revision.
        revision: i64,
        /// The lease.
        lease: Lease,
    },
    /// A lease as it is.
    Lease(Lease),
    /// The ids of all leases.
    Leases(Vec<i64>),
    /// A lease has its full time again.
    Renewed {
        /// Which.
        lease: i64,
        /// So long.
        ttl: Duration,
    },
    /// A lock is held, or an election was won.
    Held {
        /// By this key.
        key: Bytes,
        /// The fencing token: the revision that created it.
        token: i64,
        /// The lease that it hangs on.
        lease: i64,
    },
    /// Who leads an election, and what it proclaims.
    Leader(KeyValue),
    /// A transaction ran.
    Txn(TxnReport),
    /// Keys were deleted.
    Deleted {
        /// So many.
        count: u64,
        /// By this revision.
        revision: i64,
    },
    /// The former values of a key.
    History(History),
    /// Users, roles and permissions.
    Auth(AuthData),
    /// The nodes of the cluster.
    Nodes(ClusterDescription),
    /// Members, those that did not start yet too.
    Members(Vec<Member>),
    /// Settings of the cluster.
    Settings(SettingsData),
    /// A member leads.
    Leads {
        /// Its number.
        node: u64,
        /// Its name.
        name: String,
    },
    /// Alarms.
    Alarms(Vec<AlarmMember>),
    /// What the members hold.
    Hashes(Vec<HashRow>),
    /// History was dropped.
    Compacted {
        /// Below this revision.
        revision: i64,
    },
    /// The cluster, and the node that answered.
    Status {
        /// The node.
        node: Box<NodeStatusResponse>,
        /// Where it was asked.
        address: String,
        /// The cluster as the node sees it; none when it did not say.
        cluster: Option<ClusterDescription>,
    },
    /// What an import did.
    Imported(ImportReport),
    /// What an export did.
    Exported {
        /// How many pairs.
        pairs: u64,
        /// As of which revision.
        revision: i64,
    },
    /// The state was saved.
    Saved(Saved),
    /// What a saved file holds.
    Backup(Box<BackupReport>),
    /// What a load test measured.
    Bench(Box<BenchReport>),
    /// What the doctor found.
    Diagnosis(Box<Diagnosis>),
    /// The cluster at one moment.
    Picture(Box<Picture>),
    /// Text that is the same in every form.
    Text(String),
    /// What there was to write is written.
    Nothing,
}

/// What one member holds.
#[derive(Clone, Debug)]
pub(crate) struct HashRow {
    /// The member.
    pub(crate) node: u64,
    /// Its name.
    pub(crate) name: String,
    /// As of this revision.
    pub(crate) revision: i64,
    /// The hash, if the member told it.
    pub(crate) hash: Option<Hash>,
    /// Why not.
    pub(crate) problem: String,
}

/// A hash, and the oldest revision that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    /// The hash.
    pub(crate) hash: u32,
    /// The oldest revision.
    pub(crate) compacted: i64,
}

/// What a transaction did.
#[derive(Clone, Debug)]
pub(crate) struct TxnReport {
    /// Whether all comparisons held.
    pub(crate) succeeded: bool,
    /// The store's revision.
    pub(crate) revision: i64,
    /// The steps of the branch that ran.
    pub(crate) steps: Vec<Done>,
}

impl TxnReport {
    /// The branch that ran.
    fn branch(&self) -> &'static str {
        if self.succeeded { "then" } else { "else" }
    }
}

/// One step of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// So many keys were deleted.
    Deleted(u64),
    /// These were found.
    Get(Vec<KeyValue>),
    /// A key was given a value.
    Set,
}

/// How to write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View {
    /// The form.
    pub(crate) format: Format,
    /// Keys and values are shown as base64.
    pub(crate) base64: bool,
    /// Colour may be used.
    pub(crate) color: bool,
}

impl View {
    /// Bytes for a person.
    fn text(self, bytes: &[u8]) -> String {
        if self.base64 {
            crate::text::to_base64(bytes)
        } else {
            crate::text::escape(bytes)
        }
    }
}

/// Writes a result.
pub(crate) fn data(out: &mut dyn Write, view: View, data: &Data) -> io::Result<()> {
    match (data, view.format) {
        (Data::Text(text), _) => out.write_all(text.as_bytes()),
        (Data::Nothing, _) => Ok(()),
        (_, Format::Table) => table::data(out, view, data),
        (_, Format::Json) => json::data(out, view, data),
        (_, Format::Raw) => raw::data(out, view, data),
    }
}

/// Writes a result at once, by a command that goes on.
pub(crate) fn now(view: View, what: &Data) -> io::Result<()> {
    let mut out = io::stdout().lock();
    data(&mut out, view, what)?;
    out.flush()
}

/// Writes one change of a watch, a line.
pub(crate) fn change(out: &mut dyn Write, view: View, change: &Change) -> io::Result<()> {
    match view.format {
        Format::Table => table::change(out, view, change),
        Format::Json => json::change(out, view, change),
        Format::Raw => raw::change(out, view, change),
    }
}

/// What happened, in a word.
fn kind(change: &Change) -> &'static str {
    if change.deleted { "delete" } else { "put" }
}

/// Writes many keys, page by page.
#[derive(Debug)]
pub(crate) struct Listing {
    view: View,
    keys_only: bool,
    /// How wide the column of keys is: what was needed so far, within bounds.
    width: usize,
}

impl Listing {
    /// A listing with values, or without.
    pub(crate) fn new(view: View, keys_only: bool) -> Listing {
        Listing {
            view,
            keys_only,
            width: 0,
        }
    }

    /// Writes a page.
    pub(crate) fn page(&mut self, out: &mut dyn Write, page: &Page) -> io::Result<()> {
        match self.view.format {
            Format::Table => self.table(out, page),
            Format::Json => page
                .pairs
                .iter()
                .try_for_each(|pair| json::pair(out, self.view, pair, self.keys_only)),
            Format::Raw => page
                .pairs
                .iter()
                .try_for_each(|pair| raw::pair(out, self.view, pair, self.keys_only)),
        }
    }

    fn table(&mut self, out: &mut dyn Write, page: &Page) -> io::Result<()> {
        /// A key that is longer than this moves its own value only.
        const WIDTH_MAX: usize = 40;
        let keys: Vec<String> = page
            .pairs
            .iter()
            .map(|pair| self.view.text(&pair.key))
            .collect();
        let widest = keys.iter().map(|key| table::width(key)).max().unwrap_or(0);
        self.width = self.width.max(widest.min(WIDTH_MAX));
        for (pair, key) in page.pairs.iter().zip(keys) {
            if self.keys_only {
                writeln!(out, "{key}")?;
            } else {
                let gap = self.width.saturating_sub(table::width(&key)) + 2;
                writeln!(out, "{key}{:gap$}{}", "", self.view.text(&pair.value))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
