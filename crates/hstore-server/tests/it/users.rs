//! Users, as people, etcd's own client and a cluster that grows meet them.

use tonic::Code;

use crate::harness::{
    Done, Node, SOON, World, authenticate, can_run, cli_binary, code_of, not_run, server_binary,
    until,
};

/// Runs `hstore-cli` as somebody, with a password or a line of input.
fn run_as(world: &World, node: &Node, user: &str, line: &[&str], input: &str) -> Done {
    let address = node.address();
    let mut command = world.command(cli_binary());
    command.args(["-h", address.as_str()]).args(line);
    if !user.is_empty() {
        command.env("HSTORE_USER", user);
    }
    let path = world.file("input", input.as_bytes());
    command.stdin(std::fs::File::open(path).unwrap());
    world.finish(&mut command)
}

/// Makes root, a worker who may do everything below "app/", and asks from now on.
fn guard(world: &World, node: &Node) {
    let run = |line: &[&str], input: &str| run_as(world, node, "", line, input).ok();
    run(&["user", "add", "root"], "toor\n");
    run(&["user", "grant", "root", "root"], "");
    run(&["role", "add", "app"], "");
    run(&["role", "grant", "app", "both", "app/", "--prefix"], "");
    run(&["user", "add", "worker"], "secret\n");
    run(&["user", "grant", "worker", "app"], "");
    assert_eq!(run(&["auth", "enable"], ""), "OK\n");
}

#[test]
fn people_are_asked_who_they_are_and_do_what_they_may() {
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    guard(&world, &nodes[0]);
    let run = |user: &str, line: &[&str]| run_as(&world, &nodes[1], user, line, "");
    until("the second node asks, too", SOON, || {
        (run("", &["get", "app/a"]).code == 6).then_some(())
    });
    run("", &["get", "app/a"]).failed(6, "user_empty");
    run("worker:wrong", &["get", "app/a"]).failed(6, "auth_failed");
    run("worker:secret", &["set", "app/a", "1"]).ok();
    assert_eq!(run("worker:secret", &["get", "app/a"]).ok(), "1\n");
    run("worker:secret", &["set", "other", "1"]).failed(6, "permission_denied");
    run("worker:secret", &["auth", "disable"]).failed(6, "permission_denied");
    assert_eq!(run("root:toor", &["user", "list"]).ok(), "root\nworker\n");
    assert_eq!(
        run("root:toor", &["role", "show", "app"]).ok(),
        "role   app\nboth   app/... (prefix)\n"
    );
    assert_eq!(
        run("worker:secret", &["user", "show", "worker", "-o", "json"]).ok(),
        "{\"roles\":[\"app\"],\"user\":\"worker\"}\n"
    );
    assert_eq!(
        run("", &["auth", "status", "-o", "json"]).ok(),
        "{\"auth_revision\":7,\"enabled\":true}\n"
    );
    run("root:toor", &["user", "show", "nobody"]).failed(3, "user_not_found");
    let changed = run_as(
        &world,
        &nodes[2],
        "root:toor",
        &["user", "password", "worker"],
        "new\n",
    );
    assert_eq!(changed.ok(), "OK\n");
    run("worker:secret", &["get", "app/a"]).failed(6, "auth_failed");
    assert_eq!(run("worker:new", &["get", "app/a"]).ok(), "1\n");
}

#[test]
fn who_manages_a_node_is_asked_too() {
    let world = World::new();
    let first = world.start("n1", &[]);
    guard(&world, &first);
    let manage = |user: &str, line: &[&str]| {
        let mut command = world.command(server_binary());
        command.args(line);
        if !user.is_empty() {
            command.env("HSTORE_USER", user);
        }
        world.finish(&mut command)
    };
    let address = first.address();
    manage("", &["status", &address]).failed(6, "user_empty");
    manage("worker:secret", &["status", &address]).ok();
    manage("worker:wrong", &["status", &address]).failed(6, "auth_failed");
    manage("root:toor", &["status", &address]).ok();
    // Nobody is told that there are no nodes where there are some that do not answer them.
    manage("", &["list"]).failed(6, "user_empty");
    manage("worker:secret", &["list"]).ok();
    manage("", &["join"]).failed(6, "user_empty");
    manage("", &["start"]).failed(6, "user_empty");
    // The same by a flag; the secret comes from a file or the environment, never from the line.
    let secret = world.file("secret", b"toor\n");
    let secret = secret.to_str().unwrap();
    let as_root = ["--user", "root", "--password-file", secret];
    let by_flag = |line: &[&str]| manage("", &[&as_root, line].concat());
    by_flag(&["status", &address]).ok();
    let join = [&["join", &address], &as_root[..]].concat();
    let second = Node::start(&world, "n2", &join, &[]).ready();
    by_flag(&["status", &second.address()]).ok();
    manage("", &["--user", "root", "status", &address]).failed(2, "invalid_argument");
    manage("", &["--user", "root:toor", "status", &address]).failed(2, "invalid_argument");
    // Who owns the process may end it by a signal, whoever they are in the cluster.
    manage("", &["stop", "n1"]).ok();
}

