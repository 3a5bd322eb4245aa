//! What goes out: frames, within the windows that the server gives.
//!
//! Invariants: (1) the head of a call is never held back; (2) the messages of one call keep their
//! order; (3) no more bytes of messages are on their way than the server has room for.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{MESSAGE_HEAD_BYTES, StreamId, flag, kind};

/// What a client of HTTP/2 says first.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The window that every stream and every connection has at first.
const WINDOW_BYTES: i64 = 65_535;

/// The largest payload of a frame, as long as a server does not say that it takes more.
const PAYLOAD_BYTES_MAX: usize = 16_384;

/// The largest window that there is.
pub(super) const WINDOW_BYTES_MAX: u32 = 0x7fff_ffff;

/// The numbers of settings (RFC 9113, section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;

/// What goes out on a connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: BytesMut,
    next: StreamId,
    /// How much the connection may carry.
    window: i64,
    /// How much a new stream may carry.
    stream_window: i64,
    /// The streams that the client has not ended.
    open: BTreeMap<StreamId, Open>,
    /// Those of them that wait for a window, oldest first.
    waiting: VecDeque<StreamId>,
}

/// A stream that goes on.
#[derive(Debug)]
struct Open {
    window: i64,
    left: BytesMut,
    /// Whether the stream ends with what is left.
    last: bool,
    waits: bool,
}

impl Outgoing {
    /// What is said first: the answers may be as large as they like, nothing is pushed, and the
    /// heads of answers need no table.
    pub(super) fn greeting() -> Outgoing {
        let mut outgoing = Outgoing {
            bytes: BytesMut::new(),
            next: 1,
            window: WINDOW_BYTES,
            stream_window: WINDOW_BYTES,
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
        };
        outgoing.bytes.put_slice(GREETING);
        outgoing.frame(kind::SETTINGS, 0, 0, 18);
        for (setting, value) in [
            (HEADER_TABLE_SIZE, 0),
            (ENABLE_PUSH, 0),
            (INITIAL_WINDOW_SIZE, WINDOW_BYTES_MAX),
        ] {
            outgoing.bytes.put_u16(setting);
            outgoing.bytes.put_u32(value);
        }
        outgoing.give(0, WINDOW_BYTES_MAX - WINDOW_BYTES as u32);
        outgoing
    }

    /// Begins a call with its head.
    pub(super) fn begin(&mut self, head: &Bytes) -> StreamId {
        let id = self.next;
        self.next += 2;
        self.frame(kind::HEADERS, flag::END_HEADERS, id, head.len());
        self.bytes.put_slice(head);
        let open = Open {
            window: self.stream_window,
            left: BytesMut::new(),
            last: false,
            waits: false,
        };
        self.open.insert(id, open);
        id
    }

