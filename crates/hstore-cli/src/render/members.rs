//! Members, alarms and hashes in all three forms.

use std::io::{self, Write};

use hstore_client::etcdserverpb::{AlarmMember, AlarmType, Member};
use serde_json::{Value, json};

use super::{HashRow, View, table as columns};

/// Without its scheme, as everywhere else.
fn address(urls: &[String]) -> String {
    let url = urls.first().map_or("-", String::as_str);
    url.split("://").last().unwrap_or(url).to_owned()
}

fn kind(member: &Member) -> &'static str {
    match (member.name.is_empty(), member.is_learner) {
        (true, true) => "learner, not started",
        (true, false) => "not started",
        (false, true) => "learner",
        (false, false) => "voter",
    }
}

fn name(member: &Member) -> &str {
    if member.name.is_empty() {
        "-"
    } else {
        &member.name
    }
}

fn alarm(alarm: &AlarmMember) -> &'static str {
    match alarm.alarm() {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE",
        AlarmType::Corrupt => "CORRUPT",
    }
}

pub(super) fn table(out: &mut dyn Write, view: View, members: &[Member]) -> io::Result<()> {
    let head = ["NAME", "ID", "TYPE", "PEERS", "CLIENTS"].map(str::to_owned);
    let row = |member: &Member| {
        vec![
            name(member).to_owned(),
            member.id.to_string(),
            kind(member).to_owned(),
            address(&member.peer_ur_ls),
            address(&member.client_ur_ls),
        ]
    };
    let rows: Vec<_> = members.iter().map(row).collect();
    columns::columns(out, view, &head, &rows, &[1], |_| false)
}

pub(super) fn raw(out: &mut dyn Write, members: &[Member]) -> io::Result<()> {
    members.iter().try_for_each(|member| {
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}",
            member.id,
            member.name,
            kind(member),
            address(&member.peer_ur_ls),
            address(&member.client_ur_ls)
        )
    })
}

pub(super) fn json(members: &[Member]) -> Value {
    let row = |member: &Member| {
        json!({
            "id": member.id,
            "name": member.name,
            "learner": member.is_learner,
            "started": !member.name.is_empty(),
            "peer_address": address(&member.peer_ur_ls),
            "client_address": address(&member.client_ur_ls),
        })
    };
    json!({"members": members.iter().map(row).collect::<Vec<_>>()})
}

pub(super) fn table_alarms(
    out: &mut dyn Write,
    view: View,
    alarms: &[AlarmMember],
) -> io::Result<()> {
    if alarms.is_empty() {
        return writeln!(out, "no alarms");
    }
    let head = ["ALARM", "NODE"].map(str::to_owned);
    let row = |raised: &AlarmMember| vec![alarm(raised).to_owned(), raised.member_id.to_string()];
    let rows: Vec<_> = alarms.iter().map(row).collect();
    columns::columns(out, view, &head, &rows, &[1], |_| true)
}

pub(super) fn raw_alarms(out: &mut dyn Write, alarms: &[AlarmMember]) -> io::Result<()> {
    alarms
        .iter()
        .try_for_each(|raised| writeln!(out, "{}\t{}", alarm(raised), raised.member_id))
}

pub(super) fn json_alarms(alarms: &[AlarmMember]) -> Value {
    let row = |raised: &AlarmMember| json!({"alarm": alarm(raised), "node": raised.member_id});
    json!({"alarms": alarms.iter().map(row).collect::<Vec<_>>()})
}

/// The hash in words, or why there is none.
fn told(row: &HashRow) -> String {
    match row.hash {
        Some(hash) => format!("{:08x}", hash.hash),
        None => row.problem.clone(),
    }
}

fn compacted(row: &HashRow) -> i64 {
    row.hash.map_or(0, |hash| hash.compacted)
}

pub(super) fn table_hashes(out: &mut dyn Write, view: View, rows: &[HashRow]) -> io::Result<()> {
    let head = ["NAME", "ID", "REV", "COMPACTED", "HASH"].map(str::to_owned);
    let cells = |row: &HashRow| {
        vec![
            row.name.clone(),
            row.node.to_string(),
            row.revision.to_string(),
            compacted(row).to_string(),
            told(row),
        ]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let bad = |row: usize| rows[row].hash.is_none();
    columns::columns(out, view, &head, &cells, &[1, 2, 3], bad)
}

pub(super) fn raw_hashes(out: &mut dyn Write, rows: &[HashRow]) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        let (node, revision) = (row.node, row.revision);
        writeln!(out, "{node}\t{revision}\t{}\t{}", compacted(row), told(row))
    })
}

pub(super) fn json_hashes(rows: &[HashRow]) -> Value {
    let row = |row: &HashRow| {
        json!({
            "id": row.node,
            "name": row.name,
            "revision": row.revision,
            "compacted_revision": row.hash.map(|hash| hash.compacted),
            "hash": row.hash.map(|hash| hash.hash),
            "problem": row.problem,
        })
    };
    json!({"members": rows.iter().map(row).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::super::Hash;
    use super::*;

    fn members() -> [Member; 2] {
        let started = Member {
            id: 1,
            name: "n1".to_owned(),
            peer_ur_ls: vec!["http://a:1".to_owned()],
            client_ur_ls: vec!["http://a:2".to_owned()],
            is_learner: false,
        };
        let expected = Member {
            id: 7,
            peer_ur_ls: vec!["http://b:1".to_owned()],
            is_learner: true,
            ..Member::default()
        };
        [started, expected]
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_look_the_same_in_every_form() {
        let text = written(|out| raw(out, &members()));
        assert_eq!(
            text,
            "1\tn1\tvoter\ta:1\ta:2\n7\t\tlearner, not started\tb:1\t-\n"
        );
        let value = json(&members());
        assert_eq!(value["members"][1]["started"], false);
        assert_eq!(value["members"][0]["client_address"], "a:2");
    }

    #[test]
    fn a_hash_that_is_missing_says_why() {
        let row = |hash: Option<u32>| HashRow {
            node: 3,
            name: "n3".to_owned(),
            revision: 9,
            hash: hash.map(|hash| Hash { hash, compacted: 4 }),
            problem: "no answer".to_owned(),
        };
        let rows = [row(Some(0xab)), row(None)];
        let text = written(|out| raw_hashes(out, &rows));
        assert_eq!(text, "3\t9\t4\t000000ab\n3\t9\t0\tno answer\n");
        assert_eq!(json_hashes(&rows)["members"][1]["hash"], Value::Null);
    }

    #[test]
    fn alarms_have_etcds_words() {
        let raised = AlarmMember {
            member_id: 5,
            alarm: AlarmType::Nospace.into(),
        };
        assert_eq!(written(|out| raw_alarms(out, &[raised])), "NOSPACE\t5\n");
        assert_eq!(json_alarms(&[raised])["alarms"][0]["alarm"], "NOSPACE");
    }
}
