//! `hstore-cli top`: its screen in a terminal that `script` makes, and without one a picture, for
//! people and for programs, or a refusal.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::{SOON, World, can_run, cli_binary, not_run, until};

/// It ends when the test does, and what runs in its terminal with it.
struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn one_picture_is_written_and_a_screen_is_refused_without_a_terminal() {
    let world = World::new();
    let nodes = world.cluster(2, &[]);
    let address = nodes[0].address();
    nodes[0].kv().put("k", "v").unwrap();
    world
        .cli(&["top", "-h", &address])
        .failed(2, "invalid_argument")
        .says("--once");
    let told = until("vitals of both", SOON, || {
        let told = world.cli(&["top", "--json", "-h", &address]).ok();
        let told: Value = serde_json::from_str(&told).unwrap();
        let rows = told["nodes"].as_array().unwrap();
        let all = rows
            .iter()
            .all(|row| row["vitals"]["window_ms"].as_u64() > Some(0));
        (rows.len() == 2 && all).then_some(told)
    });
    assert_eq!(told["health"], "healthy; tolerates no failure");
    assert_eq!(told["nodes"][0]["vitals"]["keys"], 1);
    let text = world.cli(&["top", "--once", "-h", &address]).ok();
    assert!(
        text.starts_with("cluster ") && text.contains("leader n1"),
        "{text}"
    );
    assert!(text.contains("n2") && text.contains("REQ/S"), "{text}");
}

/// Only changes are written to a terminal, and blanks are jumped over: words alone are looked for.
#[test]
fn the_screen_shows_a_node_go_hears_keys_and_gives_the_terminal_back() {
    if !can_run("script", &["--version"]) {
        not_run("the screen of top", "script is not here");
        return;
    }
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let path = world.path("screen");
    let run = "stty rows 30 cols 100; exec \"$CLI\" top -h \"$ADDRESS\"";
    let mut command = world.command("script");
    command
        .args(["--quiet", "--return", "--flush", "--command", run])
        .arg("/dev/null")
        .env("CLI", cli_binary())
        .env("ADDRESS", nodes[0].address())
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(File::create(&path).unwrap());
    let mut terminal = Terminal(command.spawn().unwrap());
    let mut keyboard = terminal.0.stdin.take().unwrap();
    let shown = |word: &str| {
        until(word, SOON, || {
            let screen = fs::read(&path).unwrap();
            String::from_utf8_lossy(&screen)
                .contains(word)
                .then_some(())
        });
    };
    for word in ["REQ/S", "n1", "n2", "n3"] {
        shown(word);
    }
    nodes[2].kill();
    shown("DOWN");
    keyboard.write_all(b"?").unwrap();
    shown("syncing");
    keyboard.write_all(b"q").unwrap();
    let status = until("the end", SOON, || terminal.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
    // The other screen of the terminal is left, and the cursor is seen again.
    shown("\u{1b}[?1049l");
    shown("\u{1b}[?25h");
}
