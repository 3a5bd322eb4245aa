//! `hstore-cli doctor` on real nodes with real faults: each is named in time, with what helps.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Node, World, can_run, cli_binary, not_run, server_binary, tmpfs, until};
use crate::quota::noise;

/// How long it may take from the fault until the doctor names it, however often it is asked.
const NAMED: Duration = Duration::from_secs(30);

/// One report, and the exit code that came with it.
struct Report {
    code: i32,
    report: Value,
}

impl Report {
    /// The findings of a code: who they are about, what they say, what helps.
    fn findings(&self, code: &str) -> Vec<(Vec<String>, String, String)> {
        let all = self.report["findings"].as_array().unwrap();
        let wanted = all.iter().filter(|found| found["code"] == code);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = wanted.map(|found| {
            let nodes = found["nodes"].as_array().unwrap().iter().map(text);
            (
                nodes.collect(),
                text(&found["message"]),
                text(&found["help"]),
            )
        });
        told.collect()
    }
}

/// Asks the doctor once.
fn ask(world: &World, hosts: &[&Node], more: &[&str]) -> Report {
    let hosts: Vec<String> = hosts.iter().map(|node| node.address()).collect();
    let hosts = hosts.join(",");
    let mut line = vec!["doctor", "--json", "-h", &hosts];
    line.extend(more);
    let done = world.cli(&line);
    let report =
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert_eq!(done.talk, "", "the report says everything");
    Report {
        code: done.code,
        report,
    }
}

/// Asks until a finding names a node; gives its message, what helps, and the report's exit code.
#[track_caller]
fn named(world: &World, hosts: &[&Node], code: &str, node: &str) -> (String, String, i32) {
    until(&format!("{code} of {node}"), NAMED, || {
        let report = ask(world, hosts, &[]);
        let mut findings = report.findings(code).into_iter();
        let about = findings.find(|(nodes, ..)| nodes.iter().any(|it| it == node));
        about.map(|(_, message, help)| (message, help, report.code))
    })
}

#[test]
fn a_cluster_that_is_well_is_said_to_be_well() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let disk = world.path("").display().to_string();
    let told = ask(&world, &[&nodes[0]], &["--disk", &disk]);
    // How fast this machine's disk is today decides about the rest.
    let all = told.report["findings"].as_array().unwrap();
    let rest = all
        .iter()
        .filter(|it| it["code"] != "sync_slow" && it["code"] != "disk_full");
    let rest: Vec<&Value> = rest.map(|it| &it["code"]).collect();
    assert_eq!(rest, ["one_machine"], "{:?}", told.report);
    if rest.len() == all.len() {
        assert_eq!(
            (told.code, &told.report["worst"]),
            (0, &Value::from("note"))
        );
    }
    let rows = told.report["nodes"].as_array().unwrap();
    let names: Vec<&Value> = rows.iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for row in rows {
        let syncs = row["disk"]["sync_us"].as_array().unwrap();
        assert!(
            !syncs.is_empty() && row["round_trip_us"].as_u64().unwrap() > 0,
            "{row}"
        );
        assert!(
            row["open_files"].as_u64().unwrap() > 0 && row["clock_ahead_us"].is_i64(),
            "{row}"
        );
    }
    assert!(
        told.report["folder"]["disk"]["free_bytes"]
            .as_u64()
            .unwrap()
            > 0
    );
    let left = nodes
        .iter()
        .filter(|node| node.data.join("examine.tmp").exists());
    assert_eq!(left.count(), 0);

    let for_people = world.cli(&["doctor", "-h", &nodes[1].address()]);
    assert!(
        for_people.out.contains("n3") && for_people.out.contains("note[one_machine]"),
        "{for_people:?}"
    );
    let usage = world.cli(&[
        "doctor",
        "--disk",
        "/nowhere/at/all",
        "-h",
        &nodes[0].address(),
    ]);
    usage.failed(1, "file_unusable");
}

