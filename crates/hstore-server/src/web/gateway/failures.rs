//! What failures look like over HTTP, each code of them, in `failures.golden.txt`: clients of the gateway
//! match on its numbers and texts, and those of REST on the code and the status. `UPDATE_GOLDEN=1`
//! writes it anew, to be looked at.

use std::fmt::Write as _;
use std::path::Path;

use hstore_core::error::ErrorCode;
use hstore_proto::{metadata, status};
use http_body_util::BodyExt as _;
use hyper::Response;
use serde_json::Value;
use tonic::body::Body;

use super::answer;
use crate::web::problem::Problem;

async fn body(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn every_failure_keeps_its_bytes_in_json() {
    let mut text = String::new();
    for code in ErrorCode::ALL {
        let failed = status::failure(*code, "words");
        writeln!(text, "{code}").unwrap();

        let last = answer::last_line(&failed);
        let response = answer::failed(&failed);
        let told = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()[metadata::CODE], code.as_str());
        writeln!(text, "  gateway {told} {}", body(response).await).unwrap();
        let last = std::str::from_utf8(&last).unwrap();
        writeln!(text, "  stream {}", last.trim_end()).unwrap();

        let response = Problem::new(*code, "words").response();
        let told = response.status().as_u16();
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let mut problem: Value = serde_json::from_str(&body(response).await).unwrap();
        // Its words are for people, and may become better ones.
        let detail = problem.as_object_mut().unwrap().remove("detail").unwrap();
        assert!(detail.as_str().unwrap().starts_with("words. "), "{code}");
        writeln!(text, "  problem {told} {problem}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/gateway/failures.golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "a failure changed: clients match on these");
}
