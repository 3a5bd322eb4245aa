//! How results look, byte for byte.

use hstore_client::Past;
use hstore_client::v1::{
    ClusterDescription, LogStatus, Member, MemberStatus, NodeStatusResponse, ProcessStatus, Role,
    StoreStatus,
};
use hstore_core::id::Revision;

use super::*;

fn shown(format: Format, data: &Data) -> String {
    let mut out = Vec::new();
    super::data(
        &mut out,
        View {
            format,
            ..View::default()
        },
        data,
    )
    .unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

fn pair(key: &str, value: &[u8]) -> KeyValue {
    KeyValue {
        key: key.to_owned().into(),
        value: value.to_vec().into(),
        create_revision: Revision(2),
        mod_revision: Revision(5),
        version: 3,
        lease: 0,
    }
}

fn cluster() -> ClusterDescription {
    let member = |id: u64, role: Role, reachable| MemberStatus {
        member: Some(Member {
            node_id: id,
            name: format!("n{id}"),
            client_address: format!("127.0.0.1:{}", 2378 + id),
            ..Member::default()
        }),
        voter: role != Role::Learner,
        reachable,
        role: role.into(),
        term: 3,
        lag: id - 1,
        revision: 7,
        version: if reachable {
            "0.1.0".to_owned()
        } else {
            String::new()
        },
        uptime_ms: 61_000 * id,
        ..MemberStatus::default()
    };
    ClusterDescription {
        cluster_id: 0xc1,
        cluster_name: "dev".to_owned(),
        node_id: 1,
        leader: 1,
        term: 3,
        revision: 7,
        joint: false,
        settings_version: 0,
        members: vec![
            member(1, Role::Leader, true),
            member(2, Role::Follower, false),
            member(12, Role::Learner, true),
        ],
        ..ClusterDescription::default()
    }
}

#[test]
fn a_value_is_alone() {
    for (value, table, raw) in [
        (&b"bar"[..], "bar\n", "bar"),
        (b"a\nb", "a\nb\n", "a\nb"),
        (b"\xffx", "\\xffx\n", "\u{fffd}x"),
        (b"", "\n", ""),
    ] {
        let data = Data::Value(pair("foo", value));
        assert_eq!(shown(Format::Table, &data), table);
        assert_eq!(shown(Format::Raw, &data), raw);
    }
    assert_eq!(
        shown(Format::Json, &Data::Value(pair("foo", b"bar"))),
        "{\"create_revision\":2,\"key\":\"foo\",\"mod_revision\":5,\"value\":\"bar\",\"version\":3}\n"
    );
    assert_eq!(
        shown(Format::Json, &Data::Value(pair("foo", b"\xff"))),
        "{\"create_revision\":2,\"key\":\"foo\",\"mod_revision\":5,\"value_b64\":\"/w==\",\"version\":3}\n"
    );
}

#[test]
fn base64_is_shown_where_it_was_asked_for() {
    let data = Data::Value(pair("foo", b"bar"));
    for (format, expected) in [(Format::Table, "YmFy\n"), (Format::Raw, "YmFy")] {
        let mut out = Vec::new();
        super::data(
            &mut out,
            View {
                format,
                base64: true,
                color: false,
            },
            &data,
        )
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn a_write_says_its_revision() {
    let written = Data::Written { revision: 2 };
    assert_eq!(shown(Format::Table, &written), "OK  rev 2\n");
    assert_eq!(shown(Format::Json, &written), "{\"revision\":2}\n");
    assert_eq!(shown(Format::Raw, &written), "2\n");
    let deleted = Data::Deleted {
        count: 1,
        revision: 9,
    };
    assert_eq!(shown(Format::Table, &deleted), "OK  1 key deleted  rev 9\n");
    assert_eq!(
        shown(Format::Json, &deleted),
        "{\"deleted\":1,\"revision\":9}\n"
    );
    assert_eq!(shown(Format::Raw, &deleted), "1\n");
}

#[test]
fn a_history_has_its_deletions() {
    let history = History {
        revision: Revision(9),
        compacted: Revision(1),
        records: vec![
            Past {
                mod_revision: Revision(9),
                ..Past::default()
            },
            Past {
                mod_revision: Revision(4),
                create_revision: Revision(2),
                version: 12,
                value: Some("old\n".into()),
                lease: 0,
            },
        ],
        more: true,
    };
    let data = Data::History(history);
    assert_eq!(
        shown(Format::Table, &data),
        "REV  VERSION  VALUE\n\
         \u{20} 9           (deleted)\n\
         \u{20} 4       12  old\\n\n"
    );
    assert_eq!(
        shown(Format::Json, &data),
        "{\"compacted_revision\":1,\"more\":true,\"records\":[\
         {\"create_revision\":0,\"deleted\":true,\"mod_revision\":9,\"version\":0},\
         {\"create_revision\":2,\"deleted\":false,\"mod_revision\":4,\"value\":\"old\\n\",\"version\":12}\
         ],\"revision\":9}\n"
    );
    assert_eq!(shown(Format::Raw, &data), "9\t0\t\n4\t12\told\n\n");
}

#[test]
fn unreachable_nodes_are_rows() {
    assert_eq!(
        shown(Format::Table, &Data::Nodes(cluster())),
        "\
NAME  ID  ADDRESS         HEALTH       TYPE     TERM  LAG  REV      UPTIME  VERSION
n1     1  127.0.0.1:2379  ok           leader      3    0    7   1 min 1 s  0.1.0
n2     2  127.0.0.1:2380  unreachable  voter       -    -    -           -  -
n12   12  127.0.0.1:2390  ok           learner     3   11    7  12 min 12 s  0.1.0
"
        .replace("     UPTIME", "      UPTIME")
        .replace("   1 min 1 s", "    1 min 1 s")
        .replace("           -  -", "            -  -")
    );
    let json: serde_json::Value =
        serde_json::from_str(&shown(Format::Json, &Data::Nodes(cluster()))).unwrap();
    assert_eq!(json["health"], "no quorum; 1 of 2 voters answer");
    assert_eq!(json["nodes"][1]["reachable"], false);
    assert_eq!(json["cluster_id"], "00000000000000c1");
}

#[test]
fn a_red_row_says_in_words_what_is_wrong() {
    let mut out = Vec::new();
    let view = View {
        color: true,
        ..View::default()
    };
    super::data(&mut out, view, &Data::Nodes(cluster())).unwrap();
    let text = String::from_utf8(out).unwrap();
    let red: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("\x1b[31m"))
        .collect();
    assert_eq!(red.len(), 1);
    assert!(red[0].contains("unreachable"));
}

#[test]
fn a_status_tells_the_hit_rate_of_the_cache() {
    let node = NodeStatusResponse {
        cluster_id: 0xc1,
        cluster_name: "dev".to_owned(),
        member: Some(Member {
            node_id: 1,
            name: "n1".to_owned(),
            ..Member::default()
        }),
        voter: true,
        role: Role::Leader.into(),
        term: 3,
        leader: 1,
        problems: vec!["the disk is slow".to_owned()],
        log: Some(LogStatus {
            commit_index: 9,
            applied_index: 9,
            ..LogStatus::default()
        }),
        store: Some(StoreStatus {
            revision: 7,
            keys: 2,
            records: 6,
            cache_bytes: 1024,
            cache_capacity_bytes: 64 << 20,
            cache_hits: 3,
            cache_misses: 1,
            ..StoreStatus::default()
        }),
        process: Some(ProcessStatus {
            version: "0.1.0".to_owned(),
            ..ProcessStatus::default()
        }),
        vitals: None,
    };
    let data = Data::Status {
        node: Box::new(node),
        address: "127.0.0.1:2379".to_owned(),
        cluster: Some(cluster()),
    };
    let text = shown(Format::Table, &data);
    for line in [
        "cluster  dev (00000000000000c1)",
        "health   no quorum; 1 of 2 voters answer",
        "node     n1 (id 1, leader), asked at 127.0.0.1:2379",
        "cache    1.0 KiB of 64.0 MiB; 75.0 % of 4 reads hit",
        "problem  the disk is slow",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&shown(Format::Json, &data)).unwrap();
    assert_eq!(json["store"]["cache_hits"], 3);
    assert_eq!(json["cluster"]["cluster_name"], "dev");
}

#[test]
fn a_listing_aligns_keys_and_keeps_every_pair_on_a_line() {
    let page = |pairs: Vec<KeyValue>| Page {
        revision: Revision(5),
        count: 2,
        pairs,
    };
    let pages = [
        page(vec![pair("a", b"1"), pair("grün", b"2\n")]),
        page(vec![pair("a\tb", b"\xff")]),
    ];
    let listed = |format, keys_only| {
        let mut out = Vec::new();
        let mut listing = Listing::new(
            View {
                format,
                ..View::default()
            },
            keys_only,
        );
        for page in &pages {
            listing.page(&mut out, page).unwrap();
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(
        listed(Format::Table, false),
        "a     1\ngrün  2\\n\na\\tb  \\xff\n"
    );
    assert_eq!(listed(Format::Table, true), "a\ngrün\na\\tb\n");
    assert_eq!(
        listed(Format::Raw, false),
        "a\t1\ngrün\t2\n\na\tb\t\u{fffd}\n"
    );
    assert_eq!(
        listed(Format::Json, true),
        "{\"create_revision\":2,\"key\":\"a\",\"mod_revision\":5,\"version\":3}\n\
         {\"create_revision\":2,\"key\":\"grün\",\"mod_revision\":5,\"version\":3}\n\
         {\"create_revision\":2,\"key\":\"a\\tb\",\"mod_revision\":5,\"version\":3}\n"
    );
}

#[test]
fn a_key_that_is_very_long_moves_its_own_value_only() {
    let long = "x".repeat(50);
    let page = Page {
        revision: Revision(5),
        count: 2,
        pairs: vec![pair(&long, b"1"), pair("short", b"2")],
    };
    let mut out = Vec::new();
    Listing::new(View::default(), false)
        .page(&mut out, &page)
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, format!("{long}  1\nshort{}2\n", " ".repeat(37)));
}

#[test]
fn a_change_is_a_line_in_every_form() {
    let put = Change {
        pair: pair("k", b"v"),
        deleted: false,
        previous: None,
    };
    let replaced = Change {
        previous: Some(pair("k", b"\xff")),
        ..put.clone()
    };
    let deleted = Change {
        pair: KeyValue {
            key: "k".into(),
            mod_revision: Revision(6),
            ..KeyValue::default()
        },
        deleted: true,
        previous: None,
    };
    let shown = |format| {
        let view = View {
            format,
            ..View::default()
        };
        let mut out = Vec::new();
        for change in [&put, &replaced, &deleted] {
            super::change(&mut out, view, change).unwrap();
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(
        shown(Format::Table),
        "       5  put     k  v\n       5  put     k  v  (was \\xff)\n       6  delete  k\n"
    );
    assert_eq!(
        shown(Format::Raw),
        "put\tk\tv\nput\tk\tv\t\u{fffd}\ndelete\tk\t\n"
    );
    let lines: Vec<serde_json::Value> = shown(Format::Json)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rest = serde_json::json!({
        "type": "put", "key": "k", "value": "v", "create_revision": 2, "mod_revision": 5, "version": 3
    });
    assert_eq!(lines[0], rest);
    assert_eq!(lines[1]["previous"]["value_b64"], "/w==");
    assert_eq!(
        lines[2],
        serde_json::json!({"type": "delete", "key": "k", "mod_revision": 6})
    );
}

#[test]
fn what_is_held_says_its_key_and_its_token() {
    let held = Data::Held {
        key: "l/7f".into(),
        token: 12,
        lease: 0x7f,
    };
    let table = "OK  l/7f  token 12  lease 7f\n";
    assert_eq!(shown(Format::Table, &held), table);
    assert_eq!(shown(Format::Raw, &held), "l/7f\t12\n");
    let json = "{\"key\":\"l/7f\",\"lease\":\"7f\",\"token\":12}\n";
    assert_eq!(shown(Format::Json, &held), json);
    let leader = Data::Leader(pair("e/7f", b"host-a"));
    assert_eq!(shown(Format::Table, &leader), "       5  e/7f  host-a\n");
    assert_eq!(shown(Format::Raw, &leader), "e/7f\thost-a\n");
    assert!(shown(Format::Json, &leader).starts_with("{\"create_revision\":2,\"key\":\"e/7f\""));
}

#[test]
fn a_transaction_says_which_branch_ran_and_what_came_of_each_step() {
    let report = |succeeded, steps| {
        Data::Txn(TxnReport {
            succeeded,
            revision: 9,
            steps,
        })
    };
    let steps = vec![
        Done::Set,
        Done::Get(vec![pair("foo", b"bar")]),
        Done::Get(Vec::new()),
        Done::Deleted(2),
    ];
    let done = report(true, steps);
    let table = "OK  then  rev 9\nset\nfoo  bar\nnot found\n2 keys deleted\n";
    assert_eq!(shown(Format::Table, &done), table);
    assert_eq!(shown(Format::Raw, &done), "then\nfoo\tbar\n2\n");
    let json = shown(
        Format::Json,
        &report(false, vec![Done::Set, Done::Deleted(1)]),
    );
    assert_eq!(
        json,
        "{\"revision\":9,\"steps\":[{\"done\":\"set\"},{\"deleted\":1,\"done\":\"delete\"}],\"succeeded\":false}\n"
    );
}