#[test]
fn etcdctl_is_asked_who_it_is_and_does_what_it_may() {
    if !can_run("etcdctl", &["version"]) {
        return not_run("etcdctl", "etcdctl is not installed (package etcd-client)");
    }
    let world = World::new();
    let nodes = world.cluster(3, &[]);
    let endpoints: Vec<_> = nodes.iter().map(Node::address).collect();
    let all = format!("--endpoints={}", endpoints.join(","));
    let run = |line: &[&str]| {
        let mut command = world.command("etcdctl");
        command.env("ETCDCTL_API", "3").arg(&all).args(line);
        world.finish(&mut command)
    };
    run(&["user", "add", "root:toor"]).ok();
    run(&["user", "grant-role", "root", "root"]).ok();
    run(&["role", "add", "app"]).ok();
    run(&[
        "role",
        "grant-permission",
        "app",
        "--prefix=true",
        "readwrite",
        "app/",
    ])
    .ok();
    run(&["user", "add", "worker:secret"]).ok();
    run(&["user", "grant-role", "worker", "app"]).ok();
    run(&["auth", "enable"]).ok();
    let worker = "--user=worker:secret";
    until("all nodes ask", SOON, || {
        (0..6)
            .all(|_| run(&["get", "app/a"]).code != 0)
            .then_some(())
    });
    let nobody = run(&["get", "app/a"]);
    nobody.says("etcdserver: user name is empty");
    assert_eq!(run(&[worker, "put", "app/a", "1"]).ok(), "OK\n");
    assert_eq!(run(&[worker, "get", "app/a"]).ok(), "app/a\n1\n");
    run(&[worker, "put", "other", "1"]).says("etcdserver: permission denied");
    run(&[worker, "user", "list"]).says("etcdserver: permission denied");
    run(&["--user=worker:wrong", "get", "app/a"])
        .says("etcdserver: authentication failed, invalid user ID or password");
    let root = "--user=root:toor";
    assert_eq!(run(&[root, "user", "list"]).ok(), "root\nworker\n");
    let shown = run(&[root, "role", "get", "app"]).ok();
    assert!(shown.contains("[app/, app0) (prefix app/)"), "{shown}");
    run(&[root, "auth", "disable"]).ok();
    assert_eq!(run(&["put", "other", "1"]).ok(), "OK\n");
}

#[test]
fn a_restored_cluster_has_the_users_and_takes_no_token_of_the_former_one() {
    let world = World::new();
    let mut node = world.start("n1", &[]);
    guard(&world, &node);
    run_as(&world, &node, "worker:secret", &["set", "app/a", "1"], "").ok();
    let before = authenticate(&node.address(), "worker", "secret").unwrap();
    let found = node.kv().get_as(&before, "app/a").unwrap();
    assert_eq!(found.as_deref(), Some(&b"1"[..]));
    let file = world.path("saved");
    let path = file.to_str().unwrap();
    run_as(&world, &node, "root:toor", &["snapshot", "save", path], "").ok();
    node.stop();

    let data = world.data("r1");
    let data = data.to_str().unwrap();
    world
        .server(&["restore", path, "--data-dir", data, "--name", "r1"])
        .ok();
    let restored = world.start("r1", &[]);
    let refused = restored.kv().get_as(&before, "app/a").unwrap_err();
    let told = (Code::Unauthenticated, "invalid_auth_token".to_owned());
    assert_eq!(code_of(&refused), told);
    let anew = authenticate(&restored.address(), "worker", "secret").unwrap();
    let found = restored.kv().get_as(&anew, "app/a").unwrap();
    assert_eq!(found.as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_node_joins_a_cluster_that_asks_and_asks_the_same() {
    let world = World::new();
    let first = world.start("n1", &[]);
    guard(&world, &first);
    let address = first.address();
    let join = |name: &str, user: &str| {
        let mut command = world.command(server_binary());
        if !user.is_empty() {
            command.env("HSTORE_USER", user);
        }
        let data = world.data(name);
        Node::start_with(&world, name, command, &data, &["join", &address], &[])
    };
    for (name, user, code) in [
        ("nobody", "", "user_empty"),
        ("worker", "worker:secret", "permission_denied"),
        ("wrong", "root:wrong", "auth_failed"),
    ] {
        let (exit, said) = join(name, user).end();
        assert_eq!(exit, 6, "{name}: {said}");
        assert!(said.contains(code), "{name}: {said}");
    }
    let second = join("n2", "root:toor").ready();
    let run = |user: &str, line: &[&str]| run_as(&world, &second, user, line, "");
    let count = || {
        let listed = run("root:toor", &["nodes", "-o", "json"]);
        (listed.code == 0).then(|| listed.out.matches("\"voter\":true").count())
    };
    until("two voters", SOON, || (count()? == 2).then_some(()));
    run("", &["get", "app/a"]).failed(6, "user_empty");
    run("worker:secret", &["set", "app/a", "1"]).ok();
    run("worker:secret", &["set", "other", "1"]).failed(6, "permission_denied");
}
