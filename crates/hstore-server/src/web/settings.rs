//! `/cluster/config`: the settings of the cluster that change while it runs.
//!
//! A document of what is set: for the cluster, and for each node by its name. `PATCH` changes what it
//! names and takes back what it names as null (as RFC 7396 has it), `PUT` has nothing set but what
//! it names. Both are whole or not at all. The tag of the document is the version of the settings.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use hstore_core::error::ErrorCode;
use hstore_core::settings::SettingKey;
use hstore_proto::hstore::v1::{
    ChangeSettingsRequest, ChangeSettingsResponse, GetSettingsRequest, GetSettingsResponse, Reach,
    SettingChange,
};
use hyper::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::body::Body;

use super::ask::Ask;
use super::etag::{self, Condition};
use super::line::{Content, Kind, Line, Page, Param, Place, Success, Verb};
use super::page;
use super::problem::Problem;
use super::service::Method;
use crate::grpc::Need;

const GET: Method<GetSettingsRequest, GetSettingsResponse> = Method::at("/hstore.v1.Settings/Get");
const CHANGE: Method<ChangeSettingsRequest, ChangeSettingsResponse> =
    Method::at("/hstore.v1.Settings/Change");

const JSON: &str = "application/json";

/// The parameter that says how fresh the settings have to be, and its word for what this node knows.
const CONSISTENCY: &str = "consistency";
const SERIALIZABLE: &str = "serializable";

/// A text or null for each setting.
type Values = BTreeMap<String, Option<String>>;

/// What is to be set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    cluster: Values,
    #[serde(default)]
    nodes: BTreeMap<String, Values>,
}

async fn get(ask: Ask) -> Result<Response<Body>, Problem> {
    let settings = current(&ask).await?;
    if etag::is_known(&ask.headers, number(settings.version))? {
        let mut response = page(JSON, "");
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(tagged(response, settings.version));
    }
    Ok(told(&ask, &settings))
}

async fn patch(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let expected = expected(&ask)?;
    let wanted = read(&mut ask).await?;
    let changes = changes(&ask, wanted)?;
    change(&ask, expected, changes).await
}

async fn put(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let expected = expected(&ask)?;
    let wanted = read(&mut ask).await?;
    let mut changes = changes(&ask, wanted)?;
    let present = current(&ask).await?;
    let named: BTreeSet<(u64, String)> = changes
        .iter()
        .map(|change| (change.node_id, change.key.clone()))
        .collect();
    let left = present.settings.into_iter().filter(|set| {
        // Every node has a name and a type: they are not taken back, only set to another.
        let always = SettingKey::parse(&set.key)
            .is_some_and(|key| matches!(key, SettingKey::Name | SettingKey::Type));
        !always && !named.contains(&(set.node_id, set.key.clone()))
    });
    changes.extend(left.map(|set| SettingChange {
        key: set.key,
        node_id: set.node_id,
        value: None,
    }));
    if changes.is_empty() {
        return get(ask).await;
    }
    // What is taken back was read at this version, so nobody may come between.
    change(&ask, expected.or(Some(present.version)), changes).await
}

async fn change(
    ask: &Ask,
    expected_version: Option<u64>,
    changes: Vec<SettingChange>,
) -> Result<Response<Body>, Problem> {
    let request = ChangeSettingsRequest {
        expected_version,
        changes,
    };
    let changed = ask.service.call(&CHANGE, &request).await;
    changed.map_err(|problem| match problem.code {
        ErrorCode::Conflict => problem.status(StatusCode::PRECONDITION_FAILED),
        _other => problem,
    })?;
    Ok(told(ask, &current(ask).await?))
}

/// The version that must be the present one, if the headers name one.
fn expected(ask: &Ask) -> Result<Option<u64>, Problem> {
    match etag::of_change(&ask.headers)? {
        Condition::Always => Ok(None),
        Condition::At(version) => Ok(Some(version.unsigned_abs())),
        Condition::Present | Condition::Absent => Err(wrong(
            "settings are always there: name a version, or nothing",
        )),
    }
}

async fn read(ask: &mut Ask) -> Result<Wanted, Problem> {
    let body = ask.body().await?;
    // As an object first: a list would be taken for the fields in their order.
    let object: Result<Map<String, Value>, _> = serde_json::from_slice(body.bytes());
    let wanted = object.and_then(|object| serde_json::from_value(Value::Object(object)));
    wanted.map_err(|error| {
        wrong(format!(
            "the body is not {{\"cluster\": {{...}}, \"nodes\": {{...}}}} with texts and nulls: {error}"
        ))
    })
}

