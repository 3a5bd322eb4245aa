//! For people: the value alone for one key, `OK` and the revision for a write, columns without
//! lines for everything that has several rows.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table};
use hstore_client::v1::{ClusterDescription, NodeStatusResponse};
use hstore_client::{Change, History, Lease};

use super::{Data, Done, TxnReport, View, members, nodes, settings};
use crate::text;

pub(super) fn data(out: &mut dyn Write, view: View, data: &Data) -> io::Result<()> {
    match data {
        Data::Value(pair) if view.base64 => writeln!(out, "{}", text::to_base64(&pair.value)),
        Data::Value(pair) => writeln!(out, "{}", text::value_alone(&pair.value)),
        Data::Written { revision } => writeln!(out, "{}  rev {revision}", ok(view)),
        Data::WrittenFor { revision, lease } => writeln!(
            out,
            "{}  rev {revision}  lease {:x}  {} s",
            ok(view),
            lease.id,
            lease.ttl.as_secs()
        ),
        Data::Lease(lease) => self::lease(out, view, lease),
        Data::Leases(leases) => leases.iter().try_for_each(|id| writeln!(out, "{id:x}")),
        Data::Renewed { lease, ttl } => {
            writeln!(out, "{}  lease {lease:x}  {} s", ok(view), ttl.as_secs())
        }
        Data::Held { key, token, lease } => writeln!(
            out,
            "{}  {}  token {token}  lease {lease:x}",
            ok(view),
            view.text(key)
        ),
        Data::Leader(leader) => writeln!(
            out,
            "{:>8}  {}  {}",
            leader.mod_revision.0,
            view.text(&leader.key),
            view.text(&leader.value)
        ),
        Data::Txn(report) => txn(out, view, report),
        Data::Deleted { count, revision } => {
            writeln!(
                out,
                "{}  {} deleted  rev {revision}",
                ok(view),
                text::count(*count, "key")
            )
        }
        Data::Auth(data) => super::auth::table(out, view, data),
        Data::History(history) => self::history(out, view, history),
        Data::Nodes(cluster) => self::nodes(out, view, cluster),
        Data::Members(members) => members::table(out, view, members),
        Data::Settings(data) => settings::table(out, view, data),
        Data::Leads { node, name } => writeln!(out, "{}  {name} ({node}) leads", ok(view)),
        Data::Alarms(alarms) => members::table_alarms(out, view, alarms),
        Data::Hashes(rows) => members::table_hashes(out, view, rows),
        Data::Compacted { revision } => {
            writeln!(out, "{}  compacted to rev {revision}", ok(view))
        }
        Data::Status {
            node,
            address,
            cluster,
        } => status(out, view, node, address, cluster.as_ref()),
        Data::Imported(report) => writeln!(out, "{}  {}", ok(view), report.sentence()),
        Data::Exported { pairs, revision } => {
            writeln!(
                out,
                "{}  {} as of rev {revision}",
                ok(view),
                text::count(*pairs, "pair")
            )
        }
        Data::Saved(saved) => writeln!(out, "{}  {}", ok(view), saved.sentence()),
        Data::Backup(report) => report
            .rows()
            .iter()
            .try_for_each(|(name, value)| writeln!(out, "{name:<12}{value}")),
        Data::Bench(report) => {
            writeln!(out, "{}", report.sentence())?;
            let rows = report.rows();
            let (head, rows) = rows.split_first().expect("the first row is the head");
            columns(out, view, head, rows, &[1, 2, 3, 4, 5, 6, 7, 8], |_| false)
        }
        Data::Diagnosis(diagnosis) => super::doctor::table(out, view, diagnosis),
        Data::Picture(picture) => super::top::table(out, picture),
        Data::Text(_) | Data::Nothing => Ok(()),
    }
}

