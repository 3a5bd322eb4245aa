//! `import`: JSON lines to pairs, many at once, with exact counts of what became of them.
//!
//! Invariants: (1) two lines with one key are stored in their order: neither in one batch nor in
//! batches that are under way together; (2) every line is counted once, as stored, failed or
//! unknown; (3) no line before the one that the report says to go on with is left unstored, unless
//! it was counted as failed. Storing a pair twice changes nothing but its revision, so that an
//! import that ended early may simply be run again.

mod lines;
mod report;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use hstore_client::{Client, Error, ErrorCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::lines::{Batch, Item, Limits, Pair};
pub(crate) use self::report::ImportReport;
use crate::args::Import;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;
use crate::run::progress::Progress;
use crate::text;

/// How many batches are read ahead; the reader waits when they are not taken.
const AHEAD: usize = 4;
/// How long one request may take unless `--timeout` says otherwise: long enough for a cluster that
/// loses its leader, or two, in the middle of it.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(super) async fn run(context: &Context, args: &Import) -> Result<Data, Failure> {
    let (source, size) = open(context, &args.file)?;
    let client = context
        .client
        .clone()
        .with_timeout(context.timeout.unwrap_or(TIMEOUT))
        .patient();
    let limits = Limits {
        pairs: args.batch.into(),
        from_line: args.from_line,
    };
    let (sender, items) = mpsc::channel(AHEAD);
    std::thread::Builder::new()
        .name("import-reader".to_owned())
        .spawn(move || {
            lines::read(
                BufReader::with_capacity(256 * 1024, source),
                limits,
                &mut |item| sender.blocking_send(item).is_ok(),
            );
        })
        .map_err(|error| Failure::File {
            what: "the reader's thread".to_owned(),
            error,
        })?;
    let mut course = Course {
        client,
        in_flight_max: args.in_flight.into(),
        skip_failed: args.skip_failed,
        from_line: args.from_line,
        report: ImportReport::default(),
        keys: BTreeSet::new(),
        fatal: None,
    };
    let progress = Progress::of_bytes(context.progress, size);
    let begun = Instant::now();
    let interrupted = course.follow(items, &progress).await;
    progress.done();
    course.report.elapsed = begun.elapsed();
    course.end(interrupted)
}

fn open(context: &Context, path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        if !context.input.stdin {
            let why = "the standard input is taken by the lines of the shell; name a file";
            return Err(Failure::Usage(why.to_owned()));
        }
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path).map_err(|error| Failure::at(path, error))?;
    let metadata = file.metadata().map_err(|error| Failure::at(path, error))?;
    if metadata.is_dir() {
        return Err(Failure::at(
            path,
            io::Error::from(io::ErrorKind::IsADirectory),
        ));
    }
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

/// An import that is under way.
struct Course {
    client: Client,
    in_flight_max: usize,
    skip_failed: bool,
    from_line: u64,
    report: ImportReport,
    /// The keys of the batches that are under way.
    keys: BTreeSet<Bytes>,
    /// What ended it.
    fatal: Option<Failure>,
}

impl Course {
    /// Stores what is read until there is no more, something ends it, or the person says stop;
    /// then waits for what is under way. Answers whether the person said stop.
    async fn follow(&mut self, mut items: mpsc::Receiver<Item>, progress: &Progress) -> bool {
        let mut under_way: FuturesUnordered<BoxFuture<'static, Stored>> = FuturesUnordered::new();
        let mut waiting: Option<Batch> = None;
        let mut reading = true;
        let mut interrupted = false;
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        while reading || waiting.is_some() || !under_way.is_empty() {
            if let Some(batch) = waiting.take_if(|batch| self.may_go(batch, under_way.len())) {
                self.keys
                    .extend(batch.pairs.iter().map(|pair| pair.key.clone()));
                under_way.push(store(self.client.clone(), batch).boxed());
                continue;
            }
            tokio::select! {
                biased; // Answers first, so that their places are free for what is read.
                Some(stored) = under_way.next(), if !under_way.is_empty() => {
                    self.take(stored, progress);
                }
                item = items.recv(), if reading && waiting.is_none() => match item {
                    Some(Item::Batch(batch)) => waiting = Some(batch),
                    Some(Item::Bad { line, why }) => {
                        self.report.failed(line, format!("line {line}: {why}"));
                        self.fail(None);
                    }
                    Some(Item::Broken { line, error }) => {
                        self.report.resume_at(line);
                        let what = format!("the input, at line {line}");
                        self.fatal.get_or_insert(Failure::File { what, error });
                    }
                    None => reading = false,
                },
                _ = &mut stop, if !interrupted => interrupted = true,
            }
            if interrupted || self.fatal.is_some() {
                reading = false;
                items.close();
                let unread = waiting.take().or_else(|| next_batch(&mut items));
                if let Some(batch) = unread {
                    self.report.resume_at(batch.first_line());
                }
            }
        }
        if interrupted {
            // Lines that were read ahead and not sent come after the last one that was.
            self.report
                .resume_at((self.report.last_line + 1).max(self.from_line));
        }
        interrupted
    }

