//! What etcd's clients over JSON match on.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Method, TABLE};
use crate::grpc::DESCRIBED;
use crate::grpc::tests::{LONG, World, world};
use crate::web::tests::{Told, ask, get, say};

async fn post(world: &World, path: &str, body: &str) -> Told {
    post_with(world, path, &[], body).await
}

async fn post_with(world: &World, path: &str, head: &[&str], body: &str) -> Told {
    let mut text = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for line in head {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    Told::parse(&say(world.address, text.as_bytes()).await)
}

/// Without what differs from node to node.
fn plain(mut told: Value) -> Value {
    if let Some(header) = told.get_mut("header").and_then(Value::as_object_mut) {
        for name in ["cluster_id", "member_id", "raft_term"] {
            let value = header.remove(name).unwrap_or_default();
            assert!(
                value
                    .as_str()
                    .is_some_and(|text| text.parse::<u64>().is_ok())
            );
        }
    }
    told
}

#[test]
fn every_method_of_etcd_has_its_page_and_every_page_its_method() {
    // etcd has no page for it either.
    let without = ["/etcdserverpb.KV/RangeStream"];
    let bound: BTreeSet<&str> = TABLE.iter().map(|(_, method)| *method).collect();
    let packages = ["etcdserverpb", "v3lockpb", "v3electionpb"];
    let services = DESCRIBED.services();
    let mut count = 0;
    for service in services.filter(|service| packages.contains(&service.package_name())) {
        for method in service.methods() {
            count += 1;
            let path = format!("/{}/{}", service.full_name(), method.name());
            let has = bound.contains(path.as_str());
            assert!(
                has || without.contains(&path.as_str()),
                "{path} has no page"
            );
        }
    }
    assert!(count >= 13);
    let paths: BTreeSet<&str> = TABLE.iter().map(|(path, _)| *path).collect();
    assert_eq!(paths.len(), TABLE.len());
    for (path, method) in TABLE {
        assert!(Method::find(method).is_some(), "{path} leads to no method");
    }
    assert!(Method::find("/etcdserverpb.KV/Never").is_none());
}

#[tokio::test]
async fn an_alarm_makes_a_node_unwell_until_it_is_over() {
    let world = world().await;
    let alarm =
        |action: &str, kind: &str| format!(r#"{{"action": "{action}", "alarm": "{kind}"}}"#);
    for (kind, ready) in [("NOSPACE", 200), ("CORRUPT", 503)] {
        let told = post(&world, "/v3/maintenance/alarm", &alarm("ACTIVATE", kind)).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(told.json()["alarms"][0]["alarm"], kind);
        let told = get(world.address, "/health").await;
        assert_eq!(told.status, 503);
        assert_eq!(told.json()["reason"], format!("ALARM {kind}"));
        let told = get(world.address, &format!("/health?exclude={kind}")).await;
        assert_eq!(told.status, 200, "{told:?}");
        let told = get(world.address, "/readyz").await;
        assert_eq!(told.status, ready, "{kind}: {told:?}");
        let told = get(world.address, "/metrics").await;
        let line = format!("hstore_alarms{{kind=\"{kind}\"}} 1\n");
        assert!(told.body.contains(&line), "{kind}");
        let told = post(&world, "/v3/maintenance/alarm", &alarm("DEACTIVATE", kind)).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_eq!(get(world.address, "/health").await.status, 200);
    }
}

#[tokio::test]
async fn keys_are_written_read_and_deleted_as_etcds_gateway_says_it() {
    let world = world().await;
    let put = r#"{"key": "Zm9v", "value": "YmFy", "prevKv": true}"#;
    for (path, body, told) in [
        ("/v3/kv/put", put, json!({"header": {"revision": "2"}})),
        (
            "/v3/kv/put",
            r#"{"key": "Zm9v", "value": "YmF6", "prev_kv": true}"#,
            json!({"header": {"revision": "3"}, "prev_kv": {
                "key": "Zm9v", "create_revision": "2", "mod_revision": "2", "version": "1",
                "value": "YmFy"}}),
        ),
        (
            "/v3/kv/range",
            r#"{"key": "Zm9v", "range_end": "Zm9w", "sort_order": "DESCEND", "sortTarget": 3}"#,
            json!({"header": {"revision": "3"}, "count": "1", "kvs": [{
                "key": "Zm9v", "create_revision": "2", "mod_revision": "3", "version": "2",
                "value": "YmF6"}]}),
        ),
        (
            "/v3/kv/range",
            r#"{"key": "Zm9v", "revision": "2", "keys_only": true, "unknown": [1, {}]}"#,
            json!({"header": {"revision": "3"}, "count": "1", "kvs": [{
                "key": "Zm9v", "create_revision": "2", "mod_revision": "2", "version": "1"}]}),
        ),
        (
            "/v3/kv/range",
            r#"{"key": "bm9uZQ=="}"#,
            json!({"header": {"revision": "3"}}),
        ),
        (
            "/v3/kv/txn",
            r#"{"compare": [{"target": "VERSION", "key": "Zm9v", "version": 2, "result": "EQUAL"}],
                "success": [{"requestRange": {"key": "Zm9v"}}, {"request_put": {"key": "YQ"}}],
                "failure": [{"request_delete_range": {"key": "Zm9v"}}]}"#,
            json!({"header": {"revision": "4"}, "succeeded": true, "responses": [
                {"response_range": {"header": {"revision": "3"}, "count": "1", "kvs": [{
                    "key": "Zm9v", "create_revision": "2", "mod_revision": "3", "version": "2",
                    "value": "YmF6"}]}},
                {"response_put": {"header": {"revision": "4"}}}]}),
        ),
        (
            "/v3/kv/deleterange",
            r#"{"key": "AA==", "range_end": "AA=="}"#,
            json!({"header": {"revision": "5"}, "deleted": "2"}),
        ),
        (
            "/v3/kv/compaction",
            r#"{"revision": "5", "physical": true}"#,
            json!({"header": {"revision": "5"}}),
        ),
    ] {
        let answer = post(&world, path, body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        let mut heard = plain(answer.json());
        for response in heard
            .get_mut("responses")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for one in response.as_object_mut().unwrap().values_mut() {
                *one = json!({"header": {"revision": one["header"]["revision"].take()},
                    "count": one["count"].take(), "kvs": one["kvs"].take()});
                one.as_object_mut()
                    .unwrap()
                    .retain(|_, value| !value.is_null());
            }
        }
        assert_eq!(heard, told, "{path} {body}");
    }
}

#[tokio::test]
async fn leases_and_members_are_there_too() {
    let world = world().await;
    let told = post(&world, "/v3/lease/grant", r#"{"TTL": "60", "ID": 7}"#).await;
    let lease = json!({"header": {"revision": "1"}, "ID": "7", "TTL": "60"});
    assert_eq!(plain(told.json()), lease);
    let told = post(&world, "/v3/lease/keepalive", r#"{"ID": "7"} {"ID": 8}"#).await;
    let lines: Vec<Value> = told
        .body
        .lines()
        .map(|line| {
            // The length of each chunk stands on a line of its own.
            serde_json::from_str(line).unwrap_or_default()
        })
        .filter(Value::is_object)
        .collect();
    assert_eq!(lines.len(), 2, "{told:?}");
    assert_eq!(lines[0]["result"]["TTL"], "60");
    assert_eq!(lines[1]["result"]["ID"], "8");
    assert!(lines[1]["result"]["TTL"].is_null());
    for path in ["/v3/lease/timetolive", "/v3/kv/lease/timetolive"] {
        let told = post(&world, path, r#"{"ID": "7", "keys": true}"#).await;
        assert_eq!(told.json()["grantedTTL"], "60", "{told:?}");
    }
    for path in ["/v3/lease/leases", "/v3/kv/lease/leases"] {
        let told = post(&world, path, "").await;
        assert_eq!(told.json()["leases"], json!([{"ID": "7"}]));
    }
    let told = post(&world, "/v3/kv/lease/revoke", r#"{"ID": "7"}"#).await;
    assert_eq!(told.status, 200);
    let told = post(&world, "/v3/cluster/member/list", "{}").await;
    let member = &told.json()["members"][0];
    assert_eq!(member["name"], "one");
    assert_eq!(member["clientURLs"], json!(["http://127.0.0.1:12379"]));
    let told = post(&world, "/v3/maintenance/status", "{}").await;
    assert_eq!(told.json()["version"], "3.6.0");
}

#[tokio::test]
async fn a_watch_is_a_line_for_each_answer_for_as_long_as_it_is_listened_to() {
    let world = world().await;
    let body = r#"{"create_request": {"key": "Zm9v", "progress_notify": false}}"#;
    let request = format!(
        "POST /v3/watch HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut results = Vec::new();
    while results.len() < 2 {
        let line = timeout(LONG, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let Ok(Value::Object(told)) = serde_json::from_str(&line) else {
            continue;
        };
        if results.is_empty() {
            let told = post(&world, "/v3/kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#).await;
            assert_eq!(told.status, 200);
        }
        results.push(told);
    }
    assert_eq!(results[0]["result"]["created"], true);
    let events = json!([{"kv": {"key": "Zm9v", "value": "YmFy", "create_revision": "2",
        "mod_revision": "2", "version": "1"}}]);
    assert_eq!(results[1]["result"]["events"], events);
}

#[tokio::test]
async fn refusals_have_the_words_and_the_statuses_of_etcds_gateway() {
    let world = world().await;
    post(&world, "/v3/kv/put", r#"{"key": "YQ=="}"#).await;
    post(&world, "/v3/kv/compaction", r#"{"revision": 2}"#).await;
    let empty = "etcdserver: key is not provided";
    let lease = "etcdserver: requested lease not found";
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let senseless = "hstore: the request makes no sense";
    for (path, body, status, code, text, stable) in [
        ("/v3/kv/put", "{}", 400, 3, empty, "empty_key"),
        ("/v3/kv/put", "", 400, 3, empty, "empty_key"),
        ("/v3/kv/put", "{", 400, 3, senseless, "invalid_argument"),
        ("/v3/kv/put", "{} {}", 400, 3, senseless, "invalid_argument"),
        ("/v3/kv/put", "null", 400, 3, senseless, "invalid_argument"),
        ("/v3/kv/put", "[]", 400, 3, senseless, "invalid_argument"),
        (
            "/v3/kv/put",
            r#"{"key": "~"}"#,
            400,
            3,
            senseless,
            "invalid_argument",
        ),
        (
            "/v3/kv/put",
            r#"{"lease": 1.5}"#,
            400,
            3,
            senseless,
            "invalid_argument",
        ),
        ("/v3/kv/put", "\u{0}", 400, 3, senseless, "invalid_argument"),
        (
            "/v3/kv/range",
            r#"{"key":"YQ==","revision":1}"#,
            400,
            11,
            compacted,
            "compacted",
        ),
        (
            "/v3/lease/revoke",
            r#"{"ID": 99}"#,
            404,
            5,
            lease,
            "lease_not_found",
        ),
    ] {
        let told = post(&world, path, body).await;
        assert_eq!(told.status, status, "{path} {body}: {told:?}");
        let expected = json!({"error": text, "code": code, "message": text});
        assert_eq!(told.json(), expected, "{path} {body}");
        assert_eq!(told.header("hstore-code"), stable);
        assert!(!told.header("hstore-detail").is_empty());
    }
    let deep = format!("{}{}", r#"{"success":[{"requestTxn":"#.repeat(200), "");
    let told = post(&world, "/v3/kv/txn", &deep).await;
    assert_eq!(told.status, 400);
    let told = ask(world.address, "GET", "/v3/kv/range", &[]).await;
    assert_eq!((told.status, told.header("allow")), (405, "POST, OPTIONS"));
    let told = post(&world, "/v3beta/kv/range", "{}").await;
    assert_eq!(told.status, 404);
}

#[tokio::test]
async fn a_request_is_bounded_and_what_goes_with_it_is_passed_on() {
    let world = world().await;
    let large = format!(r#"{{"key": "YQ==", "value": "{}"}}"#, "A".repeat(2 << 20));
    let told = post(&world, "/v3/kv/put", &large).await;
    assert_eq!(told.header("hstore-code"), "request_too_large", "{told:?}");
    for name in ["hstore-request", "Grpc-Metadata-Hstore-Request"] {
        let head = format!("{name}: nonsense");
        let told = post_with(&world, "/v3/kv/put", &[&head], r#"{"key": "YQ=="}"#).await;
        assert_eq!(
            (told.status, told.header("hstore-code")),
            (400, "invalid_argument")
        );
    }
    let foreign = ["sec-fetch-site: cross-site", "content-type: text/plain"];
    let told = post_with(&world, "/v3/kv/put", &foreign, r#"{"key": "YQ=="}"#).await;
    assert_eq!((told.status, told.code().as_str()), (403, "cross_origin"));
}

#[tokio::test]
async fn who_must_be_known_says_so_by_a_header_and_pages_about_the_node_ask_nobody() {
    let world = world().await;
    for (path, body) in [
        (
            "/v3/auth/user/add",
            r#"{"name": "root", "password": "secret"}"#,
        ),
        ("/v3/auth/role/add", r#"{"name": "root"}"#),
        ("/v3/auth/user/grant", r#"{"user": "root", "role": "root"}"#),
        ("/v3/auth/enable", "{}"),
    ] {
        let told = post(&world, path, body).await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
    }
    let put = r#"{"key": "YQ=="}"#;
    let told = post(&world, "/v3/kv/put", put).await;
    assert_eq!(told.status, 400, "{told:?}");
    assert_eq!(told.json()["error"], "etcdserver: user name is empty");
    let who = r#"{"name": "root", "password": "secret"}"#;
    let token = post(&world, "/v3/auth/authenticate", who).await.json()["token"].take();
    let token = token.as_str().unwrap();
    for name in ["Authorization", "token", "Grpc-Metadata-Token"] {
        let head = format!("{name}: {token}");
        let told = post_with(&world, "/v3/kv/put", &[&head], put).await;
        assert_eq!(told.status, 200, "{name}: {told:?}");
        let head = format!("{name}: {token}x");
        let told = post_with(&world, "/v3/kv/put", &[&head], put).await;
        assert_eq!(told.status, 401, "{name}: {told:?}");
    }
    for path in ["/health", "/livez", "/readyz", "/version", "/metrics"] {
        let told = ask(world.address, "GET", path, &[]).await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
    }
}
