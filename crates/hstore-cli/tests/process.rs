//! The program as scripts see it: what it prints where, and its exit code; against a node that
//! follows a script, or none.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

#[path = "../../hstore-client/tests/fake/mod.rs"]
mod fake;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use fake::{Fake, Step};
use hstore_core::error::ErrorCode;
use serde_json::Value;

/// Runs the program with nothing of the surroundings, `input` as its standard input.
async fn run(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hstore-cli"));
    command
        .args(arguments)
        .env_clear()
        .env("HSTORE_RUNTIME_DIR", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().unwrap();
        // A program that has heard enough closes its end; that is its right.
        let _unheard = child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .is_err();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// The error that was written as JSON.
fn error(output: &Output) -> Value {
    let value: Value = serde_json::from_slice(&output.stderr).unwrap();
    value["error"].clone()
}

fn line(key: &str) -> String {
    format!("{{\"key\":\"{key}\",\"value\":\"v\"}}\n")
}

fn lines(keys: &[&str]) -> String {
    keys.iter().map(|key| line(key)).collect()
}

#[tokio::test]
async fn what_makes_no_sense_ends_with_2_and_writes_nothing_to_the_output() {
    for arguments in [
        &["nonsense"][..],
        &["get"],
        &["get", ""],
        &["set", "k"],
        &[
            "get",
            "k",
            "--base64",
            "-h",
            "127.0.0.1:1",
            "--timeout",
            "x",
        ],
        &["get", "*", "--base64", "-h", "127.0.0.1:1"],
        &["get", "k", "-h", "not:an:address"],
        &["cas", "k", "v"],
    ] {
        let output = run(arguments, "").await;
        assert_eq!(exit(&output), 2, "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error["), "{said}");
        let mut arguments = arguments.to_vec();
        arguments.extend(["--output", "json"]);
        let output = run(&arguments, "").await;
        assert_eq!(
            (exit(&output), error(&output)["exit"].as_i64()),
            (2, Some(2))
        );
    }
}

#[tokio::test]
async fn nobody_there_ends_with_5() {
    let output = run(&["-h", "127.0.0.1:1", "get", "k"], "").await;
    assert_eq!(exit(&output), 5);
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error[unreachable]: no node answers at 127.0.0.1:1 ("),
        "{said}"
    );
}

#[tokio::test]
async fn answers_go_to_the_output_and_refusals_end_with_their_number() {
    let node = Fake::start(&[]).await;
    let host = ["-h", node.address.as_str()];
    let output = run(&[&host[..], &["set", "k", "v"]].concat(), "").await;
    assert_eq!(
        (exit(&output), text(&output.stdout).as_str()),
        (0, "OK  rev 2\n")
    );
    assert!(output.stderr.is_empty());
    let output = run(&[&host[..], &["get", "k"]].concat(), "").await;
    assert_eq!(exit(&output), 3);
    assert_eq!(
        text(&output.stderr),
        "error[key_not_found]: there is no key k\n"
    );
    for (code, number) in [
        (ErrorCode::KeyTooLarge, 2),
        (ErrorCode::Conflict, 4),
        (ErrorCode::DataCorrupt, 7),
        (ErrorCode::Unsupported, 1),
    ] {
        let node = Fake::start(&[Step::Refuse(code)]).await;
        let output = run(&["-h", &node.address, "set", "k", "v", "-o", "json"], "").await;
        assert_eq!(exit(&output), number, "{code}");
        assert_eq!(
            error(&output)["exit"].as_i64(),
            Some(number.into()),
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_deadline_that_passes_ends_with_7() {
    let node = Fake::start(&[Step::Hang]).await;
    let output = run(
        &[
            "-h",
            &node.address,
            "set",
            "k",
            "v",
            "--timeout",
            "300ms",
            "-o",
            "json",
        ],
        "",
    )
    .await;
    assert_eq!(
        (exit(&output), error(&output)["code"].as_str()),
        (7, Some("outcome_unknown"))
    );
}

#[tokio::test]
async fn a_value_may_come_from_the_input() {
    let node = Fake::start(&[]).await;
    let output = run(&["-h", &node.address, "set", "k", "-"], "from the pipe").await;
    assert_eq!(exit(&output), 0);
    assert_eq!(node.written(), [["k"]]);
}

#[tokio::test]
async fn a_script_ends_at_the_first_line_that_fails() {
    let script = "# a remark\n\nset a 1\nget a\nset 'b c' 2\n";
    let node = Fake::start(&[]).await;
    let output = run(&["-h", &node.address], script).await;
    assert_eq!(exit(&output), 3);
    assert_eq!(text(&output.stdout), "OK  rev 2\n");
    assert_eq!(
        text(&output.stderr),
        "line 4: error[key_not_found]: there is no key a\n"
    );
    let output = run(&["-h", &node.address, "--keep-going"], script).await;
    assert_eq!(
        (exit(&output), text(&output.stdout).as_str()),
        (3, "OK  rev 3\nOK  rev 4\n")
    );
    assert_eq!(node.written(), [["a"], ["a"], ["b c"]]);
    let output = run(&["-h", &node.address], "set a 1\nexit\nnonsense\n").await;
    assert_eq!(exit(&output), 0);
    let output = run(&["-h", &node.address], "set a -\n").await;
    assert_eq!(exit(&output), 2, "the script is the input");
}

#[tokio::test]
async fn an_import_stores_every_pair_in_batches() {
    let node = Fake::start(&[]).await;
    let keys: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    let input: String = keys.iter().map(|key| line(key)).collect();
    let output = run(&["-h", &node.address, "import", "-", "-o", "json"], &input).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((exit(&output), report["stored"].as_u64()), (0, Some(300)));
    assert_eq!(report["resume_line"], Value::Null);
    let mut written = node.written();
    assert!(written.iter().all(|batch| batch.len() <= 128) && written.len() == 3);
    written.sort_by_key(|batch| keys.iter().position(|key| *key == batch[0]));
    assert_eq!(written.concat(), keys);
}

#[tokio::test]
async fn a_key_that_comes_twice_is_stored_in_the_order_of_its_lines() {
    let node = Fake::start(&[]).await;
    let input = lines(&["a", "b", "a", "a", "c"]);
    let output = run(&["-h", &node.address, "import", "-"], &input).await;
    assert_eq!(exit(&output), 0);
    assert_eq!(node.written(), [&["a", "b"][..], &["a"], &["a", "c"]]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_stored_in_parts() {
    let too_large = Step::Refuse(ErrorCode::RequestTooLarge);
    let node = Fake::start(&[too_large, too_large]).await;
    let input = lines(&["a", "b", "c", "d"]);
    let output = run(&["-h", &node.address, "import", "-"], &input).await;
    assert_eq!(exit(&output), 0, "{}", text(&output.stderr));
    assert_eq!(node.written(), [&["a"][..], &["b"], &["c", "d"]]);
}

#[tokio::test]
async fn a_line_that_is_no_pair_ends_the_import_after_the_lines_before_it() {
    let input = format!("{}nonsense\n{}", lines(&["a", "b"]), line("c"));
    let node = Fake::start(&[]).await;
    let arguments = ["-h", node.address.as_str(), "import", "-", "-o", "json"];
    let output = run(&arguments, &input).await;
    assert_eq!(exit(&output), 8);
    let details = error(&output)["details"].clone();
    assert_eq!(details["stored"], 2);
    assert_eq!(details["failed"], 1);
    assert_eq!(details["resume_line"], 3);
    assert!(
        details["first_failure"]
            .as_str()
            .unwrap()
            .starts_with("line 3: ")
    );
    let output = run(&[&arguments[..], &["--skip-failed"]].concat(), &input).await;
    assert_eq!(
        (exit(&output), error(&output)["details"]["stored"].as_u64()),
        (8, Some(3))
    );
    assert_eq!(error(&output)["details"]["resume_line"], Value::Null);
    let output = run(&[&arguments[..], &["--from-line", "4"]].concat(), &input).await;
    assert_eq!(exit(&output), 0);
    assert_eq!(
        node.written(),
        [&["a", "b"][..], &["a", "b"], &["c"], &["c"]]
    );
}

#[tokio::test]
async fn a_pair_that_no_node_takes_is_named_by_its_line() {
    let too_large = Step::Refuse(ErrorCode::RequestTooLarge);
    let node = Fake::start(&[Step::Answer, too_large]).await;
    let arguments = [
        "-h",
        node.address.as_str(),
        "import",
        "-",
        "--batch",
        "1",
        "--in-flight",
        "1",
    ];
    let output = run(&arguments, &lines(&["a", "b", "c"])).await;
    assert_eq!(exit(&output), 8);
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error[partial]: 1 pair stored, 1 failed in "),
        "{said}"
    );
    assert!(
        said.contains("line 2: ") && said.trim_end().ends_with("--from-line 2"),
        "{said}"
    );
    assert_eq!(node.written(), [["a"]]);
}

#[tokio::test]
async fn an_import_of_which_nothing_was_stored_ends_as_its_first_failure() {
    let node = Fake::start(&[Step::Refuse(ErrorCode::NoQuorum); 200]).await;
    let arguments = [
        "-h",
        node.address.as_str(),
        "import",
        "-",
        "--timeout",
        "500ms",
    ];
    let output = run(&arguments, &lines(&["a"])).await;
    assert_eq!(exit(&output), 5, "{}", text(&output.stderr));
    let output = run(&["-h", &node.address, "import", "-"], "nonsense\n").await;
    assert_eq!(exit(&output), 2);
    let output = run(&["-h", &node.address, "import", "/nonexistent"], "").await;
    assert_eq!(exit(&output), 1);
    assert!(node.written().is_empty());
}

#[tokio::test]
async fn help_completion_and_manual_need_no_cluster() {
    for (arguments, word) in [
        (&["--help"][..], "Exit codes"),
        (&["help", "set"], "--file"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completion", "bash"], "hstore-cli"),
        (&["completion", "zsh"], "#compdef hstore-cli"),
        (&["man"], ".TH"),
    ] {
        let output = run(arguments, "").await;
        assert_eq!(exit(&output), 0, "{arguments:?}");
        assert!(text(&output.stdout).contains(word), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["man", "--dir", folder.path().to_str().unwrap()], "").await;
    assert_eq!(exit(&output), 0);
    assert!(folder.path().join("hstore-cli-set.1").exists());
}
