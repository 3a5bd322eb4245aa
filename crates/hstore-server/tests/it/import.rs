//! A running etcd comes over: every key at its revision, under load, through interruptions.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use hstore_proto::etcdserverpb::request_op::Request as Step;
use hstore_proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest,
};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::harness::{Kv, SOON, World, can_run, not_run, ports, server_binary, until};

/// An etcd of one node.
pub(crate) struct Etcd {
    child: Child,
    pub(crate) address: String,
}

impl Etcd {
    pub(crate) fn start(world: &World, name: &str) -> Etcd {
        let etcd = Etcd::begin(world, name, "http", &[]);
        until("etcd serves", SOON, || etcd.kv().get("x").ok().map(drop));
        etcd
    }

    /// Starts one whose clients speak to it so, and does not wait for it.
    pub(crate) fn begin(world: &World, name: &str, scheme: &str, more: &[&str]) -> Etcd {
        let data = world.data(name);
        let (client, peer) = ports::of(&data);
        let (client, peer) = (format!("127.0.0.1:{client}"), format!("127.0.0.1:{peer}"));
        let (client_url, peer_url) = (format!("{scheme}://{client}"), format!("http://{peer}"));
        let log = fs::File::create(world.path(&format!("{name}.log"))).unwrap();
        let mut command = world.command("etcd");
        command
            .args(["--name", name, "--data-dir"])
            .arg(&data)
            .args(["--listen-client-urls", &client_url])
            .args(["--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url])
            .args(["--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("{name}={peer_url}")])
            .args(more)
            .stdout(Stdio::null())
            .stderr(log);
        Etcd {
            child: command.spawn().unwrap(),
            address: client,
        }
    }

    fn kv(&self) -> Kv {
        Kv::connect(&self.address)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn put(key: String, value: &str) -> RequestOp {
    RequestOp {
        request: Some(Step::RequestPut(PutRequest {
            key: key.into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..PutRequest::default()
        })),
    }
}

fn delete(key: &str, end: &str) -> RequestOp {
    RequestOp {
        request: Some(Step::RequestDeleteRange(DeleteRangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
            prev_kv: false,
        })),
    }
}

/// One change of every kind that a revision can be: put, transaction of several keys, deletion of a
/// range, deletion within a transaction.
fn change(kv: &mut Kv, n: u64) {
    let key = |n: u64| format!("load/{:03}", n % 97);
    let steps = match n % 5 {
        0 => vec![
            put(key(n), "a"),
            put(format!("other/{n}"), "b"),
            put(key(n + 1), "c"),
        ],
        1 => vec![delete("other/", "other0")],
        2 => vec![delete(&key(n), ""), put(key(n + 2), "d")],
        _ => vec![put(key(n), &format!("value {n}"))],
    };
    let txn = TxnRequest {
        success: steps,
        ..TxnRequest::default()
    };
    kv.txn(txn).unwrap();
}

/// Changes without end, until it is told to stop.
fn writer(etcd: &Etcd) -> (Arc<AtomicBool>, JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, address) = (stop.clone(), etcd.address.clone());
    let thread = std::thread::spawn(move || {
        let mut kv = Kv::connect(&address);
        let mut n = 0;
        while !told.load(Ordering::Relaxed) {
            change(&mut kv, n);
            n += 1;
        }
        n
    });
    (stop, thread)
}

fn everything(kv: &mut Kv) -> RangeResponse {
    let all = RangeRequest {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        ..RangeRequest::default()
    };
    kv.range(all).unwrap()
}

/// The import as a process: what it says goes to a file.
struct Import {
    child: Child,
    talk: PathBuf,
}

impl Import {
    fn begin(world: &World, arguments: &[&str]) -> Import {
        let talk = world.path("import.talk");
        let mut command: Command = world.command(server_binary());
        command
            .arg("import-etcd")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&talk).unwrap());
        Import {
            child: command.spawn().unwrap(),
            talk,
        }
    }

    fn says(&mut self, words: &str) {
        until(words, SOON, || {
            let talk = fs::read_to_string(&self.talk).unwrap_or_default();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || talk.contains(words), "{ended:?}: {talk}");
            talk.contains(words).then_some(())
        });
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn etcdctl(world: &World, etcd: &Etcd, arguments: &[&str]) -> String {
    let mut command = world.command("etcdctl");
    let endpoints = format!("--endpoints={}", etcd.address);
    command
        .env("ETCDCTL_API", "3")
        .arg(endpoints)
        .args(arguments);
    world.finish(&mut command).ok()
}

fn lease(world: &World, etcd: &Etcd, ttl: &str) -> String {
    let granted = etcdctl(world, etcd, &["lease", "grant", ttl]);
    granted.split_whitespace().nth(1).unwrap().to_owned()
}

pub(crate) fn is_missing() -> bool {
    for (program, arguments) in [("etcd", "--version"), ("etcdctl", "version")] {
        if !can_run(program, &[arguments]) {
            not_run(
                program,
                "not installed (packages etcd-server and etcd-client)",
            );
            return true;
        }
    }
    false
}

#[test]
fn an_etcd_under_load_comes_over_through_a_kill_at_its_own_revisions() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let etcd = Etcd::start(&world, "source");
    let mut kv = etcd.kv();
    for n in 0..300 {
        change(&mut kv, n);
    }
    kv.put("large", vec![b'l'; 1_000_000]).unwrap();
    let early = lease(&world, &etcd, "3000");
    etcdctl(
        &world,
        &etcd,
        &["put", "leased", "x", &format!("--lease={early}")],
    );
    let (stop, writing) = writer(&etcd);
    let data = world.data("n1");
    let data = data.to_str().unwrap();
    let endpoint = format!("http://{}", etcd.address);
    let arguments = [endpoint.as_str(), "--data", data, "--name", "n1"];
    let mut import = Import::begin(&world, &arguments);
    import.says("following");
    // No node starts in it meanwhile, nor after the import died.
    let started = world.server(&["start", "--data", data]);
    assert_ne!(started.code, 0, "{started:?}");
    let before = etcd.kv().put("before", "the kill").unwrap();
    import.child.kill().unwrap();
    import.child.wait().unwrap();
    drop(import);
    world
        .server(&["start", "--data", data])
        .failed(1, "data_unusable")
        .says("was not finished");
    // A lease and a key that it did not see, and one that ends before it is back.
    let late = lease(&world, &etcd, "2000");
    etcdctl(
        &world,
        &etcd,
        &["put", "late", "x", &format!("--lease={late}")],
    );
    let short = lease(&world, &etcd, "600");
    etcdctl(
        &world,
        &etcd,
        &["put", "short", "x", &format!("--lease={short}")],
    );
    etcdctl(&world, &etcd, &["lease", "revoke", &short]);
    let idle = lease(&world, &etcd, "500");
    let mut import = Import::begin(&world, &arguments);
    import.says("going on with");
    until("it follows the load", SOON, || {
        let far = etcd.kv().put("far", "on").ok()?;
        (far > before + 500).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    let written = writing.join().unwrap();
    assert!(written > 300, "{written}");
    // Ctrl-C changes over.
    let pid = i32::try_from(import.child.id())
        .ok()
        .and_then(Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), Signal::INT).unwrap();
    let ended = until("it changes over", SOON, || import.child.try_wait().unwrap());
    let talk = fs::read_to_string(&import.talk).unwrap();
    assert!(ended.success(), "{talk}");

    let theirs = everything(&mut etcd.kv());
    let node = world.start("n1", &[]);
    let ours = everything(&mut node.kv());
    assert_eq!(ours.kvs, theirs.kvs);
    let revision = |answer: &RangeResponse| answer.header.unwrap().revision;
    assert_eq!(revision(&ours), revision(&theirs));
    assert_eq!(node.kv().put("next", "one").unwrap(), revision(&theirs) + 1);
    let listed = world
        .cli(&["--host", &node.address(), "lease", "list"])
        .ok();
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let mut expected = [&early, &late, &idle].map(|id| id.trim_start_matches('0'));
    expected.sort_unstable();
    assert_eq!(listed, expected);
    for (id, ttl, key) in [
        (&early, 3000, Some("leased")),
        (&late, 2000, Some("late")),
        (&idle, 500, None),
    ] {
        let show = [
            "--host",
            &node.address(),
            "lease",
            "show",
            id,
            "--output",
            "json",
        ];
        let shown: Value = serde_json::from_str(&world.cli(&show).ok()).unwrap();
        assert_eq!(shown["ttl"], ttl);
        assert_eq!(shown["keys"][0]["key"].as_str(), key);
        let left = shown["remaining"].as_i64().unwrap();
        assert!(left > ttl - 200 && left <= ttl, "{shown}");
    }
    let other = world.join("n2", &node, &[]);
    node.settled(2);
    assert_eq!(everything(&mut other.kv()).kvs.len(), theirs.kvs.len() + 1);
}

#[test]
fn an_import_ends_by_itself_when_it_is_told_to_and_says_what_is_wrong() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let etcd = Etcd::start(&world, "source");
    let mut kv = etcd.kv();
    for n in 0..50 {
        change(&mut kv, n);
    }
    let data = |name: &str| world.data(name).to_str().unwrap().to_owned();
    let once = [
        "import-etcd",
        &etcd.address,
        "--once",
        "--output",
        "json",
        "--data",
        &data("n1"),
    ];
    let told: Value = serde_json::from_str(&world.server(&once).ok()).unwrap();
    let theirs = everything(&mut etcd.kv());
    assert_eq!(told["keys"], theirs.kvs.len());
    assert_eq!(told["revision"], theirs.header.unwrap().revision);
    world
        .server(&once)
        .failed(4, "conflict")
        .says("is not empty");
    let idle = [
        "import-etcd",
        &etcd.address,
        "--until-idle=1s",
        "--data",
        &data("n2"),
    ];
    let said = world.server(&idle).ok();
    assert!(said.contains("etcd and hstore agree at revision"), "{said}");
    for endpoint in ["https://", "127.0.0.1:x", "", "a b"] {
        let refused = world.server(&["import-etcd", endpoint, "--data", &data("n3")]);
        refused.failed(2, "invalid_argument");
    }

    // Interrupted, and then etcd has compacted what came since.
    let follow = ["--data", &data("n4"), "--name", "n4"];
    let mut import = Import::begin(&world, &[&[etcd.address.as_str()], &follow[..]].concat());
    import.says("following");
    drop(import);
    for n in 0..10 {
        change(&mut kv, n + 2);
    }
    let end = kv.put("end", "x").unwrap();
    kv.compact(end).unwrap();
    let again = ["import-etcd", &etcd.address, "--once"];
    let again = [&again[..], &follow[..]].concat();
    world
        .server(&again)
        .failed(1, "compacted")
        .says("begin anew");
    // And another etcd is not the one that it followed.
    let other = Etcd::start(&world, "other");
    let wrong = ["import-etcd", &other.address, "--once"];
    let wrong = [&wrong[..], &follow[..]].concat();
    world
        .server(&wrong)
        .failed(1, "data_unusable")
        .says("another source");
}

#[test]
fn an_etcd_that_asks_for_a_user_comes_over_for_one_who_may_read_everything() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let etcd = Etcd::start(&world, "source");
    let mut kv = etcd.kv();
    for n in 0..50 {
        change(&mut kv, n);
    }
    let theirs = everything(&mut kv);
    for line in [
        &["user", "add", "root:toor"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "plain:secret"],
        &["auth", "enable"],
    ] {
        etcdctl(&world, &etcd, line);
    }
    let file = |name: &str, secret: &str| {
        let path = world.file(name, secret.as_bytes());
        path.to_str().unwrap().to_owned()
    };
    let (toor, secret) = (file("toor", "toor\n"), file("secret", "secret\n"));
    let data = world.data("n1");
    let import = |who: &[&str]| {
        let line = ["import-etcd", &etcd.address, "--once", "--name", "n1"];
        let data = ["--data", data.to_str().unwrap()];
        world.server(&[&line[..], &data, who].concat())
    };
    import(&[])
        .failed(6, "user name is empty")
        .says("--user NAME");
    import(&["--user", "root", "--password-file", &secret]).failed(6, "authentication failed");
    import(&["--user", "plain", "--password-file", &secret]).failed(6, "permission denied");
    import(&["--user", "root", "--password-file", &toor]).ok();
    let node = world.start("n1", &[]);
    assert_eq!(everything(&mut node.kv()).kvs, theirs.kvs);
}
