//! `read` and `scan`: many keys, a page at a time, all as of one revision.

use std::io::Write;

use hstore_client::{KeyRange, Read};

use crate::args::{Get, Listing, ReadAll, Scan};
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::{self, Context, get, output};

pub(super) async fn read(context: &Context, args: &ReadAll) -> Result<Data, Failure> {
    match &args.key {
        Some(key) => {
            let args = Get {
                key: key.clone(),
                consistency: args.listing.consistency,
            };
            get::run(context, &args).await
        }
        None => list(context, KeyRange::all(), args.listing).await,
    }
}

pub(super) async fn scan(context: &Context, args: &Scan) -> Result<Data, Failure> {
    let prefix = context.input.bytes(&args.prefix)?;
    list(context, KeyRange::prefix(&prefix), args.listing).await
}

async fn list(context: &Context, keys: KeyRange, args: Listing) -> Result<Data, Failure> {
    let how = Read {
        keys_only: args.keys_only,
        ..run::read(args.consistency)
    };
    let mut pages = context.client.pages(keys, how, args.limit);
    let mut listing = render::Listing::new(context.view, args.keys_only);
    while let Some(page) = pages.next().await? {
        let mut out = output();
        listing.page(&mut out, &page)?;
        out.flush()?;
    }
    Ok(Data::Nothing)
}
