//! Backups: saved from a running cluster, by us and by etcd's own client, restored into a new one;
//! and everything that can be wrong with a file or a folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use serde_json::Value;

use crate::harness::{Node, SOON, World, can_run, not_run, until};

/// Bytes that do not compress, different for each number.
fn noise(number: u32, bytes: usize) -> Bytes {
    let mut state = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect::<Vec<u8>>().into()
}

/// Everything that can be seen of a store: every pair with its revisions, version and lease.
fn seen(world: &World, address: &str) -> Vec<Value> {
    let listed = world
        .cli(&["--host", address, "read", "--output", "json"])
        .ok();
    let pairs = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    pairs.collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The program, begun and not waited for.
fn begun(world: &World, arguments: &[&str]) -> std::process::Child {
    let program = crate::harness::cli_binary();
    let mut command: Command = world.command(program);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn save(world: &World, node: &Node, file: &Path) {
    let address = node.address();
    let path = file.to_str().unwrap();
    world
        .cli(&["--host", &address, "snapshot", "save", path])
        .ok();
}

#[test]
fn a_saved_cluster_is_restored_into_a_new_one_that_others_join() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let mut kv = nodes[0].kv();
    for n in 0..200 {
        kv.put(format!("key/{:02}", n % 50), noise(n, 300)).unwrap();
    }
    let host = nodes[1].address();
    world
        .cli(&["--host", &host, "delete", "key/07", "--yes"])
        .ok();
    world
        .cli(&["--host", &host, "lease", "grant", "1h", "--id", "abc"])
        .ok();
    world
        .cli(&["--host", &host, "set", "leased", "x", "--lease", "abc"])
        .ok();
    kv.compact(150).unwrap();
    let file = world.path("saved");
    save(&world, &nodes[1], &file);
    let path = file.to_str().unwrap();
    let status = json(
        &world
            .cli(&["snapshot", "status", path, "--output", "json"])
            .ok(),
    );
    assert_eq!(status["keys"], 50);
    assert_eq!(status["leases"], 1);
    assert_eq!(status["compacted_revision"], 150);
    let before = seen(&world, &host);
    assert_eq!(before.len(), 50);
    drop(nodes);

    let data = world.data("r1");
    let data = data.to_str().unwrap();
    let told = world.server(&[
        "restore",
        path,
        "--data-dir",
        data,
        "--name",
        "r1",
        "--output",
        "json",
    ]);
    let told = json(&told.ok());
    assert_eq!(told["revision"], status["revision"]);
    let one = world.start("r1", &[]);
    let two = world.join("r2", &one, &[]);
    one.settled(2);
    for node in [&one, &two] {
        assert_eq!(seen(&world, &node.address()), before, "{}", node.name);
    }
    let lease = [
        "--host",
        &two.address(),
        "lease",
        "show",
        "abc",
        "--output",
        "json",
    ];
    let lease = json(&world.cli(&lease).ok());
    assert_eq!(lease["ttl"], 3600);
    assert_eq!(lease["keys"][0]["key"], "leased");
    assert!(lease["remaining"].as_u64().unwrap() > 3400, "{lease}");
    // Revisions go on where they were, and history was kept from where it was compacted.
    let next = two.kv().put("next", "one").unwrap();
    assert_eq!(next, status["revision"].as_i64().unwrap() + 1);
    let address = one.address();
    let old = [
        "--host", &address, "get", "key/00", "--rev", "152", "--output", "json",
    ];
    assert_eq!(json(&world.cli(&old).ok())["mod_revision"], 152);
    world
        .cli(&["--host", &address, "get", "key/00", "--rev", "149"])
        .failed(1, "compacted");
}

#[test]
fn a_file_that_etcdctl_saved_is_restored_with_its_revisions_raised() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let node = world.start("n1", &[]);
    for n in 0..20 {
        node.kv().put(format!("k{n}"), noise(n, 5000)).unwrap();
    }
    let file = world.path("saved.db");
    let path = file.to_str().unwrap();
    let endpoints = format!("--endpoints={}", node.address());
    let mut command = world.command("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .args([&endpoints, "snapshot", "save", path]);
    world.finish(&mut command).ok();
    let before = seen(&world, &node.address());
    let data = world.data("r1");
    let data = data.to_str().unwrap();
    let raised = [
        "restore",
        path,
        "--data",
        data,
        "--name",
        "r1",
        "--bump-revision",
        "1000",
        "--mark-compacted",
    ];
    world.server(&raised).ok();
    let again = world.server(&["restore", path, "--data", data]);
    again.failed(4, "conflict").says("is not empty");
    let mut r1 = world.start("r1", &[]);
    assert_eq!(seen(&world, &r1.address()), before);
    assert_eq!(r1.kv().put("next", "one").unwrap(), 21 + 1000 + 1);
    let host = r1.address();
    let old = world.cli(&["--host", &host, "get", "k1", "--rev", "1000"]);
    old.failed(1, "compacted");
    let in_use = world.server(&["restore", path, "--data", data]);
    in_use.failed(4, "conflict");
    r1.stop();
}

#[test]
fn what_is_wrong_with_a_file_is_told_before_anything_is_written() {
    let world = World::new();
    let node = world.start("n1", &[]);
    for n in 0..50 {
        node.kv().put(format!("k{n}"), noise(n, 2000)).unwrap();
    }
    let file = world.path("saved");
    save(&world, &node, &file);
    let there = world.cli(&[
        "--host",
        &node.address(),
        "snapshot",
        "save",
        file.to_str().unwrap(),
    ]);
    there.failed(1, "file_unusable").says("--force");
    let whole = fs::read(&file).unwrap();
    let data = world.data("r1");
    let refused = |name: &str, bytes: &[u8], code: &str| {
        let file = world.file(name, bytes);
        let path = file.to_str().unwrap();
        let status = world.cli(&["snapshot", "status", path]);
        assert_eq!(status.code, 1, "{name}: {status:?}");
        status.failed(1, code);
        let restored = world.server(&["restore", path, "--data", data.to_str().unwrap()]);
        restored.failed(1, code);
        assert!(!data.exists(), "{name}");
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    refused("torn", &whole[..whole.len() / 2], "data_corrupt");
    refused("cut", &whole[..whole.len() - 1], "data_corrupt");
    refused("header", &flipped(20), "data_corrupt");
    refused("middle", &flipped(whole.len() / 2), "data_corrupt");
    refused("trailer", &flipped(whole.len() - 5), "data_corrupt");
    refused("padding", &flipped(whole.len() - 34), "data_corrupt");
    refused(
        "newer",
        &{
            let mut bytes = whole.clone();
            bytes[7] = 200;
            bytes
        },
        "format_too_new",
    );
    refused("foreign", b"SQLite format 3\0 and more", "file_unusable");
    let missing = world.server(&["restore", "nowhere", "--data", data.to_str().unwrap()]);
    missing.failed(1, "file_unusable");
}

#[test]
fn a_folder_that_was_not_finished_starts_no_node_and_is_begun_anew() {
    let world = World::new();
    let node = world.start("n1", &[]);
    node.kv().put("k", "v").unwrap();
    let file = world.path("saved");
    save(&world, &node, &file);
    let path = file.to_str().unwrap();
    let data = world.data("r1");
    fs::create_dir_all(data.join("snapshots")).unwrap();
    fs::write(data.join("snapshots/half.snap.tmp"), "half").unwrap();
    fs::write(data.join("UNFINISHED"), "hstore-server restore saved").unwrap();
    let address = data.to_str().unwrap();
    let start = world.server(&["start", "--data", address, "--cluster", "c"]);
    start.failed(1, "data_unusable").says("was not finished");
    world
        .server(&["restore", path, "--data", address, "--name", "r1"])
        .ok();
    assert!(!data.join("UNFINISHED").exists());
    let mut restored = world.start("r1", &[]);
    assert_eq!(restored.kv().get("k").unwrap().as_deref(), Some(&b"v"[..]));
    restored.stop();
}

#[test]
fn a_save_that_is_killed_leaves_the_file_that_was_there() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    for n in 0..40 {
        node.kv().put(format!("k{n}"), noise(n, 400_000)).unwrap();
    }
    let file = world.path("saved");
    save(&world, &node, &file);
    let path = file.to_str().unwrap().to_owned();
    let before = fs::read(&file).unwrap();
    let host = node.address();
    let part = world.path("saved.part");
    let again = ["--host", &host, "snapshot", "save", &path, "--force"];
    // The program is killed in the middle: as far as it came, the file is the old one.
    let mut child = begun(&world, &again);
    until("the save has begun", SOON, || {
        let some = fs::metadata(&part).is_ok_and(|file| file.len() > 100_000);
        (some || child.try_wait().unwrap().is_some()).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(&file).unwrap().len(), before.len());
    world.cli(&["snapshot", "status", &path]).ok();
    drop(fs::remove_file(&part));
    // The node is killed in the middle: the program says so, and the file is the old one or whole.
    let mut child = begun(&world, &again);
    until("the save has begun", SOON, || {
        let some = fs::metadata(&part).is_ok_and(|file| file.len() > 100_000);
        (some || child.try_wait().unwrap().is_some()).then_some(())
    });
    node.kill();
    let ended = until("the save ends", SOON, || child.try_wait().unwrap());
    world.cli(&["snapshot", "status", &path]).ok();
    if !ended.success() {
        assert!(!part.exists(), "what was not finished is gone");
    }
    // And the next one is whole.
    let back = world.start("n1", &[]);
    world
        .cli(&[
            "--host",
            &back.address(),
            "snapshot",
            "save",
            &path,
            "--force",
        ])
        .ok();
    world.cli(&["snapshot", "status", &path]).ok();
}
