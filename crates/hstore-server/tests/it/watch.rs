//! Watches of real clients over real nodes: etcd's own command line client, unchanged, and ours.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use tonic::Code;

use crate::harness::{Node, SOON, World, can_run, cli_binary, not_run, until};

/// A client that listens. It ends with the value.
struct Listener {
    child: Child,
    out: PathBuf,
    talk: PathBuf,
}

impl Listener {
    fn start(world: &World, name: &str, command: &mut Command) -> Listener {
        let out = world.file(&format!("{name}.out"), b"");
        let talk = world.file(&format!("{name}.talk"), b"");
        let child = command
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&talk).unwrap())
            .spawn()
            .unwrap();
        Listener { child, out, talk }
    }

    fn heard(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.out).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn talk(&self) -> String {
        fs::read_to_string(&self.talk).unwrap()
    }

    /// Waits until it wrote so many lines.
    fn wait_for(&self, lines: usize) -> Vec<String> {
        let heard = || Some(self.heard()).filter(|heard| heard.len() >= lines);
        until("the listener hears it", SOON, heard)
    }

    /// Waits for its end.
    fn end(&mut self) -> i32 {
        let ended = || self.child.try_wait().unwrap();
        until("the listener ends", SOON, ended).code().unwrap_or(-1)
    }

    fn interrupt(&self) {
        let id = i32::try_from(self.child.id()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

fn etcdctl(world: &World, nodes: &[Node]) -> Command {
    let endpoints: Vec<String> = nodes.iter().map(Node::address).collect();
    let mut command = world.command("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={}", endpoints.join(",")));
    command
}

/// Writes once, whatever happens to nodes meanwhile.
fn put(world: &World, node: &Node, key: &str, value: &str) -> i64 {
    let address = node.address();
    let line = [
        "-h",
        &address,
        "--timeout",
        "40s",
        "-o",
        "raw",
        "set",
        key,
        value,
    ];
    let written = world.cli(&line).ok();
    written.trim().parse().unwrap()
}

#[test]
fn etcdctl_hears_all_of_it_in_order_though_its_node_dies() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let mut expected: Vec<String> = Vec::new();
    let mut write = |node: &Node, n: u32| {
        put(&world, node, "p/key", &n.to_string());
        expected.extend(["PUT".to_owned(), "p/key".to_owned(), n.to_string()]);
        expected.clone()
    };
    for n in 0..10 {
        write(&nodes[0], n);
    }
    let mut command = etcdctl(&world, &nodes);
    command.args(["watch", "--prefix", "--rev=1", "p/"]);
    let listener = Listener::start(&world, "etcdctl", &mut command);
    let mut all = write(&nodes[1], 10);
    assert_eq!(listener.wait_for(all.len()), all);
    // Whichever node it listens to: two of them die and come back, one after the other.
    for turn in 0..2 {
        let mut killed = nodes.remove(0);
        let name = killed.record().name.clone();
        killed.kill();
        for n in 0..10 {
            all = write(&nodes[0], 100 * (turn + 1) + n);
        }
        assert_eq!(listener.wait_for(all.len()), all);
        nodes.push(world.start(&name, &[]));
        nodes[0].settled(3);
    }
    assert_eq!(listener.heard(), all, "{}", listener.talk());
}

