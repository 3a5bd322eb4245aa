//! Who may ask: a browser must not be a weapon.
//!
//! A page of a foreign site can point its own host name at a node (DNS rebinding), and can send
//! requests to any address without reading the answers. Against the first stands the name that the
//! request carries, which a page cannot choose freely; against the second what a browser says of
//! the page. A program that is no browser says nothing of a page, and is none of this.

use std::net::IpAddr;

use hstore_core::error::ErrorCode;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use hyper::{Request, Version};

use super::problem::Problem;

/// The names that a node goes by.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The host that others are told, and those that the settings name.
    names: Vec<String>,
}

impl Guard {
    /// Knows the address that others are told, `host:port`, and more names.
    pub(crate) fn new(own: &str, more: &[String]) -> Guard {
        let names = std::iter::once(host_of(own)).chain(more.iter().map(String::as_str));
        Guard {
            names: names.map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Refuses a request that names a host by which the node does not go. An address is no name: no
    /// page of a foreign site comes with it.
    pub(crate) fn check_host<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let mut named = false;
        let in_uri = request.uri().authority().map(Authority::as_str);
        let in_headers = request.headers().get_all(header::HOST).iter();
        let in_headers = in_headers.map(|told| told.to_str().unwrap_or_default());
        let mut headers = 0;
        for told in in_headers.inspect(|_| headers += 1).chain(in_uri) {
            named = true;
            if !self.is_own(host_of(told)) {
                let what = format!("the node does not go by the name {:?}", host_of(told));
                return Err(Problem::new(ErrorCode::UnknownHost, what));
            }
        }
        // HTTP/1.0 knows no such header, and no browser speaks it.
        if headers > 1 || !named && request.version() > Version::HTTP_10 {
            let what = "a request names its host once";
            return Err(Problem::new(ErrorCode::InvalidArgument, what));
        }
        Ok(())
    }

    fn is_own(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let address = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(&host);
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || (!host.is_empty() && self.names.contains(&host))
    }
}

/// Refuses what a browser sends for a page of another site.
pub(crate) fn check_origin<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let foreign = match headers.get(ORIGIN_SITE) {
        Some(site) => site != "same-origin" && site != "none",
        None => false,
    };
    let here = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str));
    if SPECULATION.iter().any(|name| headers.contains_key(*name)) {
        let what = "a browser asks before its user does";
        return Err(Problem::new(ErrorCode::CrossOrigin, what));
    }
    if foreign || !is_same_origin(headers, here) {
        let what = "the request was sent for a page of another site";
        return Err(Problem::new(ErrorCode::CrossOrigin, what));
    }
    Ok(())
}

/// What a browser says of the page that sends a request.
const ORIGIN_SITE: &str = "sec-fetch-site";

/// What a browser says that asks for a page because its user may go there next, such as while an
/// address is typed.
const SPECULATION: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

fn is_same_origin(headers: &HeaderMap, here: Option<&str>) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let origin = origin.to_str().unwrap_or_default();
    let Some((_scheme, host)) = origin.split_once("://") else {
        return false;
    };
    here.is_some_and(|here| here.eq_ignore_ascii_case(host))
}

/// The host of `host:port`.
fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        // The colons of an address of IPv6 end with its bracket.
        Some((host, port)) if !port.contains(']') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri("/");
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_node_goes_by_addresses_localhost_and_its_own_name() {
        let more = ["Lb.example".to_owned(), "db".to_owned()];
        let guard = Guard::new("Db1.example:2379", &more);
        for (host, known) in [
            ("127.0.0.1:2379", true),
            ("127.0.0.1", true),
            ("[::1]:2379", true),
            ("[::1]", true),
            ("192.0.2.7:80", true),
            ("localhost:2379", true),
            ("LOCALHOST", true),
            ("localhost.", true),
            ("a.localhost:1", true),
            ("db1.example:2379", true),
            ("DB1.example", true),
            ("db1.example.:2379", true),
            ("lb.example:443", true),
            ("DB", true),
            ("lb", false),
            ("a.lb.example", false),
            ("evil.example:2379", false),
            ("db1.example.evil.example", false),
            ("127.0.0.1.evil.example:2379", false),
            ("notlocalhost", false),
            (":2379", false),
            ("", false),
            ("db1.example:2379:2379", false),
            ("a@db1.example", false),
        ] {
            let told = guard.check_host(&request(&[("host", host)]));
            assert_eq!(told.is_ok(), known, "{host}");
        }
    }

    #[test]
    fn a_host_is_named_once() {
        let guard = Guard::new("127.0.0.1:2379", &[]);
        let twice = request(&[("host", "localhost"), ("host", "localhost")]);
        let told = guard.check_host(&twice).unwrap_err();
        assert_eq!(told.code, ErrorCode::InvalidArgument);
        let told = guard.check_host(&request(&[])).unwrap_err();
        assert_eq!(told.code, ErrorCode::InvalidArgument);
        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert!(guard.check_host(&old).is_ok());
        let mut whole = request(&[("host", "localhost")]);
        *whole.uri_mut() = "http://evil.example/".parse().unwrap();
        let told = guard.check_host(&whole).unwrap_err();
        assert_eq!(told.code, ErrorCode::UnknownHost);
    }

    #[test]
    fn only_pages_of_the_node_itself_may_ask_for_effects() {
        let host = ("host", "127.0.0.1:2379");
        for (head, may) in [
            (vec![host], true),
            (vec![host, ("origin", "http://127.0.0.1:2379")], true),
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("origin", "http://127.0.0.1:8080")], false),
            (vec![host, ("origin", "http://evil.example")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("sec-fetch-site", "cross-site")], false),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (
                vec![
                    host,
                    ("sec-fetch-site", "none"),
                    ("sec-purpose", "prefetch;prerender"),
                ],
                false,
            ),
            (vec![host, ("purpose", "prefetch")], false),
        ] {
            assert_eq!(check_origin(&request(&head)).is_ok(), may, "{head:?}");
        }
    }
}
