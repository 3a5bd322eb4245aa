//! `get`: the value of a key.

use crate::args::Get;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::{Context, read};

pub(super) async fn run(context: &Context, args: &Get) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let answer = context
        .client
        .get(key.clone(), read(args.consistency))
        .await?;
    match answer.value {
        Some(pair) => Ok(Data::Value(pair)),
        None => Err(Failure::NoKey(context.shown(&key))),
    }
}
