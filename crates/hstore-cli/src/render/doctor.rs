//! What the doctor found, in all three forms.

use std::io::{self, Write};

use hstore_client::v1::DiskExamination;
use serde_json::{Value, json};

use super::{View, nodes, table as columns};
use crate::run::doctor::{Diagnosis, Examined, Finding, NodeFacts, Severity, middle};
use crate::text;

pub(super) fn table(out: &mut dyn Write, view: View, diagnosis: &Diagnosis) -> io::Result<()> {
    let facts = &diagnosis.facts;
    if let Some(cluster) = &facts.cluster {
        writeln!(
            out,
            "cluster {}: {}",
            cluster.cluster_name,
            nodes::health(cluster)
        )?;
    }
    let head = [
        "NODE",
        "ADDRESS",
        "STATE",
        "VERSION",
        "ROUND TRIP",
        "CLOCK",
        "SYNC",
        "FREE",
        "FILES",
    ];
    let rows: Vec<_> = facts.nodes.iter().map(row).collect();
    let bad = |row: usize| facts.nodes[row].status.is_none();
    columns::columns(
        out,
        view,
        &head.map(str::to_owned),
        &rows,
        &[4, 5, 6, 7],
        bad,
    )?;
    if let Some(folder) = &facts.folder {
        let (path, disk) = (folder.path.display(), &folder.disk);
        writeln!(out, "{path}   syncs in {}, {} free", sync(disk), free(disk))?;
    }
    writeln!(out)?;
    for finding in &diagnosis.findings {
        let (on, off) = match (view.color, finding.severity) {
            (false, _) | (true, Severity::Note) => ("", ""),
            (true, Severity::Problem | Severity::Outage) => ("\x1b[1;31m", "\x1b[0m"),
        };
        let Finding {
            code,
            message,
            help,
            ..
        } = finding;
        let severity = finding.severity.as_str();
        writeln!(out, "{on}{severity}[{}]{off}: {message}", code.as_str())?;
        writeln!(out, "  do: {help}")?;
    }
    if diagnosis
        .worst()
        .is_none_or(|worst| worst == Severity::Note)
    {
        writeln!(out, "{}  nothing is wrong", columns::ok(view))?;
    }
    Ok(())
}

/// A finding a line: severity, code, message, help, with tabs between them.
pub(super) fn raw(out: &mut dyn Write, diagnosis: &Diagnosis) -> io::Result<()> {
    diagnosis.findings.iter().try_for_each(|finding| {
        let (severity, code) = (finding.severity.as_str(), finding.code.as_str());
        writeln!(
            out,
            "{severity}\t{code}\t{}\t{}",
            finding.message, finding.help
        )
    })
}

fn row(node: &NodeFacts) -> Vec<String> {
    let unknown = || "-".to_owned();
    let process = node.status.as_ref().and_then(|it| it.process.as_ref());
    let disk = node.found().and_then(|found| found.disk.as_ref());
    let files = node.vitals().map(|vitals| match vitals.open_files_max {
        0 => vitals.open_files.to_string(),
        max => format!("{} of {max}", vitals.open_files),
    });
    vec![
        node.name.clone(),
        node.address.clone(),
        node.state().to_owned(),
        process.map_or_else(unknown, |process| process.version.clone()),
        node.trip_us().map_or_else(unknown, text::millis),
        node.clock.map_or_else(unknown, |clock| {
            let sign = if clock.ahead_us < 0 { '-' } else { '+' };
            format!("{sign}{}", text::millis(clock.ahead_us.unsigned_abs()))
        }),
        disk.map_or_else(unknown, sync),
        disk.map_or_else(unknown, free),
        files.unwrap_or_else(unknown),
    ]
}

fn sync(disk: &DiskExamination) -> String {
    middle(disk.sync_us.iter().copied()).map_or_else(|| "failed".to_owned(), text::millis)
}

fn free(disk: &DiskExamination) -> String {
    match disk.total_bytes {
        0 => text::size(disk.free_bytes),
        total => format!("{} of {}", text::size(disk.free_bytes), text::size(total)),
    }
}

pub(super) fn json(diagnosis: &Diagnosis) -> Value {
    let facts = &diagnosis.facts;
    let findings = diagnosis.findings.iter().map(|finding| {
        json!({
            "severity": finding.severity.as_str(),
            "code": finding.code.as_str(),
            "nodes": finding.nodes,
            "message": finding.message,
            "help": finding.help,
        })
    });
    let cluster = facts.cluster.as_ref();
    json!({
        "cluster_id": cluster.map(|it| format!("{:016x}", it.cluster_id)),
        "cluster_name": cluster.map(|it| it.cluster_name.clone()),
        "health": cluster.map(|it| nodes::health(it).to_string()),
        "worst": diagnosis.worst().map(Severity::as_str),
        "findings": findings.collect::<Vec<_>>(),
        "nodes": facts.nodes.iter().map(node).collect::<Vec<_>>(),
        "folder": facts.folder.as_ref().map(|folder| {
            json!({"path": folder.path.display().to_string(), "disk": disk(&folder.disk)})
        }),
    })
}

fn node(node: &NodeFacts) -> Value {
    let process = node.status.as_ref().and_then(|it| it.process.as_ref());
    let found = node.found();
    json!({
        "name": node.name,
        "id": node.id,
        "address": node.address,
        "state": node.state(),
        "version": process.map(|process| process.version.clone()),
        "round_trip_us": node.trip_us(),
        "clock_ahead_us": node.clock.map(|clock| clock.ahead_us),
        "clock_error_us": node.clock.map(|clock| clock.error_us),
        "examined": matches!(node.examined, Examined::Found(_)),
        "open_files": node.vitals().map(|vitals| vitals.open_files),
        "open_files_max": node.vitals().map(|vitals| vitals.open_files_max),
        "connections_max": found.map(|found| found.connections_max),
        "disk": found.and_then(|found| found.disk.as_ref()).map(disk),
    })
}

fn disk(disk: &DiskExamination) -> Value {
    json!({
        "sync_us": disk.sync_us,
        "free_bytes": disk.free_bytes,
        "total_bytes": disk.total_bytes,
        "problem": disk.problem,
    })
}