    fn may_go(&self, batch: &Batch, under_way: usize) -> bool {
        under_way < self.in_flight_max
            && !batch.pairs.iter().any(|pair| self.keys.contains(&pair.key))
    }

    /// Counts what became of a batch.
    fn take(&mut self, stored: Stored, progress: &Progress) {
        for key in &stored.keys {
            self.keys.remove(key);
        }
        self.report.stored += stored.count;
        self.report.read_to(stored.last_line);
        for (line, error) in stored.refused {
            self.report.failed(line, format!("line {line}: {error}"));
            self.fail(Some(error));
        }
        if let Some((pairs, first_line, error)) = stored.lost {
            if error.code() == ErrorCode::OutcomeUnknown {
                self.report.unknown += pairs;
            } else {
                self.report.failed += pairs;
            }
            self.report.resume_at(first_line);
            self.report
                .first_failure
                .get_or_insert_with(|| error.to_string());
            self.fatal.get_or_insert(error.into());
        }
        progress.reached(stored.position);
        progress.say(text::count(self.report.stored, "pair"));
    }

    /// A line cannot be stored, now or ever.
    fn fail(&mut self, error: Option<Error>) {
        if !self.skip_failed && self.fatal.is_none() {
            let why = self.report.first_failure.clone().unwrap_or_default();
            self.fatal = Some(error.map_or_else(|| Failure::Usage(why), Failure::from));
        }
    }

    fn end(self, interrupted: bool) -> Result<Data, Failure> {
        let mut report = self.report;
        if self.fatal.is_none() && !interrupted {
            // It came to its end: there is nothing to go on with.
            report.resume_line = None;
        }
        if interrupted {
            return Err(Failure::Interrupted(format!(
                "interrupted; {}",
                report.sentence()
            )));
        }
        match self.fatal {
            None if report.failed + report.unknown == 0 => Ok(Data::Imported(report)),
            Some(failure) if report.stored == 0 && report.unknown == 0 => Err(failure),
            _ => Err(Failure::Partial {
                sentence: report.sentence(),
                details: report.json(),
            }),
        }
    }
}

/// The first batch that was read and is not going to be stored.
fn next_batch(items: &mut mpsc::Receiver<Item>) -> Option<Batch> {
    while let Ok(item) = items.try_recv() {
        if let Item::Batch(batch) = item {
            return Some(batch);
        }
    }
    None
}

/// What became of a batch.
struct Stored {
    keys: Vec<Bytes>,
    count: u64,
    last_line: u64,
    position: u64,
    /// Lines that no node takes.
    refused: Vec<(u64, Error)>,
    /// How many pairs have no answer, from which line on, and why.
    lost: Option<(u64, u64, Error)>,
}

/// Stores a batch: at once if the nodes take it so, else in halves.
async fn store(client: Client, batch: Batch) -> Stored {
    let mut stored = Stored {
        keys: batch.pairs.iter().map(|pair| pair.key.clone()).collect(),
        count: 0,
        last_line: batch.pairs.last().map_or(0, |pair| pair.line),
        position: batch.position,
        refused: Vec::new(),
        lost: None,
    };
    let mut parts = vec![batch.pairs];
    while let Some(mut part) = parts.pop() {
        let Some(first) = part.first() else { continue };
        let answer = match part.as_slice() {
            [only] => client.put(only.key.clone(), only.value.clone()).await,
            _ => client.put_all(part.iter().map(Pair::bytes)).await,
        };
        match answer {
            Ok(_) => stored.count += part.len() as u64,
            Err(error) if is_about_size(&error) && part.len() > 1 => {
                let back = part.split_off(part.len() / 2);
                parts.push(back);
                parts.push(part);
            }
            Err(error) if is_about_size(&error) => stored.refused.push((first.line, error)),
            Err(error) => {
                let left: usize = part.len() + parts.iter().map(Vec::len).sum::<usize>();
                stored.lost = Some((left as u64, first.line, error));
                break;
            }
        }
    }
    stored
}

/// Whether fewer pairs at once may be taken where these were not.
fn is_about_size(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::RequestTooLarge
            | ErrorCode::TooManyOperations
            | ErrorCode::KeyTooLarge
            | ErrorCode::EmptyKey
            | ErrorCode::InvalidArgument
    )
}
