//! The connections of the client port: HTTP/2 and HTTP/1, told apart by what they say first.
//!
//! Invariants: (1) what a connection may have on its way is bounded, and so is how long it may keep
//! the node waiting: for the head of a request, for an answer to a ping, for room to write; (2) the
//! port is done when its last connection has ended; (3) a connection that has to leave, because it is at
//! nothing and others wait, leaves at once.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::Connected as _;

use super::incoming::Connection;
use super::owed::{Owed, Owing};
use super::seats::Seat;
use super::url_as_host::Mended;
use super::{Arriving, HEAD_BYTES_MAX, http2};
use crate::web::ClientPort;

/// How long a connection of HTTP/1 has for the head of its next request, from the end of the answer
/// before: so long it may be idle, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves connections until there are no more and the last has ended. When `closed` is, each ends
/// with what it is at.
pub(super) async fn serve<S>(
    connections: impl Stream<Item = io::Result<Connection<S>>>,
    port: ClientPort,
    closed: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let tasks = TaskTracker::new();
    let owed = Arc::new(Owed::default());
    {
        let mut connections = pin!(connections);
        while let Some(connection) = connections.next().await {
            match connection {
                Ok(connection) => {
                    let port = port.for_caller(connection.connect_info());
                    let owed = Arc::clone(&owed);
                    let serving = serve_one(connection, port, owed, tasks.clone(), closed.clone());
                    tasks.spawn(async move {
                        if let Err(error) = serving.await {
                            tracing::debug!(error, "a connection ended before its time");
                        }
                    });
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
    mut connection: Connection<S>,
    port: ClientPort,
    owed: Arc<Owed>,
    tasks: TaskTracker,
    closed: CancellationToken,
) -> Result<(), Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let seat = connection.seat();
    let leave = seat.leave();
    let is_http2 = tokio::select! {
        // Who has said nothing yet is at nothing.
        biased;
        () = closed.cancelled() => return Ok(()),
        () = leave.cancelled() => return Ok(()),
        is_http2 = connection.greet() => is_http2?,
    };
    if is_http2 {
        let caller = http2::Caller { port, seat, owed };
        http2::serve(Mended::new(connection), caller, tasks, closed).await?;
    } else {
        let port = Seated { port, seat, owed };
        tokio::select! {
            biased;
            served = serve_http1(connection, port, closed) => served?,
            () = leave.cancelled() => {}
        }
    }
    Ok(())
}

/// The port for a connection of HTTP/1, whose seat knows of its calls.
struct Seated {
    port: ClientPort,
    seat: Arc<Seat>,
    owed: Arc<Owed>,
}

impl Service<Request<Incoming>> for Seated {
    type Response = Response<Owing>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Owing>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let work = self.seat.work();
        let answer = self.port.answer(request.map(Arriving::Http1));
        let owed = Arc::clone(&self.owed);
        async move {
            let answer = answer.await?;
            Ok(answer.map(|told| Owing::new(told.at_work(work), owed)))
        }
        .boxed()
    }
}

async fn serve_http1<S>(
    connection: Connection<S>,
    port: Seated,
    closed: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Everything that bounds is said here, whatever the library's own settings are.
    let mut settings = http1::Builder::new();
    settings
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .half_close(false)
        .keep_alive(true);
    let mut serving = pin!(settings.serve_connection(TokioIo::new(connection), port));
    tokio::select! {
        // What is done is done, closed or not.
        biased;
        ended = &mut serving => ended,
        () = closed.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}
