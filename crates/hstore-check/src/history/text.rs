//! Bytes in JSON: a string where they are UTF-8, `{"base64": "..."}` otherwise.
//!
//! Invariant: reading undoes writing for any bytes, and no two byte strings are written alike.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The one field of bytes that are not text.
const FIELD: &str = "base64";

/// Bytes on their way to or from JSON.
pub(super) struct Text(pub(super) Bytes);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return to.serialize_str(text);
        }
        let mut map = to.serialize_map(Some(1))?;
        map.serialize_entry(FIELD, &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Text, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an object with `base64`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text, E> {
        Ok(Text(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let entry = map.next_entry::<String, String>()?;
        let Some((_, encoded)) = entry.filter(|(name, _)| name == FIELD) else {
            return Err(A::Error::custom("bytes are a string or have `base64`"));
        };
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| A::Error::custom("`base64` holds no base64"))?;
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("bytes have `base64` and nothing else"));
        }
        Ok(Text(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_string_and_other_bytes_are_base64() {
        for (bytes, json) in [
            (&b"a\n\"b\""[..], r#""a\n\"b\"""#),
            (b"", r#""""#),
            (b"\x00", r#""\u0000""#),
            (b"\xff", r#"{"base64":"/w=="}"#),
            ("\u{e9}".as_bytes(), "\"\u{e9}\""),
        ] {
            let text = Text(Bytes::copy_from_slice(bytes));
            assert_eq!(serde_json::to_string(&text).unwrap(), json);
            let back: Text = serde_json::from_str(json).unwrap();
            assert_eq!(back.0, bytes);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for json in [
            "1",
            "null",
            "[]",
            "{}",
            r#"{"base64":"/w"}"#,
            r#"{"base64":1}"#,
            r#"{"hex":"ff"}"#,
            r#"{"base64":"/w==","base64":"/w=="}"#,
        ] {
            assert!(serde_json::from_str::<Text>(json).is_err(), "{json}");
        }
    }
}
