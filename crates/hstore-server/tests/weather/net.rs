//! The network of one run: which links are broken and how, the connections over it, and who may be
//! reached.
//!
//! The simulated network has no retransmission: what a cut link drops is gone, and a connection that
//! lost a byte stands still until somebody notices, as one does whose middle box forgot it. What is
//! held is delivered late, as TCP delivers over a link that comes back.
//!
//! Invariants: (1) whoever dials over a broken link, or to a machine without power, hears nothing;
//! (2) whoever dials a machine that lives and whose process is dead is refused; (3) every accepted
//! connection is counted until it is let go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_client::{Dial, Wire};
use hstore_server::doors::Listen;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::Sim;
use turmoil::net::{TcpListener, TcpStream};

/// The time that a packet takes on a link that is well: at least one tick, so that nothing arrives
/// before it was sent.
pub(crate) const LATENCY_MIN: Duration = Duration::from_millis(1);
pub(crate) const LATENCY_MAX: Duration = Duration::from_millis(4);

/// How a link between two hosts is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// Well.
    #[default]
    Healthy,
    /// What is sent is lost, both ways.
    Cut,
    /// What this host sends is lost.
    OneWay(String),
    /// What is sent arrives when the link is released.
    Held,
    /// Everything takes so long, one way.
    Slow(Duration),
}

/// What becomes of a connection with its next write.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    /// Half of it goes out, then the connection is gone.
    Cut = 1,
    /// Half of it goes out, then nothing goes in or out any more, and nobody is told.
    Mute = 2,
}

const FINE: u8 = 0;
const CUT_WAITS: u8 = Doom::Cut as u8;
const MUTE_WAITS: u8 = Doom::Mute as u8;
const CUT_DONE: u8 = 3;
const MUTE_DONE: u8 = 4;

/// One end of a connection.
struct End {
    /// The host at this end, and the port that was dialled.
    host: String,
    port: u16,
    accepted: bool,
    doom: AtomicU8,
    net: Net,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.accepted {
            let mut state = self.net.state();
            let key = (self.host.clone(), self.port);
            if let Some(open) = state.open.get_mut(&key) {
                *open -= 1;
            }
        }
    }
}

#[derive(Default)]
struct State {
    links: BTreeMap<(String, String), Link>,
    /// Machines without power.
    dark: BTreeSet<String>,
    /// Machines that live, and whose process does not.
    dead: BTreeSet<String>,
    ends: Vec<Weak<End>>,
    open: BTreeMap<(String, u16), usize>,
    /// How many connections broke in the middle of a write.
    broken: u64,
}

/// The network. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
}

fn pair(a: &str, b: &str) -> (String, String) {
    if a < b {
        (a.to_owned(), b.to_owned())
    } else {
        (b.to_owned(), a.to_owned())
    }
}

impl Net {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a link is.
    pub(crate) fn link(&self, a: &str, b: &str) -> Link {
        let state = self.state();
        state.links.get(&pair(a, b)).cloned().unwrap_or_default()
    }

    /// Breaks a link, if it is well and both machines have power; whether it did.
    pub(crate) fn break_link(&self, sim: &Sim<'_>, a: &str, b: &str, link: Link) -> bool {
        {
            let mut state = self.state();
            let dark = state.dark.contains(a) || state.dark.contains(b);
            let slot = state.links.entry(pair(a, b)).or_default();
            if dark || *slot != Link::Healthy {
                return false;
            }
            *slot = link.clone();
        }
        match link {
            Link::Healthy => {}
            Link::Cut => sim.partition(a, b),
            Link::OneWay(from) => {
                sim.partition_oneway(from.as_str(), if from == a { b } else { a });
            }
            Link::Held => sim.hold(a, b),
            Link::Slow(latency) => sim.set_link_latency(a, b, latency),
        }
        true
    }

    /// Makes a link well again.
    pub(crate) fn mend_link(&self, sim: &Sim<'_>, a: &str, b: &str) {
        let was = self.state().links.remove(&pair(a, b)).unwrap_or_default();
        match was {
            Link::Healthy => {}
            Link::Cut | Link::OneWay(_) => sim.repair(a, b),
            Link::Held => sim.release(a, b),
            Link::Slow(_) => {
                sim.set_link_latency(a, b, LATENCY_MIN);
                sim.set_link_max_message_latency(a, b, LATENCY_MAX);
            }
        }
    }

    /// Every link is well again.
    pub(crate) fn mend_all(&self, sim: &Sim<'_>) {
        let broken: Vec<_> = self.state().links.keys().cloned().collect();
        for (a, b) in broken {
            self.mend_link(sim, &a, &b);
        }
    }

    /// A machine loses its power: nothing of it is heard any more, not even that its connections
    /// end. Only if all of its links are well; whether it did.
    pub(crate) fn go_dark(&self, sim: &Sim<'_>, host: &str, others: &[String]) -> bool {
        {
            let mut state = self.state();
            let broken = |other: &String| {
                state
                    .links
                    .get(&pair(host, other))
                    .is_some_and(|link| *link != Link::Healthy)
            };
            if others.iter().any(broken) {
                return false;
            }
            state.dark.insert(host.to_owned());
        }
        for other in others {
            sim.partition(host, other.as_str());
        }
        true
    }

    /// The process of a machine ends, and its machine says so.
    pub(crate) fn die(&self, host: &str) {
        self.state().dead.insert(host.to_owned());
    }

