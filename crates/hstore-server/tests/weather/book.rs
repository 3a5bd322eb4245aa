//! The book of a run: every call of every client, with its times, on the one clock that all hosts
//! of the simulation share.
//!
//! Invariants: (1) a call is written down before it is sent, its end after its answer is there;
//! (2) a call that lasts longer than its deadline allows is noted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use hstore_check::history::{ClientId, History, LogEntry, Moment};
use hstore_check::recorder::Recorder;
use hstore_client::{Error, ErrorCode};
use hstore_core::id::Revision;
use hstore_core::outcome::Reply;

use crate::ask::Ask;

/// What a call may take beyond its deadline: the word of the node on its way, and the ticks of the
/// clock.
const MARGIN: Duration = Duration::from_millis(150);

#[derive(Default)]
struct State {
    recorder: Recorder,
    writes: u64,
    reads: u64,
    late: Vec<String>,
}

/// The book. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Book {
    state: Arc<Mutex<State>>,
}

impl Book {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and writes down what comes of it. `recorded` is what the judges are told was
    /// asked.
    pub(crate) async fn ask(
        &self,
        client: ClientId,
        recorded: &Ask,
        timeout: Duration,
        sent: impl Future<Output = Result<(Revision, Reply), Error>>,
    ) -> Result<Result<Reply, ErrorCode>> {
        let begun = now();
        let id = self
            .state()
            .recorder
            .invoke(client, moment(begun), recorded.call()?);
        let answer = sent.await;
        let ended = now();
        let mut state = self.state();
        let took = ended.saturating_sub(begun);
        if took > timeout + MARGIN {
            let what = format!("{recorded:?}").chars().take(60).collect::<String>();
            state.late.push(format!(
                "client {client} at {begun:?}: {took:?} instead of {timeout:?}: {what}"
            ));
        }
        let now = moment(ended);
        Ok(match answer {
            Ok((revision, reply)) => {
                state.recorder.answer(id, now, revision, reply.clone());
                let count = if recorded.is_write() {
                    &mut state.writes
                } else {
                    &mut state.reads
                };
                *count += 1;
                Ok(reply)
            }
            Err(error) => {
                state.recorder.fail(id, now, error.code());
                Err(error.code())
            }
        })
    }

    /// How many writes and reads were answered.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.writes, state.reads)
    }

    /// The calls that lasted too long.
    pub(crate) fn late(&self) -> Vec<String> {
        self.state().late.clone()
    }

    /// The history with what the nodes agreed on.
    pub(crate) fn close(&self, log: Vec<LogEntry>) -> History {
        let mut recorder = self.state().recorder.clone();
        recorder.log(log);
        recorder.finish()
    }
}

fn now() -> Duration {
    turmoil::sim_elapsed().expect("clients live in the simulation")
}

fn moment(at: Duration) -> Moment {
    Moment(at.as_nanos() as u64)
}
