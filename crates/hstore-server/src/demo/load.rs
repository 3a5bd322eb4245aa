//! The demo's clients: a light load of writes, and the reads that check them.
//!
//! Invariants: (1) a key has one writer, which asks for one thing at a time; (2) an outcome is
//! unknown unless the code of the error says that the write was certainly not done; (3) what is
//! read to check is read linearizably.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hstore_client::{Client, Error, Expect, KeyRange, KeyValue, Past, Read, Swap};
use hstore_core::id::Revision;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ledger::{Found, Ledger, PREFIX, Tally, key};

/// How many writers there are.
pub(super) const WRITERS: usize = 4;
/// How many keys each of them has.
const KEYS_EACH: usize = 8;
/// How long a writer rests between two writes.
const REST: Duration = Duration::from_millis(60);
/// How long a write waits for its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a read waits for its answer.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// How long the reader rests between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// How many records of a key's history are read at once.
const HISTORY_MAX: u64 = 500;

/// The book, when writes were acknowledged, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Book {
    ledger: Mutex<Ledger>,
    pulse: watch::Sender<Pulse>,
}

/// When writes were acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// How many.
    pub(super) acknowledged: u64,
    /// When the last one was.
    pub(super) last: Instant,
    /// The longest time between two of them since `forget`.
    pub(super) longest: Duration,
}

/// What the page is told.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    tally: Tally,
    violations: Vec<String>,
    /// For how long no write has been acknowledged.
    silent_ms: u64,
}

impl Told {
    /// Whether everything that was acknowledged was read back, and nothing contradicts it.
    pub(super) fn is_clean(&self) -> bool {
        let tally = &self.tally;
        tally.lost == 0 && tally.read_back == tally.acknowledged && self.violations.is_empty()
    }

    /// The same for people.
    pub(super) fn sentence(&self) -> String {
        let tally = &self.tally;
        let mut text = format!(
            "{} writes acknowledged, {} read back, {} lost; {} without an answer ({} turned out to \
             be done, {} not), {} refused",
            tally.acknowledged,
            tally.read_back,
            tally.lost,
            tally.unknown,
            tally.unknown_done,
            tally.unknown_not_done,
            tally.refused,
        );
        for violation in &self.violations {
            text.push_str("\n  ");
            text.push_str(violation);
        }
        text
    }
}

impl Book {
    pub(super) fn new() -> Book {
        let pulse = Pulse {
            acknowledged: 0,
            last: Instant::now(),
            longest: Duration::ZERO,
        };
        Book {
            ledger: Mutex::new(Ledger::new(WRITERS * KEYS_EACH)),
            pulse: watch::Sender::new(pulse),
        }
    }

