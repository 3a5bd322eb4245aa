//! Conditions by revision: `ETag`, `If-Match` and `If-None-Match` (RFC 9110, section 13).
//!
//! The tag of a key is the revision that last wrote it, in quotes. Without quotes it is understood,
//! too, since people type it.

use hstore_core::error::ErrorCode;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::problem::Problem;

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Nothing.
    Always,
    /// This revision wrote the key last.
    At(i64),
    /// The key is there.
    Present,
    /// The key is not there.
    Absent,
}

/// The tag of a key.
pub(super) fn tag(revision: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\""))
        .unwrap_or_else(|_no_text| HeaderValue::from_static("\"\""))
}

/// The condition that the headers of a write to a key name.
pub(super) fn of_write(headers: &HeaderMap) -> Result<Condition, Problem> {
    match of_change(headers)? {
        Condition::At(0) => Err(senseless(
            "no key has revision 0: If-None-Match: * is for a key that is not there",
        )),
        condition => Ok(condition),
    }
}

/// The condition that the headers of a change name. Of what did not change yet the tag is 0.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Condition, Problem> {
    let matches = tag_in(headers, &header::IF_MATCH)?;
    let differs = tag_in(headers, &header::IF_NONE_MATCH)?;
    match (matches, differs) {
        (None, None) => Ok(Condition::Always),
        (Some(Tag::Any), None) => Ok(Condition::Present),
        (Some(Tag::Revision(revision)), None) => Ok(Condition::At(revision)),
        (None, Some(Tag::Any)) => Ok(Condition::Absent),
        (None, Some(Tag::Revision(_))) => {
            Err(senseless("for a write, If-None-Match is * or is left out"))
        }
        (Some(_), Some(_)) => Err(senseless("If-Match and If-None-Match are said together")),
    }
}

/// Whether the reader of a key that was last written by this revision has it already.
pub(super) fn is_known(headers: &HeaderMap, revision: i64) -> Result<bool, Problem> {
    if let Some(tag) = tag_in(headers, &header::IF_MATCH)?
        && !tag.is(revision)
    {
        let what = format!("the key is at revision {revision}");
        let problem = Problem::new(ErrorCode::Conflict, what);
        return Err(problem.status(StatusCode::PRECONDITION_FAILED));
    }
    let known = tag_in(headers, &header::IF_NONE_MATCH)?;
    Ok(known.is_some_and(|tag| tag.is(revision)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Any,
    Revision(i64),
}

impl Tag {
    fn is(self, revision: i64) -> bool {
        match self {
            Tag::Any => true,
            Tag::Revision(named) => named == revision,
        }
    }
}

fn tag_in(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tag>, Problem> {
    let mut all = headers.get_all(name).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" && all.next().is_none() {
        return Ok(Some(Tag::Any));
    }
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let digits = quoted.unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let revision = digits.parse().ok().filter(|_| plain);
    match (revision, all.next()) {
        (Some(revision), None) => Ok(Some(Tag::Revision(revision))),
        _other => Err(senseless(&format!(
            "{name} is * or one revision in quotes, such as \"7\""
        ))),
    }
}

fn senseless(what: &str) -> Problem {
    Problem::new(ErrorCode::InvalidArgument, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    const MATCH: HeaderName = header::IF_MATCH;
    const DIFFER: HeaderName = header::IF_NONE_MATCH;

    #[test]
    fn a_write_names_at_most_one_condition() {
        for (pairs, condition) in [
            (vec![], Some(Condition::Always)),
            (vec![(MATCH, "\"7\"")], Some(Condition::At(7))),
            (vec![(MATCH, "7")], Some(Condition::At(7))),
            (vec![(MATCH, "*")], Some(Condition::Present)),
            (vec![(DIFFER, "*")], Some(Condition::Absent)),
            (vec![(DIFFER, "\"7\"")], None),
            (vec![(MATCH, "*"), (DIFFER, "*")], None),
            (vec![(MATCH, "\"7\""), (MATCH, "\"8\"")], None),
            (vec![(MATCH, "\"7\", \"8\"")], None),
            (vec![(MATCH, "W/\"7\"")], None),
            (vec![(MATCH, "\"0\"")], None),
            (vec![(MATCH, "+7")], None),
            (vec![(MATCH, "-7")], None),
            (vec![(MATCH, "")], None),
            (vec![(MATCH, "\"")], None),
            (vec![(MATCH, "99999999999999999999")], None),
            (vec![(DIFFER, "*"), (DIFFER, "*")], None),
        ] {
            let told = of_write(&headers(&pairs));
            assert_eq!(told.ok(), condition, "{pairs:?}");
        }
        let first = of_change(&headers(&[(MATCH, "\"0\"")]));
        assert_eq!(first.ok(), Some(Condition::At(0)));
    }

    #[test]
    fn a_reader_says_what_it_has() {
        assert!(!is_known(&headers(&[]), 7).unwrap());
        assert!(is_known(&headers(&[(DIFFER, "\"7\"")]), 7).unwrap());
        assert!(is_known(&headers(&[(DIFFER, "*")]), 7).unwrap());
        assert!(!is_known(&headers(&[(DIFFER, "\"8\"")]), 7).unwrap());
        assert!(!is_known(&headers(&[(MATCH, "\"7\"")]), 7).unwrap());
        let told = is_known(&headers(&[(MATCH, "\"8\"")]), 7).unwrap_err();
        assert_eq!(told.code, ErrorCode::Conflict);
        assert_eq!(told.json()["status"], 412);
        assert!(is_known(&headers(&[(DIFFER, "x")]), 7).is_err());
    }
}
