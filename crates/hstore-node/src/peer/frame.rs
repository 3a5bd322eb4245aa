//! The frames of a control connection: a question with a number, an answer with the same number.
//!
//! Invariants: (1) answers come in any order; (2) a frame that is not understood ends the
//! connection, never the node.

use bytes::{BufMut, Bytes, BytesMut};
use hstore_core::error::ErrorCode;
use prost::Message;

use crate::env::FRAME_BYTES_MAX;

/// The version byte that every frame of the peer protocol begins with.
const FRAME_VERSION: u8 = 1;

/// A message as one frame.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(1 + message.encoded_len());
    bytes.put_u8(FRAME_VERSION);
    message
        .encode(&mut bytes)
        .expect("a growing buffer has room for every message");
    bytes.freeze()
}

/// The message in a frame; none when it is not understood.
pub(crate) fn decode<M: Message + Default>(frame: &Bytes) -> Option<M> {
    if frame.len() > FRAME_BYTES_MAX || frame.first() != Some(&FRAME_VERSION) {
        return None;
    }
    M::decode(frame.slice(1..)).ok()
}

/// The next message of a connection; none when it ended or said something not understood.
pub(crate) async fn read_frame<M: Message + Default>(
    rx: &mut tokio::sync::mpsc::Receiver<Bytes>,
) -> Option<M> {
    let frame = rx.recv().await?;
    let message = decode(&frame);
    if message.is_none() {
        tracing::warn!("a peer sent a frame that is not understood; the connection ends");
    }
    message
}

/// A question of a peer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Question {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) body: Bytes,
}

/// The answer to a question.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) body: Bytes,
    /// The code of a refusal; empty when there is none.
    #[prost(string, tag = "3")]
    pub(crate) refused: String,
    /// What the refusal says to a person.
    #[prost(string, tag = "4")]
    pub(crate) reason: String,
}

/// A peer's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: ErrorCode,
    pub(crate) reason: String,
}

impl Answer {
    pub(crate) fn new(id: u64, result: Result<Bytes, Refused>) -> Answer {
        match result {
            Ok(body) => Answer {
                id,
                body,
                ..Answer::default()
            },
            Err(refused) => Answer {
                id,
                refused: refused.code.as_str().to_owned(),
                reason: refused.reason,
                ..Answer::default()
            },
        }
    }

    pub(crate) fn into_result(self) -> Result<Bytes, Refused> {
        if self.refused.is_empty() {
            return Ok(self.body);
        }
        Err(Refused {
            code: code_of(&self.refused),
            reason: self.reason,
        })
    }
}

/// The code with this name; a name that only a newer version knows is an internal failure here.
pub(crate) fn code_of(name: &str) -> ErrorCode {
    ErrorCode::ALL
        .iter()
        .copied()
        .find(|code| code.as_str() == name)
        .unwrap_or(ErrorCode::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_nonsense_does_not() {
        let question = Question {
            id: 7,
            kind: 2,
            body: Bytes::from_static(b"x"),
        };
        let frame = encode(&question);
        assert_eq!(&frame[..], &[1, 8, 7, 16, 2, 26, 1, 120]);
        assert_eq!(decode::<Question>(&frame), Some(question));
        assert_eq!(decode::<Question>(&Bytes::new()), None);
        assert_eq!(decode::<Question>(&Bytes::from_static(&[2, 8, 7])), None);
        assert_eq!(decode::<Question>(&Bytes::from_static(&[1, 255])), None);
    }

    #[test]
    fn an_answer_is_a_body_or_a_refusal() {
        let refused = Refused {
            code: ErrorCode::NoQuorum,
            reason: "nobody".to_owned(),
        };
        assert_eq!(
            Answer::new(1, Err(refused.clone())).into_result(),
            Err(refused)
        );
        let body = Bytes::from_static(b"y");
        assert_eq!(Answer::new(1, Ok(body.clone())).into_result(), Ok(body));
    }
}
