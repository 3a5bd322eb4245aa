//! Bytes as people read and write them.
//!
//! Invariants: (1) `unescape` undoes `escape` for any bytes; (2) what `escape` makes has no control
//! character in it, so it cannot move a terminal's cursor or break a table's line.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes as one line of text: as they are where they are printable UTF-8, `\n`, `\t`, `\xff` and
/// the like otherwise; a backslash is doubled.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                _ if is_unprintable(letter) => {
                    let mut buffer = [0; 4];
                    hexadecimal(&mut text, letter.encode_utf8(&mut buffer).as_bytes());
                }
                _ => text.push(letter),
            }
        }
        hexadecimal(&mut text, chunk.invalid());
    }
    text
}

/// The value of a key for a person who asked for that value alone: text as it is, with its lines,
/// and anything that is not text escaped.
pub(crate) fn value_alone(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text
                .chars()
                .any(|c| is_unprintable(c) && !"\n\t\r".contains(c)) =>
        {
            text.to_owned()
        }
        _ => escape(bytes),
    }
}

/// Control characters, and those that turn the direction of text around.
fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").expect("a string takes every write");
    }
}

/// What is wrong with an escape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`\\{0}` is no escape; there are \\\\ \\\" \\' \\  \\n \\r \\t \\0 \\xNN")]
pub(crate) struct BadEscape(String);

/// Reads the escape that follows a backslash, and takes it from the front of `rest`.
pub(crate) fn unescape_one(rest: &mut &str) -> Result<Vec<u8>, BadEscape> {
    let mut letters = rest.chars();
    let letter = letters.next().ok_or_else(|| BadEscape(String::new()))?;
    let byte = match letter {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        '0' => 0,
        'x' => {
            let digits: String = letters.clone().take(2).collect();
            let byte = (digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit()))
                .then(|| u8::from_str_radix(&digits, 16).ok())
                .flatten()
                .ok_or_else(|| BadEscape(format!("x{digits}")))?;
            *rest = &rest[3..];
            return Ok(vec![byte]);
        }
        '\\' | '"' | '\'' | ' ' | '#' => letter as u8,
        other => return Err(BadEscape(other.to_string())),
    };
    *rest = letters.as_str();
    Ok(vec![byte])
}

/// Standard base64, with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads standard base64.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A size for people: `17 B`, `1.5 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A time span for people: `12 s`, `3 min 4 s`, `5 h 6 min`, `2 d 3 h`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A short time for people, from microseconds: `0.4 ms`, `12 ms`, `3.4 s`.
pub(crate) fn millis(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{:.1} s", micros as f64 / 1e6),
    }
}

/// `1 key`, `2 keys`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescape(text: &str) -> Result<Vec<u8>, BadEscape> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            if letter == '\\' {
                bytes.extend(unescape_one(&mut rest)?);
            } else {
                bytes.extend(letter.to_string().bytes());
            }
        }
        Ok(bytes)
    }

    #[test]
    fn text_stays_text_and_the_rest_is_escaped() {
        for (bytes, text) in [
            (&b"foo"[..], "foo"),
            ("grün 日本".as_bytes(), "grün 日本"),
            (b"a\\b", "a\\\\b"),
            (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (b"\x1b[2J\x00\x7f", "\\x1b[2J\\x00\\x7f"),
            (b"\xff\xfea", "\\xff\\xfea"),
            ("\u{202e}x".as_bytes(), "\\xe2\\x80\\xaex"),
        ] {
            assert_eq!(escape(bytes), text);
        }
    }

    #[test]
    fn a_value_alone_keeps_its_lines_unless_it_would_move_the_cursor() {
        assert_eq!(value_alone(b"a\\b\n\tc"), "a\\b\n\tc");
        assert_eq!(value_alone(b"a\n\x1b[2J"), "a\\n\\x1b[2J");
        assert_eq!(value_alone(b"\xff\n"), "\\xff\\n");
    }

    #[test]
    fn a_wrong_escape_is_refused() {
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xg0", "\\x+1"] {
            assert!(unescape(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_spans_and_counts_read_well() {
        assert_eq!(
            [size(17), size(1536), size(64 << 20)],
            ["17 B", "1.5 KiB", "64.0 MiB"]
        );
        assert_eq!(
            [span(900), span(61_000), span(3_660_000), span(90_000_000)],
            ["0 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!([count(1, "key"), count(0, "key")], ["1 key", "0 keys"]);
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_read_back(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert_eq!(unescape(&text), Ok(bytes));
        }

        #[test]
        fn whatever_is_base64_is_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(from_base64(to_base64(&bytes).as_bytes()), Some(bytes));
        }
    }
}