/// Revision, kind, key and value of one change: the next one may come in an hour, so that the columns
/// are as wide as most need.
pub(super) fn change(out: &mut dyn Write, view: View, change: &Change) -> io::Result<()> {
    let kind = super::kind(change);
    let coloured = match (view.color, change.deleted) {
        (false, _) => format!("{kind:<6}"),
        (true, true) => format!("\x1b[31m{kind:<6}\x1b[0m"),
        (true, false) => format!("\x1b[32m{kind:<6}\x1b[0m"),
    };
    let key = view.text(&change.pair.key);
    write!(out, "{:>8}  {coloured}  {key}", change.pair.mod_revision.0)?;
    if !change.deleted {
        write!(out, "  {}", view.text(&change.pair.value))?;
    }
    match &change.previous {
        None => writeln!(out),
        Some(previous) => writeln!(out, "  (was {})", view.text(&previous.value)),
    }
}

/// How many columns of a terminal a text takes: wide letters take two.
pub(super) fn width(text: &str) -> usize {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .add_row([text]);
    table
        .column_max_content_widths()
        .first()
        .copied()
        .unwrap_or(0)
        .into()
}

pub(super) fn ok(view: View) -> &'static str {
    if view.color {
        "\x1b[32mOK\x1b[0m"
    } else {
        "OK"
    }
}

fn txn(out: &mut dyn Write, view: View, report: &TxnReport) -> io::Result<()> {
    let (branch, revision) = (report.branch(), report.revision);
    writeln!(out, "{}  {branch}  rev {revision}", ok(view))?;
    for step in &report.steps {
        match step {
            Done::Set => writeln!(out, "set")?,
            Done::Deleted(count) => writeln!(out, "{} deleted", text::count(*count, "key"))?,
            Done::Get(pairs) if pairs.is_empty() => writeln!(out, "not found")?,
            Done::Get(pairs) => {
                for pair in pairs {
                    let (key, value) = (view.text(&pair.key), view.text(&pair.value));
                    writeln!(out, "{key}  {value}")?;
                }
            }
        }
    }
    Ok(())
}

fn lease(out: &mut dyn Write, view: View, lease: &Lease) -> io::Result<()> {
    let (left, ttl) = (lease.remaining.as_secs(), lease.ttl.as_secs());
    let keys = lease.keys.iter().map(|key| format!("  {}", view.text(key)));
    let keys: String = keys.collect();
    writeln!(out, "lease {:x}  {left} of {ttl} s{keys}", lease.id)
}

fn history(out: &mut dyn Write, view: View, history: &History) -> io::Result<()> {
    let rows: Vec<Vec<String>> = history
        .records
        .iter()
        .map(|past| {
            let value = match &past.value {
                Some(value) => view.text(value),
                None => "(deleted)".to_owned(),
            };
            let version = if past.value.is_some() {
                past.version.to_string()
            } else {
                String::new()
            };
            vec![past.mod_revision.to_string(), version, value]
        })
        .collect();
    columns(
        out,
        view,
        &cells(["REV", "VERSION", "VALUE"]),
        &rows,
        &[0, 1],
        |_| false,
    )
}

fn nodes(out: &mut dyn Write, view: View, cluster: &ClusterDescription) -> io::Result<()> {
    let head = cells([
        "NAME", "ID", "ADDRESS", "HEALTH", "TYPE", "TERM", "LAG", "REV", "UPTIME", "VERSION",
    ]);
    let rows: Vec<Vec<String>> = cluster
        .members
        .iter()
        .map(|status| {
            let member = status.member.clone().unwrap_or_default();
            let known = |text: String| {
                if status.reachable {
                    text
                } else {
                    "-".to_owned()
                }
            };
            vec![
                nodes::name(status),
                member.node_id.to_string(),
                member.client_address,
                if status.reachable {
                    "ok"
                } else {
                    "unreachable"
                }
                .to_owned(),
                nodes::role(status).to_owned(),
                known(status.term.to_string()),
                known(status.lag.to_string()),
                known(status.revision.to_string()),
                known(text::span(status.uptime_ms)),
                known(status.version.clone()),
            ]
        })
        .collect();
    let unreachable = |row: usize| !cluster.members[row].reachable;
    columns(out, view, &head, &rows, &[1, 5, 6, 7, 8], unreachable)
}

