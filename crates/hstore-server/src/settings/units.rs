//! How sizes, durations and addresses are written by a person, and how they are written back.
//!
//! Nothing here knows which setting it reads. Invariant: what `show_*` writes, `parse_*` reads as
//! the same value.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads `64MiB`, `1.5 GiB`, `64MB` (decimal) or a plain number of bytes.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number = number.replace('_', "");
    let unit = unit.trim();
    let factor = if unit.is_empty() {
        1
    } else {
        UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
            .1
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if fraction.is_empty() {
        return (!number.ends_with('.')).then_some(whole);
    }
    if fraction.len() > 6 || factor == 1 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u64>().ok()?;
    let part = u128::from(part) * u128::from(factor) / u128::from(scale);
    whole.checked_add(u64::try_from(part).ok()?)
}

/// Writes a size in the largest unit that says it exactly.
pub(crate) fn show_bytes(bytes: u64) -> String {
    for (name, factor) in UNITS[1..5].iter().rev() {
        if bytes >= *factor && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
        // Halves are common enough (1.5MiB) to be worth their own form.
        if bytes >= *factor && (bytes * 2).is_multiple_of(*factor) {
            return format!("{}.5{name}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Reads `250ms`, `10s` or `2m`. A bare number is refused: nobody could know its unit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        _ => return None,
    };
    let ms = number.parse::<f64>().ok()? * unit_ms;
    // A century; what is longer is a slip of the finger.
    ((0.0..3.2e12).contains(&ms)).then(|| Duration::from_micros((ms * 1_000.0).round() as u64))
}

/// Writes a duration as `parse_duration` reads it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms > 0 && ms.is_multiple_of(60_000) {
        format!("{}m", ms / 60_000)
    } else if ms > 0 && ms.is_multiple_of(1_000) {
        format!("{}s", ms / 1_000)
    } else {
        format!("{ms}ms")
    }
}

/// Where to listen: a host, and a port unless any free one will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// A name or an IP address, IPv6 without brackets.
    pub(crate) host: String,
    /// The port that was named.
    pub(crate) port: Option<u16>,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `:port`, `[::1]:port` or a bare IPv6 address.
    pub(crate) fn parse(text: &str) -> Option<Endpoint> {
        let text = text.trim();
        if text.is_empty() || text.contains(char::is_whitespace) || text.contains("://") {
            return None;
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Some(Endpoint {
                host: text.to_owned(),
                port: None,
            });
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, None),
                rest => (host, Some(rest.strip_prefix(':')?)),
            }
        } else {
            match text.rsplit_once(':') {
                None => (text, None),
                Some((host, port)) => (host, Some(port)),
            }
        };
        if host.contains(['/', ':']) && !text.starts_with('[') {
            return None;
        }
        let host = if host.is_empty() { "127.0.0.1" } else { host };
        let port = match port {
            None => None,
            Some(port) => Some(port.parse::<u16>().ok()?),
        };
        Some(Endpoint {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (None, _) => f.write_str(&self.host),
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64 mib", 64 << 20),
            ("1.5MiB", 1_572_864),
            ("1_000", 1_000),
            ("0", 0),
            ("2kB", 2_000),
            ("7GB", 7_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5",
            "1.",
            "12x",
            "1e9",
            "99999999999TiB",
            "1.5.5MiB",
        ] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_and_durations_are_read_back_as_they_are_shown() {
        for bytes in [
            0,
            1,
            1023,
            1024,
            1536,
            1_572_864,
            64 << 20,
            (64 << 20) + 1,
            3 << 40,
        ] {
            assert_eq!(parse_bytes(&show_bytes(bytes)), Some(bytes));
        }
        assert_eq!(show_bytes(1_572_864), "1.5MiB");
        for ms in [1, 250, 1_000, 1_500, 60_000, 90_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1_500)));
        for text in ["10", "", "s", "10 h", "-1s", "1.1.1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn endpoints_take_every_usual_form() {
        for (text, shown) in [
            ("127.0.0.1:2379", "127.0.0.1:2379"),
            (":2379", "127.0.0.1:2379"),
            ("localhost", "localhost"),
            ("::1", "::1"),
            ("[::1]:0", "[::1]:0"),
        ] {
            let endpoint = Endpoint::parse(text).expect(text);
            assert_eq!(endpoint.to_string(), shown);
        }
        for text in [
            "",
            "http://a:1",
            "a:b",
            "a:70000",
            "[::1",
            "[x]:1",
            "a b:1",
            "a/b:1",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }
}
