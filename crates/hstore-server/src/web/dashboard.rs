//! The dashboard: files that are part of the program, and need nothing from elsewhere.
//!
//! Invariants: (1) every file is known when the program is built; (2) all of them together are less
//! than [`BYTES_MAX`]; (3) a page of ours loads and runs only what this node serves.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tonic::body::Body;

use super::ask::Ask;
use super::line::{Content, Line, Page, Success};
use super::page;
use super::problem::Problem;

/// What all files may have together.
#[cfg(test)]
const BYTES_MAX: usize = 300 * 1024;

/// What the page may do: load from this node, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// A file.
struct File {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal $kind:ident $name:literal,)*) => {
        /// Every file.
        const FILES: &[File] = &[$(File {
            path: $path,
            kind: $kind,
            text: include_str!(concat!("../../page/", $name)),
        },)*];

        /// The lines.
        pub(super) const TABLE: &[Line] = &[
            Line::get("/demo/state", Page::Asked(|_ask| no_demo()))
                .says("Whether there is a demo around this node: there is none.")
                .answers(
                    &[Success {
                        status: 204,
                        says: "There is none.",
                        content: None,
                    }],
                    &[],
                ),
            $(
            Line::get($path, Page::Asked(|ask| show(ask, $path)))
                .says("A file of the dashboard.")
                .answers(
                    &[Success {
                        status: 200,
                        says: "The file.",
                        content: Some(Content { types: &[$kind], schema: text }),
                    }],
                    &[],
                ),
        )*];
    };
}

files! {
    "/" HTML "index.html",
    "/page/page.css" STYLE "page.css",
    "/page/icon.svg" IMAGE "icon.svg",
    "/page/api.js" SCRIPT "api.js",
    "/page/charts.js" SCRIPT "charts.js",
    "/page/cluster.js" SCRIPT "cluster.js",
    "/page/dialog.js" SCRIPT "dialog.js",
    "/page/diff.js" SCRIPT "diff.js",
    "/page/dom.js" SCRIPT "dom.js",
    "/page/health.js" SCRIPT "health.js",
    "/page/keys.js" SCRIPT "keys.js",
    "/page/logs.js" SCRIPT "logs.js",
    "/page/main.js" SCRIPT "main.js",
    "/page/nodes.js" SCRIPT "nodes.js",
    "/page/picture.js" SCRIPT "picture.js",
    "/page/settings.js" SCRIPT "settings.js",
    "/page/store.js" SCRIPT "store.js",
    "/page/text.js" SCRIPT "text.js",
    "/page/tree.js" SCRIPT "tree.js",
}

/// The page asks whether a demo is around it, which answers before a node does.
fn no_demo() -> BoxFuture<'static, Result<Response<Body>, Problem>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    std::future::ready(Ok(response)).boxed()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn show(_ask: Ask, path: &'static str) -> BoxFuture<'static, Result<Response<Body>, Problem>> {
    std::future::ready(file(path)).boxed()
}

fn file(path: &str) -> Result<Response<Body>, Problem> {
    let Some(file) = FILES.iter().find(|file| file.path == path) else {
        let what = format!("there is no {path}");
        return Err(Problem::new(ErrorCode::NoSuchPath, what));
    };
    let mut response = page(file.kind, file.text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    // The files are of one version of the program; the next one has others at the same paths.
    let cache = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, cache);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::tests::world;
    use crate::web::tests::get;

    #[test]
    fn all_files_together_are_small_and_name_no_other_host() {
        let bytes: usize = FILES.iter().map(|file| file.text.len()).sum();
        assert!(bytes < BYTES_MAX, "{bytes}");
        for file in FILES {
            let names = file.text.replace("http://www.w3.org/", "");
            assert!(!names.contains("://"), "{}", file.path);
            // What would read text as markup, or run it.
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!file.text.contains(word), "{}: {word}", file.path);
            }
        }
    }

    #[test]
    fn every_file_that_is_imported_is_served() {
        let known: Vec<&str> = FILES.iter().map(|file| file.path).collect();
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            for part in file.text.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                let path = format!("/page/{name}");
                assert!(known.contains(&path.as_str()), "{}: {path}", file.path);
            }
        }
    }

    #[tokio::test]
    async fn the_page_may_load_from_its_own_node_alone() {
        let world = world().await;
        for (path, kind) in [
            ("/", HTML),
            ("/page/main.js", SCRIPT),
            ("/page/page.css", STYLE),
        ] {
            let told = get(world.address, path).await;
            assert_eq!((told.status, told.header("content-type")), (200, kind));
            let policy = told.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'"),
                "{policy}"
            );
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(told.header("x-content-type-options"), "nosniff");
        }
        assert_eq!(get(world.address, "/demo/state").await.status, 204);
        let told = get(world.address, "/page/never.js").await;
        assert_eq!((told.status, told.code()), (404, "no_such_path".to_owned()));
    }
}
