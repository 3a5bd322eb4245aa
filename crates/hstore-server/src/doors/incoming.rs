//! What comes in at a port: who gets in, how many at a time, and how the door closes.
//!
//! Invariants: (1) a connection that is accepted holds a permit until it ends; (2) when all permits
//! are out, further connections wait in the listener's queue; (3) a door that was told to close
//! accepts nothing more; (4) who does not greet in time is shown out, so that connections that say
//! nothing do not keep the permits of those that have something to say.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// How long to wait after the system refused to accept, when it has no more file descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection has for its greeting. What comes after it is watched by the keep-alive of
/// HTTP/2, which begins with it.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);

/// The length of what a client of HTTP/2 says first (RFC 9113, section 3.4).
const GREETING_BYTES: usize = 24;

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
            match stream.set_nodelay(true) {
                Ok(()) => return Ok((stream, from)),
                Err(error) => tracing::debug!(%error, "a connection broke before it was used"),
            }
        }
    }
}

/// A connection and its permit.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    from: SocketAddr,
    /// Until the greeting is there.
    greeting: Option<Greeting>,
    _permit: OwnedSemaphorePermit,
}

/// What is still missing of a greeting, and until when it may be.
#[derive(Debug)]
struct Greeting {
    bytes: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Greeting {
    fn begin() -> Greeting {
        Greeting {
            bytes: GREETING_BYTES,
            deadline: Box::pin(sleep(GREETING_TIMEOUT)),
        }
    }
}

/// The connections of a listener, until `closed`.
pub(super) fn incoming<L: Listen>(
    listener: L,
    connections_max: usize,
    closed: CancellationToken,
) -> impl Stream<Item = io::Result<Connection<L::Stream>>> + Send + 'static {
    let permits = Arc::new(Semaphore::new(connections_max));
    let state = (listener, permits, closed);
    futures::stream::unfold(state, |(listener, permits, closed)| async {
        let next = next(&listener, &permits);
        // Closing wins: a connection that comes with it would be dropped unanswered anyway.
        let connection = tokio::select! {
            biased;
            () = closed.cancelled() => None,
            connection = next => connection,
        }?;
        Some((Ok(connection), (listener, permits, closed)))
    })
}

/// The next connection; none when the permits are gone, which they never are.
async fn next<L: Listen>(listener: &L, permits: &Arc<Semaphore>) -> Option<Connection<L::Stream>> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                return Some(Connection {
                    stream,
                    from,
                    greeting: Some(Greeting::begin()),
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

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut connection.stream).poll_read(context, buffer);
        if let Some(greeting) = &mut connection.greeting {
            if read.is_pending() {
                return greeting.deadline.as_mut().poll(context).map(|()| {
                    tracing::debug!(from = %connection.from, "a connection said nothing in time");
                    Err(io::ErrorKind::TimedOut.into())
                });
            }
            greeting.bytes = greeting
                .bytes
                .saturating_sub(buffer.filled().len() - before);
            if greeting.bytes == 0 {
                connection.greeting = None;
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

    use futures::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;

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
        let doors = incoming(listener, 3, CancellationToken::new());
        let mut doors = std::pin::pin!(doors);
        for (says, stays) in [
            (0, false),
            (GREETING_BYTES - 1, false),
            (GREETING_BYTES, true),
        ] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client
                .write_all(&[7; GREETING_BYTES][..says])
                .await
                .unwrap();
            let mut connection = doors.next().await.unwrap().unwrap();
            let mut bytes = [0; GREETING_BYTES + 1];
            let mut heard = 0;
            while heard < says {
                // Sockets are real: the clock must stand while their bytes are on their way.
                connection.stream.readable().await.unwrap();
                heard += connection.read(&mut bytes[heard..]).await.unwrap();
            }
            let next = timeout(2 * GREETING_TIMEOUT, connection.read(&mut bytes)).await;
            match next {
                Ok(Err(error)) => assert!(!stays && error.kind() == io::ErrorKind::TimedOut),
                Ok(Ok(_)) => panic!("nothing more was said"),
                Err(_elapsed) => assert!(stays, "{says} bytes are no greeting"),
            }
        }
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
