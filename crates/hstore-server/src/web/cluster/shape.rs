//! What the answers look like, for the description of the API.

use serde_json::{Value, json};

fn object(required: &[&str], properties: &Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

/// One member.
pub(super) fn row() -> Value {
    let properties = json!({
        "id": {"type": "integer"},
        "name": {"type": "string"},
        "client_address": {"type": "string"},
        "peer_address": {"type": "string"},
        "voter": {"type": "boolean"},
        "state": {"enum": ["up", "down", "stopped"], "description":
            "`stopped` is a node of the answering node's machine that does not run."},
        "problem": {"type": "string"},
        "last_contact_ms": {"type": ["integer", "null"], "description":
            "How long ago the answering node heard of it."},
        "role": {"type": ["string", "null"]},
        "term": {"type": ["integer", "null"]},
        "leader": {"type": ["integer", "null"]},
        "commit": {"type": ["integer", "null"]},
        "applied": {"type": ["integer", "null"]},
        "lag": {"type": ["integer", "null"]},
        "revision": {"type": ["integer", "null"]},
        "settings": {"type": ["integer", "null"], "description":
            "The last change of the settings that it has applied."},
        "state_hash": {"type": ["string", "null"]},
        "version": {"type": ["string", "null"]},
        "uptime_ms": {"type": ["integer", "null"]},
        "vitals": {"type": ["object", "null"], "description":
            "What it said of itself within the last seconds."},
    });
    object(&["id", "name", "voter", "state"], &properties)
}

/// All members.
pub(super) fn rows() -> Value {
    object(
        &["members"],
        &json!({"members": {"type": "array", "items": row()}}),
    )
}

/// One sentence.
pub(super) fn health() -> Value {
    let properties = json!({
        "level": {"enum": ["healthy", "degraded", "electing", "no_quorum"]},
        "tolerates": {"type": "integer", "description": "How many more voters may fail."},
        "sentence": {"type": "string"},
    });
    object(&["level", "tolerates", "sentence"], &properties)
}

/// All of it.
pub(super) fn whole() -> Value {
    let properties = json!({
        "cluster": object(&["id", "name"], &json!({
            "id": {"type": "string"},
            "name": {"type": "string"},
        })),
        "via": {"type": "integer", "description": "The node that answers."},
        "health": health(),
        "leader": {"type": ["integer", "null"]},
        "term": {"type": "integer"},
        "revision": {"type": "integer"},
        "commit": {"type": "integer"},
        "applied": {"type": "integer"},
        "joint": {"type": "boolean"},
        "quorum": {"type": "boolean"},
        "settings": {"type": "integer", "description":
            "The last change of the settings that the answering node has applied."},
        "alarms": {"type": "array", "items": {"type": "object"}},
        "versions": {"type": "array", "items": {"type": "string"}},
        "elections": {"type": "array", "items": {"type": "object"}},
        "members": {"type": "array", "items": row()},
    });
    object(
        &[
            "cluster", "via", "health", "leader", "term", "quorum", "members",
        ],
        &properties,
    )
}

/// What was done.
pub(super) fn done() -> Value {
    let properties = json!({"node": {"type": "integer"}, "done": {"type": "string"}});
    object(&["node", "done"], &properties)
}

/// Lines of a log.
pub(super) fn lines() -> Value {
    let line = object(
        &["number", "time_ms", "level", "target", "text"],
        &json!({
            "number": {"type": "integer"},
            "time_ms": {"type": "integer"},
            "level": {"type": "string"},
            "target": {"type": "string"},
            "text": {"type": "string"},
        }),
    );
    let properties = json!({
        "lines": {"type": "array", "items": line},
        "last": {"type": "integer"},
        "missed": {"type": "integer"},
    });
    object(&["lines", "last", "missed"], &properties)
}

/// How a member worked.
pub(super) fn past() -> Value {
    let row = object(
        &["ago_ms", "requests_per_second"],
        &json!({
            "ago_ms": {"type": "integer", "description":
                "How long ago; rates and percentiles are of the ten seconds before."},
            "requests_per_second": {"type": "number"},
            "reads_per_second": {"type": "number"},
            "writes_per_second": {"type": "number"},
            "requests_p50_us": {"type": "integer"},
            "requests_p99_us": {"type": "integer"},
            "log_sync_p50_us": {"type": "integer"},
            "log_sync_p99_us": {"type": "integer"},
            "lag": {"type": "integer", "description":
                "How many entries that it knew to be committed it had not applied."},
            "resident_bytes": {"type": "integer"},
            "cpu_thousandths": {"type": "integer"},
        }),
    );
    let properties = json!({
        "node": {"type": "integer"},
        "interval_ms": {"type": "integer"},
        "rows": {"type": "array", "items": row},
    });
    object(&["node", "interval_ms", "rows"], &properties)
}

/// What is no JSON.
pub(super) fn bytes() -> Value {
    json!({"type": "string", "contentEncoding": "binary"})
}
