//! The lines of the pages about the node itself, which need no login, as in etcd: they tell no key
//! and no value. Their parameters are read by themselves, and what is not known is passed over, as
//! probes expect.

use futures::FutureExt as _;
use hstore_core::error::ErrorCode;
use serde_json::{Value, json};

use super::health::{Check, LIVE, READY};
use super::line::{Content, Kind, Line, Page, Param, Place, Success};
use super::openapi;

const TEXT: &[&str] = &["text/plain; charset=utf-8"];
const JSON: &[&str] = &["application/json"];

const fn query(name: &'static str, kind: Kind, says: &'static str) -> Param {
    Param {
        name,
        place: Place::Query,
        kind,
        says,
    }
}

const CHECKS: &[Param] = &[
    query("verbose", Kind::Bytes, "List the checks, whatever is said."),
    query("exclude", Kind::Bytes, "Leave a check out, by name."),
];

const HEALTH: &[Param] = &[
    query("serializable", Kind::Bytes, "`true`: ask this node alone."),
    query("exclude", Kind::Bytes, "Pass an alarm over, by name."),
];

const fn well(status: u16, types: &'static [&'static str], schema: fn() -> Value) -> Success {
    Success {
        status,
        says: if status == 200 {
            "It is well."
        } else {
            "It is not well; the answer says why."
        },
        content: Some(Content { types, schema }),
    }
}

fn text() -> Value {
    json!({"type": "string"})
}

fn object() -> Value {
    json!({"type": "object"})
}

fn health() -> Value {
    json!({
        "type": "object",
        "required": ["health", "reason"],
        "properties": {
            "health": {"enum": ["true", "false"]},
            "reason": {"type": "string"},
        },
    })
}

const WELL_OR_NOT: &[Success] = &[well(200, TEXT, text), well(503, TEXT, text)];
const HEALTHY_OR_NOT: &[Success] = &[well(200, JSON, health), well(503, JSON, health)];
const TOLD: &[Success] = &[Success {
    status: 200,
    says: "The versions.",
    content: Some(Content {
        types: JSON,
        schema: object,
    }),
}];
const DESCRIBED: &[Success] = &[Success {
    status: 200,
    says: "The description of all pages.",
    content: Some(Content {
        types: JSON,
        schema: object,
    }),
}];
const COUNTED: &[Success] = &[Success {
    status: 200,
    says: "A page for Prometheus.",
    content: Some(Content {
        types: &[super::metrics::KIND],
        schema: text,
    }),
}];

const NONE: &[&[ErrorCode]] = &[];

const fn checks(path: &'static str, checks: &'static [Check]) -> Line {
    Line::get(path, Page::Checks(checks))
        .says("Whether the node is well, check by check.")
        .takes(&[CHECKS])
        .answers(WELL_OR_NOT, NONE)
}

/// The lines.
pub(super) const TABLE: &[Line] = &[
    Line::get("/health", Page::Health)
        .says("etcd's word on whether the node is well.")
        .takes(&[HEALTH])
        .answers(HEALTHY_OR_NOT, NONE),
    Line::get("/metrics", Page::Metrics)
        .says("What is counted.")
        .answers(COUNTED, NONE),
    Line::get(
        "/openapi.json",
        Page::Asked(|ask| async move { Ok(openapi::openapi(&ask)) }.boxed()),
    )
    .says("What there is, as this page says it (OpenAPI 3.1).")
    .answers(DESCRIBED, NONE),
    Line::get("/version", Page::Version)
        .says("Which version this is: what etcd says, and ours.")
        .answers(TOLD, NONE),
    checks("/livez", LIVE),
    checks("/livez/serializable_read", &[Check::SerializableRead]),
    checks("/readyz", READY),
    checks("/readyz/data_corruption", &[Check::DataCorruption]),
    checks("/readyz/linearizable_read", &[Check::LinearizableRead]),
    checks("/readyz/non_learner", &[Check::NonLearner]),
    checks("/readyz/serializable_read", &[Check::SerializableRead]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_path() {
        for (path, checks) in [("/livez", LIVE), ("/readyz", READY)] {
            for check in checks {
                let own = format!("{path}/{}", check.name());
                let line = TABLE.iter().find(|line| line.path == own).unwrap();
                let Page::Checks(run) = line.page else {
                    panic!("{own} is no check");
                };
                assert_eq!(run, [*check]);
            }
        }
    }
}
