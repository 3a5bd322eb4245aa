//! The frame around every message: version byte, length, message, end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

use super::{DecodeError, VERSION};

/// Encodes a message in one allocation of the right size.
pub(crate) fn encode<M: Message>(message: &M) -> Bytes {
    let len = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(1 + encoded_len_varint(len as u64) + len);
    write(&mut buffer, message, len);
    buffer.freeze()
}

/// Encodes a message into a buffer, whose former content goes.
pub(crate) fn encode_into<M: Message>(buffer: &mut Vec<u8>, message: &M) {
    buffer.clear();
    let len = message.encoded_len();
    buffer.reserve(1 + encoded_len_varint(len as u64) + len);
    write(buffer, message, len);
}

fn write<M: Message>(buffer: &mut impl BufMut, message: &M, len: usize) {
    buffer.put_u8(VERSION);
    encode_varint(len as u64, buffer);
    message.encode_raw(buffer);
}

/// Decodes a message that fills `bytes` to the end.
pub(crate) fn decode<M: Message + Default>(mut bytes: Bytes) -> Result<M, DecodeError> {
    version(&mut bytes)?;
    let len = length(&mut bytes)?;
    if bytes.remaining() > len {
        return Err(DecodeError::Malformed("bytes behind the message"));
    }
    M::decode(bytes).map_err(|_| DecodeError::Malformed("no protobuf message of this format"))
}

/// Takes the version byte of a format that is at its first version.
fn version(bytes: &mut Bytes) -> Result<(), DecodeError> {
    version_up_to(bytes, VERSION).map(|_first| ())
}

/// Takes the version byte of a format whose newest version is `known`.
pub(super) fn version_up_to(bytes: &mut Bytes, known: u8) -> Result<u8, DecodeError> {
    if !bytes.has_remaining() {
        return Err(DecodeError::Truncated);
    }
    match bytes.get_u8() {
        0 => Err(DecodeError::Malformed("format version 0")),
        found if found <= known => Ok(found),
        found => Err(DecodeError::TooNew { found, known }),
    }
}

/// Takes a length, of which as many bytes must follow.
pub(super) fn length(bytes: &mut Bytes) -> Result<usize, DecodeError> {
    let len = number(bytes)?;
    match usize::try_from(len) {
        Ok(len) if len <= bytes.remaining() => Ok(len),
        _ => Err(DecodeError::Truncated),
    }
}

/// Takes a varint.
pub(super) fn number(bytes: &mut Bytes) -> Result<u64, DecodeError> {
    /// No 64-bit number is longer.
    const VARINT_BYTES_MAX: usize = 10;
    let whole = bytes.iter().take(VARINT_BYTES_MAX).any(|byte| *byte < 0x80);
    if !whole && bytes.remaining() < VARINT_BYTES_MAX {
        return Err(DecodeError::Truncated);
    }
    decode_varint(bytes).map_err(|_| DecodeError::Malformed("no number"))
}
