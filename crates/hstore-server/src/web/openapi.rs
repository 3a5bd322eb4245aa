//! `GET /openapi.json`: the description of all pages (OpenAPI 3.1), made from the lines of the table
//! that the router goes by, so that it says what there is.

use std::collections::BTreeMap;

use hstore_core::error::ErrorCode;
use hyper::Response;
use serde_json::{Map, Value, json};
use tonic::body::Body;

use super::ask::Ask;
use super::line::{Content, Kind, Line, Page, Param, Place};
use super::page;
use super::problem::{PROBLEM_JSON, http_status};
use crate::grpc::Need;

/// What every page may refuse a request with, whatever it is for.
const ALWAYS: &[ErrorCode] = &[
    ErrorCode::InvalidArgument,
    ErrorCode::Overloaded,
    ErrorCode::RequestTooLarge,
    ErrorCode::ShuttingDown,
    ErrorCode::Timeout,
    ErrorCode::UnknownHost,
];

/// What a page may refuse a caller with who has to be known.
const CALLERS: &[ErrorCode] = &[
    ErrorCode::AuthFailed,
    ErrorCode::AuthRevisionOld,
    ErrorCode::InvalidAuthToken,
    ErrorCode::PermissionDenied,
    ErrorCode::UserEmpty,
];

/// On an operation that is not for made up requests: it ends nodes, or goes on and on.
const NOT_MADE_UP: &str = "x-hstore-not-made-up";

/// The page.
pub(super) fn openapi(ask: &Ask) -> Response<Body> {
    let lines = ask.web.routes.lines();
    let told = document(lines, &ask.node().status().version);
    page("application/json", told.to_string())
}

/// The description of these lines.
fn document<'a>(lines: impl Iterator<Item = &'a Line>, version: &str) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for line in lines {
        let path = line.path.replace("*}", "}");
        let verb = line.verb.as_str().to_ascii_lowercase();
        paths.entry(path).or_default().insert(verb, operation(line));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hstore",
            "version": version,
            "description": "A key-value store that is replicated and linearizable, over HTTP.",
        },
        "security": [{}, {"token": []}, {"password": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
            "schemas": {"problem": problem()},
        },
    })
}

fn operation(line: &Line) -> Value {
    let mut told = Map::new();
    if matches!(line.page, Page::Gateway(_)) {
        return gateway();
    }
    told.insert("summary".to_owned(), json!(line.says));
    let params: Vec<Value> = line.params().map(param).collect();
    told.insert("parameters".to_owned(), json!(params));
    if let Some(body) = line.body {
        let body = json!({"required": true, "content": content(body)});
        told.insert("requestBody".to_owned(), body);
    }
    told.insert("responses".to_owned(), responses(line));
    if line.need == Need::Anyone {
        told.insert("security".to_owned(), json!([]));
    }
    if !line.may_be_made_up {
        told.insert(NOT_MADE_UP.to_owned(), json!(true));
    }
    Value::Object(told)
}

/// What etcd's gateway has at a path: the message of the method, as `proto/` describes it.
fn gateway() -> Value {
    let message = json!({"application/json": {"schema": {"type": "object"}}});
    json!({
        "summary": "A method of etcd, as JSON.",
        "requestBody": {"content": message},
        "responses": {
            "200": {"description": "The answer, or a line for each.", "content": message},
            "default": {"description": "Why not, in etcd's words.", "content": message},
        },
        NOT_MADE_UP: true,
    })
}