#[test]
fn etcdctl_is_told_of_deletions_compaction_and_a_lost_majority() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    for value in ["one", "two"] {
        put(&world, &nodes[0], "foo", value);
    }
    let deleted = world.finish(etcdctl(&world, &nodes).args(["del", "foo"]));
    assert_eq!(deleted.ok(), "1\n");
    let mut command = etcdctl(&world, &nodes);
    command.args(["watch", "--rev=3", "--prev-kv", "foo"]);
    let listener = Listener::start(&world, "past", &mut command);
    let heard = listener.wait_for(10);
    assert_eq!(
        heard,
        [
            "PUT", "foo", "one", "foo", "two", "DELETE", "foo", "two", "foo", ""
        ]
    );
    world
        .finish(etcdctl(&world, &nodes).args(["compaction", "4"]))
        .ok();
    let refused = world.finish(etcdctl(&world, &nodes).args(["watch", "--rev=2", "foo"]));
    assert_ne!(refused.code, 0);
    refused.says("etcdserver: mvcc: required revision has been compacted");
    // Two of three die: a client that needs a leader hears that there is none.
    let last = nodes.pop().unwrap();
    let mut command = etcdctl(&world, std::slice::from_ref(&last));
    command.args(["watch", "--rev=4", "foo"]);
    let mut orphan = Listener::start(&world, "orphan", &mut command);
    orphan.wait_for(3);
    for node in &mut nodes {
        node.kill();
    }
    orphan.end();
    assert!(
        orphan.talk().contains("etcdserver: no leader"),
        "{}",
        orphan.talk()
    );
    // So does a call that needs one.
    let refused = last.kv().get_with("hasleader", "true", "foo").unwrap_err();
    assert_eq!(refused.message(), "etcdserver: no leader");
    assert_eq!(refused.code(), Code::Unavailable);
}

#[test]
fn our_client_hears_all_of_it_in_order_though_its_node_dies() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let hosts: Vec<String> = nodes.iter().map(Node::address).collect();
    let hosts = hosts.join(",");
    let first = put(&world, &nodes[0], "k/0", "0");
    let mut command = world.command(cli_binary());
    command.args([
        "-h", &hosts, "watch", "k/", "--prefix", "-o", "json", "-n", "21",
    ]);
    command.args(["--rev", &first.to_string()]);
    let mut listener = Listener::start(&world, "ours", &mut command);
    listener.wait_for(1);
    let mut revisions = vec![first];
    let mut killed = nodes.remove(0);
    for n in 1..=20 {
        if n == 10 {
            killed.kill();
        }
        revisions.push(put(&world, &nodes[0], "k/1", &n.to_string()));
    }
    assert_eq!(listener.end(), 0, "{}", listener.talk());
    let heard: Vec<i64> = listener
        .heard()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["mod_revision"].as_i64().unwrap())
        .collect();
    assert_eq!(heard, revisions);
}

#[test]
fn our_watch_shows_what_was_asked_for_and_ends_when_told() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let address = node.address();
    let cli = |line: &[&str]| world.cli(&[&["-h", address.as_str()], line].concat());
    cli(&["set", "foo", "bar"]).ok();
    cli(&["set", "foo", "baz"]).ok();
    cli(&["delete", "foo"]).ok();
    let all = ["watch", "foo", "--rev", "2", "--prev"];
    let table = cli(&[&all[..], &["-n", "3"]].concat()).ok();
    assert_eq!(
        table,
        "       2  put     foo  bar\n       3  put     foo  baz  (was bar)\n       4  delete  foo  (was baz)\n"
    );
    let deletions = cli(&[
        "watch", "foo", "--rev", "2", "--filter", "delete", "-n", "1", "-o", "raw",
    ]);
    assert_eq!(deletions.ok(), "delete\tfoo\t\n");
    let puts = cli(&[
        "watch", "f", "--prefix", "--rev", "2", "--filter", "put", "-n", "2", "-o", "raw",
    ]);
    assert_eq!(puts.ok(), "put\tfoo\tbar\nput\tfoo\tbaz\n");
    for (count, code) in [(None, 0), (Some("5"), 130)] {
        let mut command = world.command(cli_binary());
        command.args(["-h", &address, "watch", "foo", "--rev", "2"]);
        command.args(count.iter().flat_map(|count| ["-n", *count]));
        let mut listener = Listener::start(&world, "interrupted", &mut command);
        listener.wait_for(3);
        listener.interrupt();
        assert_eq!(listener.end(), code, "{}", listener.talk());
        assert_eq!(listener.heard().len(), 3);
    }
    node.kv().compact(4).unwrap();
    let refused = cli(&["watch", "foo", "--rev", "2", "-o", "json"]);
    refused.failed(1, "compacted").says("revision 4");
}