fn changes(ask: &Ask, wanted: Wanted) -> Result<Vec<SettingChange>, Problem> {
    let membership = ask.node().status().standing.membership;
    let mut changes = Vec::new();
    let mut add = |node_id: u64, values: Values| {
        changes.extend(values.into_iter().map(|(key, value)| SettingChange {
            key,
            node_id,
            value,
        }));
    };
    add(0, wanted.cluster);
    for (word, values) in wanted.nodes {
        let mut members = membership.members.iter();
        let meant = members.find(|(node, member)| member.name == word || node.to_string() == word);
        let Some((node, _)) = meant else {
            let what = format!("there is no member {word:?}");
            return Err(Problem::new(ErrorCode::NodeNotFound, what));
        };
        add(node.0, values);
    }
    Ok(changes)
}

async fn current(ask: &Ask) -> Result<GetSettingsResponse, Problem> {
    // Who changes settings has no such parameter, and sees what is set.
    let request = GetSettingsRequest {
        serializable: ask.given.word(CONSISTENCY) == Some(SERIALIZABLE),
    };
    ask.service.call(&GET, &request).await
}

fn told(ask: &Ask, settings: &GetSettingsResponse) -> Response<Body> {
    let membership = ask.node().status().standing.membership;
    let name = |node: u64| {
        let known = membership.members.iter().find(|(id, _)| id.0 == node);
        known.map_or_else(|| node.to_string(), |(_, member)| member.name.clone())
    };
    let mut cluster = Map::new();
    let mut nodes: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for set in &settings.settings {
        let place = match set.node_id {
            0 => &mut cluster,
            node => nodes.entry(name(node)).or_default(),
        };
        place.insert(set.key.clone(), Value::from(set.value.as_str()));
    }
    let effective: Map<String, Value> = settings
        .effective
        .iter()
        .map(|row| {
            let changes = match row.reach() {
                Reach::Unspecified => Value::Null,
                Reach::Cluster => Value::from("cluster"),
                Reach::Node => Value::from("node"),
                Reach::Both => Value::from("both"),
            };
            let told = json!({"value": row.value, "origin": row.origin, "changes_for": changes});
            (row.key.clone(), told)
        })
        .collect();
    let document = json!({
        "version": settings.version,
        "cluster": cluster,
        "nodes": nodes,
        "effective": {"node": name(settings.node_id), "settings": effective},
    });
    tagged(page(JSON, document.to_string()), settings.version)
}

fn tagged(mut response: Response<Body>, version: u64) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag::tag(number(version)));
    response
}

fn number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn wrong(what: impl std::fmt::Display) -> Problem {
    Problem::new(ErrorCode::InvalidArgument, what)
}

const CONDITION: &[Param] = &[Param {
    name: "If-Match",
    place: Place::Header,
    kind: Kind::Bytes,
    says: "Only if the settings are at this version.",
}];

const KNOWN: &[Param] = &[
    Param {
        name: "If-None-Match",
        place: Place::Header,
        kind: Kind::Bytes,
        says: "Not again if the settings are still at this version.",
    },
    Param {
        name: CONSISTENCY,
        place: Place::Query,
        kind: Kind::Word(&["linearizable", SERIALIZABLE]),
        says: "`linearizable`, which is the default, sees every change that was answered before; \
               `serializable` asks this node alone.",
    },
];

fn document() -> Value {
    json!({
        "type": "object",
        "required": ["version", "cluster", "nodes", "effective"],
        "properties": {
            "version": {"type": "integer"},
            "cluster": {"type": "object", "additionalProperties": {"type": "string"}},
            "nodes": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                },
            },
            "effective": {"type": "object"},
        },
    })
}

fn wanted() -> Value {
    let values = json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "cluster": values,
            "nodes": {"type": "object", "additionalProperties": values},
        },
    })
}

const TOLD: Content = Content {
    types: &[JSON],
    schema: document,
};

const SETTINGS: &[Success] = &[Success {
    status: 200,
    says: "What is set, and what holds at the node that answers.",
    content: Some(TOLD),
}];

const SETTINGS_OR_NOT: &[Success] = &[
    SETTINGS[0],
    Success {
        status: 304,
        says: "The settings are still at the version that was named.",
        content: None,
    },
];

const READS: &[ErrorCode] = &[ErrorCode::Conflict, ErrorCode::NoQuorum];

