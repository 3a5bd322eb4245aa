//! A line of the shell as words: bytes, quoted where they hold anything but plain letters.
//!
//! `'...'` is taken as it is; `"..."` and bare words know the escapes of `text`; `#` before a word
//! begins a remark. Invariant: `split` of `quote` is the one word that was quoted.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::text::{self, BadEscape};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    /// The line ends within a quote, or after a backslash: more may follow.
    #[error("a quote is not closed")]
    Unfinished,
    /// An escape that there is not.
    #[error(transparent)]
    Escape(#[from] BadEscape),
}

/// The word at the end of a line, that may not be finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Last {
    /// Where it begins in the line, its quote included.
    pub(crate) start: usize,
    /// Its bytes so far.
    pub(crate) bytes: Vec<u8>,
}

/// The words of a line.
pub(crate) fn split(line: &str) -> Result<Vec<OsString>, BadLine> {
    let mut reader = Reader::new(line);
    let mut words = Vec::new();
    while let Some(word) = reader.word() {
        let word = word?;
        if reader.open.is_some() {
            return Err(BadLine::Unfinished);
        }
        words.push(OsString::from_vec(word.bytes));
    }
    Ok(words)
}

/// The words before the last one, and the last one, which is empty after a space.
pub(crate) fn split_last(line: &str) -> Result<(Vec<OsString>, Last), BadLine> {
    let mut reader = Reader::new(line);
    let mut words: Vec<Last> = Vec::new();
    while let Some(word) = reader.word() {
        words.push(word?);
    }
    let last = match words.pop() {
        Some(word) if reader.touches_end => word,
        Some(word) => {
            words.push(word);
            Last {
                start: line.len(),
                bytes: Vec::new(),
            }
        }
        None => Last {
            start: line.len(),
            bytes: Vec::new(),
        },
    };
    Ok((
        words
            .into_iter()
            .map(|word| OsString::from_vec(word.bytes))
            .collect(),
        last,
    ))
}

/// A word as it can be typed.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let escaped = text::escape(bytes);
    let plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,^~".contains(c);
    if !escaped.is_empty() && escaped.chars().all(plain) {
        return escaped;
    }
    format!("\"{}\"", escaped.replace('"', "\\\""))
}

struct Reader<'a> {
    whole: usize,
    rest: &'a str,
    /// The quote that the last word did not close.
    open: Option<char>,
    /// Whether the last word goes to the very end of the line.
    touches_end: bool,
}

impl<'a> Reader<'a> {
    fn new(line: &'a str) -> Reader<'a> {
        Reader {
            whole: line.len(),
            rest: line,
            open: None,
            touches_end: false,
        }
    }

    fn word(&mut self) -> Option<Result<Last, BadLine>> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() || self.rest.starts_with('#') {
            return None;
        }
        let mut word = Last {
            start: self.whole - self.rest.len(),
            bytes: Vec::new(),
        };
        self.open = None;
        self.touches_end = true;
        while let Some(letter) = self.rest.chars().next() {
            if self.open.is_none() && letter.is_whitespace() {
                self.touches_end = false;
                break;
            }
            self.rest = &self.rest[letter.len_utf8()..];
            match (self.open, letter) {
                (None, '\'' | '"') => self.open = Some(letter),
                (Some(quote), _) if quote == letter => self.open = None,
                (None | Some('"'), '\\') => {
                    if self.rest.is_empty() {
                        return Some(Err(BadLine::Unfinished));
                    }
                    match text::unescape_one(&mut self.rest) {
                        Ok(bytes) => word.bytes.extend(bytes),
                        Err(error) => return Some(Err(error.into())),
                    }
                }
                _ => word
                    .bytes
                    .extend(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        Some(Ok(word))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line).unwrap();
        words
            .iter()
            .map(|word| text::escape(word.as_bytes()))
            .collect()
    }

    #[test]
    fn words_are_apart_and_quotes_hold_together() {
        for (line, expected) in [
            ("set foo bar", &["set", "foo", "bar"][..]),
            ("  set\tfoo  ", &["set", "foo"]),
            ("set 'a b' \"c d\"", &["set", "a b", "c d"]),
            ("set a'b c'd", &["set", "ab cd"]),
            ("set k ''", &["set", "k", ""]),
            (r#"set k '{"a":"\n"}'"#, &["set", "k", r#"{"a":"\\n"}"#]),
            (r#"set k "a\tb\xff\"""#, &["set", "k", "a\\tb\\xff\""]),
            (r"set a\ b \\", &["set", "a b", "\\\\"]),
            ("get a # the rest", &["get", "a"]),
            ("get a#b", &["get", "a#b"]),
            ("# all of it", &[]),
            ("", &[]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_finished_or_wrong_is_told_apart() {
        for line in ["set 'a", "set \"a", "set a\\", "set \"a\\\""] {
            assert_eq!(split(line), Err(BadLine::Unfinished), "{line}");
        }
        for line in ["set \\q", "set \"\\x1\""] {
            assert!(matches!(split(line), Err(BadLine::Escape(_))), "{line}");
        }
    }

    #[test]
    fn the_last_word_is_found_with_its_place() {
        for (line, before, start, bytes) in [
            ("", 0, 0, ""),
            ("ge", 0, 0, "ge"),
            ("get ", 1, 4, ""),
            ("get fo", 1, 4, "fo"),
            ("get 'fo o", 1, 4, "fo o"),
            ("get \"fo\\x41", 1, 4, "foA"),
            ("set a b", 2, 6, "b"),
        ] {
            let (words, last) = split_last(line).unwrap();
            assert_eq!((words.len(), last.start), (before, start), "{line}");
            assert_eq!(last.bytes, bytes.as_bytes(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_quoted_is_one_word_again(bytes: Vec<u8>) {
            let words = split(&quote(&bytes)).unwrap();
            prop_assert_eq!(words, vec![OsString::from_vec(bytes)]);
        }
    }
}
