//! A journal of acknowledged writes, and the writers that keep it.
//!
//! Every write goes to a key of its own, and each writer also overwrites one key with a growing
//! number. A write that was answered well must be there for ever. One that was answered with an
//! error, or not at all, may be there or not, but never with another value.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use super::clients::Kv;

/// How long a writer waits for one answer.
const PUT_DEADLINE: Duration = Duration::from_secs(5);
/// The pause of a writer after a failed write, so that a dead cluster is not asked in a spin.
const PAUSE: Duration = Duration::from_millis(20);
/// The length of a value, beside its number.
const FILLER: usize = 100;

/// What was acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Journal {
    inner: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    /// Keys whose write was acknowledged.
    acknowledged: BTreeMap<String, u64>,
    /// The number of each writer's overwritten key that was acknowledged last.
    counters: BTreeMap<usize, u64>,
    /// The next number.
    next: u64,
}

impl Journal {
    /// How many writes were acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().unwrap().acknowledged.len()
    }

    /// Holds what a node answers against the journal.
    #[track_caller]
    pub(crate) fn check(&self, pairs: &BTreeMap<Bytes, Bytes>, whose: &str) {
        let entries = self.inner.lock().unwrap();
        let mut lost = Vec::new();
        for (key, number) in &entries.acknowledged {
            if pairs.get(key.as_bytes()) != Some(&value(*number)) {
                lost.push(key.as_str());
            }
        }
        assert!(
            lost.is_empty(),
            "{whose} lost {} of {} acknowledged writes, among them {:?}",
            lost.len(),
            entries.acknowledged.len(),
            &lost[..lost.len().min(5)]
        );
        for (key, found) in pairs {
            let key = std::str::from_utf8(key).expect("the journal's keys are text");
            let number = number_of(found);
            assert_eq!(*found, value(number), "{whose} has a torn value at {key}");
            if let Some(number_in_key) = key.strip_prefix("w/") {
                let number_in_key = number_in_key.rsplit('/').next().unwrap();
                assert_eq!(number_in_key, format!("{number:012}"), "{whose}, {key}");
            }
        }
        for (writer, number) in &entries.counters {
            let found = pairs.get(counter_key(*writer).as_bytes());
            let found = found.map_or(0, |value| number_of(value));
            assert!(
                found >= *number,
                "{whose} went back: writer {writer} was acknowledged {number}, found is {found}"
            );
        }
    }
}

/// Writers that run until they are stopped.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    /// Starts so many writers; each goes to the next address when one fails it.
    pub(crate) fn start(journal: &Journal, addresses: &[String], count: usize) -> Writers {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicU64::new(0));
        let threads = (0..count)
            .map(|writer| {
                let journal = journal.clone();
                let addresses = addresses.to_vec();
                let stop = Arc::clone(&stop);
                let acknowledged = Arc::clone(&acknowledged);
                std::thread::spawn(move || {
                    write(writer, &journal, &addresses, &stop, &acknowledged);
                })
            })
            .collect();
        Writers {
            stop,
            acknowledged,
            threads,
        }
    }

    /// How many writes these writers had acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Stops them and waits for their last answers.
    pub(crate) fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("a writer does not panic");
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn write(
    writer: usize,
    journal: &Journal,
    addresses: &[String],
    stop: &AtomicBool,
    acknowledged: &AtomicU64,
) {
    let mut clients: Vec<Kv> = addresses
        .iter()
        .map(|address| Kv::connect(address))
        .collect();
    let mut at = writer % clients.len();
    while !stop.load(Ordering::SeqCst) {
        let number = {
            let mut entries = journal.inner.lock().unwrap();
            entries.next += 1;
            entries.next
        };
        let key = format!("w/{writer}/{number:012}");
        let whole = clients[at].put_within(key.clone(), value(number), PUT_DEADLINE);
        if whole.is_ok() {
            let mut entries = journal.inner.lock().unwrap();
            entries.acknowledged.insert(key, number);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
        let again = whole
            .and_then(|_| clients[at].put_within(counter_key(writer), value(number), PUT_DEADLINE));
        if again.is_ok() {
            journal
                .inner
                .lock()
                .unwrap()
                .counters
                .insert(writer, number);
        } else {
            at = (at + 1) % clients.len();
            std::thread::sleep(PAUSE);
        }
    }
}

fn counter_key(writer: usize) -> String {
    format!("v/{writer}")
}

/// A value that says its number and whose rest follows from it.
fn value(number: u64) -> Bytes {
    let mut text = format!("{number:012} ").into_bytes();
    let mut state = number;
    for _ in 0..FILLER {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push(b'a' + (state >> 59) as u8 % 26);
    }
    text.into()
}

fn number_of(value: &[u8]) -> u64 {
    let head = value.get(..12).unwrap_or_default();
    std::str::from_utf8(head)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::MAX)
}
