//! `lock`: hold a lock until Ctrl-C, or while a command runs.

use std::ffi::OsStr;
use std::io;
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use hstore_client::{Error, Held, Session};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::hold::{Asked, Stop, begin, end, too_late};
use crate::args::Lock;
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::Context;

/// How long a command has to end when the lock is lost; then it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Where the command finds the key and the token.
const KEY: &str = "HSTORE_LOCK_KEY";
const REVISION: &str = "HSTORE_LOCK_REVISION";

pub(super) async fn run(context: &Context, args: &Lock) -> Result<Data, Failure> {
    let name = context.input.key(&args.name)?;
    let mut stop = Stop::listen()?;
    let session = begin(context, args.ttl, &mut stop).await?;
    let ended = hold(context, args, name, &session, &mut stop).await;
    end(session).await;
    ended
}

async fn hold(
    context: &Context,
    args: &Lock,
    name: Bytes,
    session: &Session,
    stop: &mut Stop,
) -> Result<Data, Failure> {
    let wait = async {
        match context.timeout {
            None => session.lock(name).await.map(Some),
            Some(time) => session.lock_within(name, time).await,
        }
    };
    let held = tokio::select! {
        held = wait => held?,
        _ = stop.next() => {
            let words = "interrupted before the lock was held";
            return Err(Failure::Interrupted(words.to_owned()));
        }
    };
    let held = held.ok_or_else(|| too_late(context, "the lock was not free"))?;
    if args.command.is_empty() {
        return until_stop(context, &held, stop).await;
    }
    let mut child = start(&args.command, &held)?;
    supervise(&mut child, &held, stop).await
}

/// Holds the lock until somebody says stop.
async fn until_stop(context: &Context, held: &Held, stop: &mut Stop) -> Result<Data, Failure> {
    render::now(
        context.view,
        &Data::Held {
            key: held.key().clone(),
            token: held.token().0,
            lease: held.session().lease(),
        },
    )?;
    tokio::select! {
        _ = stop.next() => Ok(Data::Nothing),
        () = held.lost() => Err(Error::LockLost.into()),
    }
}

fn start(command: &[std::ffi::OsString], held: &Held) -> Result<Child, Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::Usage("a command is missing".to_owned()))?;
    let started = Command::new(program)
        .args(arguments)
        .env(KEY, OsStr::from_bytes(held.key()))
        .env(REVISION, held.token().0.to_string())
        .kill_on_drop(true)
        .spawn();
    started.map_err(|error| Failure::Start {
        what: program.to_string_lossy().into_owned(),
        error,
    })
}

/// Waits for the end of the command, and ends it when the lock is lost.
async fn supervise(child: &mut Child, held: &Held, stop: &mut Stop) -> Result<Data, Failure> {
    let mut lost = pin!(held.lost());
    loop {
        tokio::select! {
            // A command that has ended has ended, whatever happened to the lock in that moment.
            biased;
            status = child.wait() => return ended(status),
            () = &mut lost => {
                tell(child, Signal::TERM);
                if timeout(GRACE, child.wait()).await.is_err() {
                    // What cannot be killed has ended.
                    let _ended = child.kill().await;
                }
                return Err(Error::LockLost.into());
            }
            asked = stop.next() => match asked {
                Asked::Terminate => tell(child, Signal::TERM),
                // A terminal tells all processes in front of it.
                Asked::Interrupt if io::stdin().is_terminal() || io::stderr().is_terminal() => {}
                Asked::Interrupt => tell(child, Signal::INT),
            }
        }
    }
}

fn tell(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may end in this moment.
        let _ended = kill_process(pid, signal);
    }
}

fn ended(status: io::Result<ExitStatus>) -> Result<Data, Failure> {
    let status = status?;
    match number(status) {
        0 => Ok(Data::Nothing),
        exit => Err(Failure::Ended { exit }),
    }
}

/// The exit code as shells tell it.
fn number(status: ExitStatus) -> u8 {
    let number = match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    };
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_with_its_own_code_or_that_of_a_signal() {
        for (wait_status, expected) in [(0, 0), (0x0300, 3), (15, 143), (9, 137)] {
            assert_eq!(number(ExitStatus::from_raw(wait_status)), expected);
        }
    }
}
