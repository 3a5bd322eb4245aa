//! The pages, asked for over a real socket by what speaks no more HTTP than it needs to.

mod access;
mod framing;
mod hardening;
mod hostile;
mod pages;

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::grpc::tests::LONG;

/// An answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: String,
}

impl Told {
    pub(super) fn parse(bytes: &[u8]) -> Told {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::try_from(value).ok()?))
        });
        Told {
            status: status.unwrap_or(0),
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.keys().map(HeaderName::as_str)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// Says something over a connection of its own and hears everything until its end.
pub(super) async fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Who is refused may not be listened to until the end.
    let _refused = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    // Who is shown out before everything was read hears of a reset, after the answer.
    let _reset = timeout(LONG, stream.read_to_end(&mut heard)).await.unwrap();
    heard
}

/// Sends a request with a body, to which the answer is not in chunks.
pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    head: &[&str],
    body: &[u8],
) -> Told {
    Told::parse(&send_raw(address, method, path, head, body).await)
}

/// The same, with all bytes of the answer.
pub(super) async fn send_raw(
    address: SocketAddr,
    method: &str,
    path: &str,
    head: &[&str],
    body: &[u8],
) -> Vec<u8> {
    let mut text = format!(
        "{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n",
        body.len()
    );
    for line in head {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    say(address, &bytes).await
}

/// Asks for a page.
pub(super) async fn ask(address: SocketAddr, method: &str, path: &str, head: &[&str]) -> Told {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for line in head {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    Told::parse(&say(address, text.as_bytes()).await)
}

pub(super) async fn get(address: SocketAddr, path: &str) -> Told {
    ask(address, "GET", path, &[]).await
}
