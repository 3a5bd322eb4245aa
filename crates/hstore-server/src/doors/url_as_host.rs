//! Clients that name a whole URL as the host of their requests: etcd's of 3.4 do, when one member is
//! asked for its status, its hash or a defragmentation. HTTP/2 as it is served here refuses that
//! before anybody else sees it, and Go's does not; so it is mended in front, in the bytes of the
//! connection.
//!
//! What comes before the first request of a connection, and its head, pass through a buffer. If its
//! `:authority` begins with a scheme, `://` becomes `x--`, which is as long, plain and in Huffman's
//! code: lengths stay, and so does what later requests refer to in the table that both sides keep (RFC
//! 7541). A connection has one host, so the first head is enough. No call looks at the host.
//!
//! Invariants: (1) bytes that are not exactly this pass as they are, and everything that is not understood
//! ends the looking; (2) nothing waits that HTTP/2 would not wait for, too: a frame that is not there
//! whole; (3) the buffer is bounded by the largest frame, and goes when the first head has passed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::incoming::GREETING;

/// The largest frame that a server of HTTP/2 takes unless it says otherwise.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 4 * 1024;
/// The head of a frame: three bytes of length, the kind, flags, the stream.
const FRAME_HEAD: usize = 9;

const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

/// The flags of a head: it is padded, and says how important it is.
const IS_PADDED: u8 = 0x08;
const HAS_PRIORITY: u8 = 0x20;

/// The place of `:authority` in the table that everybody has.
const AUTHORITY: usize = 1;

/// A connection whose first request may name its host in this way.
#[derive(Debug)]
pub(super) struct Mended<S> {
    stream: S,
    /// Until the first head has passed.
    first: Option<Box<First>>,
}

