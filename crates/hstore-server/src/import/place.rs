//! Where etcd's clients reach it, as etcdctl takes it: `HOST:PORT`, with `http://` or `https://` in
//! front.
//!
//! Invariant: whether a place is spoken to with TLS is decided here, once: by what stands in front
//! of it, and where nothing does, by whether files for TLS were given.

use std::fmt;

use hstore_client::Address;
use hstore_core::error::ErrorCode;

use crate::fault::Fault;

/// A member of etcd, as it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it is.
    pub(super) address: Address,
    /// Whether it is spoken to with TLS.
    pub(super) is_encrypted: bool,
}

impl Place {
    /// Reads an endpoint; one that does not say how is spoken to with TLS if there are files for it.
    pub(super) fn parse(text: &str, has_files: bool) -> Result<Place, Fault> {
        let (bare, is_encrypted) = if let Some(bare) = text.strip_prefix("https://") {
            (bare, true)
        } else if let Some(bare) = text.strip_prefix("http://") {
            (bare, false)
        } else {
            (text, has_files)
        };
        // What follows must not say once more how.
        let address: Address = format!("http://{bare}")
            .trim_end_matches('/')
            .parse()
            .map_err(|error: hstore_client::Error| {
                Fault::new(
                    ErrorCode::InvalidArgument,
                    format!("`{text}` is not an endpoint of etcd that can be used: {error}"),
                )
            })?;
        Ok(Place {
            address,
            is_encrypted,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.is_encrypted { "https" } else { "http" };
        write!(f, "{how}://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_spoken_to_as_it_says_or_as_the_files_say() {
        for (text, has_files, expected) in [
            ("a:1", false, "http://a:1"),
            ("a:1", true, "https://a:1"),
            ("http://a:1/", true, "http://a:1"),
            ("https://a:1/", false, "https://a:1"),
            ("https://[::1]:7", true, "https://[::1]:7"),
            ("https://a", false, "https://a:2379"),
        ] {
            let place = Place::parse(text, has_files).unwrap();
            assert_eq!(place.to_string(), expected, "{text}");
        }
        for text in [
            "",
            "https://",
            "https://https://a:1",
            "ftp://a:1",
            "a:x",
            "a b",
        ] {
            let refused = Place::parse(text, false).unwrap_err();
            assert_eq!(refused.code, ErrorCode::InvalidArgument, "{text}");
        }
    }
}
