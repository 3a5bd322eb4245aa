//! `export`: pairs as JSON lines, in key order, all as of one revision.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use hstore_client::KeyRange;

use crate::args::Export;
use crate::failure::Failure;
use crate::lines;
use crate::render::Data;
use crate::run::progress::Progress;
use crate::run::{Context, output, read};

pub(super) async fn run(context: &Context, args: &Export) -> Result<Data, Failure> {
    let keys = match &args.prefix {
        Some(prefix) => KeyRange::prefix(&context.input.bytes(prefix)?),
        None => KeyRange::all(),
    };
    let mut file = match &args.file {
        Some(path) => {
            let file = File::create(path).map_err(|error| Failure::at(path, error))?;
            Some((BufWriter::new(file), path))
        }
        None => None,
    };
    let mut pages = context.client.pages(keys, read(args.consistency), None);
    if context.progress {
        pages = pages.counted();
    }
    let mut progress = None;
    let (mut pairs, mut revision) = (0, 0);
    let mut buffer = Vec::new();
    while let Some(page) = pages.next().await? {
        buffer.clear();
        for pair in &page.pairs {
            lines::write(&mut buffer, &pair.key, &pair.value);
        }
        match &mut file {
            Some((file, path)) => {
                file.write_all(&buffer)
                    .map_err(|error| Failure::at(path, error))?;
            }
            None => write(&buffer)?,
        }
        pairs += page.pairs.len() as u64;
        revision = page.revision.0;
        progress
            .get_or_insert_with(|| Progress::of_pairs(context.progress, page.count))
            .reached(pairs);
    }
    if let Some(progress) = progress {
        progress.done();
    }
    match file {
        None => Ok(Data::Nothing),
        Some((file, path)) => {
            let file = file
                .into_inner()
                .map_err(|error| Failure::at(path, error.into_error()))?;
            file.sync_all().map_err(|error| Failure::at(path, error))?;
            Ok(Data::Exported { pairs, revision })
        }
    }
}

fn write(buffer: &[u8]) -> io::Result<()> {
    let mut out = output();
    out.write_all(buffer)?;
    out.flush()
}
