//! Which cluster a call is for, where the caller says so.
//!
//! The address of a node that is gone may be another cluster's by the time that somebody comes back
//! to it. A caller that says which cluster it means is refused there, before anything is done.

use hstore_core::error::ErrorCode;
use hstore_core::id::ClusterId;
use hstore_proto::{metadata, status};
use tonic::Status;
use tonic::codegen::http::HeaderMap;

/// Refuses a call that is for another cluster than this one.
pub(super) fn check(headers: &HeaderMap, cluster: ClusterId) -> Result<(), Status> {
    let Some(meant) = headers.get(metadata::CLUSTER) else {
        return Ok(());
    };
    let text = meant.to_str().map_err(|_| metadata::ClusterIdError);
    let meant = text
        .and_then(metadata::decode_cluster_id)
        .map_err(|error| status::failure(ErrorCode::InvalidArgument, error))?;
    if meant == cluster {
        return Ok(());
    }
    let what = format!("the call is for cluster {meant}, and this node is of cluster {cluster}");
    Err(status::failure(ErrorCode::ClusterMismatch, what))
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::HeaderValue;

    use super::*;

    #[test]
    fn a_call_for_another_cluster_is_refused_and_one_that_does_not_say_is_not() {
        let told = |text: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(metadata::CLUSTER, HeaderValue::from_bytes(text).unwrap());
            let checked = check(&headers, ClusterId(0xabc));
            checked.map_err(|refused| status::read(&refused).code)
        };
        assert!(check(&HeaderMap::new(), ClusterId(0xabc)).is_ok());
        let malformed = Err(ErrorCode::InvalidArgument);
        for (text, expected) in [
            (&b"abc"[..], Ok(())),
            (b"ABC", Ok(())),
            (b"abd", Err(ErrorCode::ClusterMismatch)),
            (b"0", Err(ErrorCode::ClusterMismatch)),
            (b"", malformed),
            (b"+abc", malformed),
            (b"xyz", malformed),
            (b"11111111111111111", malformed),
            (b"\xff", malformed),
        ] {
            assert_eq!(told(text), expected, "{text:?}");
        }
    }
}
