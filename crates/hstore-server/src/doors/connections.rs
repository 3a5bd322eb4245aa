//! The connections of the client port: HTTP/2 and HTTP/1, told apart by what they say first.
//!
//! Invariants: (1) what a connection may have on its way is bounded, and so is how long it may keep
//! the node waiting: for the head of a request, for an answer to a ping, for room to write; (2) the
//! port is done when its last connection has ended.

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected as _;

use super::incoming::Connection;
use crate::web::ClientPort;

/// How much of one request's body may be on its way; then the sender waits.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// How much of all bodies of one connection may be on its way; then the senders wait.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How many calls of one connection may run; one more waits in the client.
const CALLS_PER_CONNECTION_MAX: u32 = 4096;

/// How often a connection of HTTP/2 is asked whether its other end is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// How long the other end has for that answer; then the connection is closed.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many calls that their client gave up before they were looked at a connection may have; one
/// more ends it. It is what stops a client that does nothing but begin and give up.
const RESETS_MAX: usize = 64;

/// How large the head of a request may be. Of HTTP/1, so much is read ahead, too.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a connection of HTTP/1 has for the head of its next request, from the end of the answer
/// before: so long it may be idle, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of all connections. Everything that bounds is said here, whatever hyper's own
/// settings are.
fn settings() -> auto::Builder<TokioExecutor> {
    let mut settings = auto::Builder::new(TokioExecutor::new());
    settings
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .adaptive_window(false)
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    settings
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false)
        .keep_alive(true);
    settings
}

/// Serves connections until there are no more and the last has ended. When `closed` is, each ends
/// with what it is at.
pub(super) async fn serve<S>(
    connections: impl Stream<Item = io::Result<Connection<S>>>,
    port: ClientPort,
    closed: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let settings = settings();
    let tasks = TaskTracker::new();
    {
        let mut connections = pin!(connections);
        while let Some(connection) = connections.next().await {
            match connection {
                Ok(connection) => {
                    let serving =
                        serve_one(settings.clone(), connection, port.clone(), closed.clone());
                    tasks.spawn(serving);
                }
                Err(error) => tracing::debug!(%error, "a connection was not accepted"),
            }
        }
        // The listener goes here, so that who dials now hears it at once.
    }
    tasks.close();
    tasks.wait().await;
}

async fn serve_one<S>(
    settings: auto::Builder<TokioExecutor>,
    connection: Connection<S>,
    port: ClientPort,
    closed: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let port = port.for_caller(connection.connect_info());
    let mut serving = pin!(settings.serve_connection(TokioIo::new(connection), port));
    let ended = tokio::select! {
        // What is done is done, closed or not.
        biased;
        ended = &mut serving => ended,
        () = closed.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended before its time");
    }
}