const CHANGES: &[ErrorCode] = &[
    ErrorCode::ClusterUnhealthy,
    ErrorCode::Conflict,
    ErrorCode::InvalidConfig,
    ErrorCode::LearnerNotReady,
    ErrorCode::MembershipBusy,
    ErrorCode::NodeNotFound,
    ErrorCode::NoQuorum,
    ErrorCode::OutcomeUnknown,
    ErrorCode::TooFewStarted,
];

const WANTED: Content = Content {
    types: &[JSON],
    schema: wanted,
};

/// The lines.
pub(super) const TABLE: &[Line] = &[
    Line::get("/cluster/config", Page::Asked(|ask| get(ask).boxed()))
        .needs(Need::User, &[GET.path])
        .says("What is set for the cluster and its nodes, and what holds at the node that answers.")
        .takes(&[KNOWN])
        .answers(SETTINGS_OR_NOT, &[READS]),
    Line::change(
        Verb::Patch,
        "/cluster/config",
        Page::Asked(|ask| patch(ask).boxed()),
    )
    .needs(Need::Root, &[GET.path, CHANGE.path])
    .says("Change the settings that are named; null takes one back.")
    .takes(&[CONDITION])
    .body(WANTED)
    .answers(SETTINGS, &[CHANGES])
    .not_made_up(),
    Line::change(
        Verb::Put,
        "/cluster/config",
        Page::Asked(|ask| put(ask).boxed()),
    )
    .needs(Need::Root, &[GET.path, CHANGE.path])
    .says("Have nothing set but what is named, names and types of nodes aside.")
    .takes(&[CONDITION])
    .body(WANTED)
    .answers(SETTINGS, &[CHANGES])
    .not_made_up(),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::grpc::tests::world;
    use crate::web::tests::{get, send};

    #[tokio::test]
    async fn settings_are_read_patched_and_put_as_one_document() {
        let world = world().await;
        let path = "/cluster/config";
        let told = get(world.address, path).await;
        assert_eq!((told.status, told.header("etag")), (200, "\"0\""));
        assert_eq!(told.json()["cluster"], json!({}));
        let body = r#"{"cluster":{"log-level":"info","cache-bytes":"2MiB"},"nodes":{"one":{"name":"alpha"}}}"#;
        let first = ["if-match: \"0\""];
        let told = send(world.address, "PATCH", path, &first, body.as_bytes()).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.header("etag"), "\"1\"");
        let document = told.json();
        assert_eq!(document["nodes"], json!({"alpha": {"name": "alpha"}}));
        let effective = &document["effective"]["settings"]["cache-bytes"];
        assert_eq!(
            *effective,
            json!({"value": "2MiB", "origin": "cluster", "changes_for": "both"})
        );
        let body = br#"{"cluster":{"cache-bytes":null}}"#;
        let told = send(world.address, "PATCH", path, &["if-match: \"1\""], body).await;
        assert_eq!(told.json()["cluster"], json!({"log-level": "info"}));
        // Whoever has seen another version changes nothing.
        let told = send(world.address, "PATCH", path, &["if-match: \"1\""], body).await;
        assert_eq!((told.status, told.code().as_str()), (412, "conflict"));
        let body = br#"{"cluster":{"quota-bytes":"1GiB"}}"#;
        let told = send(world.address, "PUT", path, &[], body).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["cluster"], json!({"quota-bytes": "1GiB"}));
        assert_eq!(told.json()["nodes"], json!({"alpha": {"name": "alpha"}}));
        let told = send(world.address, "GET", path, &["if-none-match: \"3\""], b"").await;
        assert_eq!(told.status, 304);
        for (body, code) in [
            ("[]", "invalid_argument"),
            (r#"{"cluster":{"log-level":7}}"#, "invalid_argument"),
            (r#"{"colour":{}}"#, "invalid_argument"),
            (r#"{"cluster":{"colour":"red"}}"#, "invalid_config"),
            (r#"{"cluster":{"cache-bytes":"10"}}"#, "invalid_config"),
            (r#"{"nodes":{"beta":{"name":"x"}}}"#, "node_not_found"),
            (r#"{"nodes":{"1":{"type":"learner"}}}"#, "too_few_started"),
            ("{}", "invalid_config"),
        ] {
            let told = send(world.address, "PATCH", path, &[], body.as_bytes()).await;
            assert_eq!(told.code(), code, "{body}: {told:?}");
        }
        let told = get(world.address, path).await;
        assert_eq!(told.header("etag"), "\"3\"");
    }
}
