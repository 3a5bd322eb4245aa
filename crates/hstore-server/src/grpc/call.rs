//! What the metadata of a call says: how long it may take, which request it is, whether it wants
//! to wait for a leader.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hstore_core::auth::Author;
use hstore_core::command::RequestId;
use hstore_core::error::ErrorCode;
use hstore_node::{Node, NodeError};
use hstore_proto::{metadata, status};
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;

use super::auth::identify;

/// How long a call without a deadline of its own may take.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How long any call may take, whatever it asks for.
const TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// We answer so much before the caller gives up, at most, so that our word and not silence
/// reaches it.
const ANSWER_MARGIN_MAX: Duration = Duration::from_millis(200);

/// The share of a caller's time that the margin may take.
const ANSWER_MARGIN_SHARE: u32 = 10;

/// The most digits that gRPC allows in a timeout.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// What the metadata of a call says.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// When the answer must be there.
    pub(super) deadline: Instant,
    /// Who calls.
    pub(super) author: Author,
    /// Which request of which client it is, if it says so.
    pub(super) request: Option<RequestId>,
    /// The deadline of a call that named one itself: a call that waits for others may do so for as
    /// long as somebody listens.
    pub(super) own_deadline: Option<Instant>,
    /// Whether the caller would rather hear that there is no leader than wait for one.
    pub(super) needs_leader: bool,
}

impl Call {
    /// Reads the metadata; `timeout` is for a call that names none.
    pub(super) fn read(
        headers: &MetadataMap,
        node: &Node,
        timeout: Duration,
    ) -> Result<Call, Status> {
        let needs_leader = text(headers, metadata::HAS_LEADER) == Some("true");
        if needs_leader && node.standing().borrow().leader.is_none() {
            return Err(status::failure(ErrorCode::NoQuorum, "no leader is known"));
        }
        let request = text(headers, metadata::REQUEST)
            .map(metadata::decode_request_id)
            .transpose()
            .map_err(|error| status::failure(ErrorCode::InvalidArgument, error))?;
        let (now, named) = (Instant::now(), text(headers, "grpc-timeout"));
        Ok(Call {
            deadline: now + time_for(named, timeout),
            // A time without end is as good as none.
            own_deadline: named
                .and_then(parse_timeout)
                .and_then(|timeout| now.checked_add(with_margin(timeout))),
            // The door has refused a bad token where it matters; whoever got here with one is
            // nobody.
            author: identify(headers.as_ref(), node.cluster_id(), &node.auth())
                .unwrap_or(Author::Nobody),
            request,
            needs_leader,
        })
    }
}

/// Ends when no leader has been known for too long, if the caller of a stream wants to hear that;
/// as in etcd the same for every stream.
pub(super) fn leader_lost(node: &Node, call: &Call) -> BoxFuture<'static, Status> {
    if !call.needs_leader {
        return std::future::pending().boxed();
    }
    let node = node.clone();
    let lost = async move {
        node.leader_lost().await;
        let what = "no leader has been known for three election timeouts";
        status::failure(ErrorCode::NoQuorum, what)
    };
    lost.boxed()
}

/// When the answer to a call with these headers must be there.
pub(super) fn deadline_of(headers: &HeaderMap) -> Instant {
    let timeout = headers.get("grpc-timeout");
    let timeout = timeout.and_then(|value| value.to_str().ok());
    Instant::now() + time_for(timeout, TIMEOUT_DEFAULT)
}

/// A node's error on its way to the client.
pub(super) fn node_error(error: &NodeError) -> Status {
    status::failure(error.code(), error)
}

fn text<'a>(headers: &'a MetadataMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// How long the node has for its answer. A timeout that is not understood counts as none, as
/// everywhere in gRPC.
fn time_for(header: Option<&str>, default: Duration) -> Duration {
    match header.and_then(parse_timeout) {
        None => default,
        Some(timeout) => with_margin(timeout.min(TIMEOUT_MAX)),
    }
}

fn with_margin(timeout: Duration) -> Duration {
    timeout.saturating_sub((timeout / ANSWER_MARGIN_SHARE).min(ANSWER_MARGIN_MAX))
}

/// The timeout of gRPC over HTTP/2: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS_MAX || !plain {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let table = [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("4S", Some(Duration::from_secs(4))),
            ("5m", Some(Duration::from_millis(5))),
            ("6u", Some(Duration::from_micros(6))),
            ("7n", Some(Duration::from_nanos(7))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("999999999S", None),
            ("S", None),
            ("5", None),
            ("-5S", None),
            ("5x", None),
            ("5\u{b5}", None),
            ("", None),
        ];
        for (text, timeout) in table {
            assert_eq!(parse_timeout(text), timeout, "{text}");
        }
    }

    #[test]
    fn the_answer_is_due_before_the_caller_gives_up() {
        let default = Duration::from_secs(10);
        assert_eq!(time_for(None, default), default);
        assert_eq!(time_for(Some("nonsense"), default), default);
        assert_eq!(time_for(Some("5S"), default), Duration::from_millis(4800));
        assert_eq!(time_for(Some("100m"), default), Duration::from_millis(90));
        assert!(time_for(Some("99999999H"), default) < TIMEOUT_MAX);
    }
}
