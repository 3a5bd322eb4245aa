//! What ties a process of the demo to the demo: a socket that only the two of them hold.
//!
//! The demo makes the pair and gives one end to the process as its stdin. Along it go the words that
//! switch faults; and its end, whatever the reason, is the end of the process. A process takes it
//! only when the socket comes from its own parent and the parent is this very program, so nobody
//! else can hand a node these switches: not a flag, not a call, not a pipe (docs/adr/0031).
//!
//! Invariants: (1) the demo's end is closed in every process but the demo; (2) a word is one line.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use hstore_core::error::ErrorCode;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, getppid};

use crate::fault::Fault;

/// The longest word; a longer line is cut, and then means nothing.
const WORD_BYTES_MAX: u64 = 128;

/// The end that the demo holds.
#[derive(Debug)]
pub(super) struct Leash(UnixStream);

impl Leash {
    /// A pair: the demo's end, and the stdin of a process.
    pub(super) fn pair() -> io::Result<(Leash, Stdio)> {
        let (ours, theirs) = UnixStream::pair()?;
        // A process that stands still must not make the demo stand still.
        ours.set_nonblocking(true)?;
        Ok((Leash(ours), Stdio::from(OwnedFd::from(theirs))))
    }

    /// Says a word. A process that is gone does not hear it.
    pub(super) fn say(&mut self, word: &str) -> io::Result<()> {
        self.0.write_all(format!("{word}\n").as_bytes())
    }
}

/// The end that a process of the demo holds.
#[derive(Debug)]
pub(super) struct Tether(BufReader<UnixStream>);

impl Tether {
    /// Takes the end that the demo gave to this process, if it was the demo.
    pub(super) fn take() -> Result<Tether, Fault> {
        let stdin = io::stdin();
        let peer = socket_peercred(stdin.as_fd()).ok();
        let parent = getppid();
        if peer.is_none() || parent.is_none() || peer.map(|peer| peer.pid) != parent {
            return Err(no_demo());
        }
        let (own, its) = (program("self"), parent.and_then(program_of));
        if own.is_none() || own != its {
            return Err(no_demo());
        }
        let socket = stdin.as_fd().try_clone_to_owned();
        let socket = socket.map_err(|error| Fault::of_file("the socket of the demo", &error))?;
        Ok(Tether(BufReader::new(UnixStream::from(socket))))
    }

    /// The next word; none when the demo has ended.
    pub(super) fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut bounded = self.0.by_ref().take(WORD_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        if !matches!(read, Ok(count) if count > 0) {
            return None;
        }
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

fn no_demo() -> Fault {
    Fault::new(
        ErrorCode::InvalidArgument,
        "only hstore-server demo starts such a process",
    )
    .hint("hstore-server demo   shows a cluster; hstore-server start   starts a node")
}

fn program_of(process: Pid) -> Option<PathBuf> {
    program(&process.as_raw_nonzero().to_string())
}

fn program(process: &str) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{process}/exe")).ok()
}