    /// Sends a message of a call.
    pub(super) fn message(&mut self, id: StreamId, message: &[u8], last: bool) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        open.left.reserve(MESSAGE_HEAD_BYTES + message.len());
        open.left.put_u8(0);
        open.left.put_u32(message.len() as u32);
        open.left.put_slice(message);
        open.last = last;
        self.carry(id);
    }

    /// The call is over: what is left of it is not sent.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.open.remove(&id);
    }

    /// The server has room for more, on a stream or, with stream 0, on the connection.
    pub(super) fn widen(&mut self, id: StreamId, bytes: u32) {
        if id == 0 {
            self.window += i64::from(bytes);
            for id in std::mem::take(&mut self.waiting) {
                if let Some(open) = self.open.get_mut(&id) {
                    open.waits = false;
                    self.carry(id);
                }
            }
        } else if let Some(open) = self.open.get_mut(&id) {
            open.window += i64::from(bytes);
            self.carry(id);
        }
    }

    /// The server says how wide streams are at first, those that are there included.
    pub(super) fn set_stream_window(&mut self, bytes: u32) {
        let more = i64::from(bytes) - self.stream_window;
        self.stream_window += more;
        let ids: Vec<StreamId> = self.open.keys().copied().collect();
        for id in ids {
            if let Some(open) = self.open.get_mut(&id) {
                open.window += more;
            }
            self.carry(id);
        }
    }

    /// The client has room for more.
    pub(super) fn give(&mut self, id: StreamId, bytes: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, id, 4);
        self.bytes.put_u32(bytes);
    }

    /// Says that the server's settings are known.
    pub(super) fn agree(&mut self) {
        self.frame(kind::SETTINGS, flag::ACK, 0, 0);
    }

    /// Answers whether the client is there.
    pub(super) fn pong(&mut self, ping: &[u8]) {
        self.frame(kind::PING, flag::ACK, 0, ping.len());
        self.bytes.put_slice(ping);
    }

    /// What is ready to be written.
    pub(super) fn ready(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Sends as much of a stream as the windows allow.
    fn carry(&mut self, id: StreamId) {
        let Some(mut open) = self.open.remove(&id) else {
            return;
        };
        while !open.left.is_empty() {
            let room = self.window.min(open.window);
            let Ok(room @ 1..) = usize::try_from(room) else {
                break;
            };
            let length = open.left.len().min(room).min(PAYLOAD_BYTES_MAX);
            let ends = open.last && length == open.left.len();
            let flags = if ends { flag::END_STREAM } else { 0 };
            self.frame(kind::DATA, flags, id, length);
            self.bytes.put_slice(&open.left[..length]);
            open.left.advance(length);
            open.window -= length as i64;
            self.window -= length as i64;
        }
        if open.left.is_empty() && open.last {
            return;
        }
        if !open.left.is_empty() && self.window <= 0 && !open.waits {
            open.waits = true;
            self.waiting.push_back(id);
        }
        self.open.insert(id, open);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: StreamId, length: usize) {
        self.bytes.put_uint(length as u64, 3);
        self.bytes.put_u8(kind);
        self.bytes.put_u8(flags);
        self.bytes.put_u32(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FRAME_HEAD_BYTES, Frame};
    use super::*;

    fn frames(outgoing: &mut Outgoing) -> Vec<(u8, u8, StreamId, usize)> {
        let mut bytes = outgoing.ready().split();
        std::iter::from_fn(|| Frame::split(&mut bytes))
            .map(|frame| (frame.kind, frame.flags, frame.stream, frame.payload.len()))
            .collect()
    }

    fn greeted() -> Outgoing {
        let mut outgoing = Outgoing::greeting();
        let bytes = outgoing.ready().split();
        assert!(bytes.starts_with(GREETING));
        assert_eq!(
            bytes.len(),
            GREETING.len() + 2 * FRAME_HEAD_BYTES + 18 + 4,
            "settings, and a window"
        );
        outgoing
    }

    #[test]
    fn a_small_call_is_a_head_and_a_message() {
        let mut outgoing = greeted();
        let id = outgoing.begin(&Bytes::from_static(b"head"));
        outgoing.message(id, b"four", true);
        assert_eq!(
            frames(&mut outgoing),
            [
                (kind::HEADERS, flag::END_HEADERS, 1, 4),
                (kind::DATA, flag::END_STREAM, 1, 9),
            ]
        );
        assert!(outgoing.open.is_empty());
    }

    #[test]
    fn no_more_is_sent_than_the_windows_allow() {
        let mut outgoing = greeted();
        let one = outgoing.begin(&Bytes::new());
        outgoing.message(one, &vec![7; 100_000], true);
        let sent = |frames: Vec<(u8, u8, StreamId, usize)>| -> usize {
            let data = frames.into_iter().filter(|frame| frame.0 == kind::DATA);
            data.map(|frame| frame.3).sum()
        };
        assert_eq!(sent(frames(&mut outgoing)), 65_535);
        // The stream has room, the connection has none.
        outgoing.widen(one, 1_000_000);
        assert_eq!(sent(frames(&mut outgoing)), 0);
        let two = outgoing.begin(&Bytes::new());
        outgoing.message(two, b"waits", true);
        assert_eq!(sent(frames(&mut outgoing)), 0);
        outgoing.widen(0, 1_000_000);
        let frames = frames(&mut outgoing);
        assert_eq!(frames.iter().filter(|frame| frame.1 == 1).count(), 2);
        assert_eq!(sent(frames), 100_005 - 65_535 + 10);
        assert!(outgoing.open.is_empty());
    }

    #[test]
    fn a_smaller_first_window_holds_back_streams_that_are_there() {
        let mut outgoing = greeted();
        outgoing.set_stream_window(0);
        let id = outgoing.begin(&Bytes::new());
        outgoing.message(id, b"x", true);
        assert_eq!(frames(&mut outgoing).len(), 1);
        outgoing.set_stream_window(100);
        assert_eq!(frames(&mut outgoing), [(kind::DATA, 1, 1, 6)]);
    }
}
