//! Which version of etcd's API clients say that they speak.
//!
//! Invariant: what a client says makes no new line of the page: versions that are none are counted
//! together.

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::Counter;

/// How clients of etcd say it: `3.5`.
const NAME: &str = "client-api-version";

/// Versions from 3.0 on, then what is another one, then nothing at all.
const VERSIONS: usize = 18;
const OTHER: usize = VERSIONS - 2;
const UNKNOWN: usize = VERSIONS - 1;

/// Calls that are no streams, and streams, by version.
static CLIENTS: [[Counter; VERSIONS]; 2] = [const { [const { Counter::new() }; VERSIONS] }; 2];

/// A call came in.
pub(super) fn note(is_stream: bool, headers: &HeaderMap) {
    let version = headers.get(NAME).map(HeaderValue::as_bytes);
    CLIENTS[usize::from(is_stream)][place(version)].add_one();
}

/// What was counted, and how it is called: kind, version, calls.
pub(crate) fn client_versions() -> impl Iterator<Item = (&'static str, String, u64)> {
    let kinds = ["unary", "stream"].into_iter().zip(&CLIENTS);
    let all = kinds.flat_map(|(kind, counted)| {
        let each = counted.iter().enumerate();
        each.map(move |(place, calls)| (kind, word(place), calls.get()))
    });
    all.filter(|(_, _, calls)| *calls > 0)
}

fn place(version: Option<&[u8]>) -> usize {
    let Some(version) = version else {
        return UNKNOWN;
    };
    let minor = version
        .strip_prefix(b"3.")
        .and_then(|minor| std::str::from_utf8(minor).ok());
    let is_plain =
        |minor: &&str| minor.len() <= 2 && minor.bytes().all(|byte| byte.is_ascii_digit());
    let minor = minor.filter(is_plain).and_then(|minor| minor.parse().ok());
    minor.filter(|minor| *minor < OTHER).unwrap_or(OTHER)
}

fn word(place: usize) -> String {
    match place {
        UNKNOWN => "unknown".to_owned(),
        OTHER => "other".to_owned(),
        minor => format!("3.{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_counted_by_its_name_and_what_is_none_together() {
        for (said, counted) in [
            (Some("3.5"), "3.5"),
            (Some("3.0"), "3.0"),
            (Some("3.15"), "3.15"),
            (Some("3.16"), "other"),
            (Some("3.005"), "other"),
            (Some("3.+5"), "other"),
            (Some("3."), "other"),
            (Some("2.3"), "other"),
            (Some(""), "other"),
            (None, "unknown"),
        ] {
            assert_eq!(word(place(said.map(str::as_bytes))), counted, "{said:?}");
        }
    }
}
