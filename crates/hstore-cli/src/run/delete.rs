//! `delete`: one key, which has to be there, or all that begin with a prefix.

use std::io::{self, Write};

use hstore_client::{KeyRange, Read};

use crate::args::Delete;
use crate::failure::Failure;
use crate::input::waited;
use crate::render::Data;
use crate::run::Context;
use crate::text;

pub(super) async fn run(context: &Context, args: &Delete) -> Result<Data, Failure> {
    let keys = if args.prefix {
        KeyRange::prefix(&context.input.bytes(&args.key)?)
    } else {
        KeyRange::One(context.input.key(&args.key)?)
    };
    if args.prefix && context.interactive && !args.yes {
        let count = context
            .client
            .count(keys.clone(), Read::default())
            .await?
            .value;
        if count > 0 && !agreed(&format!("Delete {}?", text::count(count, "key"))).await? {
            return Err(Failure::Interrupted("nothing was deleted".to_owned()));
        }
    }
    let answer = context.client.delete(keys.clone()).await?;
    match keys {
        KeyRange::One(key) if answer.value == 0 => Err(Failure::NoKey(context.shown(&key))),
        _ => Ok(Data::Deleted {
            count: answer.value,
            revision: answer.revision.0,
        }),
    }
}

/// Asks on the terminal; anything but a yes is a no.
pub(super) async fn agreed(question: &str) -> Result<bool, Failure> {
    eprint!("{question} [y/N] ");
    let answer = waited("the terminal", || {
        let failure = |error| Failure::File {
            what: "the terminal".to_owned(),
            error,
        };
        io::stderr().flush().map_err(failure)?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(failure)?;
        Ok(answer)
    })
    .await?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
