//! Percent-encoding (RFC 3986, section 2.1): how a key of any bytes stands in an address.

/// The bytes behind a text; none where a percent sign is not followed by two digits. In a query a
/// plus sign is a space, as forms write it.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_can_be_written_and_half_an_escape_is_none() {
        for byte in 0..=u8::MAX {
            for text in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
                assert_eq!(decode(&text, false), Some(vec![byte]), "{text}");
            }
        }
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("a/b", Some(b"a/b")),
            ("%2F%2f", Some(b"//")),
            ("a+b", Some(b"a+b")),
            ("ä", Some("ä".as_bytes())),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%+1", None),
            ("a%2", None),
        ] {
            assert_eq!(decode(text, false).as_deref(), bytes, "{text}");
        }
        assert_eq!(decode("a+b%2B", true).as_deref(), Some(&b"a b+"[..]));
    }
}
