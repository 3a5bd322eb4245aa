//! `set` and `update`: give a key a value.

use hstore_client::ErrorCode;

use crate::args::Set;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;

pub(super) async fn set(context: &Context, args: &Set) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let value = context
        .input
        .value(args.source.value.as_ref(), args.source.file.as_ref())
        .await?;
    let revision = context.client.put(key, value).await?;
    Ok(Data::Written {
        revision: revision.0,
    })
}

pub(super) async fn update(context: &Context, args: &Set) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let value = context
        .input
        .value(args.source.value.as_ref(), args.source.file.as_ref())
        .await?;
    match context.client.update(key.clone(), value).await {
        Ok(revision) => Ok(Data::Written {
            revision: revision.0,
        }),
        Err(error) if error.code() == ErrorCode::KeyNotFound => {
            Err(Failure::NoKey(context.shown(&key)))
        }
        Err(error) => Err(error.into()),
    }
}
