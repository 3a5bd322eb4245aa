//! What requests and answers look like, for the description of the API.

use serde_json::{Value, json};

/// Bytes that are no JSON.
pub(super) fn bytes() -> Value {
    json!({"type": "string", "contentEncoding": "binary"})
}

/// What an entry has beside its key and value.
fn entry_properties() -> Value {
    json!({
        "key": {"type": "string"},
        "key_base64": base64(),
        "value": {"type": "string"},
        "value_base64": base64(),
        "revision": {"type": "integer", "description": "The revision that last wrote the key."},
        "create_revision": {"type": "integer"},
        "version": {"type": "integer"},
        "lease": {"type": "string"},
        "previous": {"type": "object"},
    })
}

fn base64() -> Value {
    json!({"type": "string", "contentEncoding": "base64"})
}

/// One key with its value.
pub(super) fn entry() -> Value {
    json!({
        "type": "object",
        "required": ["revision", "create_revision", "version"],
        "oneOf": [{"required": ["key"]}, {"required": ["key_base64"]}],
        "properties": entry_properties(),
    })
}

/// Many keys.
pub(super) fn entries() -> Value {
    json!({
        "type": "object",
        "required": ["entries", "revision", "count", "more"],
        "properties": {
            "entries": {"type": "array", "items": entry()},
            "revision": {"type": "integer", "description": "All of it is as of this revision."},
            "count": {"type": "integer"},
            "more": {"type": "boolean"},
        },
    })
}

/// One key, or many where a prefix is asked for.
pub(super) fn entry_or_entries() -> Value {
    json!({"anyOf": [entry(), entries()]})
}

/// A key and a value that are to be written.
pub(super) fn pair() -> Value {
    let one_of = |name: &str| {
        let twin = format!("{name}_base64");
        json!({"oneOf": [{"required": [name]}, {"required": [twin]}]})
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "key": {"type": "string", "minLength": 1},
            "key_base64": in_base64(),
            "value": {"type": "string"},
            "value_base64": in_base64(),
            "lease": {
                "type": ["string", "integer"],
                "pattern": "^[0-9]+$",
                "minimum": 0,
                "description": "The number of a lease; 0 is none.",
            },
        },
        "allOf": [one_of("key"), one_of("value")],
        "description": "What stands under a name with `_base64` are bytes that are no text.",
    })
}

/// Bytes in base64 as a request may say them: with padding or without.
fn in_base64() -> Value {
    json!({
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}(==)?|[A-Za-z0-9+/]{3}=?)?$",
    })
}

/// A write that was done.
pub(super) fn written() -> Value {
    json!({
        "type": "object",
        "required": ["revision"],
        "oneOf": [{"required": ["key"]}, {"required": ["key_base64"]}],
        "properties": {
            "key": {"type": "string"},
            "key_base64": base64(),
            "revision": {"type": "integer"},
        },
    })
}

/// Keys that were deleted.
pub(super) fn deleted() -> Value {
    json!({
        "type": "object",
        "required": ["deleted", "revision"],
        "properties": {
            "deleted": {"type": "integer"},
            "revision": {"type": "integer"},
        },
    })
}

/// Any document.
pub(super) fn document() -> Value {
    json!({"type": ["object", "array", "string", "number", "boolean", "null"]})
}

/// A key and a value in base64 that are to be written.
pub(super) fn pair_base64() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["key", "value"],
        "properties": {"key": in_base64(), "value": in_base64()},
    })
}

/// A write that was done, in base64.
pub(super) fn written_base64() -> Value {
    json!({
        "type": "object",
        "required": ["key", "revision"],
        "properties": {"key": base64(), "revision": {"type": "integer"}},
    })
}

/// One key with its value, in base64.
pub(super) fn encoded() -> Value {
    json!({
        "type": "object",
        "required": ["key", "value", "revision", "create_revision", "version"],
        "properties": {
            "key": base64(),
            "value": base64(),
            "revision": {"type": "integer"},
            "create_revision": {"type": "integer"},
            "version": {"type": "integer"},
        },
    })
}

/// What a key was.
pub(super) fn records() -> Value {
    json!({
        "type": "object",
        "required": ["revision", "compacted_revision", "records", "more"],
        "properties": {
            "revision": {"type": "integer"},
            "compacted_revision": {"type": "integer"},
            "records": {"type": "array", "items": {
                "type": "object",
                "required": ["revision", "deleted"],
                "properties": {
                    "revision": {"type": "integer"},
                    "deleted": {"type": "boolean"},
                    "create_revision": {"type": "integer"},
                    "version": {"type": "integer"},
                    "value": {"type": "string"},
                    "value_base64": base64(),
                    "lease": {"type": "string"},
                },
            }},
            "more": {"type": "boolean"},
        },
    })
}

/// The names under a prefix.
pub(super) fn names() -> Value {
    json!({
        "type": "object",
        "required": ["revision", "count", "names", "more"],
        "properties": {
            "prefix": {"type": "string"},
            "prefix_base64": base64(),
            "revision": {"type": "integer", "description": "All of it is as of this revision."},
            "count": {"type": "integer", "description": "The keys that begin with the prefix."},
            "names": {"type": "array", "items": {
                "type": "object",
                "required": ["count", "is_prefix"],
                "properties": {
                    "key": {"type": "string"},
                    "key_base64": base64(),
                    "is_prefix": {"type": "boolean"},
                    "count": {"type": "integer"},
                    "revision": {"type": "integer"},
                    "version": {"type": "integer"},
                },
            }},
            "more": {"type": "boolean"},
        },
    })
}
