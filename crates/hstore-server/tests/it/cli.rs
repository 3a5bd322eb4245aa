//! The command line client: every verb, and one exit code for each way to end.

use crate::harness::{Node, SOON, World, until};

/// Runs `hstore-cli` against a node.
fn run(world: &World, node: &Node, line: &[&str]) -> crate::harness::Done {
    let address = node.address();
    let mut whole = vec!["-h", address.as_str()];
    whole.extend(line);
    world.cli(&whole)
}

#[test]
fn every_verb_has_its_exit_code() {
    let world = World::new();
    let node = world.start("n1", &[]);
    for (line, code) in [
        (&["set", "foo", "bar"][..], 0),
        (&["get", "foo"], 0),
        (&["get", "nothing"], 3),
        (&["update", "foo", "baz"], 0),
        (&["update", "nothing", "x"], 3),
        (&["cas", "foo", "--if-value", "baz", "qux"], 0),
        (&["cas", "foo", "--if-value", "baz", "x"], 4),
        (&["cas", "foo", "--if-rev", "1", "x"], 4),
        (&["history", "foo"], 0),
        (&["history", "nothing"], 3),
        (&["scan", "f"], 0),
        (&["scan", "none"], 0),
        (&["read"], 0),
        (&["read", "foo"], 0),
        (&["write", "w", "1"], 0),
        (&["nodes"], 0),
        (&["leader"], 0),
        (&["leader", "transfer", "nobody"], 3),
        (&["status"], 0),
        (&["compact"], 0),
        (&["compact"], 0),
        (&["compact", "2"], 1),
        (&["snapshot", "restore", "file", "--data-dir", "x"], 2),
        (&["role"], 2),
        (&["delete", "foo"], 0),
        (&["delete", "foo"], 3),
        (&["export"], 0),
        (&["get"], 2),
        (&["nosuchverb"], 2),
        (&["get", "foo", "--no-such-flag"], 2),
        (&["set", "only-a-key", "--file", "/nonexistent/file"], 1),
    ] {
        let done = run(&world, &node, line);
        if line.contains(&"--file") {
            assert_ne!(done.code, 0, "{line:?}: {done:?}");
        } else {
            assert_eq!(done.code, code, "{line:?}: {done:?}");
        }
        assert!(!done.talk.contains("panicked"), "{line:?}: {done:?}");
        if code != 0 {
            assert!(
                done.out.is_empty(),
                "data only on stdout: {line:?}: {done:?}"
            );
            assert!(!done.talk.is_empty(), "{line:?} is explained");
        }
    }
}

#[test]
fn nobody_there_is_unreachable() {
    let world = World::new();
    let closed = {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        held.local_addr().unwrap().to_string()
    };
    for verb in [
        &["get", "foo"][..],
        &["set", "foo", "bar"],
        &["read"],
        &["nodes"],
        &["export"],
    ] {
        let mut line = vec!["-h", closed.as_str()];
        line.extend(verb);
        let done = world.cli(&line);
        done.failed(5, "unreachable");
        assert!(done.out.is_empty(), "{done:?}");
    }
}

#[test]
fn errors_are_json_when_the_output_is() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let done = run(&world, &node, &["--output", "json", "get", "nothing"]);
    assert_eq!(done.code, 3, "{done:?}");
    let last = done.talk.trim_end().lines().last().unwrap_or_default();
    let error: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(error["error"]["code"], "key_not_found", "{error}");
    run(&world, &node, &["set", "foo", "bar"]).ok();
    let out = run(&world, &node, &["--output", "json", "get", "foo"]).ok();
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(value["value"], "bar", "{value}");
}

#[test]
fn keys_and_values_are_bytes() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let odd: Vec<u8> = (0..=255).collect();
    let file = world.file("odd", &odd).display().to_string();
    run(&world, &node, &["set", "odd", "--file", &file]).ok();
    let done = run(&world, &node, &["--output", "raw", "get", "odd"]);
    assert_eq!(done.code, 0, "{done:?}");
    let got = done.bytes.strip_suffix(b"\n").unwrap_or(&done.bytes);
    assert!(
        got == odd || done.bytes == odd,
        "raw output is the value's bytes"
    );
}

#[test]
fn export_and_import_round_trip_any_bytes() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let mut kv = node.kv();
    for n in 0..=255_u8 {
        kv.put(vec![b'k', n], vec![n; usize::from(n) * 3])
            .expect("a write");
    }
    let exported = run(&world, &node, &["export"]);
    assert_eq!(exported.code, 0, "{}", exported.talk);
    let lines = world.file("lines", &exported.bytes).display().to_string();
    let other = world.start("m1", &["--cluster", "other"]);
    run(&world, &other, &["import", &lines]).ok();
    assert_eq!(run(&world, &other, &["export"]).bytes, exported.bytes);
    assert_eq!(other.kv().count().unwrap(), 256);
}

#[test]
fn the_local_cluster_is_found_without_a_host() {
    let world = World::new();
    let _node = world.start("n1", &[]);
    world.cli(&["set", "foo", "bar"]).ok();
    assert_eq!(world.cli(&["get", "foo"]).ok().trim_end(), "bar");
}

#[test]
fn lines_from_stdin_run_as_a_script() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let script = world.file("script", b"set foo 'a b'\nget foo\nlist nodes\n");
    let mut command = world.command(crate::harness::cli_binary());
    let address = node.address();
    command
        .args(["-h", &address])
        .stdin(std::fs::File::open(script).unwrap());
    let out = world.finish(&mut command).ok();
    assert!(out.contains("a b"), "{out}");
    assert!(out.contains("n1"), "{out}");
}

#[test]
fn leases_come_and_go_from_the_command_line() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let ok = |line: &[&str]| run(&world, &node, line).ok();

    let granted = ok(&["lease", "grant", "1m", "--id", "7f", "-o", "json"]);
    let expected = "{\"keys\":[],\"lease\":\"7f\",\"remaining\":60,\"ttl\":60}\n";
    assert_eq!(granted, expected);
    ok(&["set", "a", "1", "--lease", "7f"]);
    assert_eq!(
        ok(&["lease", "renew", "7f", "--once"]),
        "OK  lease 7f  60 s\n"
    );
    let shown = ok(&["lease", "show", "7f"]);
    assert!(
        shown.starts_with("lease 7f  ") && shown.ends_with(" of 60 s  a\n"),
        "{shown}"
    );
    assert_eq!(ok(&["lease", "list"]), "7f\n");
    run(&world, &node, &["lease", "grant", "1m", "--id", "7f"]).failed(4, "lease_exists");
    assert_eq!(ok(&["lease", "revoke", "7f"]), "OK  rev 3\n");
    run(&world, &node, &["get", "a"]).failed(3, "key_not_found");
    for line in [
        &["lease", "show", "7f"][..],
        &["lease", "renew", "7f"],
        &["lease", "revoke", "7f"],
        &["set", "a", "1", "--lease", "7f"],
    ] {
        run(&world, &node, line).failed(3, "lease_not_found");
    }

    let written = ok(&["set", "short", "x", "--ttl", "2s"]);
    assert!(written.starts_with("OK  rev 4  lease "), "{written}");
    until("the key goes by itself", SOON, || {
        (run(&world, &node, &["get", "short"]).code == 3).then_some(())
    });
}