fn status(
    out: &mut dyn Write,
    view: View,
    node: &NodeStatusResponse,
    address: &str,
    cluster: Option<&ClusterDescription>,
) -> io::Result<()> {
    let member = node.member.clone().unwrap_or_default();
    let log = node.log.unwrap_or_default();
    let store = node.store.unwrap_or_default();
    let process = node.process.clone().unwrap_or_default();
    let looked = store.cache_hits + store.cache_misses;
    let hit_rate = if looked == 0 {
        "no read yet".to_owned()
    } else {
        format!(
            "{:.1} % of {looked} reads hit",
            store.cache_hits as f64 * 100.0 / looked as f64
        )
    };
    let health = cluster.map_or_else(
        || "unknown".to_owned(),
        |cluster| nodes::health(cluster).to_string(),
    );
    let mut rows = vec![
        (
            "cluster",
            format!("{} ({:016x})", node.cluster_name, node.cluster_id),
        ),
        ("health", health),
        (
            "node",
            format!(
                "{} (id {}, {}), asked at {address}",
                member.name,
                member.node_id,
                nodes::role_word(node.role())
            ),
        ),
        (
            "term",
            format!("{}, leader is node {}", node.term, node.leader),
        ),
        (
            "store",
            format!(
                "rev {}, {}, {}, {}",
                store.revision,
                text::count(store.keys, "key"),
                text::count(store.records, "record"),
                match store.compacted_revision {
                    0 => "nothing compacted".to_owned(),
                    revision => format!("readable from rev {revision}"),
                }
            ),
        ),
        (
            "cache",
            format!(
                "{} of {}; {hit_rate}",
                text::size(store.cache_bytes),
                text::size(store.cache_capacity_bytes)
            ),
        ),
        (
            "blocks",
            format!(
                "{} in {}, {} not written down yet",
                text::size(store.engine_bytes),
                text::count(store.blocks, "block"),
                text::size(store.recent_bytes)
            ),
        ),
        (
            "log",
            format!(
                "applied {} of {} committed, last {}, snapshot {}, purged {}, {}",
                log.applied_index,
                log.commit_index,
                log.last_index,
                log.snapshot_index,
                log.purged_index,
                text::size(log.disk_bytes)
            ),
        ),
        (
            "process",
            format!(
                "hstore {}, pid {}, up {}, {} resident",
                process.version,
                process.pid,
                text::span(process.uptime_ms),
                text::size(process.resident_bytes)
            ),
        ),
        ("data", process.data_folder),
    ];
    rows.extend(
        node.problems
            .iter()
            .map(|problem| ("problem", problem.clone())),
    );
    for (name, value) in rows {
        let (on, off) = if view.color {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        writeln!(out, "{on}{name:<8}{off} {value}")?;
    }
    Ok(())
}

fn cells<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Writes columns, two spaces apart; `right` are the columns of numbers. A row that is `bad` is
/// red where there is colour; its words say so, too.
pub(super) fn columns(
    out: &mut dyn Write,
    view: View,
    head: &[String],
    rows: &[Vec<String>],
    right: &[usize],
    bad: impl Fn(usize) -> bool,
) -> io::Result<()> {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(head);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (index, line) in table.lines().enumerate() {
        let line = line.trim_end();
        let style = match index.checked_sub(1) {
            _ if !view.color => None,
            None => Some("\x1b[2m"),
            Some(row) if bad(row) => Some("\x1b[31m"),
            Some(_) => None,
        };
        match style {
            Some(on) => writeln!(out, "{on}{line}\x1b[0m")?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}