fn param(param: &Param) -> Value {
    let place = match param.place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut told = json!({
        "name": param.name,
        "in": place,
        "required": param.place == Place::Path,
        "description": param.says,
        "schema": schema(param.kind),
    });
    if param.place == Place::Path {
        // An empty one is another path, or refused.
        told["schema"]["minLength"] = json!(1);
    }
    told
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Bytes => json!({"type": "string"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Number(min, i64::MAX) => {
            json!({"type": "integer", "format": "int64", "minimum": min, "maximum": i64::MAX})
        }
        Kind::Number(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
    }
}

fn content(content: Content) -> Value {
    let of_type = |kind: &&str| {
        // A type in JSON has the form; another is bytes.
        let schema = if content.types.len() == 1 || kind.ends_with("json") {
            (content.schema)()
        } else {
            json!({"type": "string"})
        };
        ((*kind).to_owned(), json!({"schema": schema}))
    };
    Value::Object(content.types.iter().map(of_type).collect())
}

fn responses(line: &Line) -> Value {
    let mut told = Map::new();
    for success in line.successes {
        let mut response = json!({"description": success.says});
        if let Some(body) = success.content {
            response["content"] = content(body);
        }
        told.insert(success.status.to_string(), response);
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in refusals(line) {
        let statuses = [Some(http_status(code).as_u16()), precondition(code)];
        for status in statuses.into_iter().flatten() {
            by_status.entry(status).or_default().push(code.as_str());
        }
    }
    if line
        .successes
        .iter()
        .any(|success| offers_types(success.content))
    {
        by_status.entry(406).or_default().push("invalid_argument");
    }
    for (status, mut codes) in by_status {
        codes.sort_unstable();
        codes.dedup();
        let response = json!({
            "description": codes.join(", "),
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/problem"}}},
        });
        told.entry(status.to_string()).or_insert(response);
    }
    Value::Object(told)
}

/// Whether a caller chooses between types.
fn offers_types(content: Option<Content>) -> bool {
    content.is_some_and(|content| content.types.len() > 1)
}

/// A condition in a header that does not hold has a status of its own.
fn precondition(code: ErrorCode) -> Option<u16> {
    (code == ErrorCode::Conflict).then_some(412)
}

/// Every code that a line may refuse a request with.
fn refusals(line: &Line) -> impl Iterator<Item = ErrorCode> {
    let own = line.refusals.iter().flat_map(|codes| codes.iter());
    let callers = if line.need == Need::Anyone {
        &[]
    } else {
        CALLERS
    };
    let origin: &[ErrorCode] = if line.has_effects {
        &[ErrorCode::CrossOrigin]
    } else {
        &[]
    };
    let all = own.chain(ALWAYS).chain(callers).chain(origin);
    all.copied()
}

fn problem() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "Stable; each has a page in docs/errors."},
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::grpc::tests::world;
    use crate::web::routes::Routes;
    use crate::web::tests::get;

    #[tokio::test]
    async fn every_route_is_in_the_description_with_all_that_it_takes() {
        let world = world().await;
        let told = get(world.address, "/openapi.json").await;
        assert_eq!(told.header("content-type"), "application/json");
        let told = told.json();
        assert_eq!(told["openapi"], "3.1.0");
        let routes = Routes::new(&["/v3/kv/put"]);
        let mut count = 0;
        for line in routes.lines() {
            count += 1;
            let path = line.path.replace('*', "");
            let verb = line.verb.as_str().to_ascii_lowercase();
            let operation = &told["paths"][&path][verb];
            let what = format!("{:?} {path}: {operation}", line.verb);
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            for param in line.params() {
                let listed = operation["parameters"].as_array().unwrap();
                let found = listed.iter().find(|listed| listed["name"] == param.name);
                assert!(!found.unwrap()["description"].as_str().unwrap().is_empty());
            }
            let responses = operation["responses"].as_object().unwrap();
            let goes_well = responses.keys().any(|status| status.starts_with('2'));
            assert!(goes_well, "{what}");
            // A fault of ours is never part of what is promised.
            assert!(!responses.contains_key("500"), "{what}");
        }
        assert!(count > 20);
        let paths = told["paths"].as_object().unwrap();
        for path in paths.keys() {
            let filled = path.replace(['{', '}'], "");
            assert!(
                path.starts_with("/v3/") || routes.at(&filled).is_some(),
                "{path} is described and not there"
            );
        }
    }
}
