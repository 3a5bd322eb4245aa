//! Server-sent events: an answer that goes on, an event at a time.
//!
//! Invariants: (1) an event is taken when the connection has room for it, so that nothing piles up
//! here for a listener that does not read; (2) when there is nothing to tell, a comment shows both
//! ends that the other is there; (3) the answer ends with the node.

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use hstore_node::Node;
use http_body_util::StreamBody;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Status;
use tonic::body::Body;

/// The type of such an answer.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// After how much silence a comment is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long the events may still say something when the node has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 1000;

/// An event.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// What kind it is; a word without line ends.
    pub(super) name: &'static str,
    /// Where a listener that comes back goes on, if it is told so here.
    pub(super) id: Option<i64>,
    /// What it says.
    pub(super) data: Value,
}

impl Event {
    fn text(&self) -> Bytes {
        let mut text = format!("event: {}\n", self.name);
        if let Some(id) = self.id {
            text.push_str("id: ");
            text.push_str(&id.to_string());
            text.push('\n');
        }
        // JSON of one line has no line ends.
        text.push_str("data: ");
        text.push_str(&self.data.to_string());
        text.push_str("\n\n");
        Bytes::from(text)
    }
}

/// The answer that tells these events.
pub(super) fn response(
    node: &Node,
    events: impl Stream<Item = Event> + Send + 'static,
) -> Response<Body> {
    let node = node.clone();
    let ended = async move {
        let _reason = node.failed().await;
    };
    let state = Telling {
        events: events.boxed(),
        ended: ended.boxed(),
        until: None,
    };
    let hello = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
    let told = stream::iter([hello]).chain(stream::unfold(state, |mut state| async {
        let text = state.next().await?;
        Some((text, state))
    }));
    let frames = told.map(|text| Ok::<_, Status>(Frame::data(text)));
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let kind = HeaderValue::from_static(EVENT_STREAM);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

struct Telling {
    events: stream::BoxStream<'static, Event>,
    ended: BoxFuture<'static, ()>,
    /// Set when the node has ended: so long its last words are waited for.
    until: Option<Instant>,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        if self.until.is_none() {
            tokio::select! {
                // What there is to tell is told before the end.
                biased;
                event = self.events.next() => return Some(event?.text()),
                () = &mut self.ended => self.until = Some(Instant::now() + LAST_WORDS),
                () = sleep(HEARTBEAT) => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
        // The events may be about to say why they end.
        let last = timeout_at(self.until?, self.events.next()).await;
        Some(last.ok()??.text())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::grpc::tests::{LONG, world};

    async fn next(body: &mut Body) -> Option<String> {
        let frame = timeout(LONG, body.frame()).await.unwrap()?;
        let data = frame.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn events_are_told_in_their_order_and_the_answer_ends_with_them() {
        let world = world().await;
        let events = stream::iter([
            Event {
                name: "put",
                id: None,
                data: json!({"text": "a\nb\r"}),
            },
            Event {
                name: "delete",
                id: Some(7),
                data: json!(1),
            },
        ]);
        let mut body = response(&world.node, events).into_body();
        assert_eq!(next(&mut body).await.unwrap(), "retry: 1000\n\n");
        let first = "event: put\ndata: {\"text\":\"a\\nb\\r\"}\n\n";
        assert_eq!(next(&mut body).await.unwrap(), first);
        let second = "event: delete\nid: 7\ndata: 1\n\n";
        assert_eq!(next(&mut body).await.unwrap(), second);
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_a_comment_and_the_end_of_the_node_ends_it() {
        let world = world().await;
        let mut body = response(&world.node, stream::pending()).into_body();
        assert_eq!(next(&mut body).await.unwrap(), "retry: 1000\n\n");
        let began = Instant::now();
        assert_eq!(next(&mut body).await.unwrap(), ": still here\n\n");
        assert_eq!(began.elapsed().as_secs(), HEARTBEAT.as_secs());
        world.node.abort();
        assert_eq!(next(&mut body).await, None);
    }
}
