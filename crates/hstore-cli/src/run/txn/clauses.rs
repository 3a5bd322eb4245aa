//! Clauses as words, and what they mean.

use std::ffi::OsString;

use clap::Parser as _;
use hstore_client::KeyRange;
use hstore_client::etcdserverpb::{Compare, PutRequest, RequestOp};
use hstore_client::txn::{self, Relation, Target};

use crate::app;
use crate::args::{Clause, Condition, Sign, Step, StepLine};
use crate::failure::Failure;
use crate::input::Input;
use crate::repl::words;

/// What a transaction is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Clauses {
    pub(super) compare: Vec<Compare>,
    pub(super) success: Vec<RequestOp>,
    pub(super) failure: Vec<RequestOp>,
}

impl Clauses {
    /// Reads clauses, one a line; empty lines and remarks are passed over.
    pub(super) fn read<'a>(
        input: Input,
        lines: impl Iterator<Item = &'a str>,
    ) -> Result<Clauses, Failure> {
        let mut clauses = Clauses::default();
        for line in lines {
            let words = split(line)?;
            if words.is_empty() {
                continue;
            }
            match Clause::try_parse_from(words).map_err(|error| wrong(line, &error))? {
                Clause::If { what } => clauses.compare.push(compare(input, &what)?),
                Clause::Then { what } => clauses.success.push(step(input, &what)?),
                Clause::Else { what } => clauses.failure.push(step(input, &what)?),
            }
        }
        if clauses == Clauses::default() {
            let words = "a transaction has at least one clause; `txn --help` shows them";
            return Err(Failure::Usage(words.to_owned()));
        }
        Ok(clauses)
    }
}

/// The words of a line.
pub(super) fn split(line: &str) -> Result<Vec<OsString>, Failure> {
    words::split(line).map_err(|error| Failure::Usage(format!("`{line}`: {error}")))
}

/// A step on a line of its own.
pub(super) fn step_line(input: Input, line: &str) -> Result<RequestOp, Failure> {
    let read = StepLine::try_parse_from(split(line)?).map_err(|error| wrong(line, &error))?;
    step(input, &read.what)
}

fn compare(input: Input, condition: &Condition) -> Result<Compare, Failure> {
    let (key, relation, target) = match condition {
        Condition::Value {
            key,
            relation,
            value,
        } => (key, *relation, Target::Value(input.bytes(value)?)),
        Condition::Revision {
            key,
            relation,
            number,
        } => (key, *relation, Target::ModRevision(*number)),
        Condition::Created {
            key,
            relation,
            number,
        } => (key, *relation, Target::CreateRevision(*number)),
        Condition::Version {
            key,
            relation,
            number,
        } => (key, *relation, Target::Version(*number)),
        Condition::Lease {
            key,
            relation,
            lease,
        } => (key, *relation, Target::Lease(*lease)),
        Condition::Exists { key } => (key, Sign::Greater, Target::Version(0)),
        Condition::Missing { key } => (key, Sign::Equal, Target::Version(0)),
    };
    Ok(txn::compare(input.key(key)?, relation_of(relation), target))
}

fn relation_of(sign: Sign) -> Relation {
    match sign {
        Sign::Equal => Relation::Equal,
        Sign::NotEqual => Relation::NotEqual,
        Sign::Greater => Relation::Greater,
        Sign::Less => Relation::Less,
    }
}

fn step(input: Input, step: &Step) -> Result<RequestOp, Failure> {
    let range = |key, prefix| -> Result<KeyRange, Failure> {
        Ok(if prefix {
            KeyRange::prefix(&input.bytes(key)?)
        } else {
            KeyRange::One(input.key(key)?)
        })
    };
    Ok(match step {
        Step::Set { key, value, lease } => txn::write(PutRequest {
            key: input.key(key)?,
            value: input.bytes(value)?,
            lease: lease.unwrap_or(0),
            ..PutRequest::default()
        }),
        Step::Get { key, prefix } => txn::get(range(key, *prefix)?),
        Step::Delete { key, prefix } => txn::delete(range(key, *prefix)?),
    })
}

/// What is wrong with a clause, in its first paragraph.
fn wrong(line: &str, error: &clap::Error) -> Failure {
    let text = app::usage(error);
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().collect();
    Failure::Usage(format!("`{}`: {}", line.trim(), words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Input = Input {
        base64: false,
        stdin: false,
    };

    fn read(lines: &[&str]) -> Result<Clauses, Failure> {
        Clauses::read(PLAIN, lines.iter().copied())
    }

    #[test]
    fn clauses_are_read_in_any_order() {
        let read = read(&[
            "then set foo 'b z'",
            "# a remark",
            "if value foo = bar",
            "",
            "else get foo",
            "then delete old/ --prefix",
            "if missing new",
        ])
        .unwrap();
        let expected = Clauses {
            compare: vec![
                txn::compare("foo", Relation::Equal, Target::Value("bar".into())),
                txn::compare("new", Relation::Equal, Target::Version(0)),
            ],
            success: vec![
                txn::put("foo", "b z"),
                txn::delete(KeyRange::prefix(&"old/".into())),
            ],
            failure: vec![txn::get(KeyRange::One("foo".into()))],
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn every_condition_means_a_comparison() {
        for (line, relation, target) in [
            (
                "if value k != -1",
                Relation::NotEqual,
                Target::Value("-1".into()),
            ),
            (
                "if revision k > 7",
                Relation::Greater,
                Target::ModRevision(7),
            ),
            ("if mod k < 7", Relation::Less, Target::ModRevision(7)),
            (
                "if created k == 0",
                Relation::Equal,
                Target::CreateRevision(0),
            ),
            ("if version k = 2", Relation::Equal, Target::Version(2)),
            ("if lease k = ff", Relation::Equal, Target::Lease(255)),
            ("if exists k", Relation::Greater, Target::Version(0)),
        ] {
            let expected = vec![txn::compare("k", relation, target)];
            assert_eq!(read(&[line]).unwrap().compare, expected, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for line in [
            "if value foo bar",
            "if value foo ~ bar",
            "if revision foo = x",
            "then",
            "then put foo",
            "then get ''",
            "when exists foo",
            "then set foo 'bar",
            "if lease k = xyz",
        ] {
            let failure = read(&[line]).unwrap_err();
            assert_eq!(failure.exit() as u8, 2, "{line}: {failure}");
        }
        let failure = read(&["if value foo ~ bar"]).unwrap_err().to_string();
        assert!(failure.starts_with("`if value foo ~ bar`: "), "{failure}");
        assert_eq!(read(&["", "# x"]).unwrap_err().exit() as u8, 2);
    }
}
