//! `set` and `update`: give a key a value, for good or for a time.

use hstore_client::ErrorCode;

use crate::args::{Set, Update};
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;

pub(super) async fn set(context: &Context, args: &Set) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let value = context
        .input
        .value(args.source.value.as_ref(), args.source.file.as_ref())
        .await?;
    if let Some(ttl) = args.ttl {
        let lease = context.client.grant_lease(ttl, None).await?;
        let written = context.client.put_with_lease(key, value, lease.id).await;
        return match written {
            Ok(revision) => Ok(Data::WrittenFor {
                revision: revision.0,
                lease,
            }),
            Err(error) => {
                // The lease would end by itself; whether that works changes nothing here.
                let _tried = context.client.revoke_lease(lease.id).await;
                Err(error.into())
            }
        };
    }
    let lease = args.lease.unwrap_or(0);
    let revision = context.client.put_with_lease(key, value, lease).await?;
    Ok(Data::Written {
        revision: revision.0,
    })
}

pub(super) async fn update(context: &Context, args: &Update) -> Result<Data, Failure> {
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
