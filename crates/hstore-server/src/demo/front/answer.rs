//! How answers of the demo look: what goes with each, and the stream of states.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::header::{self, HeaderName, HeaderValue};
use tokio::time::sleep;
use tonic::body::Body;

use super::Front;

/// How often a listener is told how things are.
const TELL: Duration = Duration::from_millis(400);

/// What goes with every answer: nobody keeps it, guesses what it is, frames it, or lets it load
/// anything from elsewhere.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The answer with what goes with every answer.
pub(super) fn dressed(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// A text of a kind.
pub(super) fn text(kind: &'static str, text: impl Into<Bytes>) -> Response<Body> {
    let body = http_body_util::Full::new(text.into());
    of_kind(kind, Body::new(body))
}

/// An object.
pub(super) fn json(object: impl Into<Bytes>) -> Response<Body> {
    text("application/json", object)
}

/// How things are, again and again.
pub(super) fn events(front: Arc<Front>) -> Response<Body> {
    let states = futures::stream::unfold(None, move |last: Option<String>| {
        let front = Arc::clone(&front);
        async move {
            if last.is_some() {
                sleep(TELL).await;
            }
            let state = front.state();
            let event = if last.as_ref() == Some(&state) {
                // A comment: whether anybody listens still is found out by talking.
                ":\n\n".to_owned()
            } else {
                format!("data: {state}\n\n")
            };
            let frame = Frame::data(Bytes::from(event));
            Some((Ok::<_, Infallible>(frame), Some(state)))
        }
    });
    let body = http_body_util::StreamBody::new(states);
    of_kind("text/event-stream", Body::new(body))
}

fn of_kind(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    dressed(response)
}
