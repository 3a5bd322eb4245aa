//! What comes in at a port: who gets in, how many at a time, and how the door closes.
//!
//! Invariants: (1) a connection that is accepted holds a permit until it ends; (2) when all permits
//! are out, further connections wait in the listener's queue; (3) a door that was told to close
//! accepts nothing more; (4) who does not greet in time is shown out, so is who does not take what it is
//! told, and when all permits are out so is who has been at nothing for the longest time: connections
//! without a use do not keep the permits of the others.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::seats::{Seat, Seats};

/// How long to wait after the system refused to accept, when it has no more file descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked who could leave, while all permits are out.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection has for its greeting. What comes after it is watched by the keep-alive of
/// HTTP/2, or by the time that HTTP/1 has for the head of a request; both begin with it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client of HTTP/2 says first (RFC 9113, section 3.4). Who says anything else speaks
/// HTTP/1, or nonsense.
pub(super) const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the other end may leave unread what it is told; then the connection ends.
pub(super) const UNREAD_TIMEOUT: Duration = Duration::from_mins(1);

/// After how much silence the system asks whether the other machine is still there, how often, and
/// how many questions without an answer end the connection.
const SILENCE: Duration = Duration::from_secs(30);
const SILENCE_INTERVAL: Duration = Duration::from_secs(10);
const SILENCE_QUESTIONS: u32 = 3;

/// Where connections come from.
pub trait Listen: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, ready for use, and where it comes from.
    ///
    /// Cancel safe: a connection leaves the queue only with the answer.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (stream, from) = TcpListener::accept(self).await?;
            match prepare(&stream) {
                Ok(()) => return Ok((stream, from)),
                Err(error) => tracing::debug!(%error, "a connection broke before it was used"),
            }
        }
    }
}

/// Sets what every connection needs.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // HTTP/1 has no keep-alive of its own for an answer that goes on, such as a watch.
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, SILENCE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, SILENCE_QUESTIONS)?;
    Ok(())
}

/// A connection and its permit.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    from: SocketAddr,
    /// Until the greeting is there.
    greeting: Option<Greeting>,
    /// What was read to know how the other end speaks; whoever serves it reads it again.
    ahead: Bytes,
    /// Made when the other end leaves something unread for the first time.
    unread: Option<Pin<Box<Sleep>>>,
    /// Whether it leaves something unread now.
    stalled: bool,
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

/// How much of a greeting was heard, and until when it must be there.
#[derive(Debug)]
struct Greeting {
    heard: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Greeting {
    fn begin() -> Greeting {
        Greeting {
            heard: 0,
            deadline: Box::pin(sleep(GREETING_TIMEOUT)),
        }
    }

    /// Hears what was said; whether it is enough to know what the other end speaks.
    fn hear(&mut self, said: &[u8]) -> bool {
        let expected = &GREETING[self.heard..];
        let length = said.len().min(expected.len());
        self.heard += length;
        self.heard == GREETING.len() || said[..length] != expected[..length]
    }
}

/// The connections of a listener, until `closed`.
pub(super) fn incoming<L: Listen>(
    listener: L,
    connections_max: usize,
    closed: CancellationToken,
) -> impl Stream<Item = io::Result<Connection<L::Stream>>> + Send + 'static {
    let permits = Arc::new(Semaphore::new(connections_max));
    let state = (listener, permits, Seats::new(), closed);
    futures::stream::unfold(state, |(listener, permits, seats, closed)| async {
        let next = next(&listener, &permits, &seats);
        // Closing wins: a connection that comes with it would be dropped unanswered anyway.
        let connection = tokio::select! {
            biased;
            () = closed.cancelled() => None,
            connection = next => connection,
        }?;
        Some((Ok(connection), (listener, permits, seats, closed)))
    })
}

