//! A gate before every task of a node: while it is closed none of them runs, as when the whole
//! process is stopped by a signal. Only the simulator has one.
//!
//! Invariants: (1) a task that is woken while the gate is closed runs when it opens, in the order
//! in which they were woken: timers that came due meanwhile fire then, none before; (2) what a task
//! behind a gate spawns is behind the same gate.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

tokio::task_local! {
    static PRESENT: Gate;
}

/// A gate, open in the beginning. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Who was woken and wants to pass.
    waiting: Vec<Waker>,
}

impl Gate {
    /// From now on no task runs.
    pub fn close(&self) {
        self.state().closed = true;
    }

    /// Tasks run again.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.state();
            state.closed = false;
            std::mem::take(&mut state.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }

    /// The gate that the present task is behind, if it is behind one.
    pub(crate) fn present() -> Option<Gate> {
        PRESENT.try_with(Gate::clone).ok()
    }

    /// Puts a future behind this gate.
    pub(crate) async fn before<F: Future>(self, future: F) -> F::Output {
        let gate = self.clone();
        let held = async move {
            let mut future = pin!(future);
            poll_fn(|context| {
                std::task::ready!(self.poll_open(context));
                future.as_mut().poll(context)
            })
            .await
        };
        PRESENT.scope(gate, held).await
    }

    /// Lets a future pass at any time; what it spawns is behind this gate.
    pub(crate) async fn beside<F: Future>(self, future: F) -> F::Output {
        PRESENT.scope(self, future).await
    }

    fn poll_open(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.closed {
            return Poll::Ready(());
        }
        let known = |waker: &Waker| waker.will_wake(context.waker());
        if !state.waiting.iter().any(known) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_comes_due_behind_a_closed_gate_fires_when_it_opens() {
        let gate = Gate::default();
        let began = Instant::now();
        let task = gate.clone().before(async {
            assert!(Gate::present().is_some());
            sleep(Duration::from_secs(1)).await;
            began.elapsed()
        });
        let world = async {
            gate.close();
            sleep(Duration::from_secs(5)).await;
            gate.open();
        };
        let (fired, ()) = tokio::join!(task, world);
        assert_eq!(fired, Duration::from_secs(5));
        assert!(Gate::present().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_not_due_when_the_gate_opens_keeps_its_time() {
        let gate = Gate::default();
        let began = Instant::now();
        let task = gate.clone().before(async {
            sleep(Duration::from_secs(9)).await;
            began.elapsed()
        });
        let world = async {
            gate.close();
            sleep(Duration::from_secs(5)).await;
            gate.open();
        };
        let (fired, ()) = tokio::join!(task, world);
        assert_eq!(fired, Duration::from_secs(9));
    }
}
