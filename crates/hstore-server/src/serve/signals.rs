//! Signals as requests to end: the first asks gracefully, the second means now.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a server.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    background: bool,
}

impl Signals {
    /// From now on the signals are ours; before, they end the process. In the background there
    /// is no terminal whose end (`SIGHUP`) could mean anything.
    pub(super) fn listen(background: bool) -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            background,
        })
    }

    /// The name of the next signal. Cancel safe: a signal that came is kept.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            // A closed stream of signals never answers: the runtime is gone with it.
            tokio::select! {
                Some(()) = self.terminate.recv() => return "SIGTERM",
                Some(()) = self.interrupt.recv() => return "SIGINT",
                Some(()) = self.hang_up.recv() => {
                    if !self.background {
                        return "SIGHUP";
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}
