//! etcd's own command line client, unchanged, against a cluster.

use crate::harness::{SOON, World, can_run, not_run, ports, until};

#[test]
fn etcdctl_puts_gets_deletes_and_runs_transactions() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let endpoints: Vec<_> = nodes.iter().map(crate::harness::Node::address).collect();
    let all = format!("--endpoints={}", endpoints.join(","));
    let one = format!("--endpoints={}", endpoints[2]);
    let run = |line: &[&str], input: Option<&str>| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").args(line);
        if let Some(input) = input {
            let path = world.file("input", input.as_bytes());
            command.stdin(std::fs::File::open(path).unwrap());
        }
        world.finish(&mut command)
    };
    assert_eq!(run(&[&all, "put", "foo", "bar"], None).ok(), "OK\n");
    assert_eq!(run(&[&one, "get", "foo"], None).ok(), "foo\nbar\n");
    assert_eq!(
        run(&[&one, "put", "foo", "baz", "--prev-kv"], None).ok(),
        "OK\nfoo\nbar\n"
    );
    assert_eq!(
        run(&[&one, "get", "foo", "--rev=2", "--print-value-only"], None).ok(),
        "bar\n"
    );
    for (key, value) in [("p/1", "a"), ("p/2", "b"), ("p/3", "c")] {
        run(&[&all, "put", key, value], None).ok();
    }
    let listed = run(&[&one, "get", "p/", "--prefix", "--keys-only"], None).ok();
    assert_eq!(
        listed.split_whitespace().collect::<Vec<_>>(),
        ["p/1", "p/2", "p/3"]
    );
    let sorted = run(
        &[
            &one,
            "get",
            "p/",
            "--prefix",
            "--order=DESCEND",
            "--sort-by=KEY",
            "--limit=1",
        ],
        None,
    );
    assert_eq!(sorted.ok(), "p/3\nc\n");
    let txn = "value(\"foo\") = \"baz\"\n\nput foo won\nget foo\n\nput foo lost\n\n";
    let answer = run(&[&one, "txn"], Some(txn)).ok();
    assert!(answer.starts_with("SUCCESS"), "{answer}");
    assert!(answer.contains("won"), "{answer}");
    let answer = run(&[&one, "txn"], Some(txn)).ok();
    assert!(answer.starts_with("FAILURE"), "{answer}");
    assert_eq!(
        run(&[&one, "get", "foo", "--print-value-only"], None).ok(),
        "lost\n"
    );
    assert_eq!(run(&[&one, "del", "p/", "--prefix"], None).ok(), "3\n");
    assert_eq!(run(&[&one, "del", "p/", "--prefix"], None).ok(), "0\n");
    let answer = run(&[&one, "compaction", "4"], None).ok();
    assert!(answer.contains("compacted revision 4"), "{answer}");
    let refused = run(&[&one, "get", "foo", "--rev=2"], None);
    assert_ne!(refused.code, 0);
    refused.says("etcdserver: mvcc: required revision has been compacted");
    leases(&world, &all, &one);
    let members = run(&[&one, "member", "list"], None).ok();
    assert_eq!(members.lines().count(), 3, "{members}");
    maintenance(&world, &all, &one);
    let statuses = run(&[&all, "endpoint", "status"], None).ok();
    assert_eq!(
        statuses
            .lines()
            .filter(|line| line.contains("true"))
            .count(),
        1,
        "{statuses}"
    );
}

/// The members, their health, and what keeps them well.
fn maintenance(world: &World, all: &str, one: &str) {
    let run = |line: &[&str]| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").args(line);
        world.finish(&mut command)
    };
    let health = run(&[all, "endpoint", "health"]);
    health.says("is healthy");
    assert_eq!(health.code, 0);
    let hashes = run(&[all, "endpoint", "hashkv"]).ok();
    let hashes: Vec<_> = hashes
        .lines()
        .filter_map(|line| line.split(", ").nth(1))
        .collect();
    assert!(
        hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]),
        "{hashes:?}"
    );
    run(&[all, "defrag"]).ok();
    // etcdctl 3.4 names these as the host of its requests, whole as they are.
    let urls: Vec<_> = all
        .trim_start_matches("--endpoints=")
        .split(',')
        .map(|address| format!("http://{address}"))
        .collect();
    let urls = format!("--endpoints={}", urls.join(","));
    for line in [
        &["endpoint", "status"][..],
        &["endpoint", "hashkv"],
        &["endpoint", "status", "--cluster"],
        &["endpoint", "hashkv", "--cluster"],
        &["defrag", "--cluster"],
    ] {
        let said = run(&[&[urls.as_str()], line].concat()).ok();
        assert_eq!(said.lines().count(), 3, "{line:?}: {said}");
    }
    run(&[one, "compaction", "--physical", "6"]).ok();

    let add = run(&[
        one,
        "member",
        "add",
        "late",
        "--peer-urls=http://127.0.0.1:1",
    ])
    .ok();
    assert!(add.contains("added to cluster"), "{add}");
    let id = add.split_whitespace().nth(1).unwrap().to_owned();
    let listed = run(&[all, "member", "list"]).ok();
    let row = listed.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(row.contains("unstarted"), "{row}");
    run(&[
        one,
        "member",
        "update",
        &id,
        "--peer-urls=http://127.0.0.1:2",
    ])
    .ok();
    let refused = run(&[one, "member", "promote", &id]);
    assert_ne!(refused.code, 0);
    refused.says("can only promote a learner member which is in sync with leader");
    let removed = run(&[one, "member", "remove", &id]).ok();
    assert!(removed.contains("removed from cluster"), "{removed}");

    assert_eq!(run(&[one, "alarm", "list"]).ok(), "");
    run(&[one, "alarm", "disarm"]).ok();
    let members = run(&[all, "member", "list"]).ok();
    let ids: Vec<_> = members
        .lines()
        .filter_map(|line| line.split(',').next())
        .collect();
    let statuses = run(&[all, "endpoint", "status"]).ok();
    let leads = statuses.lines().find(|line| line.contains("true")).unwrap();
    let leader = leads.split(", ").nth(1).unwrap();
    let other = ids.iter().find(|id| **id != leader).unwrap();
    let moved = run(&[all, "move-leader", other]).ok();
    assert!(moved.contains("Leadership transferred"), "{moved}");
}

