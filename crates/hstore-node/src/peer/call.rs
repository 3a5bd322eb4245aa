//! Questions to one peer over one control connection, many at a time.
//!
//! Invariants: (1) every call returns by its deadline; (2) when the connection breaks, every
//! question on it fails, and the next one opens a new connection; (3) questions that nobody waits
//! for any more are not sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hstore_core::id::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::directory::Directory;
use super::frame::{Answer, Question, Refused, decode, encode};
use crate::env::{Class, TransportError};
use crate::tasks::Tasks;

/// The most questions that wait to be sent to one peer; then a caller waits, within its deadline.
const QUESTIONS_MAX: usize = 256;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection broke after the question was handed on: it may have been heard.
    #[error("the connection broke")]
    Broken,
    /// The peer answered that it will not.
    #[error("the peer refused: {}", .0.reason)]
    Refused(Refused),
    /// The deadline passed.
    #[error("no answer within the deadline")]
    Timeout,
    /// There is no connection; the question was not heard.
    #[error("{0}")]
    Unreachable(String),
}

type Asked = oneshot::Sender<Result<Bytes, CallError>>;

struct Ask {
    kind: u32,
    body: Bytes,
    answer: Asked,
}

/// Asks peers. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Caller {
    directory: Directory,
    tasks: Tasks,
    lines: Arc<Mutex<BTreeMap<NodeId, mpsc::Sender<Ask>>>>,
}

impl Caller {
    pub(crate) fn new(directory: Directory, tasks: Tasks) -> Caller {
        Caller {
            directory,
            tasks,
            lines: Arc::default(),
        }
    }

    /// Where the peers are.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Asks a peer and waits for the answer.
    pub(crate) async fn call(
        &self,
        to: NodeId,
        kind: u32,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let (answer, wait) = oneshot::channel();
        let line = self.line(to);
        let asking = async {
            let ask = Ask { kind, body, answer };
            if line.send(ask).await.is_err() {
                return Err(CallError::Broken);
            }
            wait.await.unwrap_or(Err(CallError::Broken))
        };
        timeout_at(deadline, asking)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }

    /// Forgets the lines to nodes that are no members any more.
    pub(crate) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|node, _line| keep(*node));
    }

    fn line(&self, to: NodeId) -> mpsc::Sender<Ask> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&to)
            && !line.is_closed()
        {
            return line.clone();
        }
        let (line, asks) = mpsc::channel(QUESTIONS_MAX);
        lines.insert(to, line.clone());
        self.tasks
            .spawn("control line", serve(to, self.directory.clone(), asks));
        line
    }
}

/// Owns the connection to one peer: opens it for the first question, opens it again after it
/// broke, ends when nobody can ask any more.
async fn serve(to: NodeId, directory: Directory, mut asks: mpsc::Receiver<Ask>) {
    while let Some(first) = asks.recv().await {
        if first.answer.is_closed() {
            continue;
        }
        match directory.connect(to, Class::Control).await {
            Ok(duplex) => converse(first, &mut asks, duplex).await,
            Err(error) => {
                let error = match error {
                    TransportError::Refused { code, reason } => {
                        CallError::Refused(Refused { code, reason })
                    }
                    TransportError::NobodyListens { reason }
                    | TransportError::Unreachable { reason } => CallError::Unreachable(reason),
                };
                let _gone = first.answer.send(Err(error.clone()));
                // Whoever came meanwhile hears the same and need not wait for another attempt.
                while let Ok(ask) = asks.try_recv() {
                    let _gone = ask.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Asks over one connection until it breaks.
async fn converse(first: Ask, asks: &mut mpsc::Receiver<Ask>, mut duplex: crate::env::Duplex) {
    let mut waiting: BTreeMap<u64, Asked> = BTreeMap::new();
    let mut next_id = 0;
    let mut ask = Some(first);
    loop {
        if let Some(ask) = ask.take() {
            next_id += 1;
            let question = encode(&Question {
                id: next_id,
                kind: ask.kind,
                body: ask.body,
            });
            if !ask.answer.is_closed() {
                waiting.insert(next_id, ask.answer);
                if duplex.tx.send(question).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            // Answers first: they free what waits.
            biased;
            frame = duplex.rx.recv() => {
                let answer: Option<Answer> = frame.as_ref().and_then(decode);
                let Some(answer) = answer else { return };
                if let Some(asked) = waiting.remove(&answer.id) {
                    let _gone = asked.send(answer.into_result().map_err(CallError::Refused));
                }
                waiting.retain(|_id, asked| !asked.is_closed());
            }
            next = asks.recv() => match next {
                Some(next) => ask = Some(next),
                None => return,
            },
        }
    }
}
