//! `watch`: what happens to keys, as it happens, until so many changes were seen or the person says
//! stop.

use std::io::Write;
use std::time::Duration;

use hstore_client::{Batch, KeyRange};
use hstore_core::id::Revision;

use crate::args::{ChangeKind, Format, Watch};
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::{Context, output};

/// How long a watch that was made looks for another node when its own is lost. A person who watches
/// would rather wait for the cluster than begin again.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn run(context: &Context, args: &Watch) -> Result<Data, Failure> {
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    tokio::select! {
        ended = follow(context, args) => ended,
        _ = &mut stop => match args.count {
            // It is how a watch without a count ends.
            None => Ok(Data::Nothing),
            Some(count) => Err(Failure::Interrupted(format!(
                "interrupted before {count} changes were seen"
            ))),
        },
    }
}

async fn follow(context: &Context, args: &Watch) -> Result<Data, Failure> {
    let keys = if args.prefix {
        KeyRange::prefix(&context.input.bytes(&args.key)?)
    } else {
        KeyRange::One(context.input.key(&args.key)?)
    };
    let mut options = context.client.watch(keys);
    if let Some(revision) = args.rev {
        options = options.from(Revision(revision));
    }
    if args.prev {
        options = options.previous();
    }
    options = match args.filter {
        None => options,
        Some(ChangeKind::Put) => options.without_deletions(),
        Some(ChangeKind::Delete) => options.without_writes(),
    };
    let mut watch = options.begin();
    let from = watch.ready().await?;
    if context.interactive && context.view.format == Format::Table {
        eprintln!("note: watching from revision {from} on; Ctrl-C ends it");
    }
    let mut watch = watch.patient_for(PATIENCE);
    let mut left = args.count;
    loop {
        let batch = watch.next().await?;
        let shown = left.map_or(batch.changes.len(), |left| {
            batch
                .changes
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        write(context, &batch, shown)?;
        if let Some(left) = &mut left {
            *left -= shown as u64;
            if *left == 0 {
                return Ok(Data::Nothing);
            }
        }
    }
}

/// Writes the first changes of a batch at once, so that a pipe sees them when they happen.
fn write(context: &Context, batch: &Batch, shown: usize) -> Result<(), Failure> {
    let mut out = output();
    for change in &batch.changes[..shown] {
        render::change(&mut out, context.view, change)?;
    }
    out.flush()?;
    Ok(())
}