/// The next connection; none when the permits are gone, which they never are.
async fn next<L: Listen>(
    listener: &L,
    permits: &Arc<Semaphore>,
    seats: &Arc<Seats>,
) -> Option<Connection<L::Stream>> {
    let permit = match Arc::clone(permits).try_acquire_owned() {
        Ok(permit) => permit,
        Err(_all_are_out) => {
            let mut permit = pin!(Arc::clone(permits).acquire_owned());
            loop {
                seats.show_one_out();
                if let Ok(permit) = timeout(FULL_PAUSE, &mut permit).await {
                    break permit.ok()?;
                }
            }
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                return Some(Connection {
                    stream,
                    from,
                    greeting: Some(Greeting::begin()),
                    ahead: Bytes::new(),
                    unread: None,
                    stalled: false,
                    seat: Arc::new(seats.take()),
                    _permit: permit,
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = SocketAddr;

    fn connect_info(&self) -> SocketAddr {
        self.from
    }
}

impl<S> Connection<S> {
    /// Its place.
    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl<S: AsyncRead + Unpin> Connection<S> {
    /// Waits until it is clear how the other end speaks: whether it is HTTP/2.
    ///
    /// Not cancel safe.
    pub(super) async fn greet(&mut self) -> io::Result<bool> {
        let mut heard = [0; GREETING.len()];
        let mut length = 0;
        while self.greeting.is_some() {
            let read = self.read(&mut heard[length..]).await?;
            if read == 0 {
                break;
            }
            length += read;
        }
        self.ahead = Bytes::copy_from_slice(&heard[..length]);
        Ok(heard == *GREETING)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut *self;
        if !connection.ahead.is_empty() {
            let bytes = connection.ahead.len().min(buffer.remaining());
            buffer.put_slice(&connection.ahead.split_to(bytes));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut connection.stream).poll_read(context, buffer);
        if let Some(greeting) = &mut connection.greeting {
            if read.is_pending() {
                return greeting.deadline.as_mut().poll(context).map(|()| {
                    tracing::debug!(from = %connection.from, "a connection said nothing in time");
                    Err(io::ErrorKind::TimedOut.into())
                });
            }
            if greeting.hear(&buffer.filled()[before..]) {
                connection.greeting = None;
            }
        }
        read
    }
}

impl<S> Connection<S> {
    /// What came of a write: one that waits for too long is an error.
    fn watched(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        let deadline = self
            .unread
            .get_or_insert_with(|| Box::pin(sleep(UNREAD_TIMEOUT)));
        if !self.stalled {
            self.stalled = true;
            deadline.as_mut().reset(Instant::now() + UNREAD_TIMEOUT);
        }
        deadline.as_mut().poll(context).map(|()| {
            tracing::debug!(from = %self.from, "a connection did not read in time");
            Err(io::ErrorKind::TimedOut.into())
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use futures::StreamExt as _;
    use tokio::io::AsyncWriteExt as _;

    const SOON: Duration = Duration::from_secs(20);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_until_another_ends() {
        let (listener, address) = listener().await;
        let doors = incoming(listener, 1, CancellationToken::new());
        let mut doors = std::pin::pin!(doors);
        let _one = TcpStream::connect(address).await.unwrap();
        let _two = TcpStream::connect(address).await.unwrap();
        let first = timeout(SOON, doors.next()).await.unwrap().unwrap().unwrap();
        let second = doors.next();
        tokio::pin!(second);
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert!(timeout(SOON, second).await.unwrap().unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_greet_in_time_is_shown_out_and_who_does_may_stay() {
        let (listener, address) = listener().await;
        let doors = incoming(listener, 5, CancellationToken::new());
        let mut doors = std::pin::pin!(doors);
        let begun = &GREETING[..GREETING.len() - 1];
        for (says, stays) in [
            (&b""[..], false),
            (begun, false),
            (GREETING, true),
            // The head of a request of HTTP/1: it is on hyper to wait for the rest.
            (b"G", true),
            (b"PRI * HTTP/1.1", true),
        ] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(says).await.unwrap();
            let mut connection = doors.next().await.unwrap().unwrap();
            let mut bytes = [0; GREETING.len() + 1];
            let mut heard = 0;
            while heard < says.len() {
                // Sockets are real: the clock must stand while their bytes are on their way.
                connection.stream.readable().await.unwrap();
                heard += connection.read(&mut bytes[heard..]).await.unwrap();
            }
            let next = timeout(2 * GREETING_TIMEOUT, connection.read(&mut bytes)).await;
            match next {
                Ok(Err(error)) => assert!(!stays && error.kind() == io::ErrorKind::TimedOut),
                Ok(Ok(_)) => panic!("nothing more was said"),
                Err(_elapsed) => assert!(stays, "{says:?} is no greeting"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_in_time_is_shown_out() {
        let (ours, theirs) = tokio::io::duplex(8);
        let permits = Arc::new(Semaphore::new(1));
        let mut connection = Connection {
            stream: ours,
            from: SocketAddr::from(([127, 0, 0, 1], 1)),
            greeting: None,
            ahead: Bytes::new(),
            unread: None,
            stalled: false,
            seat: Arc::new(Seats::new().take()),
            _permit: permits.acquire_owned().await.unwrap(),
        };
        let mut theirs = theirs;
        for _slow_and_steady in 0..3 {
            connection.write_all(&[0; 8]).await.unwrap();
            sleep(UNREAD_TIMEOUT / 2).await;
            theirs.read_exact(&mut [0; 8]).await.unwrap();
        }
        let began = Instant::now();
        let told = connection.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(told.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), UNREAD_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn a_closed_door_accepts_nothing_more() {
        let (listener, address) = listener().await;
        let closed = CancellationToken::new();
        let doors = incoming(listener, 1, closed.clone());
        let mut doors = std::pin::pin!(doors);
        let _one = TcpStream::connect(address).await.unwrap();
        closed.cancel();
        assert!(timeout(SOON, doors.next()).await.unwrap().is_none());
    }
}
