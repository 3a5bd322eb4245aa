//! The witness on small histories written by hand.
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]

use hstore_check::history::History;
use hstore_check::violation::Kind;
use hstore_check::witness::{Testimony, judge};

/// A history from lines `client invoked-returned CALL -> OUTCOME`, in the words below.
fn history(lines: &[&str]) -> History {
    let mut text = "{\"header\":{\"version\":1}}\n".to_owned();
    let mut id = 0;
    for line in lines {
        if let Some(log) = line.strip_prefix("log ") {
            text += &format!("{{\"log\":{{{log}}}}}\n");
            continue;
        }
        id += 1;
        let (times, rest) = line.split_once(' ').unwrap();
        let (call, outcome) = rest.split_once(" -> ").unwrap();
        let (invoked, returned) = times.split_once('-').unwrap();
        let returned = match returned {
            "" => String::new(),
            at => format!("\"returned\":{at},"),
        };
        text += &format!(
            "{{\"operation\":{{\"id\":{id},\"client\":{id},\"invoked\":{invoked},{returned}\
             \"call\":{},\"outcome\":{}}}}}\n",
            call_of(call),
            outcome_of(outcome)
        );
    }
    History::read(text.as_bytes()).unwrap()
}

/// `put KEY VALUE`, `put KEY VALUE LEASE`, `get KEY`, `old KEY` (serializable), `delete KEY`.
fn call_of(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        ["put", key, value] => format!(r#"{{"put":{{"key":"{key}","value":"{value}"}}}}"#),
        ["put", key, value, lease] => {
            format!(r#"{{"put":{{"key":"{key}","value":"{value}","lease":{lease}}}}}"#)
        }
        ["get", key] => format!(r#"{{"range":{{"keys":{{"one":"{key}"}}}}}}"#),
        ["old", key] => format!(r#"{{"range":{{"keys":{{"one":"{key}"}},"serializable":true}}}}"#),
        ["delete", key] => format!(r#"{{"delete":{{"keys":{{"one":"{key}"}}}}}}"#),
        _ => panic!("{text}"),
    }
}

/// `?`, `refused`, `REVISION put`, `REVISION deleted N`, `REVISION none`,
/// `REVISION KEY=VALUE@CREATE/MOD/VERSION`.
fn outcome_of(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let (revision, reply) = match words[..] {
        ["?"] => return "\"unknown\"".to_owned(),
        ["refused"] => return r#"{"refused":"overloaded"}"#.to_owned(),
        [revision, "put"] => (revision, r#"{"put":{}}"#.to_owned()),
        [revision, "deleted", n] => (revision, format!(r#"{{"delete":{{"deleted":{n}}}}}"#)),
        [revision, "none"] => (revision, r#"{"range":{"count":0}}"#.to_owned()),
        [revision, record] => {
            let (pair, meta) = record.split_once('@').unwrap();
            let (key, value) = pair.split_once('=').unwrap();
            let meta: Vec<&str> = meta.split('/').collect();
            let record = format!(
                r#"{{"key":"{key}","value":"{value}","create":{},"mod":{},"version":{}}}"#,
                meta[0], meta[1], meta[2]
            );
            let reply = format!(r#"{{"range":{{"count":1,"records":[{record}]}}}}"#);
            (revision, reply)
        }
        _ => panic!("{text}"),
    };
    format!(r#"{{"answered":{{"revision":{revision},"reply":{reply}}}}}"#)
}

fn good(lines: &[&str]) -> Testimony {
    let testimony = judge(&history(lines));
    assert!(
        testimony.violations.is_empty(),
        "{lines:?}: {:?}",
        testimony.violations
    );
    testimony
}

fn bad(kind: Kind, lines: &[&str]) {
    let testimony = judge(&history(lines));
    assert!(
        testimony.violations.has(kind),
        "{kind}: {:?}",
        testimony.violations
    );
}

#[test]
fn an_empty_history_is_good() {
    good(&[]);
}

#[test]
fn writes_and_reads_that_fit_are_good() {
    good(&[
        "1-2 get a -> 1 none",
        "3-4 put a 1 -> 2 put",
        "5-6 get a -> 2 a=1@2/2/1",
        "7-8 put a 2 -> 3 put",
        "9-10 get a -> 3 a=2@2/3/2",
        "11-12 delete a -> 4 deleted 1",
        "13-14 delete a -> 4 deleted 0",
        "15-16 get a -> 4 none",
        "17-18 put a 3 -> 5 put",
        "19-20 get a -> 5 a=3@5/5/1",
    ]);
}

#[test]
fn a_read_that_overlaps_a_write_may_see_it_or_not() {
    let write = "2-9 put a 1 -> 2 put";
    good(&[write, "3-4 get a -> 1 none"]);
    good(&[write, "3-4 get a -> 2 a=1@2/2/1"]);
    bad(Kind::RevisionWentBack, &[write, "10-11 get a -> 1 none"]);
    bad(Kind::RevisionWentBack, &[write, "1-1 get a -> 2 a=1@2/2/1"]);
}

#[test]
fn a_serializable_read_may_be_old_but_not_wrong() {
    let write = "2-3 put a 1 -> 2 put";
    good(&[write, "5-6 old a -> 1 none"]);
    bad(Kind::WrongRecords, &[write, "5-6 old a -> 2 none"]);
    bad(Kind::RevisionWentBack, &[write, "1-1 old a -> 2 a=1@2/2/1"]);
}

#[test]
fn what_the_log_has_of_an_unknown_write_happened() {
    let lines = ["1-2 put a 1 -> ?", "5-6 get a -> 2 a=1@2/2/1"];
    let log = r#"log "revision":2,"records":[{"key":"a","value":"1"}]"#;
    assert_eq!(good(&[lines[0], lines[1], log]).resolved, 1);
    assert_eq!(good(&lines).resolved, 1);
    bad(Kind::Phantom, &[lines[1]]);
    bad(Kind::AppliedBeforeInvoked, &["7-8 put a 1 -> ?", lines[1]]);
    bad(
        Kind::AppliedBeforeInvoked,
        &["7-8 put a 1 -> ?", lines[1], log],
    );
    bad(Kind::RefusedApplied, &["1-2 put a 1 -> refused", lines[1]]);
    bad(
        Kind::RefusedApplied,
        &["1-2 put a 1 -> refused", lines[1], log],
    );
}

#[test]
fn an_answered_write_that_the_log_lacks_is_lost() {
    let log = r#"log "revision":2,"records":[{"key":"a","value":"1"}]"#;
    bad(
        Kind::LogMissing,
        &["1-2 put a 1 -> 2 put", "3-4 put a 2 -> 3 put", log],
    );
    bad(Kind::LogDiffers, &["1-2 put a 2 -> 2 put", log]);
}

#[test]
fn one_of_two_unknown_writes_that_nobody_saw_makes_its_keys_hazy() {
    // Revision 2 is one of the two; neither answer below says which.
    let unknown = ["1-2 put a 1 -> ?", "1-2 put b 1 -> ?"];
    let testimony = good(&[unknown[0], unknown[1], "3-4 put c 1 -> 3 put"]);
    assert_eq!((testimony.resolved, testimony.unchecked), (0, 0));
    // The read of `a` shows that it is not the one.
    let read = "5-6 get a -> 3 none";
    good(&[unknown[0], unknown[1], "3-4 put c 1 -> 3 put", read]);
    // Two revisions need two unknown writes, three are too many.
    good(&[unknown[0], unknown[1], "3-4 put c 1 -> 4 put"]);
    bad(
        Kind::RevisionSkipped,
        &[unknown[0], unknown[1], "3-4 put c 1 -> 5 put"],
    );
}

#[test]
fn alike_unknown_writes_leave_the_earlier_one_for_the_earlier_revision() {
    good(&[
        "1-2 put a x -> ?",
        "3-4 put b 1 -> 3 put",
        "5-6 put a x -> ?",
        "7-8 get a -> 4 a=x@2/4/2",
    ]);
}

#[test]
fn a_revision_that_nobody_wrote_is_named_however_far_it_is() {
    bad(Kind::RevisionSkipped, &["1-2 put a 1 -> 3 put"]);
    bad(
        Kind::RevisionSkipped,
        &["1-2 put a 1 -> 4611686018427387903 put"],
    );
    bad(
        Kind::RevisionReused,
        &["1-2 put a 1 -> 2 put", "1-2 put b 1 -> 2 put"],
    );
}

#[test]
fn the_end_of_a_lease_takes_all_of_its_keys_and_no_other() {
    let log = |revision: i64, records: &str| {
        format!("log \"revision\":{revision},\"records\":[{records}]")
    };
    let written = |key: &str| format!(r#"{{"key":"{key}","value":"1"}}"#);
    let gone = |keys: &[&str]| {
        let records: Vec<String> = keys
            .iter()
            .map(|key| format!(r#"{{"key":"{key}"}}"#))
            .collect();
        records.join(",")
    };
    let with = |last: &str| {
        let mut lines = vec![
            "1-2 put a 1 7 -> 2 put".to_owned(),
            "3-4 put b 1 7 -> 3 put".to_owned(),
            "5-6 put c 1 -> 4 put".to_owned(),
            "9-10 get a -> 5 none".to_owned(),
            log(2, &written("a")),
            log(3, &written("b")),
            log(4, &written("c")),
        ];
        lines.push(log(5, last));
        lines
    };
    let judged = |last: &str| {
        let lines = with(last);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        judge(&history(&lines))
    };
    assert!(judged(&gone(&["a", "b"])).violations.is_empty());
    for wrong in [&["a"][..], &["a", "b", "c"], &["c"]] {
        assert!(
            judged(&gone(wrong)).violations.has(Kind::Phantom),
            "{wrong:?}"
        );
    }
}