    /// A machine is there again.
    pub(crate) fn come_back(&self, sim: &Sim<'_>, host: &str, others: &[String]) {
        let was_dark = {
            let mut state = self.state();
            state.dead.remove(host);
            state.dark.remove(host)
        };
        if was_dark {
            let dark = self.state().dark.clone();
            for other in others.iter().filter(|other| !dark.contains(*other)) {
                sim.repair(host, other.as_str());
            }
        }
    }

    /// Dooms every connection with an end at a host; how many.
    pub(crate) fn doom(&self, host: &str, port: Option<u16>, doom: Doom) -> usize {
        let mut state = self.state();
        state.ends.retain(|end| end.strong_count() > 0);
        let ends: Vec<Arc<End>> = state.ends.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        let meant = ends
            .iter()
            .filter(|end| end.host == host && port.is_none_or(|port| end.port == port));
        let doomed = meant.map(|end| {
            let now =
                end.doom
                    .compare_exchange(FINE, doom as u8, Ordering::Relaxed, Ordering::Relaxed);
            usize::from(now.is_ok())
        });
        doomed.sum()
    }

    /// How many connections broke in the middle of a write.
    pub(crate) fn broken(&self) -> u64 {
        self.state().broken
    }

    /// How many accepted connections are open at a port of a host.
    pub(crate) fn open(&self, host: &str, port: u16) -> usize {
        let state = self.state();
        state
            .open
            .get(&(host.to_owned(), port))
            .copied()
            .unwrap_or(0)
    }

    /// What connects for a host.
    pub(crate) fn dialler(&self, host: &str) -> Arc<dyn Dial> {
        Arc::new(Dialler {
            from: host.to_owned(),
            net: self.clone(),
        })
    }

    /// Listens at a port of the host that runs.
    pub(crate) async fn listen(&self, host: &str, port: u16) -> io::Result<Port> {
        Ok(Port {
            listener: TcpListener::bind(("0.0.0.0", port)).await?,
            host: host.to_owned(),
            number: port,
            net: self.clone(),
        })
    }

    fn end(&self, host: &str, port: u16, accepted: bool, stream: TcpStream) -> Connection {
        let end = Arc::new(End {
            host: host.to_owned(),
            port,
            accepted,
            doom: AtomicU8::new(FINE),
            net: self.clone(),
        });
        let mut state = self.state();
        if accepted {
            *state.open.entry((host.to_owned(), port)).or_default() += 1;
        }
        if state.ends.len() == state.ends.capacity() {
            state.ends.retain(|end| end.strong_count() > 0);
        }
        state.ends.push(Arc::downgrade(&end));
        Connection { stream, end }
    }

    /// What a packet from one host to another finds on its way.
    fn way(&self, from: &str, to: &str) -> Way {
        let state = self.state();
        if state.dark.contains(from) || state.dark.contains(to) {
            return Way::Lost;
        }
        match state.links.get(&pair(from, to)) {
            Some(Link::Cut) => Way::Lost,
            Some(Link::OneWay(sender)) if sender == from => Way::Lost,
            _ if state.dead.contains(to) => Way::Nobody,
            _ => Way::Open,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The machine says that nobody listens.
    Nobody,
    Lost,
}

struct Dialler {
    from: String,
    net: Net,
}

impl Dial for Dialler {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let (from, net, address) = (self.from.clone(), self.net.clone(), address.to_owned());
        async move {
            let (host, port) = address
                .rsplit_once(':')
                .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)))
                .ok_or(io::ErrorKind::InvalidInput)?;
            if net.way(&from, &host) == Way::Nobody && net.link(&from, &host) == Link::Healthy {
                tokio::time::sleep(2 * LATENCY_MIN).await;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let connected = TcpStream::connect((host.as_str(), port)).await;
            // A packet that is lost looks like a refusal here, and the answer to one is never lost.
            if net.way(&from, &host) == Way::Lost || net.way(&host, &from) == Way::Lost {
                return std::future::pending().await;
            }
            let connection = net.end(&from, port, false, connected?);
            Ok(Box::new(connection) as Box<dyn Wire>)
        }
        .boxed()
    }
}

/// A port that listens.
pub(crate) struct Port {
    listener: TcpListener,
    host: String,
    number: u16,
    net: Net,
}

impl Listen for Port {
    type Stream = Connection;

    async fn accept(&self) -> io::Result<(Connection, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        let connection = self.net.end(&self.host, self.number, true, stream);
        Ok((connection, from))
    }
}

/// One end of a connection, that may break in the middle of a write.
pub(crate) struct Connection {
    stream: TcpStream,
    end: Arc<End>,
}

impl Connection {
    fn doom(&self) -> u8 {
        self.end.doom.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.doom() {
            CUT_DONE => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            MUTE_DONE => Poll::Pending,
            _ => Pin::new(&mut self.stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let doom = self.doom();
        match doom {
            CUT_DONE => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            MUTE_DONE => Poll::Ready(Ok(bytes.len())),
            CUT_WAITS | MUTE_WAITS => {
                let half = bytes.len().div_ceil(2);
                let written =
                    ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..half]))?;
                let done = if doom == CUT_WAITS {
                    CUT_DONE
                } else {
                    MUTE_DONE
                };
                self.end.doom.store(done, Ordering::Relaxed);
                self.end.net.state().broken += 1;
                Poll::Ready(Ok(written))
            }
            _ => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.doom() {
            CUT_DONE | MUTE_DONE => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.stream).poll_shutdown(context),
        }
    }
}