/// Grants a lease through one node and uses it through another.
fn leases(world: &World, all: &str, one: &str) {
    let run = |line: &[&str]| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").args(line);
        world.finish(&mut command)
    };
    let granted = run(&[all, "lease", "grant", "60"]).ok();
    let id = granted.split_whitespace().nth(1).unwrap().to_owned();
    assert!(granted.contains("granted with TTL(60s)"), "{granted}");
    let lease = format!("--lease={id}");
    run(&[one, "put", "leased", "x", &lease]).ok();
    let renewed = run(&[one, "lease", "keep-alive", "--once", &id]).ok();
    assert!(renewed.contains("keepalived with TTL(60)"), "{renewed}");
    let left = run(&[all, "lease", "timetolive", "--keys", &id]).ok();
    assert!(left.contains("granted with TTL(60s)"), "{left}");
    assert!(left.contains("leased"), "{left}");
    let listed = run(&[one, "lease", "list"]).ok();
    assert!(listed.contains(&id), "{listed}");
    run(&[one, "lease", "revoke", &id]).ok();
    assert_eq!(run(&[all, "get", "leased"]).ok(), "");
    let refused = run(&[one, "put", "leased", "x", &lease]);
    assert_ne!(refused.code, 0);
    refused.says("etcdserver: requested lease not found");

    // And one that ends by itself.
    let granted = run(&[all, "lease", "grant", "2"]).ok();
    let id = granted.split_whitespace().nth(1).unwrap().to_owned();
    run(&[one, "put", "short", "x", &format!("--lease={id}")]).ok();
    until("the key goes with its lease", SOON, || {
        run(&[one, "get", "short"]).ok().is_empty().then_some(())
    });
}

#[test]
fn a_learner_that_etcdctl_adds_starts_with_join_and_etcdctl_gives_it_its_vote() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let first = world.start("n1", &[]);
    let endpoint = format!("--endpoints={}", first.address());
    let run = |line: &[&str]| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").arg(&endpoint).args(line);
        world.finish(&mut command)
    };
    run(&["put", "foo", "bar"]).ok();
    let (_, peer) = ports::of(&world.data("n2"));
    let urls = format!("--peer-urls=http://127.0.0.1:{peer}");
    let added = run(&["member", "add", "n2", "--learner", &urls]).ok();
    let id = added.split_whitespace().nth(1).unwrap().to_owned();
    assert!(added.contains("added to cluster"), "{added}");
    let line = || {
        let listed = run(&["member", "list"]).ok();
        let mut lines = listed.lines().map(str::to_owned);
        lines.find(|line| line.starts_with(&id)).unwrap()
    };
    assert!(line().contains("unstarted"), "{}", line());
    let early = run(&["member", "promote", &id]);
    early.says("can only promote a learner member which is in sync with leader");

    let second = world.join("n2", &first, &[]);
    let started = format!("{id}, started, n2, ");
    until("it is a learner that runs", SOON, || {
        let line = line();
        (line.starts_with(&started) && line.ends_with(", true")).then_some(())
    });
    // A learner serves what etcd's learners serve.
    let own = format!("--endpoints={}", second.address());
    let at_second = |line: &[&str]| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").arg(&own).args(line);
        world.finish(&mut command)
    };
    at_second(&["put", "foo", "baz"]).says("etcdserver: rpc not supported for learner");
    until("it has what was written", SOON, || {
        let read = at_second(&["get", "foo", "--consistency=s", "--print-value-only"]);
        (read.out == "bar\n").then_some(())
    });
    until("it has its vote", SOON, || {
        (run(&["member", "promote", &id]).code == 0).then_some(())
    });
    assert!(line().ends_with(", false"), "{}", line());
    first.settled(2);
    assert_eq!(at_second(&["put", "foo", "baz"]).ok(), "OK\n");
}
