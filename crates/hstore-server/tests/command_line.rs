//! The program as a shell and a script see it, where no node is needed: exit codes, streams,
//! errors for people and for programs, settings from all their sources.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test of processes")]

use std::path::Path;
use std::process::{Command, Output};

struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn new() -> Shell {
        Shell {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, line: &str) -> Output {
        self.run_with(line, &[])
    }

    fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hstore-server"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("HSTORE_RUNTIME_DIR", self.path().join("runtime"))
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn each_failure_has_its_exit_code_its_code_and_an_empty_stdout() {
    let shell = Shell::new();
    std::fs::write(shell.path().join("bad.toml"), "cache_bytes = 1").unwrap();
    for (line, exit, code) in [
        ("strat", 2, "invalid_argument"),
        ("stop", 2, "invalid_argument"),
        ("start --cache-bytes lots", 2, "invalid_config"),
        ("start --config bad.toml", 2, "invalid_config"),
        ("start --config absent.toml", 2, "invalid_config"),
        ("start --listen 0.0.0.0", 2, "invalid_config"),
        ("start --listen 127.0.0.1:x", 2, "invalid_config"),
        ("start --name a/b", 2, "invalid_config"),
        ("config check --heartbeat 1", 2, "invalid_config"),
        ("list", 3, "node_not_found"),
        ("status", 3, "node_not_found"),
        ("status n1", 3, "node_not_found"),
        ("stop n1", 3, "node_not_found"),
        ("kill n1", 3, "node_not_found"),
        ("restart n1", 3, "node_not_found"),
        ("remove n1 --yes", 3, "node_not_found"),
        ("join", 3, "node_not_found"),
        ("join no host", 2, "invalid_argument"),
        ("join 127.0.0.1:1", 5, "unreachable"),
        ("join --seeds 127.0.0.1:1", 5, "unreachable"),
        ("join http://127.0.0.1:1", 2, "invalid_argument"),
        ("list --host 127.0.0.1:1", 5, "unreachable"),
        ("stop 127.0.0.1:1", 5, "unreachable"),
    ] {
        let told = shell.run(line);
        assert_eq!(told.status.code(), Some(exit), "{line}: {}", stderr(&told));
        let head = format!("error[{code}]: ");
        assert!(
            stderr(&told).starts_with(&head),
            "{line}: {}",
            stderr(&told)
        );
        assert_eq!(stdout(&told), "", "{line}");

        let told = shell.run(&format!("--output json {line}"));
        assert_eq!(told.status.code(), Some(exit), "{line}");
        let error: serde_json::Value = serde_json::from_str(&stderr(&told)).expect(line);
        assert_eq!(error["error"]["code"], code, "{line}");
        assert_eq!(error["error"]["exit"], exit, "{line}");
        assert!(error["error"]["message"].is_string(), "{line}");
    }
    let left = shell.path().join("hstore-data");
    assert!(!left.join("n1/identity").exists(), "nothing was founded");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_matter_of_permission() {
    let shell = Shell::new();
    let told = shell.run("start --data /proc/hstore --listen 127.0.0.1:0");
    let text = stderr(&told);
    assert!(text.starts_with("error[data_unusable]: "), "{text}");
    std::fs::write(shell.path().join("file"), "").unwrap();
    let told = shell.run("start --data file --listen 127.0.0.1:0");
    assert!(!told.status.success());
    assert!(
        stderr(&told).starts_with("error[data_unusable]: "),
        "{}",
        stderr(&told)
    );
}

#[test]
fn settings_come_from_flag_variable_file_and_default_and_say_so() {
    let shell = Shell::new();
    std::fs::write(
        shell.path().join("hstore.toml"),
        "cluster = \"file\"\nname = \"file\"\nseeds = [\"a:1\"]\n",
    )
    .unwrap();
    let variables = [("HSTORE_CLUSTER", "variable"), ("HSTORE_NAME", "variable")];
    let line = "config print --origin --output json --config hstore.toml --name flag";
    let told = shell.run_with(line, &variables);
    let settings: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
    for (key, value, origin) in [
        ("name", "flag", "flag"),
        ("cluster", "variable", "environment HSTORE_CLUSTER"),
        ("cache-bytes", "64MiB", "default"),
    ] {
        assert_eq!(settings[key]["value"], value);
        assert_eq!(settings[key]["origin"], origin);
    }
    assert_eq!(settings["seeds"]["origin"], "file hstore.toml");
    let line = "config print --config hstore.toml";
    let printed = stdout(&shell.run(line));
    std::fs::write(shell.path().join("again.toml"), &printed).unwrap();
    let again = stdout(&shell.run("config print --config again.toml"));
    assert_eq!(printed, again, "what is printed is a settings file");
}

#[test]
fn completion_scripts_and_manual_pages_come_from_the_grammar() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish"] {
        let told = shell.run(&format!("completion {name}"));
        assert!(told.status.success());
        assert!(stdout(&told).contains("snapshot-log-bytes"), "{name}");
    }
    assert!(stdout(&shell.run("man")).contains(".TH hstore-server"));
    assert!(shell.run("man pages").status.success());
    assert!(shell.path().join("pages/hstore-server-join.1").exists());
}
