//! Between JSON and the bytes of messages, by the description of each message: the mapping of
//! proto3, read in all its forms and written as etcd's gateway writes it.

use bytes::{BufMut as _, Bytes, BytesMut};
use hstore_core::error::ErrorCode;
use hstore_proto::status;
use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions,
};
use tonic::Status;

use crate::web::call::FRAME_HEAD_BYTES;

/// The messages of a request, framed. No text at all is the message in which nothing is said; where
/// many are taken it is none.
pub(super) fn read(method: &MethodDescriptor, text: &[u8]) -> Result<Bytes, Status> {
    let kind = method.input();
    let mut framed = BytesMut::new();
    let mut reader = serde_json::Deserializer::from_slice(text);
    // What a later version would have asked for is passed over, as in etcd.
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let mut count = 0;
    while reader.end().is_err() {
        if count > 0 && !method.is_client_streaming() {
            return Err(malformed(&kind, "there is more than one"));
        }
        count += 1;
        let message = DynamicMessage::deserialize_with_options(kind.clone(), &mut reader, &options)
            .map_err(|error| malformed(&kind, error))?;
        frame(&message, &mut framed);
    }
    if count == 0 && !method.is_client_streaming() {
        frame(&DynamicMessage::new(kind), &mut framed);
    }
    Ok(framed.freeze())
}

fn frame(message: &DynamicMessage, framed: &mut BytesMut) {
    let bytes = message.encoded_len();
    framed.reserve(FRAME_HEAD_BYTES + bytes);
    framed.put_u8(0);
    // A request is bounded far below.
    framed.put_u32(bytes as u32);
    message
        .encode(framed)
        .expect("the buffer has room for all of it");
}

fn malformed(kind: &MessageDescriptor, why: impl std::fmt::Display) -> Status {
    let what = format!("the request is not a {} in JSON: {why}", kind.name());
    status::failure(ErrorCode::InvalidArgument, what)
}

/// Writes a message behind what is there: names as in `proto/`, long numbers and bytes as strings,
/// nothing of what is not set.
pub(super) fn write(
    kind: &MessageDescriptor,
    message: Bytes,
    text: &mut Vec<u8>,
) -> Result<(), Status> {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(true)
        .use_enum_numbers(false)
        .skip_default_fields(true);
    let message =
        DynamicMessage::decode(kind.clone(), message).map_err(|error| internal(&error))?;
    let mut writer = serde_json::Serializer::new(text);
    message
        .serialize_with_options(&mut writer, &options)
        .map_err(|error| internal(&error))
}

fn internal(error: &dyn std::fmt::Display) -> Status {
    let what = format!("an answer could not be written as JSON: {error}");
    status::failure(ErrorCode::Internal, what)
}
