//! Every line of the table of pages, asked by everybody who may ask or not.

use std::collections::BTreeMap;

use hstore_proto::etcdserverpb::AuthUserChangePasswordRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Told, send};
use crate::grpc::tests::auth::{ROOT_PASSWORD, forged, guarded, with};
use crate::grpc::tests::{LONG, World, world};
use crate::grpc::{Need, TABLE, place};
use crate::web::TABLES;
use crate::web::line::{Line, Page, Verb};
use crate::web::routes::Routes;

/// All lines that leave it to the router who may ask.
fn lines() -> Vec<Line> {
    let routes = Routes::new(&[]);
    let asked = |line: &&Line| matches!(line.page, Page::Asked(_));
    let lines: Vec<Line> = routes.lines().filter(asked).copied().collect();
    assert!(lines.len() >= 10);
    lines
}

fn path(line: &Line) -> String {
    let path = line.path.replace("{key*}", "w");
    let mut filled = String::new();
    for segment in path.split_inclusive('/') {
        let name = segment.trim_end_matches('/');
        if name.starts_with('{') {
            filled.push_str(&segment.replace(name, "1"));
        } else {
            filled.push_str(segment);
        }
    }
    filled
}

fn body(line: &Line) -> &'static [u8] {
    match (line.verb, line.body) {
        (_, None) => b"",
        (Verb::Put, _) => b"1",
        (Verb::Get | Verb::Post | Verb::Patch | Verb::Delete, Some(_)) => {
            b"{\"key\":\"w\",\"value\":\"v\"}"
        }
    }
}

/// Asks and hears no more than a refusal, or the head of what goes on.
async fn told(world: &World, line: &Line, head: &str) -> Told {
    let body = body(line);
    let head = format!(
        "{} {} HTTP/1.0\r\n{head}content-length: {}\r\n\r\n",
        line.verb.as_str(),
        path(line),
        body.len()
    );
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    // A refusal may come, and end the connection, before all was said.
    let _refused = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let mut heard = Vec::new();
    while !heard.starts_with(b"HTTP/1.0 2") || !heard.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        let length = timeout(LONG, stream.read(&mut piece)).await.unwrap();
        match length {
            Ok(0) | Err(_) => break,
            Ok(length) => heard.extend_from_slice(&piece[..length]),
        }
    }
    Told::parse(&heard)
}

#[tokio::test]
async fn every_page_hears_what_its_line_says_whoever_asks() {
    let (world, root) = guarded().await;
    let writer = world.authenticate("writer", "w").await.unwrap();
    let revoked = world.authenticate("plain", "p").await.unwrap();
    let change = AuthUserChangePasswordRequest {
        name: "plain".to_owned(),
        password: "q".to_owned(),
        ..AuthUserChangePasswordRequest::default()
    };
    let changed = world.auth().user_change_password(with(&root, change)).await;
    changed.unwrap();
    let plain = world.authenticate("plain", "q").await.unwrap();
    let forged = forged(&root);
    let token = |token: &str| format!("authorization: Bearer {token}\r\n");
    let callers = [
        ("nobody", String::new()),
        ("forged", token(&forged)),
        ("of another kind", token("hjkloiuy.42")),
        ("revoked", token(&revoked)),
        ("plain", token(&plain)),
        ("writer", token(&writer)),
        ("root", token(&root)),
    ];
    let lines = lines();
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    for (who, head) in &callers {
        for line in &lines {
            let told = told(&world, line, head).await;
            let code = if told.status >= 400 {
                told.code()
            } else {
                String::new()
            };
            let what = format!("{who} {:?} {}: {told:?}", line.verb, line.path);
            assert!(told.status >= 200, "{what}");
            let stranger = ["user_empty", "invalid_auth_token"].contains(&code.as_str());
            match (*who, line.need) {
                (_, Need::Anyone) | ("root", _) => {
                    assert!(!stranger && code != "permission_denied", "{what}");
                }
                ("nobody", _) => assert_eq!((told.status, code.as_str()), (401, "user_empty")),
                ("plain" | "writer", Need::Root) => assert_eq!(code, "permission_denied", "{what}"),
                ("plain" | "writer", _) => assert!(!stranger, "{what}"),
                _bad_token => {
                    let refused = (told.status, code.as_str());
                    assert_eq!(refused, (401, "invalid_auth_token"), "{what}");
                    assert_eq!(told.header("www-authenticate"), "Bearer");
                }
            }
            *heard.entry(who).or_default() += 1;
        }
    }
    assert_eq!(heard.len(), callers.len());
    assert!(heard.values().all(|count| *count == lines.len()));
}

