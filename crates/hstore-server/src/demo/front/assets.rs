//! The panel and a page around it, compiled in.

use hyper::Response;
use tonic::body::Body;

use super::answer;

/// A page that holds the panel and nothing else.
pub(super) fn page() -> Response<Body> {
    answer::text("text/html; charset=utf-8", include_str!("demo.html"))
}

/// The panel.
pub(super) fn script() -> Response<Body> {
    answer::text("text/javascript; charset=utf-8", include_str!("demo.js"))
}

/// How it looks.
pub(super) fn style() -> Response<Body> {
    answer::text("text/css; charset=utf-8", include_str!("demo.css"))
}
