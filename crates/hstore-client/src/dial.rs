//! How a connection to a node is made, for programs that do not go through the system's TCP.
//!
//! Nobody needs this to talk to a cluster: without a `Dial`, connections are made by tonic itself,
//! and nothing of this room is in their way. Invariant: whoever dials says by the kind of the error
//! whether anybody is there; `ConnectionRefused` means that the machine answered and nobody listens.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

/// Bytes in both directions, in order: what a connection of TCP gives.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Wire for T {}

/// Makes connections.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `host:port`. Whoever calls has a deadline, and lets go of the future when it
    /// passes.
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;
}

/// A `Dial` in the shape that tonic's `connect_with_connector` takes.
#[derive(Clone)]
pub struct Connector(Arc<dyn Dial>);

impl Connector {
    /// Connects as `dial` does.
    pub fn new(dial: Arc<dyn Dial>) -> Connector {
        Connector(dial)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Box<dyn Wire>>>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialed = match to.authority() {
            Some(authority) => self.0.dial(authority.as_str()),
            None => std::future::ready(Err(io::ErrorKind::InvalidInput.into())).boxed(),
        };
        dialed.map(|wire| wire.map(TokioIo::new)).boxed()
    }
}
