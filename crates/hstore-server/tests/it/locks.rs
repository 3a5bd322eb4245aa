//! Locks, elections and transactions as people and scripts use them, beside etcd's own client.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use crate::harness::{Done, Node, SOON, World, can_run, cli_binary, not_run, until};

/// A command that goes on; its output is in a file. It ends with the value.
struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    fn start(world: &World, name: &str, program: PathBuf, line: &[&str]) -> Running {
        let out = world.path(name);
        let file = File::create(&out).unwrap();
        let child = world
            .command(program)
            .env("ETCDCTL_API", "3")
            .args(line)
            .stderr(file.try_clone().unwrap())
            .stdout(file)
            .spawn()
            .unwrap();
        Running { child, out }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    fn says(&self, words: &str) {
        until(&format!("it says {words:?}"), SOON, || {
            self.said().contains(words).then_some(())
        });
    }

    fn tell(&self, signal: &str) {
        let id = self.child.id().to_string();
        let told = std::process::Command::new("kill")
            .args([signal, &id])
            .status();
        assert!(told.unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        until("it ends", SOON, || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (out, ended) = (self.out.display(), self.child.try_wait());
            eprintln!("---- {out} ({ended:?}) said:\n{}", self.said());
        }
        // It may have ended.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn cli(world: &World, node: &Node, line: &[&str]) -> Done {
    let address = node.address();
    let mut whole = vec!["-h", address.as_str()];
    whole.extend(line);
    world.cli(&whole)
}

fn holding(world: &World, node: &Node, name: &str, line: &[&str]) -> Running {
    let address = node.address();
    let mut whole = vec!["-h", address.as_str(), "-o", "raw"];
    whole.extend(line);
    Running::start(world, name, cli_binary(), &whole)
}

#[test]
fn a_command_runs_while_the_lock_is_held_and_its_exit_code_is_that_of_the_lock() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let script = "echo \"$HSTORE_LOCK_KEY $HSTORE_LOCK_REVISION\"; exit 7";
    let done = cli(&world, &node, &["lock", "l", "--", "sh", "-c", script]);
    assert_eq!((done.code, done.talk.as_str()), (7, ""), "{done:?}");
    let (key, token) = done.out.trim().split_once(' ').unwrap();
    assert!(key.starts_with("l/") && token.parse::<i64>().unwrap() > 1);
    assert_eq!(cli(&world, &node, &["scan", "l/"]).ok(), "");
    assert_eq!(cli(&world, &node, &["lease", "list"]).ok(), "");

    let script = "kill -9 $$";
    let done = cli(&world, &node, &["lock", "l", "--", "sh", "-c", script]);
    assert_eq!(done.code, 137, "{done:?}");
    cli(&world, &node, &["lock", "l", "--", "/no/such/program"]).failed(127, "file_unusable");
    // A line of a script has no room for another program's exit codes.
    let lines = world.file("lines", b"lock l -- sh -c 'exit 7'\n");
    let mut shell = world.command(cli_binary());
    shell
        .args(["-h", &node.address()])
        .stdin(File::open(lines).unwrap());
    world.finish(&mut shell).failed(8, "exit code 7");
}

#[test]
fn a_lock_is_waited_for_lost_and_fenced() {
    let world = World::new();
    let mut nodes = world.cluster(3, &[]);
    let mut first = holding(&world, &nodes[0], "first", &["lock", "l"]);
    first.says("l/");
    let said = first.said();
    let (key, token) = said.trim().split_once('\t').unwrap();
    cli(
        &world,
        &nodes[1],
        &["--timeout", "300ms", "lock", "l", "--", "true"],
    )
    .failed(7, "timeout");
    assert_eq!(
        cli(&world, &nodes[1], &["scan", "l/"]).ok().lines().count(),
        1
    );

    let fence = format!("if created {key} = {token}");
    let write = ["txn", &fence, "then set data first"];
    cli(&world, &nodes[1], &write).ok();
    let mut second = holding(
        &world,
        &nodes[2],
        "second",
        &["lock", "l", "--", "sleep", "600"],
    );
    until("it waits", SOON, || {
        let line = cli(&world, &nodes[1], &["scan", "l/"]).ok();
        (line.lines().count() == 2).then_some(())
    });
    first.tell("-TERM");
    assert_eq!(first.ended().code(), Some(0), "{}", first.said());
    cli(&world, &nodes[1], &write).failed(4, "conflict");

    // The node that the second one talks to dies, and the lock with nobody.
    nodes[2].kill();
    cli(&world, &nodes[1], &["scan", "l/"]).ok();
    let held = until("the second holds it", SOON, || {
        let line = cli(&world, &nodes[1], &["scan", "l/", "--keys-only"]).ok();
        let keys: Vec<String> = line.lines().map(str::to_owned).collect();
        (keys.len() == 1 && keys[0] != key).then(|| keys[0].clone())
    });
    assert!(second.child.try_wait().unwrap().is_none());
    // Somebody takes it away: the command is ended.
    cli(&world, &nodes[1], &["delete", &held]).ok();
    assert_eq!(second.ended().code(), Some(4), "{}", second.said());
    second.says("lock_lost");
}

#[test]
fn an_election_is_led_followed_and_handed_over() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let mut observer = holding(
        &world,
        &node,
        "observer",
        &["elect", "e", "--observe", "-n", "2"],
    );
    let mut first = holding(&world, &node, "first", &["elect", "e", "host-a"]);
    observer.says("host-a");
    let late = ["--timeout", "300ms", "elect", "e", "host-c"];
    cli(&world, &node, &late).failed(7, "timeout");
    let second = holding(&world, &node, "second", &["elect", "e", "host-b"]);
    first.tell("-INT");
    assert_eq!(first.ended().code(), Some(0));
    second.says("e/");
    assert_eq!(observer.ended().code(), Some(0));
    observer.says("host-b");
}

