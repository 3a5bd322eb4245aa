//! The wire of the load generator: as much of HTTP/2 and gRPC as a client needs to ask, and no
//! more, so that the generator takes little of the cores that it shares with the servers.
//!
//! What it must never know: what is asked, and who answers. Invariants: (1) the windows of both
//! sides are kept, as in RFC 9113, section 5.2; (2) an answer counts when its message and its end
//! are there: a server of gRPC sends no message with a refusal; (3) what a server sends that is no
//! HTTP/2 ends the connection with an error.

mod head;
mod receive;
mod send;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::head::Heads;
use self::receive::Incoming;
use self::send::Outgoing;

/// The head of a frame: its length, kind, flags and stream.
const FRAME_HEAD_BYTES: usize = 9;

/// What is before a message: whether it is compressed, and its length.
const MESSAGE_HEAD_BYTES: usize = 5;

/// How much is read at a time.
const READ_BYTES: usize = 64 << 10;

/// Names a call of a connection.
pub(super) type StreamId = u32;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A whole message of a call.
    Message(StreamId, Bytes),
    /// A call has ended.
    Ended(StreamId),
}

/// A connection to a server.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    heads: Heads,
    outgoing: Outgoing,
    incoming: Incoming,
}

impl Connection {
    /// Connects, and greets.
    pub(super) async fn open(address: &str) -> Result<Connection> {
        let to: SocketAddr = address.parse().context("an address is an IP and a port")?;
        let stream = TcpStream::connect(to)
            .await
            .with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: BytesMut::with_capacity(READ_BYTES),
            heads: Heads::new(address),
            outgoing: Outgoing::greeting(),
            incoming: Incoming::default(),
        })
    }

    /// Begins a call with one message; `last` says that no other follows.
    pub(super) fn call(&mut self, path: &'static str, message: &[u8], last: bool) -> StreamId {
        let id = self.outgoing.begin(&self.heads.encode(path));
        self.send(id, message, last);
        id
    }

    /// Sends a message of a call.
    pub(super) fn send(&mut self, id: StreamId, message: &[u8], last: bool) {
        self.outgoing.message(id, message, last);
    }

    /// Writes what is to be sent.
    pub(super) async fn flush(&mut self) -> Result<()> {
        let bytes = self.outgoing.ready();
        if !bytes.is_empty() {
            self.stream.write_all(bytes).await?;
            bytes.clear();
        }
        Ok(())
    }

    /// Waits for bytes and appends what they say to `events`.
    ///
    /// Cancel safe: what was read is kept.
    pub(super) async fn receive(&mut self, events: &mut Vec<Event>) -> Result<()> {
        self.buffer.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        while let Some(frame) = Frame::split(&mut self.buffer) {
            self.incoming.take(frame, &mut self.outgoing, events)?;
        }
        Ok(())
    }
}

/// A frame.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: StreamId,
    payload: Bytes,
}

impl Frame {
    /// Takes the first frame, if it is there as a whole.
    fn split(buffer: &mut BytesMut) -> Option<Frame> {
        let head = buffer.get(..FRAME_HEAD_BYTES)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        if buffer.len() < FRAME_HEAD_BYTES + length {
            return None;
        }
        buffer.advance(FRAME_HEAD_BYTES);
        Some(Frame {
            kind,
            flags,
            stream,
            payload: buffer.split_to(length).freeze(),
        })
    }
}

/// The kinds of frames (RFC 9113, section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Their flags.
mod flag {
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const ACK: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;
    pub(super) const PADDED: u8 = 0x8;
}
