//! A request as a page gets it: who asks is known, what is said was read, and the way to the node
//! is open as far as the line of the page goes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::Web;
use super::given::Given;
use super::problem::Problem;
use super::service::Service;
use crate::doors::Arriving;
use crate::grpc::{Source, Whole};

/// The parameter that says how long an answer may take.
pub(super) const TIMEOUT_MS: &str = "timeout_ms";

/// How long an answer may take whose caller does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// A request.
pub(super) struct Ask {
    /// All pages.
    pub(super) web: Arc<Web>,
    /// The parameters.
    pub(super) given: Given,
    /// The headers, as they came.
    pub(super) headers: HeaderMap,
    /// The way to the node.
    pub(super) service: Service,
    /// When the answer must be there.
    pub(super) deadline: Instant,
    /// None when it was read.
    body: Option<Arriving>,
}

impl Ask {
    /// A request with these parameters, by whom the service says.
    pub(super) fn new(
        web: Arc<Web>,
        given: Given,
        headers: HeaderMap,
        mut service: Service,
        body: Arriving,
    ) -> Ask {
        let mut timeout = TIMEOUT_DEFAULT;
        if let Some(named) = given.number(TIMEOUT_MS) {
            timeout = Duration::from_millis(named.unsigned_abs());
            // The parameter is bounded far below the eight digits that there may be.
            if let Ok(value) = HeaderValue::from_str(&format!("{named}m")) {
                service.headers.insert("grpc-timeout", value);
            }
        }
        Ask {
            web,
            given,
            headers,
            service,
            deadline: Instant::now() + timeout,
            body: Some(body),
        }
    }

    /// The node.
    pub(super) fn node(&self) -> &Node {
        &self.web.node
    }

    /// The bytes of a parameter that the line has in its path.
    pub(super) fn key(&self) -> Bytes {
        self.given.bytes("key").unwrap_or_default()
    }

    /// The body, read whole within the bounds of all requests.
    pub(super) async fn body(&mut self) -> Result<Whole, Problem> {
        let Some(body) = self.body.take() else {
            let what = "the body of a request was read twice";
            return Err(Problem::new(ErrorCode::Internal, what));
        };
        let door = &self.service.door;
        door.read_whole(Source::Wire(body))
            .await
            .map_err(Problem::from)
    }
}