#[test]
fn a_transaction_is_clauses_in_arguments_or_lines_in_all_three_forms() {
    let world = World::new();
    let node = world.start("n1", &[]);
    let address = node.address();
    let line = [
        "txn",
        "if missing foo",
        "then set foo 'b r'",
        "then get foo",
        "else get foo",
    ];
    let done = cli(&world, &node, &line).ok();
    assert_eq!(done, "OK  then  rev 2\nset\nfoo  b r\n");
    let mut raw = vec!["-o", "raw"];
    raw.extend(line);
    assert_eq!(cli(&world, &node, &raw).ok(), "else\nfoo\tb r\n");
    let mut json = vec!["-o", "json"];
    json.extend(line);
    let told: serde_json::Value =
        serde_json::from_str(&cli(&world, &node, &json).ok()).expect("JSON");
    assert_eq!(told["succeeded"], false, "{told}");
    assert_eq!(told["steps"][0]["pairs"][0]["value"], "b r", "{told}");

    let refused = ["txn", "if value foo = other", "then delete foo"];
    cli(&world, &node, &refused).failed(4, "conflict");
    cli(&world, &node, &["txn", "when missing foo"]).failed(2, "when missing foo");
    let from = |text: &str| {
        let path = world.file("clauses", text.as_bytes());
        let mut command = world.command(cli_binary());
        command
            .args(["-h", &address, "-o", "raw", "txn"])
            .stdin(File::open(path).unwrap());
        world.finish(&mut command)
    };
    let done = from("# what etcd cannot say\nif exists foo\nthen delete foo\n");
    assert_eq!(done.ok(), "then\n1\n");
    let done = from("create(\"foo\") = \"0\"\n\nput foo etcd\nget foo\n\nget foo\n\n");
    assert_eq!(done.ok(), "then\nfoo\tetcd\n");
    from("").failed(2, "clause");
    // In the shell the standard input is the lines.
    let lines = world.file("lines", b"txn 'if exists foo' 'then get foo'\ntxn\n");
    let mut shell = world.command(cli_binary());
    shell
        .args(["-h", &address, "-o", "raw"])
        .stdin(File::open(lines).unwrap());
    let done = world.finish(&mut shell);
    assert_eq!(done.out, "then\nfoo\tetcd\n");
    done.failed(2, "line 2");
}

#[test]
fn etcdctl_stands_in_the_same_lines() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    // etcdctl's observer gives up when its node misses a leader for a moment, which is no matter of
    // locks: on a machine that is busy enough nobody stands for election here.
    let patient = ["--heartbeat", "200ms", "--election", "3s"];
    let nodes = world.cluster(3, &patient);
    let endpoints = format!("--endpoints={}", nodes[1].address());
    let etcdctl = |name: &str, line: &[&str]| {
        let mut whole = vec![endpoints.as_str()];
        whole.extend(line);
        Running::start(&world, name, "etcdctl".into(), &whole)
    };
    let mut alone = etcdctl("alone", &["lock", "l", "echo", "held"]);
    assert_eq!(alone.ended().code(), Some(0), "{}", alone.said());
    alone.says("held");

    let mut first = etcdctl("first", &["lock", "l"]);
    first.says("l/");
    let mut second = holding(&world, &nodes[2], "second", &["lock", "l"]);
    until("it waits", SOON, || {
        let line = cli(&world, &nodes[0], &["scan", "l/"]).ok();
        (line.lines().count() == 2).then_some(())
    });
    assert_eq!(second.said(), "");
    let third = etcdctl("third", &["lock", "l"]);
    first.tell("-INT");
    first.ended();
    second.says("l/");
    assert_eq!(third.said(), "");
    second.tell("-INT");
    assert_eq!(second.ended().code(), Some(0));
    third.says("l/");

    let observer = etcdctl("observer", &["elect", "-l", "e"]);
    let mut ours = holding(&world, &nodes[0], "ours", &["elect", "e", "host-a"]);
    observer.says("host-a");
    let theirs = etcdctl("theirs", &["elect", "e", "host-b"]);
    until("it waits", SOON, || {
        let line = cli(&world, &nodes[0], &["scan", "e/"]).ok();
        (line.lines().count() == 2).then_some(())
    });
    assert_eq!(theirs.said(), "");
    ours.tell("-TERM");
    assert_eq!(ours.ended().code(), Some(0));
    theirs.says("host-b");
    observer.says("host-b");
}
