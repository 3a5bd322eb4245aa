//! What travels beside the messages: the names of our metadata, and the request id in it.

use hstore_core::command::RequestId;
use hstore_core::id::{ClusterId, LogIndex};

/// On every error: the stable code.
pub const CODE: &str = "hstore-code";

/// On every error: what happened and what to do, in plain ASCII.
pub const DETAIL: &str = "hstore-detail";

/// On a write: the request id, so that a retry is applied at most once.
pub const REQUEST: &str = "hstore-request";

/// On any call: the id of the cluster that is meant, in hexadecimal, so that a node of another one does
/// nothing.
pub const CLUSTER: &str = "hstore-cluster";

/// On a peer connection: the encoded hello.
pub const HELLO: &str = "hstore-hello-bin";

/// On any call, from etcd's clients: fail at once when there is no leader.
pub const HAS_LEADER: &str = "hasleader";

/// On any call, from etcd's clients: the token that says who calls.
pub const TOKEN: &str = "token";

/// The same, as HTTP has it; `Bearer ` may stand before the token.
pub const AUTHORIZATION: &str = "authorization";

/// The metadata is not a request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hstore-request is not CLIENT-SEQUENCE-ANSWERED-BORN in hexadecimal")]
pub struct RequestIdError;

/// The metadata is not the id of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hstore-cluster is not the id of a cluster in hexadecimal")]
pub struct ClusterIdError;

/// The id of a cluster that travelled.
pub fn decode_cluster_id(text: &str) -> Result<ClusterId, ClusterIdError> {
    number(text).map(ClusterId).map_err(|_| ClusterIdError)
}

/// The request id as it travels: client, sequence, answered below, born, each hexadecimal.
pub fn encode_request_id(request: &RequestId) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}",
        request.client, request.sequence, request.answered_below, request.born.0
    )
}

/// The request id that travelled.
pub fn decode_request_id(text: &str) -> Result<RequestId, RequestIdError> {
    let mut parts = text.split('-').map(number);
    let mut next = || parts.next().unwrap_or(Err(RequestIdError));
    let request = RequestId {
        client: next()?,
        sequence: next()?,
        answered_below: next()?,
        born: LogIndex(next()?),
    };
    match parts.next() {
        None => Ok(request),
        Some(_) => Err(RequestIdError),
    }
}

fn number(text: &str) -> Result<u64, RequestIdError> {
    // `from_str_radix` would take a sign.
    if text.starts_with('+') {
        return Err(RequestIdError);
    }
    u64::from_str_radix(text, 16).map_err(|_not_a_number| RequestIdError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_survives_the_way() {
        let request = RequestId {
            client: u64::MAX,
            sequence: 1,
            answered_below: 0,
            born: LogIndex(0xab),
        };
        let text = encode_request_id(&request);
        assert_eq!(text, "ffffffffffffffff-1-0-ab");
        assert_eq!(decode_request_id(&text), Ok(request));
    }

    #[test]
    fn what_is_not_a_request_id_is_refused() {
        let table = [
            "",
            "1",
            "1-2-3",
            "1-2-3-4-5",
            "1-2-3-",
            "1-2-3-x",
            "+1-2-3-4",
            "1--3-4",
            "1-2-3-10000000000000000",
        ];
        for text in table {
            assert_eq!(decode_request_id(text), Err(RequestIdError), "{text}");
        }
    }
}
