//! Keys and values in JSON: as text where they are text, else as base64 under another name.
//!
//! Invariant: of a name and its twin with `_base64` exactly one is there, in answers and in
//! requests, so that no bytes are ever changed on their way.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_proto::mvccpb::KeyValue;
use serde::{Deserialize, Serialize};

use crate::web::problem::Problem;

/// Bytes under one of two names.
#[derive(Debug, Default)]
pub(super) struct Twin<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) base64: Option<String>,
}

impl Twin<'_> {
    pub(super) fn of(bytes: &[u8]) -> Twin<'_> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Twin {
                text: Some(text),
                base64: None,
            },
            Err(_bytes) => Twin {
                text: None,
                base64: Some(STANDARD.encode(bytes)),
            },
        }
    }
}

/// A key with what is known of it.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    revision: i64,
    create_revision: i64,
    version: i64,
    /// As text: not every number of a lease is one in every reader of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<String>,
}

impl<'a> Entry<'a> {
    /// A key, with its value unless that was not read.
    pub(super) fn of(pair: &'a KeyValue, with_value: bool) -> Entry<'a> {
        let key = Twin::of(&pair.key);
        let value = if with_value {
            Twin::of(&pair.value)
        } else {
            Twin::default()
        };
        Entry {
            key: key.text,
            key_base64: key.base64,
            value: value.text,
            value_base64: value.base64,
            revision: pair.mod_revision,
            create_revision: pair.create_revision,
            version: pair.version,
            lease: (pair.lease != 0).then(|| pair.lease.to_string()),
        }
    }

    /// In JSON, behind what is there.
    pub(super) fn write(&self, text: &mut Vec<u8>) {
        serde_json::to_writer(text, self).expect("a vector takes every write");
    }
}

/// A key and a value as a request says them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written<'a> {
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(default)]
    key_base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'a, str>>,
    #[serde(default)]
    value_base64: Option<Cow<'a, str>>,
    #[serde(default)]
    lease: Option<Lease>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Lease {
    Number(i64),
    Text(String),
}

/// A key with its value and lease.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) lease: i64,
}

impl Written<'_> {
    /// Reads `{"key","value"}`, or what stands for them.
    pub(super) fn read(body: &[u8]) -> Result<Pair, Problem> {
        let written: Written<'_> = serde_json::from_slice(body)
            .map_err(|error| wrong(format!("the body is not {{\"key\",\"value\"}}: {error}")))?;
        let lease = match written.lease {
            None => Some(0),
            Some(Lease::Number(lease)) => Some(lease),
            Some(Lease::Text(text)) => text.parse().ok(),
        };
        Ok(Pair {
            key: one_of("key", written.key, written.key_base64)?,
            value: one_of("value", written.value, written.value_base64)?,
            lease: lease.ok_or_else(|| wrong("lease is the number of a lease".to_owned()))?,
        })
    }
}

fn one_of(
    name: &str,
    text: Option<Cow<'_, str>>,
    base64: Option<Cow<'_, str>>,
) -> Result<Bytes, Problem> {
    match (text, base64) {
        (Some(text), None) => Ok(Bytes::from(text.into_owned())),
        (None, Some(text)) => decode(name, &text),
        (None, None) => Err(wrong(format!("{name} or {name}_base64 is missing"))),
        (Some(_), Some(_)) => Err(wrong(format!("{name} is said twice, as text and base64"))),
    }
}

/// Bytes in base64, with padding or without.
pub(super) fn decode(name: &str, text: &str) -> Result<Bytes, Problem> {
    use base64::alphabet;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT
        .decode(text)
        .map(Bytes::from)
        .map_err(|error| wrong(format!("{name} is not in base64: {error}")))
}

pub(super) fn wrong(what: String) -> Problem {
    Problem::new(ErrorCode::InvalidArgument, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_under_the_name_that_holds_them() {
        let pair = KeyValue {
            key: Bytes::from_static(b"k\xff"),
            value: Bytes::from_static("wörd\n".as_bytes()),
            create_revision: 2,
            mod_revision: 5,
            version: 3,
            lease: 9,
        };
        let mut text = Vec::new();
        Entry::of(&pair, true).write(&mut text);
        let told = r#"{"key_base64":"a/8=","value":"wörd\n","revision":5,"create_revision":2,"version":3,"lease":"9"}"#;
        assert_eq!(String::from_utf8(text).unwrap(), told);
        let mut text = Vec::new();
        Entry::of(&KeyValue::default(), false).write(&mut text);
        let told = r#"{"key":"","revision":0,"create_revision":0,"version":0}"#;
        assert_eq!(String::from_utf8(text).unwrap(), told);
    }

    #[test]
    fn a_key_and_a_value_are_said_once_each() {
        for (body, pair) in [
            (
                r#"{"key":"a","value":"b"}"#,
                Some((&b"a"[..], &b"b"[..], 0)),
            ),
            (
                r#" {"key_base64":"a/8","value_base64":"","lease":"7"}"#,
                Some((b"k\xff", b"", 7)),
            ),
            (
                r#"{"key":"\u0000\n","value":"","lease":7}"#,
                Some((b"\0\n", b"", 7)),
            ),
            ("", None),
            ("{}", None),
            ("[]", None),
            (r#"{"key":"a"}"#, None),
            (r#"{"key":"a","value":1}"#, None),
            (r#"{"key":"a","value":null}"#, None),
            (r#"{"key":"a","value":"b","more":1}"#, None),
            (r#"{"key":"a","key":"a","value":"b"}"#, None),
            (r#"{"key":"a","key_base64":"YQ==","value":"b"}"#, None),
            (r#"{"key_base64":"~","value":"b"}"#, None),
            (r#"{"key":"a","value":"b","lease":"x"}"#, None),
            (r#"{"key":"a","value":"b","lease":1.5}"#, None),
            (r#"{"key":"a","value":"b"} {}"#, None),
            (r#"{"key":"\ud800","value":"b"}"#, None),
        ] {
            let told = Written::read(body.as_bytes());
            let pair = pair.map(|(key, value, lease)| Pair {
                key: Bytes::from_static(key),
                value: Bytes::from_static(value),
                lease,
            });
            assert_eq!(told.ok(), pair, "{body}");
        }
        assert!(Written::read(b"{\"key\":\"\xff\",\"value\":\"b\"}").is_err());
    }
}
