//! What a supervisor such as systemd is told: that the node serves, what it is, that it lives, that
//! it ends. The protocol is that of `sd_notify(3)`: lines in a datagram to the socket that the
//! environment names.
//!
//! Invariants: (1) without a supervisor nothing happens; (2) a supervisor that does not listen is
//! never waited for, and what it missed is no failure of the node; (3) `READY=1` is said once the
//! node serves, and never before; (4) `WATCHDOG=1` is said by the task that also hears signals and
//! failures, so that it stops when that task or the whole process stands still. It says nothing
//! about the cluster: a node without a majority is alive.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use hstore_core::id::NodeId;
use hstore_node::{Role, Standing};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// Where the supervisor listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How often it wants to hear that the process lives, in microseconds, and which process.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The way to the supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it is told that the process lives.
    pulse: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names. It stays in the environment: a restart in place needs it
    /// again.
    pub(super) fn of_environment() -> Supervisor {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let socket = variable(SOCKET).and_then(|address| match connect(&address) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, ?address, "the supervisor cannot be reached");
                None
            }
        });
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_for_us = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let pulse = number(WATCHDOG_USEC).filter(|usec| is_for_us && *usec > 0);
        Supervisor {
            socket,
            // Twice as often as wanted, as is the custom: one that is late costs nothing.
            pulse: pulse.map(|usec| Duration::from_micros(usec.div_ceil(2))),
        }
    }

    /// The node serves.
    pub(super) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// What the node is, in a line.
    pub(super) fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    /// The node ends.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// The node ends and starts again in its own place, which is no end to a supervisor: the process
    /// stays, and says that it is ready again.
    pub(super) fn restarting(&self) {
        self.say("RELOADING=1\nSTATUS=restarting");
    }

    /// Says that the process lives, again and again; never ends.
    pub(super) async fn pulse(&self) {
        let Some(pulse) = self.pulse.filter(|_| self.socket.is_some()) else {
            return std::future::pending::<()>().await;
        };
        let mut beat = interval(pulse);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    /// Says what the node is whenever that changes; never ends.
    pub(super) async fn follow(&self, mut standing: watch::Receiver<Standing>, cluster: &str) {
        while self.socket.is_some() {
            let line = sentence(&standing.borrow_and_update(), cluster);
            self.status(&line);
            if standing.changed().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    fn say(&self, lines: &str) {
        let Some(socket) = &self.socket else { return };
        // It does not wait: a supervisor whose queue is full misses a line.
        if let Err(error) = socket.send(lines.as_bytes()) {
            tracing::debug!(%error, lines, "the supervisor does not listen");
        }
    }
}

/// What a node is, in a line.
pub(super) fn sentence(standing: &Standing, cluster: &str) -> String {
    let term = standing.term.0;
    let members = standing.membership.members.keys();
    let votes = |node: &&NodeId| standing.membership.is_voter(**node);
    let voters = match members.filter(votes).count() {
        1 => "1 voter".to_owned(),
        voters => format!("{voters} voters"),
    };
    match (standing.role, standing.quorum) {
        (Role::Stopped, _) => "stopped".to_owned(),
        (_, false) => format!("no quorum in cluster {cluster}, term {term}, {voters}"),
        (role, true) => format!(
            "{} of cluster {cluster}, term {term}, {voters}",
            role.as_str()
        ),
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let bytes = address.as_bytes();
    let to = match bytes.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        Some((b'/', _)) => SocketAddr::from_pathname(address)?,
        _ => {
            let what = "neither a path nor an abstract name";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&to)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(listener: &std::path::Path) -> Supervisor {
        Supervisor {
            socket: Some(connect(listener.as_os_str()).unwrap()),
            pulse: Some(Duration::from_millis(1)),
        }
    }

    #[tokio::test]
    async fn lines_arrive_and_nobody_who_listens_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let supervisor = supervisor(&path);
        supervisor.ready("follower");
        let mut buffer = [0; 512];
        let read = listener.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1\nSTATUS=follower");
        let pulse = supervisor.pulse();
        let beats = async {
            loop {
                listener.set_nonblocking(true).unwrap();
                match listener.recv(&mut buffer) {
                    Ok(read) => return buffer[..read].to_vec(),
                    Err(_none_yet) => tokio::task::yield_now().await,
                }
            }
        };
        tokio::select! {
            () = pulse => unreachable!("it never ends"),
            beat = beats => assert_eq!(beat, b"WATCHDOG=1"),
        }
        // Far more than any queue holds: what has no room is dropped.
        for _ in 0..100_000 {
            supervisor.status("the same");
        }
        drop(listener);
        supervisor.stopping();
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused() {
        for address in ["notify", "vsock:2:3", ""] {
            assert!(connect(OsStr::new(address)).is_err(), "{address}");
        }
        assert!(connect(OsStr::new("/no/such/socket")).is_err());
    }

    #[test]
    fn a_line_says_what_a_node_is() {
        let mut standing = Standing::default();
        assert_eq!(
            sentence(&standing, "k7f2"),
            "no quorum in cluster k7f2, term 0, 0 voters"
        );
        (standing.role, standing.quorum) = (Role::Leader, true);
        assert_eq!(
            sentence(&standing, "k7f2"),
            "leader of cluster k7f2, term 0, 0 voters"
        );
    }
}
