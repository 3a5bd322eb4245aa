//! Plain keys and values, asked for over a real socket.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::grpc::tests::{LONG, World, world};
use crate::web::tests::{Told, get, send, send_raw};

async fn put(world: &World, path: &str, value: &[u8]) -> Told {
    let told = send(world.address, "PUT", &format!("/write/{path}"), &[], value).await;
    assert_eq!(told.status, 200, "{told:?}");
    told
}

async fn plain(world: &World, method: &str, path: &str, body: &str) -> Told {
    send(world.address, method, path, &[], body.as_bytes()).await
}

#[tokio::test]
async fn keys_are_written_read_updated_and_deleted() {
    let world = world().await;
    let pair = r#"{"key":"a/b","value":"one"}"#;
    let other = r#"{"key":"a/b","value":"two"}"#;
    let entry = |value: &str, revision: i64, version: i64| {
        json!({"key": "a/b", "value": value, "revision": revision,
            "create_revision": 2, "version": version})
    };
    let written = |revision: i64| json!({"key": "a/b", "revision": revision});
    for (method, path, body, status, told) in [
        ("POST", "/update", pair, 404, Value::Null),
        ("POST", "/write", pair, 200, written(2)),
        ("GET", "/read/a/b", "", 200, entry("one", 2, 1)),
        ("GET", "/read/a%2Fb", "", 200, entry("one", 2, 1)),
        ("POST", "/update", other, 200, written(3)),
        (
            "GET",
            "/read/a/b?consistency=serializable",
            "",
            200,
            entry("two", 3, 2),
        ),
        ("GET", "/read/a/b?rev=2", "", 200, entry("one", 2, 1)),
        ("PUT", "/update/a/b", "three", 200, written(4)),
        ("PUT", "/update/a/c", "three", 404, Value::Null),
        (
            "GET",
            "/delete/a/b",
            "",
            200,
            json!({"deleted": 1, "revision": 5}),
        ),
        ("GET", "/delete/a/b", "", 404, Value::Null),
        ("DELETE", "/read/a/b", "", 404, Value::Null),
        ("GET", "/read/a/b", "", 404, Value::Null),
        (
            "PUT",
            "/write/a/c",
            "",
            200,
            json!({"key": "a/c", "revision": 6}),
        ),
        (
            "PUT",
            "/write/a/d",
            "",
            200,
            json!({"key": "a/d", "revision": 7}),
        ),
        (
            "DELETE",
            "/delete/a/?prefix",
            "",
            200,
            json!({"deleted": 2, "revision": 8}),
        ),
        (
            "DELETE",
            "/delete/a/?prefix",
            "",
            200,
            json!({"deleted": 0, "revision": 8}),
        ),
    ] {
        let answer = plain(&world, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if status == 404 {
            assert_eq!(answer.code(), "key_not_found");
            continue;
        }
        assert_eq!(answer.json(), told, "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json");
        if method == "POST" || method == "PUT" {
            let revision = told["revision"].to_string();
            assert_eq!(answer.header("etag"), format!("\"{revision}\""));
            assert_eq!(answer.header("hstore-revision"), revision);
        }
    }
}

#[tokio::test]
async fn a_value_comes_as_it_is_asked_for_whatever_bytes_it_has() {
    let world = world().await;
    let bytes: Vec<u8> = (0..=255).collect();
    put(&world, "%00%ff", &bytes).await;
    put(&world, "text", "<script>ä\n".as_bytes()).await;
    let told = plain(&world, "GET", "/read/%00%FF", "").await;
    let told = told.json();
    assert_eq!(told["key_base64"], "AP8=");
    assert!(told.get("key").is_none() && told.get("value").is_none());
    for (path, accept, kind) in [
        (
            "%00%ff",
            "application/octet-stream",
            "application/octet-stream",
        ),
        // What is no text is not called so.
        ("%00%ff", "text/plain", "text/plain"),
        ("text", "text/*", "text/plain; charset=utf-8"),
        (
            "text",
            "application/octet-stream",
            "application/octet-stream",
        ),
    ] {
        let head = format!("accept: {accept}");
        let path = format!("/read/{path}");
        let raw = send_raw(world.address, "GET", &path, &[&head], b"").await;
        let told = Told::parse(&raw);
        assert_eq!((told.status, told.header("content-type")), (200, kind));
        assert_eq!(told.header("x-content-type-options"), "nosniff");
        let value: &[u8] = if path.ends_with("text") {
            "<script>ä\n".as_bytes()
        } else {
            &bytes
        };
        assert!(raw.ends_with(value), "{path}");
    }
    let told = send(
        world.address,
        "GET",
        "/read/text",
        &["accept: image/png"],
        b"",
    )
    .await;
    assert_eq!(
        (told.status, told.code().as_str()),
        (406, "invalid_argument")
    );
    let written = r#"{"key_base64":"AP8=","value_base64":"/w=="}"#;
    let told = plain(&world, "POST", "/write", written).await;
    assert_eq!(told.json(), json!({"key_base64": "AP8=", "revision": 4}));
    let told = plain(&world, "GET", "/read/%00%ff", "").await;
    assert_eq!(told.json()["value_base64"], "/w==");
}

#[tokio::test]
async fn all_keys_are_a_list_in_pieces_that_is_whole_again() {
    let world = world().await;
    let told = plain(&world, "GET", "/read", "").await;
    let empty = json!({"entries": [], "revision": 1, "count": 0, "more": false});
    assert_eq!(told.json(), empty);
    let value = "v".repeat(1000);
    for number in 0..30 {
        put(&world, &format!("k/{number:02}"), value.as_bytes()).await;
    }
    put(&world, "z", b"").await;
    let keys = |told: &Value| -> Vec<String> {
        let entries = told["entries"].as_array().unwrap();
        let key = |entry: &Value| entry["key"].as_str().unwrap().to_owned();
        entries.iter().map(key).collect()
    };
    let told = plain(&world, "GET", "/read", "").await.json();
    assert_eq!(keys(&told).len(), 31);
    assert_eq!(
        (&told["revision"], &told["count"]),
        (&json!(32), &json!(31))
    );
    assert_eq!(told["entries"][7]["value"], value);
    for (query, first, count, more) in [
        ("?prefix=k/", "k/00", 30, false),
        ("?prefix=k%2F2", "k/20", 10, false),
        ("?limit=7", "k/00", 7, true),
        ("?limit=7&after=k/06", "k/07", 7, true),
        ("?prefix=k/&after=k/28&limit=7", "k/29", 1, false),
        ("?prefix=z&after=a", "z", 1, false),
        ("/k/?prefix&limit=3", "k/00", 3, true),
        ("?rev=4", "k/00", 3, false),
        ("?consistency=serializable&limit=1", "k/00", 1, true),
    ] {
        let path = format!("/read{query}");
        let told = plain(&world, "GET", &path, "").await.json();
        let keys = keys(&told);
        assert_eq!((keys[0].as_str(), keys.len()), (first, count), "{query}");
        assert_eq!(told["more"], more, "{query}");
    }
    let told = plain(&world, "GET", "/read?keys_only&limit=2", "")
        .await
        .json();
    assert!(told["entries"][0].get("value").is_none(), "{told}");
    let head = ["accept: application/x-ndjson"];
    let told = send(world.address, "GET", "/read?prefix=k/1", &head, b"").await;
    assert_eq!(told.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = told
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((lines.len(), &lines[9]["key"]), (10, &json!("k/19")));
}

#[tokio::test]
async fn a_condition_holds_or_the_write_does_not_happen() {
    let world = world().await;
    for (method, path, head, status) in [
        ("PUT", "/write/k", "if-match: *", 412),
        ("PUT", "/write/k", "if-match: \"2\"", 412),
        ("PUT", "/update/k", "if-match: \"2\"", 404),
        ("PUT", "/write/k", "if-none-match: *", 200),
        // At revision 2 from here on.
        ("PUT", "/write/k", "if-none-match: *", 412),
        ("PUT", "/write/k", "if-match: \"1\"", 412),
        ("PUT", "/update/k", "if-match: \"1\"", 412),
        ("PUT", "/update/k", "if-none-match: *", 400),
        ("PUT", "/write/k", "if-match: \"2\"", 200),
        // And at 3.
        ("PUT", "/write/k", "if-match: *", 200),
        ("PUT", "/update/k", "if-match: 4", 200),
        ("GET", "/read/k", "if-none-match: \"5\"", 304),
        ("GET", "/read/k", "if-none-match: \"4\"", 200),
        ("GET", "/read/k", "if-match: \"4\"", 412),
        ("GET", "/read/k", "if-match: \"5\"", 200),
        ("DELETE", "/read/k", "if-match: \"4\"", 412),
        ("DELETE", "/read/k?prefix", "if-match: \"5\"", 400),
        ("DELETE", "/read/k", "if-none-match: *", 412),
        ("DELETE", "/read/k", "if-match: \"5\"", 200),
        ("DELETE", "/read/k", "if-match: \"5\"", 404),
    ] {
        let told = send(world.address, method, path, &[head], b"v").await;
        assert_eq!(told.status, status, "{method} {path} {head}: {told:?}");
        if status == 412 {
            assert_eq!(told.code(), "conflict");
            assert_eq!(told.json()["status"], 412);
        }
    }
    assert_eq!(world.node.status().store.revision.0, 6);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_code() {
    let world = world().await;
    put(&world, "a", b"1").await;
    put(&world, "a", b"2").await;
    let long_key = format!("/read/{}", "k".repeat(65));
    let large = "v".repeat(5000);
    let endless = "v".repeat(3_000_000);
    for (method, path, body, status, code) in [
        ("GET", "/read/", "", 400, "empty_key"),
        ("PUT", "/write/", "v", 400, "empty_key"),
        ("GET", "/delete/", "", 400, "empty_key"),
        ("GET", "/delete/?prefix", "", 400, "empty_key"),
        ("GET", "/watch/", "", 400, "empty_key"),
        ("GET", "/read/%", "", 400, "invalid_argument"),
        ("GET", "/read/a?never=1", "", 400, "invalid_argument"),
        ("GET", "/read/a?rev=-1", "", 400, "invalid_argument"),
        (
            "GET",
            "/read/a?consistency=eventual",
            "",
            400,
            "invalid_argument",
        ),
        ("GET", "/read/a?rev=99", "", 400, "future_revision"),
        ("GET", "/read?limit=x", "", 400, "invalid_argument"),
        ("GET", "/read/a?timeout_ms=0", "", 400, "invalid_argument"),
        ("GET", "/watch/a?rev=x", "", 400, "invalid_argument"),
        ("GET", long_key.as_str(), "", 400, "key_too_large"),
        ("POST", "/write", "", 400, "invalid_argument"),
        (
            "POST",
            "/write",
            "{\"key\":\"\",\"value\":\"v\"}",
            400,
            "empty_key",
        ),
        ("PUT", "/write/a?lease=9", "v", 404, "lease_not_found"),
        ("PUT", "/write/a", large.as_str(), 413, "request_too_large"),
        (
            "PUT",
            "/write/a",
            endless.as_str(),
            413,
            "request_too_large",
        ),
        ("POST", "/read", "", 405, "method_not_allowed"),
        ("GET", "/write", "", 405, "method_not_allowed"),
        ("GET", "/delete", "", 404, "no_such_path"),
    ] {
        let told = plain(&world, method, path, body).await;
        let short = &path[..path.len().min(30)];
        assert_eq!(told.status, status, "{method} {short}: {told:?}");
        assert_eq!(told.code(), code, "{method} {short}");
        assert_eq!(told.header("content-type"), "application/problem+json");
    }
    let told = send(world.address, "GET", "/watch/a", &["last-event-id: x"], b"").await;
    assert_eq!(
        (told.status, told.code().as_str()),
        (400, "invalid_argument")
    );
}

#[tokio::test]
async fn a_read_waits_until_the_node_has_come_to_a_revision() {
    let world = world().await;
    put(&world, "a", b"1").await;
    let path = "/read/a?wait_rev=2&consistency=serializable";
    assert_eq!(plain(&world, "GET", path, "").await.json()["value"], "1");
    let path = "/read/a?wait_rev=3&consistency=serializable";
    let (told, _written) = tokio::join!(plain(&world, "GET", path, ""), async {
        put(&world, "a", b"2").await
    });
    assert_eq!(told.json()["value"], "2", "{told:?}");
    let told = plain(&world, "GET", "/read/a?wait_rev=9&timeout_ms=50", "").await;
    assert_eq!((told.status, told.code().as_str()), (504, "timeout"));
}

/// A watch, as a program without a library for events hears it.
struct Heard(Lines<BufReader<TcpStream>>);

impl Heard {
    async fn begin(world: &World, path: &str, head: &str) -> Heard {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let text = format!("GET {path} HTTP/1.0\r\n{head}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        Heard(BufReader::new(stream).lines())
    }

    async fn line(&mut self) -> Option<String> {
        timeout(LONG, self.0.next_line()).await.unwrap().unwrap()
    }

    /// The next event: its name, its id, what it says.
    async fn event(&mut self) -> Option<(String, Option<i64>, Value)> {
        let (mut name, mut id, mut data) = (String::new(), None, Value::Null);
        loop {
            let line = self.line().await?;
            if let Some(told) = line.strip_prefix("event: ") {
                told.clone_into(&mut name);
            } else if let Some(told) = line.strip_prefix("id: ") {
                id = Some(told.parse().unwrap());
            } else if let Some(told) = line.strip_prefix("data: ") {
                data = serde_json::from_str(told).unwrap();
            } else if line.is_empty() && !name.is_empty() {
                return Some((name, id, data));
            }
        }
    }
}

#[tokio::test]
async fn a_watch_tells_whole_revisions_and_goes_on_behind_the_last_event() {
    let world = world().await;
    put(&world, "k/a", b"1").await;
    let mut heard = Heard::begin(&world, "/watch/k/?prefix=true&rev=2&previous", "").await;
    assert_eq!(heard.line().await.unwrap(), "HTTP/1.0 200 OK");
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, data),
        ("open", None, json!({"revision": 2}))
    );
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, &data["value"]),
        ("put", Some(2), &json!("1"))
    );
    put(&world, "k/b", b"2").await;
    put(&world, "other", b"2").await;
    let told = plain(&world, "DELETE", "/read/k/?prefix", "").await;
    assert_eq!(told.json()["deleted"], 2);
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, &data["key"]),
        ("put", Some(3), &json!("k/b"))
    );
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, &data["key"]),
        ("delete", None, &json!("k/a"))
    );
    assert_eq!(data["previous"]["value"], "1");
    assert!(data.get("value").is_none());
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, &data["key"]),
        ("delete", Some(5), &json!("k/b"))
    );
    drop(heard);
    // Back again, with what was heard last.
    let head = "last-event-id: 3\r\n";
    let mut heard = Heard::begin(&world, "/watch/k/?prefix=true&rev=2", head).await;
    assert_eq!(heard.event().await.unwrap().0, "open");
    let (name, id, data) = heard.event().await.unwrap();
    assert_eq!(
        (name.as_str(), id, &data["key"]),
        ("delete", None, &json!("k/a"))
    );
    world.node.abort();
    let mut last = None;
    while let Some(event) = heard.event().await {
        last = Some(event);
    }
    let (name, id, data) = last.unwrap();
    assert_eq!((name.as_str(), id), ("end", None), "{data}");
    assert_eq!(data["code"], "shutting_down");
}

