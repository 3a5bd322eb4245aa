//! `cas`: give a key a value if it is as expected.

use hstore_client::{Expect, KeyValue, Swap};
use hstore_core::id::Revision;

use crate::args::Cas;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;

pub(super) async fn run(context: &Context, args: &Cas) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let expect = match (args.if_rev, &args.if_value) {
        (Some(revision), _) => Expect::Revision(Revision(revision)),
        (None, Some(value)) => Expect::Value(context.input.bytes(value)?),
        (None, None) => {
            return Err(Failure::Usage(
                "--if-rev or --if-value is missing".to_owned(),
            ));
        }
    };
    let new = context
        .input
        .value(args.source.new.as_ref(), args.source.file.as_ref())
        .await?;
    let answer = context
        .client
        .swap(key.clone(), expect.clone(), new)
        .await?;
    match answer.value {
        Swap::Done => Ok(Data::Written {
            revision: answer.revision.0,
        }),
        Swap::Lost(present) => Err(Failure::Lost(sentence(
            &context.shown(&key),
            &expect,
            present.as_ref(),
        ))),
    }
}

/// What the key is instead. Its value is left out: it may be long, or not for every eye.
fn sentence(key: &str, expect: &Expect, present: Option<&KeyValue>) -> String {
    match (expect, present) {
        (_, None) => format!("{key} is not there"),
        (Expect::Revision(Revision(0)), Some(pair)) => {
            format!("{key} is there, at rev {}", pair.mod_revision)
        }
        (Expect::Revision(revision), Some(pair)) => {
            format!("{key} is at rev {}, not {revision}", pair.mod_revision)
        }
        (Expect::Value(_), Some(pair)) => {
            format!("{key} has another value, at rev {}", pair.mod_revision)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_swap_says_what_the_key_is_instead() {
        let present = KeyValue {
            mod_revision: Revision(7),
            ..KeyValue::default()
        };
        for (expect, present, expected) in [
            (
                Expect::Revision(Revision(0)),
                Some(&present),
                "k is there, at rev 7",
            ),
            (
                Expect::Revision(Revision(5)),
                Some(&present),
                "k is at rev 7, not 5",
            ),
            (
                Expect::Value("v".into()),
                Some(&present),
                "k has another value, at rev 7",
            ),
            (Expect::Value("v".into()), None, "k is not there"),
        ] {
            assert_eq!(sentence("k", &expect, present), expected);
        }
    }
}
