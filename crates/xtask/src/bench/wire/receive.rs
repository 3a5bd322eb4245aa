//! What comes in: frames become messages and ends of calls.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};

use super::send::{INITIAL_WINDOW_SIZE, Outgoing, WINDOW_BYTES_MAX};
use super::{Event, Frame, MESSAGE_HEAD_BYTES, StreamId, flag, kind};

/// After how many bytes the server is given more room.
const GIVE_BYTES: u32 = WINDOW_BYTES_MAX / 4;

/// What came in on a connection so far.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The beginnings of messages that are not whole, and of streams how much came.
    begun: BTreeMap<StreamId, BytesMut>,
    /// How much of each long stream came that the server was not given back; stream 0 is the
    /// connection.
    taken: BTreeMap<StreamId, u32>,
}

impl Incoming {
    /// Takes a frame.
    pub(super) fn take(
        &mut self,
        frame: Frame,
        outgoing: &mut Outgoing,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        let id = frame.stream;
        let ends = frame.flags & flag::END_STREAM != 0;
        match frame.kind {
            kind::DATA => {
                self.give_back(id, frame.payload.len() as u32, outgoing);
                let data = without_padding(frame)?;
                self.messages(id, data, events);
                if ends {
                    self.end(id, outgoing, events);
                }
            }
            kind::HEADERS if ends => self.end(id, outgoing, events),
            kind::RST_STREAM => self.end(id, outgoing, events),
            kind::SETTINGS if frame.flags & flag::ACK == 0 => {
                let mut settings = frame.payload;
                while settings.remaining() >= 6 {
                    let (setting, value) = (settings.get_u16(), settings.get_u32());
                    if setting == INITIAL_WINDOW_SIZE {
                        outgoing.set_stream_window(value);
                    }
                }
                outgoing.agree();
            }
            kind::PING if frame.flags & flag::ACK == 0 => outgoing.pong(&frame.payload),
            kind::WINDOW_UPDATE => {
                let mut payload = frame.payload;
                ensure!(payload.len() == 4, "a window update has four bytes");
                outgoing.widen(id, payload.get_u32() & WINDOW_BYTES_MAX);
            }
            kind::GOAWAY => bail!("the server ends the connection"),
            kind::PUSH_PROMISE => bail!("the server pushes what it was told not to"),
            kind::HEADERS | kind::CONTINUATION | kind::SETTINGS | kind::PING => {}
            // Kinds that are not known are passed over (RFC 9113, section 4.1).
            _other => {}
        }
        Ok(())
    }

    fn end(&mut self, id: StreamId, outgoing: &mut Outgoing, events: &mut Vec<Event>) {
        self.begun.remove(&id);
        self.taken.remove(&id);
        outgoing.forget(id);
        events.push(Event::Ended(id));
    }

    fn give_back(&mut self, id: StreamId, bytes: u32, outgoing: &mut Outgoing) {
        for id in [0, id] {
            let taken = self.taken.entry(id).or_default();
            *taken += bytes;
            if *taken >= GIVE_BYTES {
                outgoing.give(id, *taken);
                *taken = 0;
            }
        }
    }

    fn messages(&mut self, id: StreamId, data: Bytes, events: &mut Vec<Event>) {
        let mut data = match self.begun.remove(&id) {
            None => data,
            Some(mut begun) => {
                begun.extend_from_slice(&data);
                begun.freeze()
            }
        };
        while let Some(message) = split(&mut data) {
            events.push(Event::Message(id, message));
        }
        if !data.is_empty() {
            self.begun.insert(id, BytesMut::from(data));
        }
    }
}

/// The first message, if it is there as a whole.
fn split(data: &mut Bytes) -> Option<Bytes> {
    let head = data.get(..MESSAGE_HEAD_BYTES)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if data.len() < MESSAGE_HEAD_BYTES + length {
        return None;
    }
    data.advance(MESSAGE_HEAD_BYTES);
    Some(data.split_to(length))
}

fn without_padding(frame: Frame) -> Result<Bytes> {
    let mut data = frame.payload;
    if frame.flags & flag::PADDED != 0 {
        ensure!(!data.is_empty(), "padding has a length");
        let padding = usize::from(data.get_u8());
        let rest = data.len().checked_sub(padding);
        data.truncate(rest.context("padding is no longer than its frame")?);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: StreamId, flags: u8, payload: &'static [u8]) -> Frame {
        Frame {
            kind: kind::DATA,
            flags,
            stream,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn messages_are_whole_however_their_frames_are_cut() {
        let mut outgoing = Outgoing::greeting();
        let mut incoming = Incoming::default();
        let mut events = Vec::new();
        for frame in [
            data(1, 0, &[0, 0, 0, 0, 2, b'a']),
            data(3, 0, &[0, 0]),
            data(1, 0, &[b'b', 0, 0, 0, 0, 0, 0]),
            data(3, flag::PADDED, &[2, 0, 0, 1, b'c', 9, 9]),
            data(1, flag::END_STREAM, &[0, 0, 0, 1, b'd']),
        ] {
            incoming.take(frame, &mut outgoing, &mut events).unwrap();
        }
        assert_eq!(
            events,
            [
                Event::Message(1, Bytes::from_static(b"ab")),
                Event::Message(1, Bytes::new()),
                Event::Message(3, Bytes::from_static(b"c")),
                Event::Message(1, Bytes::from_static(b"d")),
                Event::Ended(1),
            ]
        );
    }

    #[test]
    fn a_refusal_is_an_end_without_a_message() {
        let mut outgoing = Outgoing::greeting();
        let mut incoming = Incoming::default();
        let mut events = Vec::new();
        let trailers = Frame {
            kind: kind::HEADERS,
            flags: flag::END_STREAM | flag::END_HEADERS,
            stream: 5,
            payload: Bytes::new(),
        };
        incoming.take(trailers, &mut outgoing, &mut events).unwrap();
        assert_eq!(events, [Event::Ended(5)]);
        let away = Frame {
            kind: kind::GOAWAY,
            flags: 0,
            stream: 0,
            payload: Bytes::new(),
        };
        incoming.take(away, &mut outgoing, &mut events).unwrap_err();
    }
}
