//! A node under a supervisor, as systemd is one: what it is told, and when.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::harness::{Node, SOON, World, server_binary, until};

/// What a supervisor hears.
struct Heard {
    socket: UnixDatagram,
    lines: Vec<String>,
    /// How many of them are behind us.
    passed: usize,
}

impl Heard {
    fn at(address: &SocketAddr) -> Heard {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Heard {
            socket,
            lines: Vec::new(),
            passed: 0,
        }
    }

    /// Waits for a line behind the one that was waited for last.
    #[track_caller]
    fn until(&mut self, line: &str) -> String {
        until(line, SOON, || {
            let mut buffer = [0; 4096];
            while let Ok(read) = self.socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                self.lines.extend(text.lines().map(str::to_owned));
            }
            let mut new = self.lines[self.passed..].iter();
            let place = new.position(|it| it.starts_with(line))?;
            self.passed += place + 1;
            Some(self.lines[self.passed - 1].clone())
        })
    }
}

#[test]
fn a_supervisor_hears_that_a_node_serves_lives_restarts_and_ends() {
    let world = World::new();
    let path = world.path("notify");
    let mut heard = Heard::at(&SocketAddr::from_pathname(&path).unwrap());
    let mut command = world.command(server_binary());
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let node = Node::start_with(&world, "n1", command, &world.data("n1"), &["start"], &[]);
    heard.until("READY=1");
    let mut node = node.ready();
    let status = heard.until("STATUS=leader of cluster");
    assert!(status.ends_with(", 1 voter"), "{status}");
    heard.until("WATCHDOG=1");
    let before = heard
        .lines
        .iter()
        .position(|line| line == "READY=1")
        .unwrap();
    assert!(
        heard.lines[..before]
            .iter()
            .all(|line| line == "WATCHDOG=1"),
        "{:?}",
        heard.lines
    );

    world.server(&["restart", "n1"]).ok();
    heard.until("RELOADING=1");
    heard.until("READY=1");
    assert!(
        !heard.lines.iter().any(|line| line == "STOPPING=1"),
        "{:?}",
        heard.lines
    );

    node.stop();
    heard.until("STOPPING=1");
}

#[test]
fn a_supervisor_with_an_abstract_name_is_found_and_one_that_is_not_there_is_done_without() {
    let world = World::new();
    let name = format!("hstore-test-{}", std::process::id());
    let mut heard = Heard::at(&SocketAddr::from_abstract_name(&name).unwrap());
    let mut command = world.command(server_binary());
    command
        .env("NOTIFY_SOCKET", OsString::from(format!("@{name}")))
        .env("WATCHDOG_USEC", "100000")
        .env("WATCHDOG_PID", "1");
    let first = Node::start_with(&world, "n1", command, &world.data("n1"), &["start"], &[]);
    let mut first = first.ready();
    heard.until("READY=1");
    first.stop();
    heard.until("STOPPING=1");
    assert!(
        !heard.lines.iter().any(|line| line == "WATCHDOG=1"),
        "{:?}",
        heard.lines
    );

    let mut command = world.command(server_binary());
    command.env("NOTIFY_SOCKET", world.path("nobody"));
    let alone = Node::start_with(&world, "n2", command, &world.data("n2"), &["start"], &[]);
    let mut alone = alone.ready();
    alone.stop();
}