    /// The book itself; hold it for no longer than it takes to look.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When writes were acknowledged, now and whenever that changes.
    pub(super) fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.subscribe()
    }

    /// Measures the longest silence anew.
    pub(super) fn forget(&self) {
        self.pulse
            .send_modify(|pulse| pulse.longest = Duration::ZERO);
    }

    /// What the page is told.
    pub(super) fn told(&self) -> Told {
        let silent = self.pulse.borrow().last.elapsed();
        let ledger = self.ledger();
        Told {
            tally: ledger.tally(),
            violations: ledger.violations().to_vec(),
            silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn beat(&self) {
        self.pulse.send_modify(|pulse| {
            let now = Instant::now();
            pulse.acknowledged += 1;
            pulse.longest = pulse.longest.max(now - pulse.last);
            pulse.last = now;
        });
    }
}

/// Writes the keys of one writer in turn, until it is dropped.
pub(super) async fn write(writer: usize, client: Client, book: Arc<Book>) {
    let client = client.patient().with_timeout(PATIENCE);
    client.start_at(writer);
    for turn in 0.. {
        let place = writer * KEYS_EACH + turn % KEYS_EACH;
        let wish = book.ledger().ask(place);
        if let Some(wish) = wish {
            let expect = Expect::Revision(Revision(wish.expect));
            let asked = client.swap(wish.key, expect, wish.number.to_string());
            match asked.await {
                Ok(answer) => match answer.value {
                    Swap::Done => {
                        let revision = answer.revision.0;
                        book.ledger().acknowledged(place, wish.number, revision);
                        book.beat();
                    }
                    Swap::Lost(found) => book.ledger().differs(place, found.as_ref().map(of_pair)),
                },
                Err(error) if is_refusal(&error) => book.ledger().refused(place),
                Err(_unknown) => book.ledger().unknown(place),
            }
        }
        sleep(REST).await;
    }
}

/// Whether the write was certainly not done.
fn is_refusal(error: &Error) -> bool {
    // The client says so itself when nothing of a write may have reached the log.
    matches!(error, Error::Timeout { .. } | Error::Unreachable { .. })
        || error.code().definitely_not_applied()
}

/// Reads back what was written, until it is dropped.
pub(super) async fn read_back(client: Client, book: Arc<Book>) {
    let client = client.patient().with_timeout(READ_PATIENCE);
    loop {
        // Without a majority nothing is read; then it is read later.
        let _later = look(&client, &book).await.is_err();
        sleep(LOOK).await;
    }
}

/// Reads everything that has not been read back, once.
async fn look(client: &Client, book: &Book) -> Result<(), Error> {
    read_all(client, book).await?;
    let behind = book.ledger().behind();
    for place in behind {
        read_history(client, book, place, false).await?;
    }
    Ok(())
}

/// Looks at every write that the book has, once more and from its beginning. Tries again until it
/// is done or `deadline`.
pub(super) async fn audit(client: &Client, book: &Book, deadline: Instant) -> Result<(), Error> {
    let client = client.clone().patient().with_timeout(READ_PATIENCE);
    let keys = book.ledger().keys();
    loop {
        let looked = async {
            read_all(&client, book).await?;
            for place in 0..keys {
                read_history(&client, book, place, true).await?;
            }
            Ok(())
        };
        match looked.await {
            Err(_again) if Instant::now() < deadline => sleep(LOOK).await,
            looked => return looked,
        }
    }
}

async fn read_all(client: &Client, book: &Book) -> Result<(), Error> {
    let floor = book.ledger().floor();
    let range = KeyRange::prefix(&PREFIX.into());
    let mut found = BTreeMap::new();
    let mut pages = client.pages(range, Read::default(), None);
    while let Some(page) = pages.next().await? {
        for pair in page.pairs {
            found.insert(pair.key.clone(), of_pair(&pair));
        }
    }
    let mut ledger = book.ledger();
    for (place, floor) in floor.into_iter().enumerate() {
        let found = found.remove(key(place).as_bytes());
        ledger.read(place, floor, found.as_ref());
    }
    Ok(())
}

async fn read_history(client: &Client, book: &Book, place: usize, all: bool) -> Result<(), Error> {
    let (from, floor) = {
        let ledger = book.ledger();
        let Some(from) = ledger.oldest(place, all) else {
            return Ok(());
        };
        (from, ledger.floor()[place])
    };
    let mut found = Vec::new();
    let mut before = Revision(floor + 1);
    loop {
        let page = client.history(key(place), HISTORY_MAX, before).await?;
        let more = page.more;
        found.extend(page.records.iter().map(of_past));
        match found.last() {
            Some(last) if more && last.revision > from => before = Revision(last.revision),
            _ => break,
        }
    }
    book.ledger().history(place, from, floor, &found);
    Ok(())
}

fn of_pair(pair: &KeyValue) -> Found {
    Found {
        revision: pair.mod_revision.0,
        number: number(&pair.value),
    }
}

fn of_past(past: &Past) -> Found {
    Found {
        revision: past.mod_revision.0,
        number: past.value.as_deref().and_then(number),
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
