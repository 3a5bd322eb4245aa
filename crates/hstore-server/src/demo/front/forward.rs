//! Handing a request on to a node that lives: the one that leads, or another one that answers.
//!
//! Invariants: (1) headers that are about one connection stay on it; (2) a node sees its own name as
//! the host, and a page of the demo as a page of its own; what comes from elsewhere it sees as such.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hstore_core::error::ErrorCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;

use crate::demo::seat::Life;
use crate::demo::stage::Stage;
use crate::demo::view::View;
use crate::web::Problem;

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a node may take to begin its answer.
const BEGIN: Duration = Duration::from_secs(30);

/// Headers that are about one connection.
const HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Asks a node; the answer as it comes.
pub(super) async fn forward(
    stage: &Stage,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let nodes = in_order(&stage.view().borrow());
    let mut stream = None;
    for number in nodes {
        let Some(address) = stage.listens(number) else {
            continue;
        };
        if let Ok(Ok(open)) = timeout(CONNECT, TcpStream::connect(address)).await {
            stream = Some((open, address));
            break;
        }
    }
    let Some((stream, address)) = stream else {
        let what = "no node of the demo lives";
        return Err(Problem::new(ErrorCode::Unreachable, what));
    };
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    *request.version_mut() = Version::HTTP_11;
    rename(request.headers_mut(), address);
    let failed = |error: hyper::Error| {
        let what = format!("the node at {address} ended the answer: {error}");
        Problem::new(ErrorCode::Unreachable, what)
    };
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(failed)?;
    let mut connection: Option<Connection> = Some(Box::pin(connection));
    let answered = {
        let mut asked = pin!(timeout(BEGIN, sender.send_request(request)));
        loop {
            let Some(carries) = &mut connection else {
                break asked.await;
            };
            tokio::select! {
                biased;
                answered = &mut asked => break answered,
                // The answer came before, or why there is none.
                _ended = carries => connection = None,
            }
        }
    };
    let Ok(answered) = answered else {
        let what = format!("the node at {address} did not answer in time");
        return Err(Problem::new(ErrorCode::Timeout, what));
    };
    let (mut head, body) = answered.map_err(failed)?.into_parts();
    for name in HOP {
        head.headers.remove(name);
    }
    // The connection is carried by the body that comes over it.
    let body = Carried {
        body,
        connection,
        _sender: sender,
    };
    Ok(Response::from_parts(head, Body::new(body)))
}

/// The leader, then those that answer, then those that may.
fn in_order(view: &View) -> Vec<u8> {
    let leader = view.leader();
    let mut nodes: Vec<_> = view.nodes.iter().collect();
    nodes.retain(|node| node.life == Life::Running);
    nodes.sort_by_key(|node| (Some(node.number) != leader, node.says.is_none()));
    nodes.into_iter().map(|node| node.number).collect()
}

/// Makes the demo's names the node's.
fn rename(headers: &mut HeaderMap, node: SocketAddr) {
    let host = headers.get(header::HOST).cloned();
    let origin = headers.get(header::ORIGIN).cloned();
    for name in HOP {
        headers.remove(name);
    }
    let is_ours = host.zip(origin).is_some_and(|(host, origin)| {
        let host = host.to_str().unwrap_or_default();
        let origin = origin.to_str().unwrap_or_default();
        let site = origin.strip_prefix("http://");
        site.is_some_and(|site| site.eq_ignore_ascii_case(host))
    });
    let value = |text: String| HeaderValue::from_str(&text).ok();
    if let Some(host) = value(node.to_string()) {
        headers.insert(header::HOST, host);
    }
    if is_ours && let Some(origin) = value(format!("http://{node}")) {
        headers.insert(header::ORIGIN, origin);
    }
}

type Connection =
    std::pin::Pin<Box<hyper::client::conn::http1::Connection<TokioIo<TcpStream>, Incoming>>>;

/// A body and the connection that it comes over.
struct Carried {
    body: Incoming,
    /// Until it has ended.
    connection: Option<Connection>,
    _sender: hyper::client::conn::http1::SendRequest<Incoming>,
}

impl hyper::body::Body for Carried {
    type Data = hyper::body::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        if let Some(connection) = &mut self.connection
            && connection.as_mut().poll(context).is_ready()
        {
            self.connection = None;
        }
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_demo_is_a_page_of_the_node_and_another_one_is_not() {
        let node: SocketAddr = "127.0.0.3:4000".parse().unwrap();
        for (origin, seen) in [
            ("http://127.0.0.1:8000", "http://127.0.0.3:4000"),
            ("http://evil.example", "http://evil.example"),
            ("http://127.0.0.1:8001", "http://127.0.0.1:8001"),
            ("null", "null"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [
                (header::HOST, "127.0.0.1:8000"),
                (header::ORIGIN, origin),
                (header::CONNECTION, "keep-alive"),
                (header::ACCEPT, "text/html"),
            ] {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            rename(&mut headers, node);
            assert_eq!(headers[header::HOST], "127.0.0.3:4000");
            assert_eq!(headers[header::ORIGIN], seen);
            assert_eq!(headers[header::ACCEPT], "text/html");
            assert!(!headers.contains_key(header::CONNECTION));
        }
    }
}
