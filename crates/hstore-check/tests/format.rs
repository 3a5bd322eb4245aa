//! The format of history files: what is written is read back, and nothing else is taken.
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    missing_docs,
    reason = "tests"
)]

use hstore_check::history::{BadLine, History, LINE_BYTES_MAX, Outcome, ReadError};

const HEADER: &str = r#"{"header":{"version":4}}"#;

fn read(lines: &[&str]) -> Result<History, ReadError> {
    History::read(lines.join("\n").as_bytes())
}

fn refused(lines: &[&str]) -> (u64, String) {
    match read(lines) {
        Err(ReadError::Line { line, cause }) => (line, cause.to_string()),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn example() -> String {
    let page = include_str!("../../../docs/history-format.md");
    let blocks: Vec<_> = page.split("```").collect();
    blocks[1].trim_start().to_owned()
}

#[test]
fn the_example_of_the_page_is_read_and_written_back_as_it_is() {
    let text = example();
    let history = History::read(text.as_bytes()).unwrap();
    assert_eq!(history.operations.len(), 6);
    assert_eq!(history.watches.len(), 1);
    assert_eq!(history.locks.len(), 1);
    assert_eq!(history.log.len(), 4);
    let mut written = Vec::new();
    history.write(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text);
}

#[test]
fn the_example_of_the_page_is_a_good_history() {
    let history = History::read(example().as_bytes()).unwrap();
    let testimony = hstore_check::witness::judge(&history);
    assert!(
        testimony.violations.is_empty(),
        "{:?}",
        testimony.violations
    );
    assert_eq!((testimony.unknown, testimony.resolved), (1, 1));
    let findings = hstore_check::watch::judge(&history);
    assert!(findings.violations.is_empty(), "{findings:?}");
    assert_eq!(
        (findings.streams, findings.events, findings.marks),
        (2, 2, 1)
    );
    let findings = hstore_check::lock::judge_history(&history);
    assert!(findings.violations.is_empty(), "{findings:?}");
    assert_eq!(
        (findings.grants, findings.writes, findings.unchecked),
        (1, 1, 0)
    );
}

#[test]
fn a_file_of_version_1_is_read_and_has_no_watches() {
    let header = r#"{"header":{"version":1}}"#;
    let put = r#"{"operation":{"id":1,"client":1,"invoked":1,"returned":2,"call":{"put":{"key":"a","value":"1"}},"outcome":{"answered":{"revision":2,"reply":{"put":{}}}}}}"#;
    assert_eq!(read(&[header, put]).unwrap().operations.len(), 1);
    let watch = r#"{"watch":{"id":1,"client":1,"keys":{"one":"a"},"streams":[]}}"#;
    assert_eq!(read(&[HEADER, watch]).unwrap().watches.len(), 1);
    let (line, text) = refused(&[header, watch]);
    assert_eq!(
        (line, text.as_str()),
        (2, "a file of version 1 has no watches")
    );
}

#[test]
fn a_file_of_version_2_is_read_and_has_no_watch_that_was_denied() {
    let header = r#"{"header":{"version":2}}"#;
    let told = |end: &str| {
        format!(
            r#"{{"watch":{{"id":1,"client":1,"keys":{{"one":"a"}},"streams":[{{"asked":1,"told":[{{"created":{{"at":2,"revision":3}}}},{{"canceled":{{"at":4,"revision":3{end}}}}}]}}]}}}}"#
        )
    };
    let (ended, denied) = (told(""), told(r#","denied":true"#));
    assert_eq!(read(&[header, &ended]).unwrap().watches.len(), 1);
    assert_eq!(read(&[HEADER, &denied]).unwrap().watches.len(), 1);
    let (line, text) = refused(&[header, &denied]);
    assert_eq!(
        (line, text.as_str()),
        (2, "in a file of version 2 no watch is denied")
    );
}

#[test]
fn a_file_of_version_3_is_read_and_has_no_locks() {
    let header = r#"{"header":{"version":3}}"#;
    let lock = r#"{"lock":{"line":{"from":{"base64":"/w=="}},"grants":[]}}"#;
    assert_eq!(read(&[header]).unwrap(), read(&[HEADER]).unwrap());
    assert_eq!(read(&[HEADER, lock]).unwrap().locks.len(), 1);
    let (line, text) = refused(&[header, lock]);
    assert_eq!(
        (line, text.as_str()),
        (2, "a file of version 3 has no locks")
    );
}

#[test]
fn a_bad_lock_is_refused_with_its_number() {
    let lock = r#"{"lock":{"line":{"span":["l/","l0"]},"protects":"data","grants":[{"key":"l/1","token":2,"at":3}]}}"#;
    assert_eq!(read(&[HEADER, lock]).unwrap().locks.len(), 1);
    let swap = |from: &str, to: &str| lock.replace(from, to);
    for (bad, says) in [
        (swap("\"token\":2", "\"token\":1"), "out of range"),
        (swap("\"at\":3", "\"at\":0"), "out of range"),
        (swap("\"key\":\"l/1\"", "\"key\":\"\""), "empty"),
        (swap("\"data\"", "\"\""), "empty"),
        (swap("\"protects\"", "\"protect\""), "unknown field"),
        (swap(",\"at\":3", ""), "missing field"),
    ] {
        let (line, text) = refused(&[HEADER, lock, &bad]);
        assert!(
            line == 3 && text.contains(says),
            "{bad}: line {line}: {text}"
        );
    }
    assert_eq!(refused(&[lock]).0, 1);
}

#[test]
fn every_word_of_a_watch_is_written_back_as_it_is() {
    let watch = r#"{"watch":{"id":7,"client":1,"keys":{"from":{"base64":"/w=="}},"prev_kv":true,"no_put":true,"no_delete":true,"fragment":true,"streams":[{"asked":1},{"asked":2,"start":5,"ended":9,"told":[{"created":{"at":3,"revision":9}},{"events":{"at":4,"revision":9,"events":[{"put":{"record":{"key":"a","value":"1","create":2,"mod":5,"version":2,"lease":7},"previous":{"key":"a","value":"","create":2,"mod":2,"version":1}}}],"more":true}},{"events":{"at":5,"revision":9,"events":[{"delete":{"key":"a","mod":6,"previous":{"key":"a","value":"1","create":2,"mod":5,"version":2,"lease":7}}},{"delete":{"key":"b","mod":6}}]}},{"progress":{"at":6,"revision":9}},{"canceled":{"at":7,"revision":9,"compacted":8}}]},{"asked":8,"start":8,"told":[{"created":{"at":9,"revision":9}},{"canceled":{"at":10,"revision":9,"denied":true}}]}]}}"#;
    let text = format!("{HEADER}\n{watch}\n");
    let history = History::read(text.as_bytes()).unwrap();
    let mut written = Vec::new();
    history.write(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text);
}

#[test]
fn a_bad_watch_is_refused_with_its_number() {
    let watch = r#"{"watch":{"id":1,"client":1,"keys":{"one":"a"},"streams":[{"asked":5,"start":2,"told":[{"created":{"at":6,"revision":3}},{"events":{"at":7,"revision":3,"events":[{"delete":{"key":"a","mod":3}}]}}]}]}}"#;
    assert_eq!(read(&[HEADER, watch]).unwrap().watches.len(), 1);
    let swap = |from: &str, to: &str| watch.replace(from, to);
    for (bad, says) in [
        (watch.to_owned(), "watch 1 has the id of an earlier line"),
        (swap("\"at\":6", "\"at\":4"), "order of time"),
        (swap("\"at\":7", "\"at\":5"), "order of time"),
        (swap("\"start\":2", "\"start\":-2"), "out of range"),
        (
            swap("\"start\":2", "\"start\":2,\"ended\":4"),
            "order of time",
        ),
        (swap("\"mod\":3", "\"mod\":-3"), "out of range"),
        (swap("\"key\":\"a\"", "\"key\":\"\""), "empty"),
        (
            swap("\"client\":1,", "\"client\":1,\"node\":1,"),
            "unknown field",
        ),
        (swap("\"delete\":", "\"drop\":"), "unknown variant"),
        (swap(",\"mod\":3", ""), "missing field"),
    ] {
        let (line, text) = refused(&[HEADER, watch, &bad]);
        assert!(
            line == 3 && text.contains(says),
            "{bad}: line {line}: {text}"
        );
    }
    assert_eq!(refused(&[watch]).0, 1);
}

#[test]
fn every_call_and_every_reply_is_written_back_as_it_is() {
    let operations = [
        r#"{"put":{"key":{"base64":"/w=="},"value":"","lease":7,"prev_kv":true,"ignore_value":true,"ignore_lease":true}}"#,
        r#"{"put":{"previous":{"key":"a","value":{"base64":"gA=="},"create":2,"mod":3,"version":2,"lease":7}}}"#,
        r#"{"delete":{"keys":{"from":"a"},"prev_kv":true}}"#,
        r#"{"delete":{"deleted":1,"previous":[{"key":"a","value":"1","create":2,"mod":3,"version":2}]}}"#,
        r#"{"range":{"keys":{"span":["a","b"]},"revision":3,"limit":2,"keys_only":true,"uncounted":true,"serializable":true,"sort":{"by":"mod","descending":true},"filter":{"mod_min":1,"mod_max":2,"create_min":3,"create_max":4}}}"#,
        r#"{"range":{"count":5,"more":true}}"#,
        r#"{"range":{"keys":{"one":"a"},"count_only":true}}"#,
        r#"{"range":{"count":1}}"#,
        r#"{"txn":{"compare":[{"keys":{"one":"a"},"is":"equal","to":{"value":"1"}},{"keys":{"one":"a"},"is":"not_equal","to":{"lease":1}}],"then":[{"put":{"key":"a","value":"2"}},{"txn":{"else":[{"range":{"keys":{"one":"a"}}}]}}],"else":[{"delete":{"keys":{"one":"a"}}}]}}"#,
        r#"{"txn":{"succeeded":true,"replies":[{"put":{}},{"txn":{"succeeded":false,"replies":[{"range":{"count":0}}]}}]}}"#,
        r#"{"compact":{"revision":3}}"#,
        r#"{"compact":{}}"#,
    ];
    let mut text = format!("{HEADER}\n");
    for (id, pair) in operations.chunks(2).enumerate() {
        text += &format!(
            "{{\"operation\":{{\"id\":{id},\"client\":1,\"invoked\":1,\"returned\":2,\"call\":{},\
             \"outcome\":{{\"answered\":{{\"revision\":9,\"reply\":{}}}}}}}}}\n",
            pair[0], pair[1]
        );
    }
    let history = History::read(text.as_bytes()).unwrap();
    let mut written = Vec::new();
    history.write(&mut written).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), text);
}

#[test]
fn a_bad_line_is_refused_with_its_number() {
    let put = r#"{"operation":{"id":1,"client":1,"invoked":1,"returned":2,"call":{"put":{"key":"a","value":"1"}},"outcome":{"answered":{"revision":2,"reply":{"put":{}}}}}}"#;
    let swap = |from: &str, to: &str| put.replace(from, to);
    for (bad, says) in [
        (String::new(), "EOF"),
        ("{".to_owned(), "EOF"),
        ("[1]".to_owned(), "not a line"),
        (put.to_owned(), "id of an earlier line"),
        (HEADER.to_owned(), "the header"),
        (swap("\"client\":1,", ""), "client"),
        (swap("\"client\":1", "\"client\":-1"), "invalid value"),
        (
            swap("\"client\":1", "\"client\":1,\"client\":2"),
            "duplicate field",
        ),
        (
            swap("\"client\":1", "\"client\":1,\"node\":2"),
            "unknown field",
        ),
        (swap("\"returned\":2,", ""), "when it returned"),
        (
            swap("\"returned\":2", "\"returned\":0"),
            "before it was invoked",
        ),
        (swap("\"key\":\"a\"", "\"key\":\"\""), "empty"),
        (swap("\"revision\":2", "\"revision\":0"), "out of range"),
        (
            swap("\"revision\":2", "\"revision\":9223372036854775807"),
            "out of range",
        ),
        (
            swap(
                "{\"answered\":{\"revision\":2,\"reply\":{\"put\":{}}}}",
                "{\"refused\":\"gone\"}",
            ),
            "no error code",
        ),
        (
            swap(
                "{\"answered\":{\"revision\":2,\"reply\":{\"put\":{}}}}",
                "{\"refused\":\"outcome_unknown\"}",
            ),
            "is unknown, not refused",
        ),
        (
            r#"{"log":{"revision":1,"records":[]}}"#.to_owned(),
            "out of range",
        ),
        (
            r#"{"log":{"revision":2,"records":[{"key":""}]}}"#.to_owned(),
            "empty",
        ),
    ] {
        let (line, text) = refused(&[HEADER, put, &bad, put]);
        assert!(
            line == 3 && text.contains(says),
            "{bad}: line {line}: {text}"
        );
    }
    let log = r#"{"log":{"revision":2,"records":[]}}"#;
    assert_eq!(refused(&[HEADER, log, log]).0, 3);
    assert_eq!(refused(&[put]).0, 1);
    assert_eq!(refused(&[r#"{"header":{"version":5}}"#]).0, 1);
    assert_eq!(refused(&[r#"{"header":{"version":0}}"#]).0, 1);
    assert_eq!(refused(&[]).0, 1);
}

#[test]
fn deep_nesting_is_refused_and_never_overflows_the_stack() {
    let deep = format!(
        "{HEADER}\n{}{}",
        r#"{"operation":{"id":1,"client":1,"invoked":1,"call":"#,
        r#"{"txn":{"then":["#.repeat(100_000)
    );
    assert!(History::read(deep.as_bytes()).is_err());
}

#[test]
fn a_line_without_an_end_is_refused_without_being_kept() {
    struct Endless(u64);
    impl std::io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buffer.len() as u64;
            assert!(self.0 < LINE_BYTES_MAX * 2, "reads on and on");
            buffer.fill(b' ');
            Ok(buffer.len())
        }
    }
    let endless = std::io::BufReader::with_capacity(1 << 20, Endless(0));
    let error = History::read(endless).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Line {
                line: 1,
                cause: BadLine::TooLong
            }
        ),
        "{error}"
    );
}

#[test]
fn a_refused_read_may_have_any_code() {
    let line = r#"{"operation":{"id":1,"client":1,"invoked":1,"returned":2,"call":{"range":{"keys":{"one":"a"}}},"outcome":{"refused":"internal"}}}"#;
    let history = read(&[HEADER, line]).unwrap();
    assert!(matches!(
        history.operations[0].outcome,
        Outcome::Refused { .. }
    ));
}