#[test]
fn nodes_that_are_down_or_stopped_are_named_with_what_brings_them_back() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    nodes[2].pause(true);
    let (message, help, code) = named(&world, &[&nodes[0]], "node_silent", "n3");
    let pid = nodes[2].record().pid;
    assert!(message.contains("stopped by a signal"), "{message}");
    assert_eq!((help, code), (format!("kill -CONT {pid}"), 1));
    nodes[2].pause(false);
    nodes[0].settled(3);

    nodes[1].kill();
    let (message, help, _) = named(&world, &[&nodes[0]], "node_down", "n2");
    assert!(message.contains("has ended"), "{message}");
    assert_eq!(help, "hstore-server restart n2");
    let (message, ..) = named(&world, &[&nodes[0]], "quorum_risk", "n2");
    assert!(
        message.contains("one more failure stops writes"),
        "{message}"
    );

    nodes[2].kill();
    let (_, _, code) = named(&world, &[&nodes[0]], "no_quorum", "n3");
    assert_eq!(code, 5);
    let nobody = until("nobody answers", NAMED, || {
        let report = ask(&world, &[&nodes[1], &nodes[2]], &[]);
        (!report.findings("no_quorum").is_empty()).then_some(report)
    });
    assert_eq!((nobody.code, nobody.findings("node_down").len()), (5, 2));
}

#[test]
fn a_process_that_may_open_few_files_is_named() {
    let world = World::new();
    let mut command = world.command("sh");
    let server = server_binary().display().to_string();
    command.args(["-c", "ulimit -n 200 && exec \"$0\" \"$@\"", &server]);
    let node = Node::start_with(&world, "n1", command, &world.data("n1"), &["start"], &[]);
    let node = node.ready();
    let (message, help, code) = named(&world, &[&node], "file_limit", "n1");
    assert!(message.contains("may open 200 files"), "{message}");
    assert!(help.contains("LimitNOFILE"), "{help}");
    assert_eq!(code, 1);
}

#[test]
fn a_disk_that_syncs_slowly_is_named() {
    if !can_run(
        "strace",
        &["-f", "--seccomp-bpf", "-o", "/dev/null", "true"],
    ) {
        return not_run("slow syncs", "strace does not run here (package strace)");
    }
    let world = World::new();
    let first = world.start("n1", &[]);
    let mut command = world.command("strace");
    command
        .args([
            "-f",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync,fsync",
        ])
        .args(["-e", "inject=fdatasync,fsync:delay_enter=120000"])
        .arg(server_binary());
    let verb = ["join", &first.address()];
    let slow = Node::start_with(&world, "n2", command, &world.data("n2"), &verb, &[]);
    let slow = slow.ready();
    let (message, help, code) = named(&world, &[&first], "sync_slow", "n2");
    assert!(message.contains("n2: its disk takes"), "{message}");
    assert!(help.contains("iostat"), "{help}");
    assert_eq!(code, 1);
    drop(slow);
}

#[test]
fn a_node_that_cannot_keep_up_is_named() {
    if !can_run(
        "strace",
        &["-f", "--seccomp-bpf", "-o", "/dev/null", "true"],
    ) {
        return not_run(
            "a node that is behind",
            "strace does not run here (package strace)",
        );
    }
    let world = World::new();
    // It is slow, and must not be taken for one that is gone.
    let patient = ["--heartbeat", "500ms", "--election", "5s"];
    let nodes = world.cluster(2, &patient);
    let mut command = world.command("strace");
    command
        .args(["-f", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["-e", "trace=recvfrom"])
        // Not while it joins: of each thread so many are as fast as they are.
        .args(["-e", "inject=recvfrom:delay_enter=40000:when=300+"])
        .arg(server_binary());
    let verb = ["join", &nodes[0].address()];
    let data = world.data("n3");
    let slow = Node::start_with(&world, "n3", command, &data, &verb, &patient).ready();
    nodes[0].settled(3);
    // Large, so that what it hears at once holds few of them.
    let value = noise(3);
    let (named_it, mut kv) = (AtomicBool::new(false), nodes[0].kv());
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let began = Instant::now();
            while !named_it.load(Ordering::Relaxed) && began.elapsed() < 2 * NAMED {
                kv.put("k", value[..16384].to_vec()).unwrap();
            }
        });
        let (message, help, code) = named(&world, &[&nodes[0]], "lag", "n3");
        assert!(message.contains("entries behind"), "{message}");
        assert!(help.contains("hstore-server status n3"), "{help}");
        assert_eq!(code, 1);
        named_it.store(true, Ordering::Relaxed);
        writes.join().unwrap();
    });
    drop(slow);
}

