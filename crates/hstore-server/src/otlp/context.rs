//! Whose part a call is: the header `traceparent` (W3C Trace Context, level 1).

use hyper::HeaderMap;

/// The header.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// What the caller says of the trace that its call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: u128,
    /// The caller's own span.
    pub(super) span: u64,
    /// Whether the caller keeps its part.
    pub(super) is_sampled: bool,
}

impl Context {
    /// What the headers say; none where they say nothing, or nothing that makes sense: then the
    /// call begins a trace of its own.
    pub(super) fn of(headers: &HeaderMap) -> Option<Context> {
        let mut said = headers.get_all(TRACEPARENT).iter();
        let (one, more) = (said.next()?, said.next());
        if more.is_some() {
            return None;
        }
        Context::parse(one.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Context> {
        let mut parts = text.split('-');
        let version = hexadecimal(parts.next()?, 2)?;
        let trace = hexadecimal(parts.next()?, 32)?;
        let span = hexadecimal(parts.next()?, 16)?;
        let flags = hexadecimal(parts.next()?, 2)?;
        // A later version may say more behind what this one says.
        let says_more = parts.next().is_some();
        let possible = version != 0xff && trace != 0 && span != 0 && !(version == 0 && says_more);
        possible.then_some(Context {
            trace,
            span: span as u64,
            is_sampled: flags & 1 == 1,
        })
    }
}

/// So many digits, lower case as the standard has them.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_a_caller_says_is_read_and_nonsense_is_not() {
        let good = Context {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0x00f0_67aa_0ba9_02b7,
            is_sampled: true,
        };
        let not_sampled = Context {
            is_sampled: false,
            ..good
        };
        for (text, expected) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), Some(good)),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), Some(not_sampled)),
            (format!("01-{TRACE}-00f067aa0ba902b7-01-more"), Some(good)),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                None,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), None),
            (format!("00-{TRACE}-+0f067aa0ba902b7-01"), None),
            (String::new(), None),
        ] {
            assert_eq!(Context::parse(&text), expected, "{text}");
        }
    }
}
