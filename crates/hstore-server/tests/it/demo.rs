//! The demo: its stories hold, nothing of it stays however it ends, and its switches are its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Node, SOON, World, server_binary, until};

/// A demo that runs.
struct Demo {
    child: Child,
    out: PathBuf,
    talk: PathBuf,
    temporary: PathBuf,
}

/// Where the demos of a world put their folders.
fn temporary(world: &World) -> PathBuf {
    let folder = world.path("tmp");
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl Demo {
    /// Starts one and waits until its cluster is there.
    fn start(world: &World, more: &[&str]) -> Demo {
        let temporary = temporary(world);
        let (out, talk) = (world.path("demo.out"), world.path("demo.talk"));
        let child = world
            .command(server_binary())
            .arg("demo")
            .args(more)
            .env("TMPDIR", &temporary)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&talk).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut demo = Demo {
            child,
            out,
            talk,
            temporary,
        };
        until("the cluster of the demo is there", SOON * 2, || {
            let ended = demo.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", demo.said());
            demo.said().contains("follow one leader").then_some(())
        });
        demo
    }

    fn said(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        read(&self.out) + &read(&self.talk)
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    /// Waits for its end; its exit code.
    fn end(&mut self) -> Option<i32> {
        let ended = until("the demo ends", SOON, || self.child.try_wait().unwrap());
        ended.code()
    }

    /// The processes that were started with its folder.
    fn processes(&self) -> Vec<u32> {
        processes_of(&self.temporary)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Whatever it has started ends with it.
        let _gone = self.child.kill();
        drop(self.child.wait());
    }
}

fn pid(process: u32) -> Pid {
    let number = i32::try_from(process).ok();
    number.and_then(Pid::from_raw).unwrap()
}

/// The processes that have a folder in their command line.
fn processes_of(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    let of_folder = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(folder)
    };
    numbers.filter(of_folder).collect()
}

#[track_caller]
fn nothing_is_left(temporary: &Path) {
    until("no process and no folder of the demo is left", SOON, || {
        let folders = fs::read_dir(temporary).unwrap().count();
        (processes_of(temporary).is_empty() && folders == 0).then_some(())
    });
}

#[test]
fn the_stories_keep_their_promises_and_leave_nothing() {
    let world = World::new();
    let temporary = temporary(&world);
    let mut command = world.command(server_binary());
    command.args(["demo", "--check", "--json"]);
    let done = world.finish(command.env("TMPDIR", &temporary));
    let told: serde_json::Value =
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert_eq!(done.code, 0, "{told:#}");
    assert_eq!(told["held"], true, "{told:#}");
    let stories = told["stories"].as_array().unwrap();
    assert_eq!(stories.len(), 4, "{told:#}");
    for story in stories {
        assert_eq!(story["verdict"]["held"], true, "{story:#}");
        for line in story["lines"].as_array().unwrap() {
            assert_eq!(line["state"], "held", "{line:#}");
        }
    }
    let writes = &told["writes"];
    assert!(writes["acknowledged"].as_u64().unwrap() > 100, "{writes}");
    assert_eq!(writes["read_back"], writes["acknowledged"], "{writes}");
    assert_eq!(writes["lost"], 0, "{writes}");
    assert!(
        world.running().is_empty(),
        "the nodes are not of this world"
    );
    nothing_is_left(&temporary);
}

#[test]
fn an_interrupted_demo_says_what_became_of_the_writes_and_leaves_nothing() {
    let world = World::new();
    let mut demo = Demo::start(&world, &[]);
    // Three nodes and the warden.
    assert_eq!(demo.processes().len(), 4, "{}", demo.said());
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(0), "{}", demo.said());
    let said = demo.said();
    assert!(said.contains("writes acknowledged"), "{said}");
    assert!(said.contains(" 0 lost"), "{said}");
    nothing_is_left(&demo.temporary);
}

#[test]
fn a_killed_demo_leaves_nothing_not_even_a_node_that_stands_still() {
    let world = World::new();
    let mut demo = Demo::start(&world, &[]);
    let node = demo.processes().into_iter().find(|process| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("demo-node")
    });
    kill_process(pid(node.expect("a node runs")), Signal::STOP).unwrap();
    demo.signal(Signal::KILL);
    assert_eq!(demo.end(), None);
    nothing_is_left(&demo.temporary);
}

/// What came back: the status, and everything behind the head.
struct Told {
    status: u16,
    head: String,
    body: String,
}