impl<S> Mended<S> {
    pub(super) fn new(stream: S) -> Mended<S> {
        Mended {
            stream,
            first: Some(Box::default()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Mended { stream, first } = &mut *self;
        while let Some(waiting) = first {
            if waiting.tell(buffer) {
                return Poll::Ready(Ok(()));
            }
            if waiting.is_over {
                break;
            }
            let mut room = [0; READ_BYTES];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
            if room.filled().is_empty() {
                // The other end has no more to say.
                waiting.give_up();
                if waiting.bytes.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
            waiting.hear(room.filled());
        }
        *first = None;
        Pin::new(stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
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

/// What was heard and not told yet.
#[derive(Debug, Default)]
struct First {
    bytes: BytesMut,
    /// How much of it has passed; the rest is a frame that is not whole.
    passed: usize,
    /// Whether the greeting has passed.
    is_greeted: bool,
    /// Whether there is nothing left to look for.
    is_over: bool,
}

impl First {
    /// Tells what may be told; whether it was anything.
    fn tell(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let length = self.passed.min(buffer.remaining());
        buffer.put_slice(&self.bytes[..length]);
        self.bytes.advance(length);
        self.passed -= length;
        length > 0
    }

    fn give_up(&mut self) {
        self.passed = self.bytes.len();
        self.is_over = true;
    }

    /// Hears more, and looks how far it may pass.
    fn hear(&mut self, said: &[u8]) {
        self.bytes.extend_from_slice(said);
        if !self.is_over && self.look().is_none() {
            self.give_up();
        }
    }

    /// Passes whole frames, and mends the first head; none when there is nothing left to look for.
    fn look(&mut self) -> Option<()> {
        if !self.is_greeted {
            let length = self.bytes.len().min(GREETING.len());
            if self.bytes[..length] != GREETING[..length] {
                return None;
            }
            if length < GREETING.len() {
                return Some(());
            }
            self.is_greeted = true;
            self.passed = length;
        }
        loop {
            let frame = &mut self.bytes[self.passed..];
            let Some((head, payload)) = frame.split_first_chunk_mut::<FRAME_HEAD>() else {
                return Some(());
            };
            let length =
                (usize::from(head[0]) << 16) | (usize::from(head[1]) << 8) | usize::from(head[2]);
            let is_known = matches!(
                head[3],
                HEADERS | PRIORITY | SETTINGS | PING | WINDOW_UPDATE
            );
            if !is_known || length > FRAME_BYTES_MAX {
                return None;
            }
            let Some(payload) = payload.get_mut(..length) else {
                return Some(());
            };
            if head[3] == HEADERS {
                mend(head[4], payload);
                return None;
            }
            self.passed += FRAME_HEAD + length;
        }
    }
}

/// Mends the host in the first part of a head, if it is there and begins with a scheme.
fn mend(flags: u8, payload: &mut [u8]) -> Option<()> {
    let mut begin = 0;
    let mut end = payload.len();
    if flags & IS_PADDED != 0 {
        end = end.checked_sub(usize::from(*payload.first()?))?;
        begin += 1;
    }
    if flags & HAS_PRIORITY != 0 {
        begin += 5;
    }
    let mut fields = Fields {
        bytes: payload.get_mut(begin..end)?,
        at: 0,
    };
    loop {
        match fields.next()? {
            Field::End => return None,
            Field::Literal { name, coded, value } if name == AUTHORITY => {
                let value = &mut fields.bytes[value];
                return if coded {
                    mend_coded(value)
                } else {
                    mend_plain(value)
                };
            }
            Field::Literal { .. } | Field::Other => {}
        }
    }
}

/// The fields of a head, as RFC 7541 writes them.
struct Fields<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

/// One of them.
enum Field {
    /// There is none.
    End,
    /// It stands in a table, or is not about a field.
    Other,
    /// Its value is written out; 0 is a name that is, too.
    Literal {
        name: usize,
        coded: bool,
        value: std::ops::Range<usize>,
    },
}

impl Fields<'_> {
    /// The next field; none when it cannot be read.
    fn next(&mut self) -> Option<Field> {
        let Some(first) = self.bytes.get(self.at).copied() else {
            return Some(Field::End);
        };
        // What the highest bits say, and how many are left for the number.
        let (is_literal, bits) = match first {
            0x80.. => (false, 7),
            0x40..0x80 => (true, 6),
            0x20..0x40 => (false, 5),
            _ => (true, 4),
        };
        let name = self.number(bits)?;
        if !is_literal {
            return Some(Field::Other);
        }
        if name == 0 {
            self.string()?;
        }
        let (coded, value) = self.string()?;
        Some(Field::Literal { name, coded, value })
    }

    /// A number whose first bits stand in the lowest ones of a byte. Large ones are none of ours.
    fn number(&mut self, bits: u32) -> Option<usize> {
        let most = (1 << bits) - 1;
        let low = usize::from(*self.bytes.get(self.at)?) & most;
        self.at += 1;
        if low < most {
            return Some(low);
        }
        let mut number = most;
        for shift in [0, 7, 14] {
            let byte = usize::from(*self.bytes.get(self.at)?);
            self.at += 1;
            number += (byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Whether a text is in Huffman's code, and where it stands.
    fn string(&mut self) -> Option<(bool, std::ops::Range<usize>)> {
        let coded = *self.bytes.get(self.at)? >= 0x80;
        let length = self.number(7)?;
        let begin = self.at;
        self.at = begin.checked_add(length)?;
        (self.at <= self.bytes.len()).then_some((coded, begin..self.at))
    }
}

fn mend_plain(value: &mut [u8]) -> Option<()> {
    for scheme in [&b"http"[..], b"https"] {
        let rest = value.strip_prefix(scheme);
        if rest.is_some_and(|rest| rest.starts_with(b"://")) {
            value[scheme.len()..scheme.len() + 3].copy_from_slice(b"x--");
            return Some(());
        }
    }
    None
}

/// A letter in Huffman's code (RFC 7541, appendix B): its bits, and how many.
type Letter = (u64, u32);
const H: Letter = (0b10_0111, 6);
const T: Letter = (0b0_1001, 5);
const P: Letter = (0b10_1011, 6);
const S: Letter = (0b0_1000, 5);
const COLON: Letter = (0b101_1100, 7);
const SLASH: Letter = (0b01_1000, 6);
const X: Letter = (0b111_1001, 7);
const DASH: Letter = (0b01_0110, 6);

/// Letters as the highest bits of a number, and how many bits they are.
const fn coded(letters: &[Letter]) -> (u64, u32) {
    let (mut bits, mut length, mut at) = (0, 0, 0);
    while at < letters.len() {
        length += letters[at].1;
        bits |= letters[at].0 << (u64::BITS - length);
        at += 1;
    }
    (bits, length)
}

fn mend_coded(value: &mut [u8]) -> Option<()> {
    const SCHEMES: [[(u64, u32); 2]; 2] = [
        [
            coded(&[H, T, T, P, COLON, SLASH, SLASH]),
            coded(&[H, T, T, P, X, DASH, DASH]),
        ],
        [
            coded(&[H, T, T, P, S, COLON, SLASH, SLASH]),
            coded(&[H, T, T, P, S, X, DASH, DASH]),
        ],
    ];
    let length = value.len().min(8);
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(&value[..length]);
    let bits = u64::from_be_bytes(bytes);
    for [(from, size), (to, _)] in SCHEMES {
        let is_there = (bits ^ from) >> (u64::BITS - size) == 0;
        if is_there && length * 8 >= size as usize {
            let mended = (bits ^ from ^ to).to_be_bytes();
            value[..length].copy_from_slice(&mended[..length]);
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Text in Huffman's code, of the letters that addresses have.
    fn huffman(text: &str) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for letter in text.bytes() {
            let (code, length) = match letter {
                b'0'..=b'2' => (u64::from(letter - b'0'), 5),
                b'3'..=b'9' => (0b01_1001 + u64::from(letter - b'3'), 6),
                b'.' => (0b01_0111, 6),
                b'h' => H,
                b't' => T,
                b'p' => P,
                b's' => S,
                b':' => COLON,
                b'/' => SLASH,
                b'x' => X,
                b'-' => DASH,
                other => panic!("{other} is not in the table of the test"),
            };
            bits.extend((0..length).rev().map(|at| (code >> at) & 1 == 1));
        }
        // The end is filled with ones.
        bits.chunks(8)
            .map(|bits| {
                (0..8).fold(0, |byte, at| {
                    (byte << 1) | u8::from(*bits.get(at).unwrap_or(&true))
                })
            })
            .collect()
    }

    fn string(coded: bool, text: &str) -> Vec<u8> {
        let bytes = if coded {
            huffman(text)
        } else {
            text.as_bytes().to_vec()
        };
        let mut string = vec![bytes.len() as u8 | (u8::from(coded) << 7)];
        string.extend(bytes);
        string
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    /// The head of a request to this host as Go's gRPC sends it: method and scheme of the table, path
    /// and host to be remembered, more behind.
    fn block(coded: bool, host: &str) -> Vec<u8> {
        let mut block = vec![0x83, 0x86, 0x45];
        block.extend(string(false, "/etcdserverpb.Maintenance/Status"));
        block.push(0x41);
        block.extend(string(coded, host));
        block.extend([0x5f]);
        block.extend(string(false, "application/grpc"));
        block.push(0x40);
        block.extend(string(false, "te"));
        block.extend(string(false, "trailers"));
        block
    }

    /// A connection with settings, a window, a head and something behind it.
    fn connection(flags: u8, head: &[u8]) -> Vec<u8> {
        let mut bytes = GREETING.to_vec();
        bytes.extend(frame(SETTINGS, 0, &[0; 6]));
        bytes.extend(frame(WINDOW_UPDATE, 0, &[0, 1, 0, 0]));
        bytes.extend(frame(HEADERS, flags, head));
        bytes.extend(frame(0, 1, b"http://x"));
        bytes
    }

    /// A connection that says something in pieces.
    struct Pieces<'a>(std::slice::Chunks<'a, u8>);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            buffer.put_slice(self.0.next().unwrap_or_default());
            Poll::Ready(Ok(()))
        }
    }

    /// What comes through, said in pieces of this size.
    async fn through(said: &[u8], piece: usize) -> Vec<u8> {
        let mut stream = Mended::new(Pieces(said.chunks(piece)));
        let mut heard = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            let length = stream.read(&mut bytes).await.unwrap();
            if length == 0 {
                break;
            }
            heard.extend_from_slice(&bytes[..length]);
        }
        heard
    }

    #[tokio::test]
    async fn a_url_becomes_a_host_as_long_however_it_is_written_and_cut() {
        for (url, host) in [
            ("http://127.0.0.1:2379", "httpx--127.0.0.1:2379"),
            ("https://127.0.0.1:2379", "httpsx--127.0.0.1:2379"),
        ] {
            for coded in [false, true] {
                let padded = |host| {
                    let head = [&[3, 0, 0, 0, 0, 9][..], &block(coded, host), &[0; 3]].concat();
                    connection(IS_PADDED | HAS_PRIORITY | 4, &head)
                };
                let plain = |host| connection(4, &block(coded, host));
                for piece in [1, 7, 24, 4096] {
                    assert_eq!(
                        through(&plain(url), piece).await,
                        plain(host),
                        "{url} {coded}"
                    );
                    assert_eq!(
                        through(&padded(url), piece).await,
                        padded(host),
                        "{url} {coded}"
                    );
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_url_and_what_cannot_be_read_passes_as_it_is() {
        let mut second = connection(4, &block(true, "127.0.0.1:2379"));
        second.extend(frame(HEADERS, 4, &block(true, "http://127.0.0.1:2379")));
        let mut long = GREETING.to_vec();
        long.extend([0xff, 0xff, 0xff, HEADERS, 4, 0, 0, 0, 1]);
        long.extend(block(false, "http://127.0.0.1:2379"));
        for said in [
            b"GET / HTTP/1.1\r\nhost: http://x\r\n\r\n".to_vec(),
            GREETING[..9].to_vec(),
            Vec::new(),
            connection(4, &block(true, "http:2379")),
            connection(4, &block(false, "http:/")),
            connection(4, &block(true, "http:/")),
            connection(4, &block(true, "127.0.0.1:2379")),
            // It is padded by more than it has, its text is longer than it, its number has no end.
            connection(IS_PADDED, &[200, 0x41, 7]),
            connection(4, &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff]),
            connection(4, &[0x41, 9, b'h']),
            second,
            long,
        ] {
            for piece in [1, 4096] {
                assert_eq!(through(&said, piece).await, said);
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_as_much_comes_through(
            said in proptest::collection::vec(any::<u8>(), 0..200),
            flags in any::<u8>(),
            piece in 1_usize..64,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let said = connection(flags, &said);
            let heard = runtime.block_on(through(&said, piece));
            prop_assert_eq!(heard.len(), said.len());
        }
    }
}
