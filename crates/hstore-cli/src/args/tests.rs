//! What can be typed, and what cannot.

use clap::error::ErrorKind;

use super::*;

fn typed(line: &str) -> Result<Cli, clap::Error> {
    let words = std::iter::once("hstore-cli").chain(line.split_whitespace());
    Cli::read(&words.map(OsString::from).collect::<Vec<_>>())
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

fn line(text: &str) -> Result<Line, clap::Error> {
    Line::read(&words(text))
}

#[test]
fn the_grammar_is_consistent() {
    Cli::grammar().debug_assert();
    Line::grammar().debug_assert();
}

#[test]
fn every_usage_says_what_is_typed_in_its_order() {
    let first = |error: clap::Error| {
        let text = error.to_string();
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        usage.expect("there is a usage").to_owned()
    };
    for (command, usage) in [
        ("get", "get [OPTIONS] <KEY>"),
        ("set", "set [OPTIONS] <KEY> <VALUE|-|--file FILE>"),
        ("update", "update [OPTIONS] <KEY> <VALUE|-|--file FILE>"),
        (
            "cas",
            "cas [OPTIONS] <KEY> <--if-rev REVISION|--if-value VALUE> <NEW|-|--file FILE>",
        ),
        ("elect", "elect [OPTIONS] <NAME> <VALUE|--observe>"),
        (
            "role grant",
            "role grant [OPTIONS] <NAME> <ACCESS> <KEY|--all>",
        ),
        ("role revoke", "role revoke [OPTIONS] <NAME> <KEY|--all>"),
    ] {
        let help = format!("{command} --help");
        let here = first(typed(&help).expect_err("help is no command"));
        assert_eq!(here, format!("hstore-cli {usage}"));
        let there = first(line(&help).expect_err("help is no command"));
        assert_eq!(there, usage);
    }
}

#[test]
fn a_command_that_is_not_complete_says_what_may_follow() {
    for (text, expected) in [
        ("alarm", "`alarm` is followed by list, disarm"),
        ("--json snapshot", "`snapshot` is followed by save, status"),
    ] {
        assert_eq!(followed_by(&Line::grammar(), &words(text)), expected);
        let error = line(text).expect_err("it is not complete");
        assert_eq!(
            error.kind(),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        );
    }
}

#[test]
fn what_the_manual_says_can_be_typed() {
    for text in [
        "",
        "get foo",
        "get foo --rev 7 --serializable",
        "set foo bar",
        "put foo bar",
        "write foo bar",
        "set foo -",
        "set foo -5",
        "set foo --file x",
        "set foo -- --bar",
        "update foo bar",
        "delete foo",
        "del foo --prefix --yes",
        "read",
        "read foo",
        "read --limit 3 --keys-only",
        "scan a --limit 2 --rev 3",
        "cas k --if-rev 3 new",
        "cas k --if-value old new",
        "cas k --if-rev 0 --file x",
        "cas k new --if-value -1",
        "history k",
        "history k --limit 3 --before 9",
        "set foo bar --ttl 30s",
        "set foo bar --lease 7f",
        "lease grant 5m",
        "lease grant 2 --id ffffffffffffffff",
        "lease renew 7f",
        "lease keep-alive 0x7f --once",
        "lease revoke 7f",
        "lease show 7f",
        "lease list",
        "config list",
        "config get log-level",
        "config set log-level debug",
        "config set name alpha --node n1 --if-version 3",
        "config unset quota-bytes --node 2",
        "member demote n3",
        "leader",
        "leader transfer n2",
        "snapshot restore f --data-dir x",
        "watch k",
        "watch k --prefix --rev 3 --prev --filter put -n 5",
        "watch k --filter delete --count 1",
        "lock l",
        "lock l --ttl 30s --timeout 5s",
        "lock l -- sh -c true",
        "lock l --ttl 5s -- cmd --ttl x",
        "elect e v",
        "elect e --observe",
        "elect e --observe -n 3",
        "txn",
        "txn a b c",
        "nodes",
        "status",
        "import -",
        "import x --from-line 9",
        "export",
        "export pre --file x",
        "bench --ops 10",
        "doctor",
        "top",
        "top --once",
        "top --json",
        "doctor --json --disk /tmp",
        "bench --clients 2 --value-size 9 --keys 3 --reads 100 --duration 500ms",
        "completion bash",
        "man",
        "man --dir x",
        "-h a:1,b:2 -h c get foo",
        "--output json nodes",
        "get foo -o raw --timeout 250ms --base64 --color never",
        "--keep-going",
    ] {
        assert!(typed(text).is_ok(), "{text}: {:?}", typed(text).err());
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for text in [
        "get",
        "get a b",
        "set foo",
        "set foo bar --file x",
        "set",
        "gte foo",
        "cas k new",
        "cas k --if-rev 1 --if-value v new",
        "cas k --if-rev -1 new",
        "cas k --if-rev x new",
        "cas k --if-rev 1",
        "get foo --rev 0",
        "scan",
        "history",
        "watch",
        "watch k --rev 0",
        "watch k --filter none",
        "watch k -n 0",
        "lock",
        "lock l cmd",
        "lock l --ttl 0s",
        "elect e",
        "elect e v --observe",
        "elect e v -n 3",
        "elect e --observe -n 0",
        "import",
        "bench --clients 0",
        "bench --reads 101",
        "bench --ops 1 --duration 1s",
        "get foo --timeout 0s",
        "get foo --timeout 5y",
        "get foo --timeout",
        "get foo --output xml",
        "list nodes",
        "exit",
        "--nonsense",
        "delete",
        "import - --batch 129",
        "update foo bar --ttl 3s",
        "set foo bar --ttl 0s",
        "set foo bar --ttl 500ms",
        "set foo bar --ttl 3s --lease 7f",
        "set foo bar --lease 0",
        "lease",
        "lease grant",
        "lease grant 9000000001s",
        "lease revoke xyz",
        "lease revoke 10000000000000000",
    ] {
        let error = typed(text).expect_err(text);
        assert_eq!(error.exit_code(), 2, "{text}");
    }
}

#[test]
fn help_and_version_are_no_errors_and_h_is_the_host() {
    for text in ["--help", "get --help", "help", "help set"] {
        let error = typed(text).expect_err(text);
        assert!(matches!(error.kind(), ErrorKind::DisplayHelp), "{text}");
    }
    assert_eq!(typed("-h a:1 nodes").unwrap().global.host, ["a:1"]);
    assert_eq!(
        typed("nodes -h a:1,b:2").unwrap().global.host,
        ["a:1", "b:2"]
    );
    assert_eq!(
        typed("--version").unwrap_err().kind(),
        ErrorKind::DisplayVersion
    );
}

#[test]
fn the_shell_takes_what_the_command_line_takes_and_more() {
    for text in [
        "get foo",
        "set foo bar",
        "nodes",
        "list nodes",
        "list",
        "lease list",
        "exit",
        "quit",
        "scan a -o json",
        "help",
        "help set",
    ] {
        let parsed = line(text);
        let help = parsed
            .as_ref()
            .is_err_and(|e| e.kind() == ErrorKind::DisplayHelp);
        assert!(parsed.is_ok() || help, "{text}: {:?}", line(text).err());
    }
    assert!(line("lsit nodes").unwrap_err().to_string().contains("list"));
    assert!(line("get").unwrap_err().to_string().contains("Usage: get"));
}

#[test]
fn the_id_of_a_lease_is_hexadecimal_and_may_be_negative() {
    let cases = [("7f", 0x7f), ("0x10", 16), ("ffffffffffffffff", -1)];
    for (text, id) in cases {
        assert_eq!(lease_id(text), Ok(id), "{text}");
    }
    for text in ["", "0", "0x", "-1", "+1", "g", "1 2"] {
        assert!(lease_id(text).is_err(), "{text}");
    }
}

#[test]
fn a_time_has_a_unit() {
    for (text, ms) in [("5", 5000), ("250ms", 250), ("1.5s", 1500), ("2m", 120_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in ["", "s", "-1s", "1.2.3s", "0", "25h", "1e9", "inf", "nan"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