impl Demo {
    /// Where its page is.
    fn page(&self) -> String {
        let said = self.said();
        let (_, after) = said
            .split_once("http://")
            .expect("it says where the page is");
        after.split_whitespace().next().unwrap().to_owned()
    }

    /// Asks its port, with further lines of the head.
    fn ask(&self, what: &str, more: &[(&str, &str)], body: &str) -> Told {
        let page = self.page();
        let mut stream = TcpStream::connect(&page).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut head = vec![format!("{what} HTTP/1.1"), "connection: close".to_owned()];
        if !more.iter().any(|(name, _)| *name == "host") {
            head.push(format!("host: {page}"));
        }
        head.extend(more.iter().map(|(name, value)| format!("{name}: {value}")));
        head.push(format!("content-length: {}\r\n\r\n{body}", body.len()));
        let head = head.join("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut told = Vec::new();
        stream.read_to_end(&mut told).unwrap();
        let told = String::from_utf8_lossy(&told).into_owned();
        let (head, body) = told.split_once("\r\n\r\n").unwrap_or((&told, ""));
        Told {
            status: head[9..12].parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str) -> Told {
        self.ask(&format!("GET {path}"), &[], "")
    }

    fn act(&self, body: &str) -> Told {
        self.ask("POST /demo/act", &[], body)
    }

    fn state(&self) -> serde_json::Value {
        let told = self.get("/demo/state");
        assert_eq!(told.status, 200);
        serde_json::from_str(&told.body).unwrap()
    }

    /// Waits until its state is as `look` wants it.
    #[track_caller]
    fn is_seen<T>(&self, what: &str, look: impl Fn(&serde_json::Value) -> Option<T>) -> T {
        until(what, SOON, || look(&self.state()))
    }
}

#[test]
fn the_page_of_a_demo_outlives_its_nodes_and_breaks_and_heals_them() {
    let world = World::new();
    let demo = Demo::start(&world, &[]);
    for (path, words) in [
        ("/", "demo"),
        ("/demo", "id=\"demo\""),
        ("/demo.js", "EventSource"),
        ("/demo.css", "#demo"),
    ] {
        let told = demo.get(path);
        assert_eq!(told.status, 200, "{path}");
        assert!(told.body.contains(words), "{path}");
        assert!(told.head.contains("content-security-policy"), "{path}");
    }
    let leader = demo.is_seen("a leader", |state| state["leader"].as_u64());
    let dead = format!("{{\"action\":\"kill\",\"node\":{leader}}}");
    assert_eq!(demo.act(&dead).status, 200);
    let life = move |state: &serde_json::Value| {
        let node = &state["nodes"][leader as usize - 1];
        node["life"].as_str().map(str::to_owned)
    };
    demo.is_seen("the node is dead", |state| {
        (life(state)? == "dead").then_some(())
    });
    demo.is_seen("another one leads", |state| {
        (state["leader"].as_u64()? != leader).then_some(())
    });
    // What is not the demo's own is asked of a node that lives.
    until("a node that lives is well", SOON, || {
        let health = demo.get("/health");
        (health.status == 200 && health.body.contains("true")).then_some(())
    });

    let other = leader % 3 + 1;
    let link = format!(
        "{{\"action\":\"link\",\"from\":{leader},\"to\":{other},\"both-ways\":true,\"mode\":\"slow\"}}"
    );
    assert_eq!(demo.act(&link).status, 200);
    let links = demo.state()["links"].as_array().unwrap().len();
    assert_eq!(links, 2);
    let pause = format!("{{\"action\":\"pause\",\"node\":{leader}}}");
    let refused = demo.act(&pause);
    assert_eq!(
        refused.status, 409,
        "a dead node stands still: {}",
        refused.body
    );
    assert_eq!(demo.act("{\"action\":\"heal\"}").status, 200);
    demo.is_seen("everything is well again", |state| {
        let open = state["links"].as_array()?.is_empty();
        let all = state["nodes"].as_array()?.iter();
        let answer = all.filter(|node| !node["says"].is_null()).count();
        (open && answer == 3 && state["leader"].is_u64()).then_some(())
    });
    let story = "{\"action\":\"tell\",\"story\":\"lose-the-leader\"}";
    assert_eq!(demo.act(story).status, 200);
    assert_eq!(demo.act(story).status, 409, "one story at a time");
    assert_eq!(demo.act("{\"action\":\"heal\"}").status, 409);
    let held = demo.is_seen("the story ends", |state| {
        state["told"]["verdict"]["held"].as_bool()
    });
    assert!(held, "{:#}", demo.state());
    assert_eq!(demo.state()["writes"]["lost"], 0);
}

#[test]
fn a_page_of_another_site_breaks_nothing_in_a_demo() {
    let world = World::new();
    let demo = Demo::start(&world, &[]);
    let heal = "{\"action\":\"heal\"}";
    let act = "POST /demo/act";
    for (what, more, body, status, code) in [
        (
            act,
            &[("origin", "http://evil.example")][..],
            heal,
            403,
            "cross_origin",
        ),
        (
            act,
            &[("sec-fetch-site", "cross-site")],
            heal,
            403,
            "cross_origin",
        ),
        (act, &[("host", "evil.example")], heal, 421, "unknown_host"),
        (
            "GET /",
            &[("host", "evil.example")],
            "",
            421,
            "unknown_host",
        ),
        (
            "GET /demo/state",
            &[("host", "evil.example")],
            "",
            421,
            "unknown_host",
        ),
        ("GET /demo/act", &[], "", 405, "method_not_allowed"),
        ("POST /demo/state", &[], "", 405, "method_not_allowed"),
        ("GET /demo/nothing", &[], "", 404, "no_such_path"),
        (act, &[], "", 400, "invalid_argument"),
        (
            act,
            &[],
            "{\"action\":\"explode\"}",
            400,
            "invalid_argument",
        ),
        (
            act,
            &[],
            "{\"action\":\"kill\",\"node\":9}",
            400,
            "invalid_argument",
        ),
        (
            act,
            &[],
            "{\"action\":\"tell\",\"story\":\"no\"}",
            400,
            "invalid_argument",
        ),
        (act, &[], "{\"action\":\"stop-telling\"}", 409, "conflict"),
    ] {
        let told = demo.ask(what, more, body);
        assert_eq!(told.status, status, "{what} {more:?} {body}: {}", told.body);
        assert!(
            told.body.contains(code),
            "{what} {more:?} {body}: {}",
            told.body
        );
    }
    let long = format!("{{\"action\":\"heal\"{}}}", " ".repeat(5000));
    assert_eq!(demo.act(&long).status, 400, "a body has a bound");
    // A page of the demo itself, and a program that is no browser, are not refused.
    let page = format!("http://{}", demo.page());
    assert_eq!(demo.ask(act, &[("origin", &page)], heal).status, 200);
    assert_eq!(demo.act(heal).status, 200);
}

#[test]
fn an_ordinary_node_has_no_switch_for_its_disk() {
    let world = World::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut command = world.command(server_binary());
    command.stdin(Stdio::from(OwnedFd::from(theirs)));
    let data = world.data("n1");
    let node = Node::start_with(&world, "n1", command, &data, &["start"], &[]).ready();
    // In a node of the demo nothing would be written after this word.
    ours.write_all(b"stuck\n").unwrap();
    for number in 0..10 {
        let told = node.kv().put(format!("key {number}"), "value");
        told.expect("an ordinary node hears nobody");
    }
    drop(ours);
    node.kv().put("after the end", "value").expect("it goes on");
}

#[test]
fn nobody_but_the_demo_starts_its_processes() {
    let world = World::new();
    let folder = world.path("hstore-demo-of-somebody");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("DEMO"), "").unwrap();
    let name = folder.to_str().unwrap();
    for line in [&["demo-node", "--data", name][..], &["demo-warden", name]] {
        // Without a socket, and with one of a parent that is another program.
        world.server(line).failed(2, "invalid_argument");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = world.command(server_binary());
        command.args(line).stdin(Stdio::from(OwnedFd::from(theirs)));
        drop(ours);
        let refused = world.finish(&mut command);
        refused.failed(2, "invalid_argument");
        refused.says("only hstore-server demo");
        assert!(folder.join("DEMO").exists(), "{line:?} removed it");
    }
}

#[test]
fn a_demo_that_cannot_be_is_refused() {
    let world = World::new();
    for line in [
        &["demo", "--nodes", "2"][..],
        &["demo", "--nodes", "51"],
        &["demo", "--story", "slow-disk"],
        &["demo", "--check", "--story", "no-such-story"],
        &["demo", "--check", "--port", "8080"],
    ] {
        let done = world.server(line);
        done.failed(2, "invalid_argument");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let done = world.server(&["demo", "--port", &port]);
    assert!(done.talk.contains("port_in_use"), "{done:?}");
}
