//! What `etcdctl txn` takes: comparisons, an empty line, the steps of success, an empty line, the
//! steps of failure.

use hstore_client::etcdserverpb::Compare;
use hstore_client::txn::{self, Relation, Target};

use super::clauses::{Clauses, split, step_line};
use crate::failure::Failure;
use crate::input::Input;

/// What can be compared, as it is called there.
const TARGETS: [&str; 8] = [
    "c", "create", "lease", "mod", "val", "value", "ver", "version",
];

/// Whether a text is of that form: its first line compares as etcdctl does.
pub(super) fn is_etcd(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let target = first.and_then(|line| line.trim().split_once('('));
    target.is_some_and(|(target, _rest)| TARGETS.contains(&target))
}

/// Reads such a text.
pub(super) fn read(input: Input, text: &str) -> Result<Clauses, Failure> {
    let mut clauses = Clauses::default();
    let mut lines = text.lines().map(str::trim);
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        clauses.compare.push(comparison(input, line)?);
    }
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        clauses.success.push(step_line(input, line)?);
    }
    for line in lines.take_while(|line| !line.is_empty()) {
        clauses.failure.push(step_line(input, line)?);
    }
    Ok(clauses)
}

/// `target("key") = "what"`.
fn comparison(input: Input, line: &str) -> Result<Compare, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "`{line}`: a comparison is TARGET(\"KEY\") = \"VALUE\", with =, !=, > or <"
        ))
    };
    let (target, rest) = line.split_once('(').ok_or_else(wrong)?;
    let (key, rest) = split_key(rest).ok_or_else(wrong)?;
    let rest = rest.trim_start();
    let (relation, rest) = [
        ("!=", Relation::NotEqual),
        ("=", Relation::Equal),
        (">", Relation::Greater),
        ("<", Relation::Less),
    ]
    .into_iter()
    .find_map(|(sign, relation)| Some((relation, rest.strip_prefix(sign)?)))
    .ok_or_else(wrong)?;
    let [key] = <[_; 1]>::try_from(split(key)?).map_err(|_words| wrong())?;
    let [what] = <[_; 1]>::try_from(split(rest)?).map_err(|_words| wrong())?;
    let number = || {
        let text = what.to_str()?;
        text.parse::<i64>().ok()
    };
    let target = match target.trim() {
        "c" | "create" => Target::CreateRevision(number().ok_or_else(wrong)?),
        "mod" => Target::ModRevision(number().ok_or_else(wrong)?),
        "ver" | "version" => Target::Version(number().ok_or_else(wrong)?),
        "lease" => {
            let text = what.to_str().ok_or_else(wrong)?;
            let lease = i64::from_str_radix(text, 16).map_err(|_not_a_number| wrong())?;
            Target::Lease(lease)
        }
        "val" | "value" => Target::Value(input.bytes(&what)?),
        _ => return Err(wrong()),
    };
    Ok(txn::compare(input.key(&key)?, relation, target))
}

/// The key with its quotes, and what follows the parenthesis.
fn split_key(rest: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (place, letter) in rest.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ')' if !quoted => return Some((&rest[..place], &rest[place + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use hstore_client::KeyRange;

    use super::*;

    const PLAIN: Input = Input {
        base64: false,
        stdin: false,
    };

    #[test]
    fn what_etcdctl_takes_is_read() {
        let text = "value(\"f)oo\") = \"b ar\"\nmod(\"k\") > \"0\"\n\nput foo won\nget foo --prefix\n\ndel foo\n\n";
        assert!(is_etcd(text) && !is_etcd("if exists k\n") && !is_etcd(""));
        let expected = Clauses {
            compare: vec![
                txn::compare("f)oo", Relation::Equal, Target::Value("b ar".into())),
                txn::compare("k", Relation::Greater, Target::ModRevision(0)),
            ],
            success: vec![
                txn::put("foo", "won"),
                txn::get(KeyRange::prefix(&"foo".into())),
            ],
            failure: vec![txn::delete(KeyRange::One("foo".into()))],
        };
        assert_eq!(read(PLAIN, text).unwrap(), expected);
        for line in ["create(k) = 0", "c(\"k\") = \"0\""] {
            let read = read(PLAIN, line).unwrap();
            let expected = txn::compare("k", Relation::Equal, Target::CreateRevision(0));
            assert_eq!(read.compare, [expected], "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "value(\"k\" = \"v\"",
            "value(\"k\") ~ \"v\"",
            "mod(\"k\") = \"x\"",
            "value(\"\") = \"v\"",
            "value(\"k\") = a b",
            "value(\"k\") = \"v\"\n\nnonsense k\n",
        ] {
            let failure = read(PLAIN, text).unwrap_err();
            assert_eq!(failure.exit() as u8, 2, "{text}: {failure}");
        }
    }
}
