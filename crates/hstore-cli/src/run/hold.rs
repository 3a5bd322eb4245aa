//! What holds on to something until it is told to stop: which signals say so, and the end of the
//! session.

use std::time::Duration;

use hstore_client::Session;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;
use crate::run::Context;

/// Hears SIGINT and SIGTERM from the moment of its making.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

/// Which of them it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Ctrl-C, as a rule.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    pub(super) fn listen() -> Result<Stop, Failure> {
        let failure = |error| Failure::File {
            what: "the signals".to_owned(),
            error,
        };
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt()).map_err(failure)?,
            terminate: signal(SignalKind::terminate()).map_err(failure)?,
        })
    }

    /// Waits for the next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Asked::Interrupt,
            Some(()) = self.terminate.recv() => Asked::Terminate,
        }
    }
}

/// Begins a session, unless told to stop first.
pub(super) async fn begin(
    context: &Context,
    ttl: Duration,
    stop: &mut Stop,
) -> Result<Session, Failure> {
    tokio::select! {
        session = context.client.session(ttl) => Ok(session?),
        _ = stop.next() => Err(Failure::Interrupted("interrupted".to_owned())),
    }
}

/// Ends a session with all that hangs on it. A failure is no failure of what was held.
pub(super) async fn end(session: Session) {
    let ttl = session.ttl().as_secs();
    if let Err(error) = session.close().await {
        eprintln!("note: what was held was not given back ({error}); it is free within {ttl} s");
    }
}

/// What was waited for did not come in the time that was given.
pub(super) fn too_late(context: &Context, what: &str) -> Failure {
    let within = context.timeout.unwrap_or_default();
    Failure::NotInTime(format!("{what} within {within:?}"))
}