#[test]
fn a_clock_that_is_wrong_is_named() {
    let world = World::new();
    let library = match shim(&world) {
        Ok(library) => library,
        Err(why) => return not_run("a wrong clock", &why),
    };
    let first = world.start("n1", &[]);
    let shift = world.file("shift", &(-3600_i64).to_le_bytes());
    let mut command = world.command(server_binary());
    command
        .env("LD_PRELOAD", library)
        .env("CLOCK_SHIFT_FILE", shift);
    let verb = ["join", &first.address()];
    let wrong = Node::start_with(&world, "n2", command, &world.data("n2"), &verb, &[]);
    let wrong = wrong.ready();
    let (message, _, code) = named(&world, &[&first], "clock_offset", "n2");
    assert!(
        message.contains("1 h 0 min behind") || message.contains("59 min"),
        "{message}"
    );
    assert_eq!(code, 1);
    drop(wrong);
}

/// A library that shifts a process's clock, made by this machine's compiler.
fn shim(world: &World) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/src/chaos/clock.c");
    let library = world.path("clock.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&library)
        .arg(source)
        .args(["-ldl"])
        .output();
    match built {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(_) => Err("there is no C compiler".to_owned()),
    }
}

#[test]
fn a_disk_with_hardly_any_room_is_named() {
    let world = World::new();
    let room = world.path("room");
    let _mount = match tmpfs(&room, "size=230m") {
        Ok(mount) => mount,
        Err(why) => return not_run("a disk with hardly any room", &why),
    };
    let command = world.command(server_binary());
    let node = Node::start_with(&world, "n1", command, &room.join("data"), &["start"], &[]);
    let node = node.ready();
    let (message, help, code) = named(&world, &[&node], "disk_full", "n1");
    assert!(message.contains("are free on its disk"), "{message}");
    assert!(help.contains("--quota-bytes"), "{help}");
    assert_eq!(code, 1);
}

#[test]
fn a_store_near_its_quota_is_named_and_one_beyond_it_with_what_helps() {
    let world = World::new();
    let node = world.start("n1", &["--quota-bytes", "4MiB"]);
    let mut kv = node.kv();
    // Of 64 KiB each: 59 are more than nine tenths of the quota and leave some of it.
    for n in 0..59 {
        kv.put(format!("big/{n}"), noise(n)).unwrap();
    }
    let (message, help, code) = named(&world, &[&node], "quota", "n1");
    assert!(message.contains("of its quota of 4"), "{message}");
    assert!(help.contains("compact"), "{help}");
    assert_eq!(code, 1);
    // A node looks at its size once a second.
    let mut more = 59..;
    until("a write is refused", NAMED, || {
        let n = more.next().unwrap();
        kv.put(format!("big/{n}"), noise(n)).err()
    });
    let (message, help, code) = named(&world, &[&node], "alarm", "n1");
    assert!(message.contains("refuses writes"), "{message}");
    assert!(help.contains("config set quota-bytes"), "{help}");
    assert_eq!(code, 5);
    // What is said to help does.
    let address = node.address();
    let set = ["-h", &address, "config", "set", "quota-bytes", "64MiB"];
    world.cli(&set).ok();
    until("nothing is said of room any more", NAMED, || {
        let report = ask(&world, &[&node], &[]);
        let codes = ["alarm", "quota"].map(|code| report.findings(code).len());
        (codes == [0, 0]).then_some(())
    });
    until("writes go on", NAMED, || kv.put("small", "y").ok());
}

#[test]
fn only_root_is_told_what_a_node_finds_at_its_machine() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let address = node.address();
    let run = |line: &[&str], input: &str| {
        let mut command = world.command(cli_binary());
        let input = std::fs::File::open(world.file("input", input.as_bytes())).unwrap();
        command.args(["-h", &address]).args(line).stdin(input);
        world.finish(&mut command)
    };
    run(&["user", "add", "root"], "toor\n").ok();
    run(&["user", "grant", "root", "root"], "").ok();
    run(&["user", "add", "plain"], "plain\n").ok();
    run(&["auth", "enable"], "").ok();
    run(&["doctor"], "").failed(6, "user_empty");
    let plain = run(&["--user", "plain:plain", "doctor", "--json"], "");
    assert_eq!(plain.code, 0, "{plain:?}");
    let told: Value = serde_json::from_str(&plain.out).unwrap();
    let codes: Vec<&Value> = told["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["code"])
        .collect();
    assert_eq!(codes, ["not_examined", "quorum_risk"], "{told}");
    assert!(told["nodes"][0]["disk"].is_null() && told["nodes"][0]["round_trip_us"].is_u64());
    let root = run(&["--user", "root:toor", "doctor", "--json"], "");
    let told: Value = serde_json::from_str(&root.out).unwrap();
    assert_eq!(told["nodes"][0]["examined"], true, "{told}");
}
