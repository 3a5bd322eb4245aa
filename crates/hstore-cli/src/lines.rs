//! Pairs as JSON lines, the format of `import` and `export`.
//!
//! A line is an object with `key` or `key_b64` and `value` or `value_b64`: text as it is when it
//! is UTF-8, base64 otherwise. Invariants: (1) a pair has exactly one line that `write` makes, so
//! that equal stores have equal exports; (2) `read` undoes `write` for any bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::text::{from_base64, to_base64};

/// The line of a pair, as it is in JSON. Fields that are not known are passed over, so that what
/// `scan --output json` writes can be imported.
#[derive(Default, Deserialize, Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    key: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_b64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    value: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_b64: Option<String>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    #[error("it is not a JSON object with `key` and `value`: {0}")]
    Json(String),
    #[error("it must have one of `{0}` and `{0}_b64`")]
    One(&'static str),
    #[error("`{0}_b64` is not base64")]
    Base64(&'static str),
    #[error("the key is empty")]
    EmptyKey,
}

/// Appends the line of a pair, with its end.
pub(crate) fn write(line: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let (key, key_b64) = fields(key);
    let (value, value_b64) = fields(value);
    serde_json::to_writer(
        &mut *line,
        &Line {
            key,
            key_b64,
            value,
            value_b64,
        },
    )
    .expect("a buffer takes every write, and strings make JSON");
    line.push(b'\n');
}

/// Reads the line of a pair.
pub(crate) fn read(line: &[u8]) -> Result<(Bytes, Bytes), BadLine> {
    let parsed: Line<'_> =
        serde_json::from_slice(line).map_err(|error| BadLine::Json(error.to_string()))?;
    let key = bytes("key", parsed.key, parsed.key_b64)?;
    if key.is_empty() {
        return Err(BadLine::EmptyKey);
    }
    Ok((key, bytes("value", parsed.value, parsed.value_b64)?))
}

/// Bytes as the two fields that may hold them.
pub(crate) fn fields(bytes: &[u8]) -> (Option<std::borrow::Cow<'_, str>>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(to_base64(bytes))),
    }
}

fn bytes(
    name: &'static str,
    text: Option<std::borrow::Cow<'_, str>>,
    base64: Option<String>,
) -> Result<Bytes, BadLine> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_owned().into()),
        (None, Some(base64)) => from_base64(base64.as_bytes())
            .map(Bytes::from)
            .ok_or(BadLine::Base64(name)),
        _ => Err(BadLine::One(name)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(key: &[u8], value: &[u8]) -> String {
        let mut line = Vec::new();
        write(&mut line, key, value);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn text_is_text_and_other_bytes_are_base64() {
        assert_eq!(
            line(b"a", b"b\n\"c\""),
            "{\"key\":\"a\",\"value\":\"b\\n\\\"c\\\"\"}\n"
        );
        assert_eq!(
            line(b"\xff", b""),
            "{\"key_b64\":\"/w==\",\"value\":\"\"}\n"
        );
        assert_eq!(
            line(b"a", b"\x80"),
            "{\"key\":\"a\",\"value_b64\":\"gA==\"}\n"
        );
    }

    #[test]
    fn what_scan_writes_can_be_imported() {
        let pair = read(br#" {"key":"a","value":"b","mod_revision":7,"version":1} "#).unwrap();
        assert_eq!(pair, ("a".into(), "b".into()));
        let pair = read(br#"{"key_b64":"/w==","value":"\u00e9"}"#).unwrap();
        assert_eq!(pair, (Bytes::from_static(b"\xff"), "é".into()));
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused() {
        for (text, expected) in [
            (r#"{"value":"b"}"#, BadLine::One("key")),
            (r#"{"key":"a"}"#, BadLine::One("value")),
            (
                r#"{"key":"a","key_b64":"","value":"b"}"#,
                BadLine::One("key"),
            ),
            (r#"{"key_b64":"*","value":"b"}"#, BadLine::Base64("key")),
            (r#"{"key":"a","value_b64":"*"}"#, BadLine::Base64("value")),
            (r#"{"key":"","value":"b"}"#, BadLine::EmptyKey),
        ] {
            assert_eq!(read(text.as_bytes()), Err(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "[]",
            "{",
            r#"{"key":1,"value":"b"}"#,
            r#"{"key":"a","value":"b"} x"#,
        ] {
            assert!(
                matches!(read(text.as_bytes()), Err(BadLine::Json(_))),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_pair_is_read_back(key in prop::collection::vec(any::<u8>(), 1..64), value: Vec<u8>) {
            let mut bytes = Vec::new();
            write(&mut bytes, &key, &value);
            prop_assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1));
            prop_assert_eq!(read(&bytes), Ok((key.into(), value.into())));
        }
    }
}
