//! The bytes as they are: a value alone has nothing around it, a pair is the key, a tab, the value
//! and a line end.

use std::io::{self, Write};

use hstore_client::{Change, KeyValue};

use super::{Data, Done, View, members, settings, table};
use crate::text::to_base64;

pub(super) fn data(out: &mut dyn Write, view: View, data: &Data) -> io::Result<()> {
    match data {
        Data::Value(pair) => bytes(out, view, &pair.value),
        Data::Written { revision } | Data::Compacted { revision } => {
            writeln!(out, "{revision}")
        }
        Data::WrittenFor { lease, .. } | Data::Lease(lease) => writeln!(out, "{:x}", lease.id),
        Data::Leases(leases) => leases.iter().try_for_each(|id| writeln!(out, "{id:x}")),
        Data::Renewed { ttl, .. } => writeln!(out, "{}", ttl.as_secs()),
        Data::Held { key, token, .. } => {
            bytes(out, view, key)?;
            writeln!(out, "\t{token}")
        }
        Data::Leader(leader) => pair(out, view, leader, false),
        Data::Txn(report) => {
            writeln!(out, "{}", report.branch())?;
            report.steps.iter().try_for_each(|step| match step {
                Done::Set => Ok(()),
                Done::Deleted(count) => writeln!(out, "{count}"),
                Done::Get(pairs) => pairs
                    .iter()
                    .try_for_each(|found| pair(out, view, found, false)),
            })
        }
        Data::Deleted { count, .. } => writeln!(out, "{count}"),
        Data::Auth(data) => super::auth::raw(out, view, data),
        Data::History(history) => history.records.iter().try_for_each(|past| {
            write!(out, "{}\t{}\t", past.mod_revision, past.version)?;
            bytes(out, view, past.value.as_deref().unwrap_or_default())?;
            out.write_all(b"\n")
        }),
        Data::Imported(report) => writeln!(out, "{}", report.stored),
        Data::Exported { pairs, .. } => writeln!(out, "{pairs}"),
        Data::Members(members) => members::raw(out, members),
        Data::Settings(data) => settings::raw(out, data),
        Data::Leads { node, .. } => writeln!(out, "{node}"),
        Data::Alarms(alarms) => members::raw_alarms(out, alarms),
        Data::Hashes(rows) => members::raw_hashes(out, rows),
        Data::Diagnosis(diagnosis) => super::doctor::raw(out, diagnosis),
        Data::Saved(_)
        | Data::Backup(_)
        | Data::Nodes(_)
        | Data::Status { .. }
        | Data::Bench(_)
        | Data::Picture(_)
        | Data::Text(_)
        | Data::Nothing => table::data(
            out,
            View {
                color: false,
                ..view
            },
            data,
        ),
    }
}

/// The kind, the key, the value, and what it replaced if there is that, with tabs between them.
pub(super) fn change(out: &mut dyn Write, view: View, change: &Change) -> io::Result<()> {
    write!(out, "{}\t", super::kind(change))?;
    bytes(out, view, &change.pair.key)?;
    out.write_all(b"\t")?;
    bytes(out, view, &change.pair.value)?;
    if let Some(previous) = &change.previous {
        out.write_all(b"\t")?;
        bytes(out, view, &previous.value)?;
    }
    out.write_all(b"\n")
}

pub(super) fn pair(
    out: &mut dyn Write,
    view: View,
    pair: &KeyValue,
    keys_only: bool,
) -> io::Result<()> {
    bytes(out, view, &pair.key)?;
    if !keys_only {
        out.write_all(b"\t")?;
        bytes(out, view, &pair.value)?;
    }
    out.write_all(b"\n")
}

fn bytes(out: &mut dyn Write, view: View, bytes: &[u8]) -> io::Result<()> {
    if view.base64 {
        out.write_all(to_base64(bytes).as_bytes())
    } else {
        out.write_all(bytes)
    }
}
