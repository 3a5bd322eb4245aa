//! Where a node is, as a person writes it: `host`, `host:port`, `[::1]:port`, or with `http://`
//! in front, as etcd's tools have it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;

/// The port that clients use when none is named.
pub const CLIENT_PORT: u16 = 2379;

/// The address of a node's client port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// A host name or an address, without brackets.
    host: String,
    /// The port.
    port: u16,
}

impl Address {
    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address as a URI without a path.
    pub(crate) fn uri(&self) -> String {
        format!("http://{self}")
    }

    /// Whether it means the machine on which it is used.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Whether it names no machine at all, as `0.0.0.0` does.
    pub(crate) fn is_unspecified(&self) -> bool {
        self.host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
    }

    /// Reads a list with commas between; spaces and empty places are skipped.
    pub fn parse_list(text: &str) -> Result<Vec<Address>, Error> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address, Error> {
        let wrong = |why| Error::InvalidAddress {
            text: text.to_owned(),
            why,
        };
        let bare = text
            .strip_prefix("http://")
            .unwrap_or(text)
            .trim_end_matches('/');
        if text.starts_with("https://") {
            return Err(wrong("TLS is not supported yet"));
        }
        let (host, port) = if let Some(rest) = bare.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| wrong("`]` is missing"))?;
            host.parse::<Ipv6Addr>()
                .map_err(|_| wrong("no IPv6 address between the brackets"))?;
            let port = match rest {
                "" => None,
                _ => Some(
                    rest.strip_prefix(':')
                        .ok_or_else(|| wrong("`:port` must follow `]`"))?,
                ),
            };
            (host, port)
        } else if bare.parse::<Ipv6Addr>().is_ok() {
            (bare, None)
        } else {
            match bare.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (bare, None),
            }
        };
        let port = match port {
            None => CLIENT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        if host.parse::<IpAddr>().is_err() && !host.chars().all(plain) {
            return Err(wrong("a host has letters, digits, `-`, `.` and `_` only"));
        }
        Ok(Address {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        for (text, expected) in [
            ("127.0.0.1:2379", "127.0.0.1:2379"),
            ("127.0.0.1", "127.0.0.1:2379"),
            ("node-1.example:70", "node-1.example:70"),
            ("http://localhost:2379/", "localhost:2379"),
            ("::1", "[::1]:2379"),
            ("[::1]", "[::1]:2379"),
            ("[2001:db8::7]:99", "[2001:db8::7]:99"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            ":2379",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "[::1",
            "[::1]2379",
            "[x]:1",
            "https://host:1",
            "a b:1",
            "a/b:1",
            "host:+1x",
            "a:1:2",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_has_commas() {
        let list = Address::parse_list(" a:1, b:2,,c ").unwrap();
        let texts: Vec<String> = list.iter().map(Address::to_string).collect();
        assert_eq!(texts, ["a:1", "b:2", "c:2379"]);
    }
}
