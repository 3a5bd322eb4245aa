//! Ending early and in order: Ctrl-C and SIGTERM.
//!
//! Invariant: what a task holds is dropped before the process ends, so that nothing is left behind.

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Does something, unless a person or a system says stop before it is done.
pub(crate) async fn or<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _signal = interrupted.recv() => bail!("interrupted"),
        _signal = terminated.recv() => bail!("terminated"),
    }
}