#[tokio::test]
async fn a_watch_of_what_was_compacted_is_refused() {
    let world = world().await;
    for value in [b"1", b"2", b"3"] {
        put(&world, "a", value).await;
    }
    let told = plain(&world, "POST", "/v3/kv/compaction", r#"{"revision": 4}"#).await;
    assert_eq!(told.status, 200, "{told:?}");
    for (path, head) in [("/watch/a?rev=2", ""), ("/watch/a", "last-event-id: 2")] {
        let head = if head.is_empty() { vec![] } else { vec![head] };
        let told = send(world.address, "GET", path, &head, b"").await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (410, "compacted"),
            "{path}"
        );
    }
    let told = get(world.address, "/read/a?rev=2").await;
    assert_eq!((told.status, told.code().as_str()), (410, "compacted"));
}

#[tokio::test]
async fn a_document_is_kept_as_it_was_sent_and_changed_only_by_who_saw_it() {
    let world = world().await;
    let document = " {\"b\": 1e400, \"a\": [null], \"b\": 2}\n";
    for (method, path, head, body, status, told) in [
        ("GET", "/api/d", "", "", 404, "key_not_found"),
        ("PUT", "/api/d", "if-match: \"2\"", "1", 412, "conflict"),
        ("PUT", "/api/d", "if-none-match: *", document, 200, document),
        ("GET", "/api/d", "", "", 200, document),
        ("GET", "/api/d", "if-none-match: \"2\"", "", 304, ""),
        ("PUT", "/api/d", "if-none-match: *", "1", 412, "conflict"),
        ("PUT", "/api/d", "if-match: \"2\"", "true", 200, "true"),
        ("PUT", "/api/d", "if-match: \"2\"", "false", 412, "conflict"),
        ("PUT", "/api/d", "", "{", 400, "invalid_argument"),
        ("PUT", "/api/d", "", "", 400, "invalid_argument"),
        ("PUT", "/api/", "", "1", 400, "empty_key"),
        ("GET", "/api/d", "", "", 200, "true"),
        ("DELETE", "/api/d", "if-match: \"2\"", "", 412, "conflict"),
        (
            "DELETE",
            "/api/d",
            "if-match: \"3\"",
            "",
            200,
            "{\"deleted\":1,\"revision\":4}",
        ),
        ("DELETE", "/api/d", "", "", 404, "key_not_found"),
        ("DELETE", "/api/d?prefix", "", "", 400, "invalid_argument"),
    ] {
        let head = if head.is_empty() { vec![] } else { vec![head] };
        let answer = send(world.address, method, path, &head, body.as_bytes()).await;
        let what = format!("{method} {path} {head:?}: {answer:?}");
        assert_eq!(answer.status, status, "{what}");
        if status >= 400 {
            assert_eq!(answer.code(), told, "{what}");
        } else {
            assert_eq!(answer.body, told, "{what}");
        }
    }
    let told = plain(&world, "PUT", "/api/d", "7").await;
    assert_eq!(
        (told.header("etag"), told.header("hstore-revision")),
        ("\"5\"", "5")
    );
    put(&world, "d", b"no document").await;
    let told = plain(&world, "GET", "/api/d", "").await;
    assert_eq!(
        (told.status, told.code().as_str()),
        (409, "invalid_argument")
    );
}

