//! What a request says beside its body, read once by what its line says of it.
//!
//! Invariant: what is here has a name that the line has, once, and a value that it may have.

use bytes::Bytes;
use hstore_core::error::ErrorCode;

use super::line::{Kind, Line, Param, Place};
use super::percent;
use super::problem::Problem;
use super::routes::InPath;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<(&'static str, Value)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Flag(bool),
    Number(i64),
    Bytes(Bytes),
    Word(&'static str),
}

impl Given {
    /// Reads what stands in a path and in a query.
    pub(super) fn read(
        line: &Line,
        path: Option<InPath>,
        query: Option<&str>,
    ) -> Result<Given, Problem> {
        let mut given = Given::default();
        for (name, bytes) in path.ok_or_else(|| no_escape("the path"))? {
            let param = line.params().find(|param| param.name == name);
            if let Some(param) = param.filter(|param| param.place == Place::Path) {
                given.take(param, bytes)?;
            }
        }
        let parts = query.unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (part, None),
            };
            let name = percent::decode(name, true).ok_or_else(|| no_escape("the query"))?;
            let param = line
                .params()
                .find(|param| param.place == Place::Query && param.name.as_bytes() == name);
            let Some(param) = param else {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(wrong(format!("there is no parameter {name:?} here")));
            };
            let value = match value {
                None if param.kind == Kind::Flag => "true",
                value => value.unwrap_or_default(),
            };
            let value = percent::decode(value, true).ok_or_else(|| no_escape("the query"))?;
            given.take(param, value)?;
        }
        Ok(given)
    }

    fn take(&mut self, param: &'static Param, bytes: Vec<u8>) -> Result<(), Problem> {
        let name = param.name;
        if self.find(name).is_some() {
            return Err(wrong(format!("{name} is said twice")));
        }
        let text = std::str::from_utf8(&bytes);
        let value = match param.kind {
            Kind::Bytes => Some(Value::Bytes(bytes.into())),
            Kind::Flag => match text {
                Ok("true") => Some(Value::Flag(true)),
                Ok("false") => Some(Value::Flag(false)),
                _other => None,
            },
            Kind::Number(min, max) => {
                let digits = text.ok().filter(|text| !text.starts_with('+'));
                let number = digits.and_then(|text| text.parse().ok());
                let number = number.filter(|number| (min..=max).contains(number));
                number.map(Value::Number)
            }
            Kind::Word(words) => {
                let known = words.iter().find(|word| text == Ok(**word));
                known.map(|word| Value::Word(word))
            }
        };
        let value = value.ok_or_else(|| wrong(format!("{name} is {}", what(param.kind))))?;
        self.0.push((name, value));
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    /// Whether a flag is set.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.find(name) == Some(&Value::Flag(true))
    }

    /// A number, if it is said.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match self.find(name) {
            Some(Value::Number(number)) => Some(*number),
            _other => None,
        }
    }

    /// Bytes, if they are said.
    pub(super) fn bytes(&self, name: &str) -> Option<Bytes> {
        match self.find(name) {
            Some(Value::Bytes(bytes)) => Some(bytes.clone()),
            _other => None,
        }
    }

    /// A word, if it is said.
    pub(super) fn word(&self, name: &str) -> Option<&'static str> {
        match self.find(name) {
            Some(Value::Word(word)) => Some(word),
            _other => None,
        }
    }
}

fn what(kind: Kind) -> String {
    match kind {
        Kind::Bytes => "bytes".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Number(min, i64::MAX) => format!("a whole number from {min} on"),
        Kind::Number(min, max) => format!("a whole number from {min} to {max}"),
        Kind::Word(words) => format!("one of {}", words.join(", ")),
    }
}

fn wrong(what: String) -> Problem {
    Problem::new(ErrorCode::InvalidArgument, what)
}

fn no_escape(place: &str) -> Problem {
    wrong(format!(
        "{place} has a percent sign without two hexadecimal digits"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::line::Page;

    const fn param(name: &'static str, place: Place, kind: Kind) -> Param {
        Param {
            name,
            place,
            kind,
            says: "",
        }
    }

    const PARAMS: &[Param] = &[
        param("key", Place::Path, Kind::Bytes),
        param("on", Place::Query, Kind::Flag),
        param("rev", Place::Query, Kind::Number(0, 9)),
        param("word", Place::Query, Kind::Word(&["a", "b"])),
        param("text", Place::Query, Kind::Bytes),
        param("x-head", Place::Header, Kind::Bytes),
    ];

    fn read(query: &str) -> Result<Given, Problem> {
        let line = Line::get("/{key*}", Page::Version).takes(&[PARAMS]);
        Given::read(&line, Some(vec![("key", b"k\xff".to_vec())]), Some(query))
    }

    #[test]
    fn what_a_line_names_is_read_by_its_kind() {
        let given = read("on&rev=7&word=b&text=%00a+b&").unwrap();
        assert!(given.flag("on"));
        assert_eq!(given.number("rev"), Some(7));
        assert_eq!(given.word("word"), Some("b"));
        assert_eq!(given.bytes("text").as_deref(), Some(&b"\0a b"[..]));
        assert_eq!(given.bytes("key").as_deref(), Some(&b"k\xff"[..]));
        let given = read("on=false&te%78t=").unwrap();
        assert!(!given.flag("on"));
        assert_eq!(given.bytes("text").as_deref(), Some(&b""[..]));
        assert_eq!((given.number("rev"), given.word("word")), (None, None));
    }

    #[test]
    fn what_no_line_names_and_what_is_senseless_is_refused() {
        for (query, what) in [
            ("off", "there is no parameter \"off\" here"),
            ("key=a", "there is no parameter \"key\" here"),
            ("x-head=a", "there is no parameter \"x-head\" here"),
            ("on=1", "on is true or false"),
            ("on&on", "on is said twice"),
            ("rev", "rev is a whole number from 0 to 9"),
            ("rev=10", "rev is a whole number from 0 to 9"),
            ("rev=-1", "rev is a whole number from 0 to 9"),
            ("rev=%2B1", "rev is a whole number from 0 to 9"),
            ("rev=1e3", "rev is a whole number from 0 to 9"),
            ("word=c", "word is one of a, b"),
            (
                "text=%f",
                "the query has a percent sign without two hexadecimal digits",
            ),
        ] {
            let told = read(query).unwrap_err();
            assert_eq!(told.code, ErrorCode::InvalidArgument);
            assert!(told.detail.starts_with(what), "{query}: {}", told.detail);
        }
    }
}
