//! A user whose rights change: it proves its name at one node, and shows its token at all of them, one
//! attempt each, until the token is worth nothing any more. Then it shows it twice again, since
//! what is dead must stay dead, and asks for another one.
//!
//! What it writes and reads is in the history, too, so that the judges see whether what was refused
//! left a trace.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hstore_check::history::{Call, ClientId};
use hstore_check::rights::{Request, Token, Wish};
use hstore_core::command::Command;
use hstore_core::error::ErrorCode;
use hstore_core::key::KeyRange;
use hstore_proto::status;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::metadata::{Ascii, MetadataValue};

use super::ask::Ask;
use super::book::{Book, learned};
use super::load::{GUESTED, GUESTED_PREFIX, get, put};
use super::people::{GUESTS, Gate, guested, label, login};
use crate::fleet::Asker;

/// How long a guest waits for the answer to a login, and to anything else.
const LOGIN: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_millis(700);
/// The pause between two requests, at most.
const PAUSE_MS_MAX: u64 = 30;
/// How often a token is shown after it was refused.
const AFTER_DEATH: u32 = 2;
/// How many requests a guest makes with one token at most.
const REQUESTS: std::ops::Range<u32> = 100..600;

struct Guest {
    number: ClientId,
    name: &'static str,
    askers: Vec<Asker>,
    gate: Gate,
    book: Arc<Book>,
    rng: StdRng,
    next: u64,
}

/// Token after token until it is told to stop.
pub(super) async fn run(
    (nth, number): (usize, u64),
    seed: u64,
    askers: Vec<Asker>,
    gate: Gate,
    book: Arc<Book>,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut guest = Guest {
        number: ClientId(number),
        name: GUESTS[nth],
        askers,
        gate,
        book,
        rng: StdRng::seed_from_u64(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93)),
        next: 0,
    };
    while !*stop.borrow() {
        if let Some(proof) = guest.login().await {
            guest.live(&proof, &stop).await?;
        }
        guest.pause().await;
    }
    Ok(())
}

type Proof = (Token, MetadataValue<Ascii>);

impl Guest {
    fn node(&mut self) -> Asker {
        let place = self.rng.random_range(0..self.askers.len());
        self.askers[place].clone()
    }

    async fn pause(&mut self) {
        let pause = self.rng.random_range(0..=PAUSE_MS_MAX);
        sleep(Duration::from_millis(pause)).await;
    }

    async fn login(&mut self) -> Option<Proof> {
        let password = self.gate.password(self.name)?;
        let node = self.node();
        let asked = self.book.now();
        let answer = login(&node, self.name, &password, LOGIN).await;
        let told = self.book.now();
        let wish = Wish::Prove {
            user: self.name.into(),
            password: label(&password),
        };
        let learned = match &answer {
            Ok(_token) => Some(Ok(())),
            Err(refused) => match status::read(refused) {
                failure if failure.origin == status::Origin::Node => Some(Err(failure.code)),
                _broken => None,
            },
        };
        self.book.asked(Request {
            token: None,
            wish,
            asked,
            told,
            learned,
        });
        let token = Token {
            user: self.name.into(),
            password: label(&password),
            asked,
            told,
        };
        Some((token, answer.ok()?))
    }

    /// Request after request.
    async fn live(&mut self, proof: &Proof, stop: &watch::Receiver<bool>) -> Result<()> {
        let mut after_death = AFTER_DEATH;
        for _ in 0..self.rng.random_range(REQUESTS) {
            if *stop.borrow() {
                break;
            }
            let told = self.request(proof).await?;
            let is_dead = matches!(
                told,
                Err(ErrorCode::AuthRevisionOld | ErrorCode::InvalidAuthToken)
            );
            if is_dead {
                let Some(left) = after_death.checked_sub(1) else {
                    break;
                };
                after_death = left;
            }
            self.pause().await;
        }
        Ok(())
    }

    async fn request(&mut self, (token, shown): &Proof) -> Result<Result<(), ErrorCode>> {
        let ask = self.draw();
        let wish = match ask.call()? {
            Call::Put(put) => Wish::Do(Command::Put(put)),
            Call::Delete(delete) => Wish::Do(Command::Delete(delete)),
            Call::Range { range, .. } => Wish::Read(range.keys),
            Call::Compact(_) | Call::Txn(_) => return Ok(Ok(())),
        };
        let node = self.node();
        let asked = self.book.now();
        let answer = self
            .book
            .ask(self.number, ask, |ask| {
                ask.send_as(&node, Some(shown), PATIENCE)
            })
            .await?
            .map(drop);
        self.book.asked(Request {
            token: Some(token.clone()),
            wish,
            asked,
            told: self.book.now(),
            learned: learned(answer),
        });
        Ok(answer)
    }

    fn draw(&mut self) -> Ask {
        let key = GUESTED.choose(&mut self.rng).copied();
        let key = Bytes::from_static(key.unwrap_or(GUESTED[0]).as_bytes());
        match self.rng.random_range(0..10) {
            0..4 => {
                self.next += 1;
                let value = format!("{}.{}", self.number, self.next);
                Ask::Put(put(key, value.into()))
            }
            4..8 => Ask::Range(get(key)),
            8 => Ask::Range(hstore_proto::etcdserverpb::RangeRequest {
                range_end: match guested() {
                    KeyRange::Span { end, .. } => end,
                    KeyRange::One(_) | KeyRange::From(_) => Bytes::new(),
                },
                ..get(Bytes::from_static(GUESTED_PREFIX.as_bytes()))
            }),
            _ => Ask::Delete(hstore_proto::etcdserverpb::DeleteRangeRequest {
                key,
                ..hstore_proto::etcdserverpb::DeleteRangeRequest::default()
            }),
        }
    }
}
