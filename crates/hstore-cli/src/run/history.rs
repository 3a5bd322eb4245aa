//! `history`: the former values of a key, newest first.

use hstore_core::id::Revision;

use crate::args::History;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;

pub(super) async fn run(context: &Context, args: &History) -> Result<Data, Failure> {
    let key = context.input.key(&args.key)?;
    let before = Revision(args.before.unwrap_or(0));
    let mut found = context
        .client
        .history(key.clone(), args.limit, before)
        .await?;
    // A node may answer less than it was asked for.
    while found.more && (found.records.len() as u64) < args.limit {
        let Some(oldest) = found.records.last().map(|past| past.mod_revision) else {
            break;
        };
        let left = args.limit - found.records.len() as u64;
        let next = context.client.history(key.clone(), left, oldest).await?;
        found.more = next.more && !next.records.is_empty();
        found.records.extend(next.records);
    }
    if found.records.is_empty() {
        return Err(Failure::NoKey(context.shown(&key)));
    }
    Ok(Data::History(found))
}