#[tokio::test]
async fn a_key_is_permitted_or_denied_by_the_role_of_who_asks() {
    let (world, _root) = guarded().await;
    let token = world.authenticate("writer", "w").await.unwrap();
    let token = format!("authorization: bearer {token}");
    for (method, path, status) in [
        ("PUT", "/write/w", 200),
        ("PUT", "/write/x", 403),
        ("GET", "/read/w", 403),
        ("GET", "/read", 403),
        // It would have to read the key.
        ("PUT", "/update/w", 403),
        ("GET", "/watch/w", 403),
        ("GET", "/delete/x", 403),
        ("GET", "/history/w", 403),
        ("GET", "/keys?prefix=w", 403),
        ("GET", "/api/w", 403),
        ("DELETE", "/api/x", 403),
        ("GET", "/v0/kv/key/dw==", 403),
        ("DELETE", "/v0/kv/key/eA==", 403),
        ("DELETE", "/read/w", 200),
    ] {
        let told = send(world.address, method, path, &[&token], b"v").await;
        assert_eq!(told.status, status, "{method} {path}: {told:?}");
        if status == 403 {
            assert_eq!(told.code(), "permission_denied");
        }
    }
}

#[tokio::test]
async fn a_name_and_a_password_are_proved_for_one_request() {
    use base64::Engine as _;
    let basic = |pair: &str| {
        let pair = base64::engine::general_purpose::STANDARD.encode(pair);
        format!("authorization: Basic {pair}")
    };
    let (world, _root) = guarded().await;
    let root = basic(&format!("root:{ROOT_PASSWORD}"));
    let wrong = basic("root:wrong");
    for (head, status, code) in [
        (root.as_str(), 200, ""),
        (wrong.as_str(), 401, "auth_failed"),
        ("authorization: Basic ~", 400, "invalid_argument"),
        ("authorization: basic cm9vdA==", 400, "invalid_argument"),
    ] {
        let told = send(world.address, "PUT", "/write/a", &[head], b"v").await;
        assert_eq!(told.status, status, "{head}: {told:?}");
        if status != 200 {
            assert_eq!(told.code(), code);
        }
    }
    // Where nobody is asked, it is passed over like a token.
    let open = crate::grpc::tests::world().await;
    let told = send(open.address, "PUT", "/write/a", &[&wrong], b"v").await;
    assert_eq!(told.status, 200, "{told:?}");
}

/// Also a `GET` may have effects.
#[tokio::test]
async fn what_has_effects_is_refused_to_pages_of_other_sites() {
    let world = world().await;
    let mut with_effects = 0;
    for line in lines() {
        for head in [
            "sec-fetch-site: cross-site\r\n",
            "origin: http://evil.example\r\n",
        ] {
            let told = told(&world, &line, head).await;
            if line.has_effects {
                with_effects += 1;
                assert_eq!(told.status, 403, "{}: {told:?}", line.path);
                assert_eq!(told.code(), "cross_origin");
            } else {
                assert_ne!(told.status, 403, "{}: {told:?}", line.path);
            }
            assert_eq!(told.header("access-control-allow-origin"), "");
        }
    }
    assert!(with_effects >= 10);
    let told = send(world.address, "GET", "/read", &[], b"").await;
    assert_eq!(told.json()["count"], 0, "something was written: {told:?}");
}

#[test]
fn a_line_needs_what_its_calls_need_and_changes_nothing_unless_it_says_so() {
    let rank = |need| match need {
        Need::Anyone => 0,
        Need::Keys | Need::Own | Need::User => 1,
        Need::Root => 2,
    };
    for line in TABLES.iter().flat_map(|table| table.iter()) {
        let needs = line.calls.iter().map(|call| {
            let place = place(call).unwrap_or_else(|| panic!("there is no method {call}"));
            rank(TABLE[place].1)
        });
        if let Some(strictest) = needs.max() {
            assert!(rank(line.need) >= strictest, "{}", line.path);
        }
        assert!(line.has_effects || line.verb == Verb::Get, "{}", line.path);
    }
}
