//! What the pages say, and what they refuse.

use serde_json::json;

use super::{ask, get, say};
use crate::grpc::tests::world;

#[tokio::test]
async fn the_version_is_etcds_and_ours() {
    let world = world().await;
    let told = get(world.address, "/version").await;
    assert_eq!(
        (told.status, told.header("content-type")),
        (200, "application/json")
    );
    let expected = json!({
        "etcdserver": "3.6.0",
        "etcdcluster": "3.6.0",
        "storage": "3.6.0",
        "hstore": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(told.json(), expected);
}

#[tokio::test]
async fn a_node_that_is_well_says_so() {
    let world = world().await;
    for path in [
        "/health",
        "/health?serializable=true",
        "/health?exclude=NOSPACE",
    ] {
        let told = get(world.address, path).await;
        assert_eq!(told.status, 200, "{path}");
        assert_eq!(told.body, r#"{"health":"true","reason":""}"#, "{path}");
    }
    let every = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n\
                 [+]non_learner ok\nok\n";
    for (path, body) in [
        ("/livez", "ok\n"),
        ("/livez?verbose", "[+]serializable_read ok\nok\n"),
        ("/livez/serializable_read", "ok\n"),
        ("/readyz", "ok\n"),
        ("/readyz?verbose", every),
        (
            "/readyz?verbose&exclude=data_corruption&exclude=non_learner&exclude=never",
            "[+]serializable_read ok\n[+]linearizable_read ok\nok\n",
        ),
        (
            "/readyz/data_corruption?verbose",
            "[+]data_corruption ok\nok\n",
        ),
        ("/readyz/linearizable_read", "ok\n"),
        ("/readyz/non_learner", "ok\n"),
        ("/readyz/serializable_read", "ok\n"),
    ] {
        let told = get(world.address, path).await;
        assert_eq!((told.status, told.body.as_str()), (200, body), "{path}");
    }
}

#[tokio::test]
async fn a_node_that_has_ended_is_not_well() {
    let world = world().await;
    world.node.abort();
    let told = get(world.address, "/health?serializable=true").await;
    assert_eq!(told.status, 503);
    assert_eq!(told.json()["health"], "false");
    let told = get(world.address, "/livez").await;
    assert_eq!(told.status, 503);
    assert!(
        told.body.starts_with("[-]serializable_read failed: "),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_is_not_served_is_a_problem_with_a_code() {
    let world = world().await;
    for (method, path, status, code) in [
        ("GET", "/page/", 404, "no_such_path"),
        ("GET", "/v2/keys", 404, "no_such_path"),
        ("GET", "/livez/never", 404, "no_such_path"),
        ("GET", "/health/", 404, "no_such_path"),
        ("GET", "//health", 404, "no_such_path"),
        ("GET", "/%68ealth", 404, "no_such_path"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("BREW", "/version", 405, "method_not_allowed"),
    ] {
        let told = ask(world.address, method, path, &[]).await;
        assert_eq!(told.status, status, "{method} {path}");
        assert_eq!(told.header("content-type"), "application/problem+json");
        let problem = told.json();
        assert_eq!(problem["code"], code, "{method} {path}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:hstore:error:{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        let allow = if status == 405 {
            "GET, HEAD, OPTIONS"
        } else {
            ""
        };
        assert_eq!(told.header("allow"), allow);
    }
}

/// Also the question that a browser asks before it lets a page of another site do something.
#[tokio::test]
async fn a_path_says_what_it_takes_and_allows_no_other_site_anything() {
    let world = world().await;
    let head = [
        "origin: http://evil.example",
        "access-control-request-method: DELETE",
        "access-control-request-private-network: true",
    ];
    for (path, allow) in [
        ("/version", "GET, HEAD, OPTIONS"),
        ("/v3/kv/put", "POST, OPTIONS"),
        ("/read/a/b", "GET, HEAD, DELETE, OPTIONS"),
        ("/write", "POST, OPTIONS"),
    ] {
        let told = ask(world.address, "OPTIONS", path, &head).await;
        assert_eq!((told.status, told.header("allow")), (204, allow), "{path}");
        let cors = told.names().any(|name| name.starts_with("access-control"));
        assert!(!cors, "{told:?}");
    }
}

#[tokio::test]
async fn a_head_never_has_effects() {
    let world = world().await;
    let told = ask(world.address, "HEAD", "/delete/k", &[]).await;
    assert_eq!(
        (told.status, told.header("allow")),
        (405, "GET, DELETE, OPTIONS")
    );
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let world = world().await;
    let told = ask(world.address, "HEAD", "/version", &[]).await;
    assert_eq!((told.status, told.body.as_str()), (200, ""));
    assert_ne!(told.header("content-length"), "0");
}

#[tokio::test]
async fn no_page_may_be_read_or_kept_by_others() {
    let world = world().await;
    let foreign = ["origin: http://evil.example"];
    let told = ask(world.address, "GET", "/version", &foreign).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.header("access-control-allow-origin"), "");
    assert_eq!(told.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(told.header("cache-control"), "no-store");
    assert_eq!(told.header("x-content-type-options"), "nosniff");
    assert!(
        told.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
}

#[tokio::test]
async fn a_name_that_the_node_does_not_go_by_is_refused() {
    let world = world().await;
    for (host, status) in [("localhost", 200), ("[::1]:1", 200), ("evil.example", 421)] {
        let text = format!("GET /version HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let told = super::Told::parse(&say(world.address, text.as_bytes()).await);
        assert_eq!(told.status, status, "{host}");
        if status != 200 {
            assert_eq!(told.code(), "unknown_host");
        }
    }
}

#[tokio::test]
async fn grpc_goes_over_http_2_alone() {
    let world = world().await;
    let head = ["content-type: application/grpc", "content-length: 0"];
    let told = ask(world.address, "POST", "/etcdserverpb.KV/Put", &head).await;
    assert_eq!((told.status, told.code().as_str()), (501, "unsupported"));
}