#[tokio::test]
async fn keys_and_values_go_in_base64() {
    let world = world().await;
    let written = "{\"key\":\"AP8=\",\"value\":\"/w==\"}";
    let told = plain(&world, "POST", "/v0/kv", written).await;
    assert_eq!(told.json(), json!({"key": "AP8=", "revision": 2}));
    let told = plain(&world, "GET", "/v0/kv/key/%00%ff", "").await;
    let entry = json!({"key": "AP8=", "value": "/w==", "revision": 2, "create_revision": 2,
        "version": 1});
    assert_eq!(told.json(), entry);
    assert_eq!(told.header("etag"), "\"2\"");
    for (method, path, body, status, code) in [
        (
            "POST",
            "/v0/kv",
            "{\"key\":\"~\",\"value\":\"\"}",
            400,
            "invalid_argument",
        ),
        (
            "POST",
            "/v0/kv",
            "{\"key\":\"\",\"value\":\"\"}",
            400,
            "empty_key",
        ),
        (
            "POST",
            "/v0/kv",
            "{\"key\":\"AA==\"}",
            400,
            "invalid_argument",
        ),
        ("GET", "/v0/kv/key/%01", "", 404, "key_not_found"),
        ("DELETE", "/v0/kv/key/%01", "", 404, "key_not_found"),
    ] {
        let told = plain(&world, method, path, body).await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let told = plain(&world, "DELETE", "/v0/kv/key/%00%ff", "").await;
    assert_eq!(told.json(), json!({"deleted": 1, "revision": 3}));
}

#[tokio::test]
async fn a_key_tells_what_it_was() {
    let world = world().await;
    put(&world, "k", b"1").await;
    put(&world, "other", b"1").await;
    plain(&world, "DELETE", "/read/k", "").await;
    put(&world, "k", b"\xff").await;
    let told = plain(&world, "GET", "/history/k", "").await;
    assert_eq!(told.header("hstore-revision"), "5");
    let records = json!({
        "key": "k", "revision": 5, "compacted_revision": 0, "more": false, "records": [
            {"revision": 5, "deleted": false, "create_revision": 5, "version": 1,
             "value_base64": "/w=="},
            {"revision": 4, "deleted": true},
            {"revision": 2, "deleted": false, "create_revision": 2, "version": 1, "value": "1"},
        ],
    });
    assert_eq!(told.json(), records);
    for value in 0..40 {
        put(&world, "many", &vec![b'a' + value % 26; 3000]).await;
    }
    let told = plain(&world, "GET", "/history/many", "").await.json();
    let revisions: Vec<i64> = told["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["revision"].as_i64().unwrap())
        .collect();
    let all: Vec<i64> = (6..46).rev().collect();
    assert_eq!((revisions, &told["more"]), (all, &json!(false)));
    let told = plain(&world, "GET", "/history/many?limit=5&before=16", "")
        .await
        .json();
    let first = &told["records"][0]["revision"];
    let count = told["records"].as_array().unwrap().len();
    assert_eq!((first, count, &told["more"]), (&json!(15), 5, &json!(true)));
    let told = plain(&world, "GET", "/history/never", "").await.json();
    assert_eq!(told["records"], json!([]));
    for (path, code) in [
        ("/history/", "empty_key"),
        ("/history/k?limit=-1", "invalid_argument"),
        ("/history/k?rev=1", "invalid_argument"),
    ] {
        let told = plain(&world, "GET", path, "").await;
        assert_eq!((told.status, told.code().as_str()), (400, code), "{path}");
    }
}

#[tokio::test]
async fn keys_are_listed_as_folders_with_counts() {
    let world = world().await;
    for key in [
        "a", "a/", "a/b", "a/c/d", "a/c/e", "b", "c/%ff/x", "c/%ff%ff", "d//e", "e%ff/x", "e%ff/y",
    ] {
        put(&world, key, b"v").await;
    }
    for number in 0..25 {
        put(&world, &format!("n/{number:02}"), b"v").await;
    }
    let names = |told: &Value| -> Vec<(String, i64)> {
        let names = told["names"].as_array().unwrap();
        let name = |name: &Value| {
            let key = name["key"].as_str().or(name["key_base64"].as_str());
            (key.unwrap().to_owned(), name["count"].as_i64().unwrap())
        };
        names.iter().map(name).collect()
    };
    let list = async |path: &str| {
        let told = plain(&world, "GET", path, "").await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
        assert_eq!(told.json()["revision"], 37);
        told.json()
    };
    let expect = |pairs: &[(&str, i64)]| -> Vec<(String, i64)> {
        let owned = |(name, count): &(&str, i64)| ((*name).to_owned(), *count);
        pairs.iter().map(owned).collect()
    };
    for (path, expected, more) in [
        (
            "/keys",
            &[
                ("a", 1),
                ("a/", 4),
                ("b", 1),
                ("c/", 2),
                ("d/", 1),
                ("Zf8v", 2),
                ("n/", 25),
            ][..],
            false,
        ),
        ("/keys?limit=2", &[("a", 1), ("a/", 4)], true),
        ("/keys?limit=2&after=a/", &[("b", 1), ("c/", 2)], true),
        ("/keys?limit=9&after=d/", &[("Zf8v", 2), ("n/", 25)], false),
        (
            "/keys?prefix=a/",
            &[("a/", 1), ("a/b", 1), ("a/c/", 2)],
            false,
        ),
        (
            "/keys?prefix=c/",
            &[("Yy//Lw==", 1), ("Yy///w==", 1)],
            false,
        ),
        ("/keys?prefix=d/", &[("d//", 1)], false),
        ("/keys?prefix=never", &[], false),
        (
            "/keys?prefix=a&delimiter=c/",
            &[("a", 1), ("a/", 1), ("a/b", 1), ("a/c/", 2)],
            false,
        ),
        (
            "/keys?rev=3&consistency=serializable",
            &[("a", 1), ("a/", 1)],
            false,
        ),
    ] {
        let told = plain(&world, "GET", path, "").await;
        assert_eq!(told.status, 200, "{path}: {told:?}");
        let told = told.json();
        assert_eq!(
            (names(&told), &told["more"]),
            (expect(expected), &json!(more)),
            "{path}"
        );
    }
    let told = list("/keys?prefix=n/").await;
    assert_eq!((names(&told).len(), &told["count"]), (25, &json!(25)));
    assert_eq!(told["names"][3]["revision"], 16);
    for path in ["/keys?delimiter=", "/keys?limit=0", "/keys?limit=1001"] {
        let told = plain(&world, "GET", path, "").await;
        assert_eq!(
            (told.status, told.code().as_str()),
            (400, "invalid_argument")
        );
    }
}
