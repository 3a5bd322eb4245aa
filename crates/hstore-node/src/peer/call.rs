//! Questions to one peer over one control connection, many at a time.
//!
//! Invariants: (1) every call returns by its deadline; (2) when the connection breaks, every
//! question on it fails, and the next one opens a new connection; (3) questions that nobody waits
//! for any more are not sent; (4) a connection that says nothing until a question's deadline has
//! passed is given up: it may have died without a word, and the transport finds that out late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::id::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::directory::Directory;
use super::frame::{Answer, Question, Refused, decode, encode};
use super::round_trips::{RoundTrips, Trips};
use crate::env::{Class, Duplex, TransportError};
use crate::raft::kind;
use crate::tasks::Tasks;

/// The most questions that wait to be sent to one peer; then a caller waits, within its deadline.
const QUESTIONS_MAX: usize = 256;

/// The shortest silence after a question that ends a connection, whatever the question's deadline:
/// longer than any round trip with which a leader can be kept, so that a slow link, on which every
/// heartbeat is answered too late, is not opened again for each of them.
const SILENCE_MIN: Duration = Duration::from_millis(500);

/// Heartbeats: no disk and no other node is asked before the answer.
const ANSWERED_AT_ONCE: u32 = kind::HEARTBEAT;

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
    deadline: Instant,
    answer: Asked,
}

/// Asks peers. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Caller {
    directory: Directory,
    tasks: Tasks,
    lines: Arc<Mutex<BTreeMap<NodeId, Line>>>,
}

/// The way to one peer.
#[derive(Clone)]
struct Line {
    asks: mpsc::Sender<Ask>,
    /// Of questions that are answered at once, over all connections to the peer.
    trips: Arc<Trips>,
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
        let began = Instant::now();
        let asking = async {
            let ask = Ask {
                kind,
                body,
                deadline,
                answer,
            };
            if line.asks.send(ask).await.is_err() {
                return Err(CallError::Broken);
            }
            wait.await.unwrap_or(Err(CallError::Broken))
        };
        let answered = timeout_at(deadline, asking)
            .await
            .unwrap_or(Err(CallError::Timeout));
        if kind == ANSWERED_AT_ONCE && answered.is_ok() {
            line.trips.add(began.elapsed());
        }
        answered
    }

    /// How long each peer took to answer what is answered at once.
    pub(crate) fn round_trips(&self) -> Vec<(NodeId, RoundTrips)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let told = lines.iter().map(|(node, line)| (*node, line.trips.told()));
        told.collect()
    }

    /// Forgets the lines to nodes that are no members any more.
    pub(crate) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|node, _line| keep(*node));
    }

    fn line(&self, to: NodeId) -> Line {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lines.get(&to);
        if let Some(line) = before
            && !line.asks.is_closed()
        {
            return line.clone();
        }
        let trips = before.map(|line| Arc::clone(&line.trips));
        let (asks, asked) = mpsc::channel(QUESTIONS_MAX);
        let line = Line {
            asks,
            trips: trips.unwrap_or_default(),
        };
        lines.insert(to, line.clone());
        self.tasks
            .spawn("control line", serve(to, self.directory.clone(), asked));
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

/// Asks over one connection until it breaks or falls silent.
async fn converse(first: Ask, asks: &mut mpsc::Receiver<Ask>, mut duplex: Duplex) {
    let mut waiting: BTreeMap<u64, Asked> = BTreeMap::new();
    // When to give up, if no frame comes: the first deadline of those asked since the last frame.
    let mut silent_until: Option<Instant> = None;
    let mut next_id = 0;
    let mut ask = Some(first);
    loop {
        if let Some(ask) = ask.take().filter(|ask| !ask.answer.is_closed()) {
            next_id += 1;
            let question = encode(&Question {
                id: next_id,
                kind: ask.kind,
                body: ask.body,
            });
            waiting.insert(next_id, ask.answer);
            let own = ask.deadline.max(Instant::now() + SILENCE_MIN);
            let until = silent_until.map_or(own, |other| other.min(own));
            silent_until = Some(until);
            // A connection that takes no frames and gives none is as silent as any.
            match timeout_at(until, duplex.tx.send(question)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
        tokio::select! {
            // Answers first: they free what waits, and prove that somebody is there.
            biased;
            frame = duplex.rx.recv() => {
                silent_until = None;
                let answer: Option<Answer> = frame.as_ref().and_then(decode);
                let Some(answer) = answer else { return };
                if let Some(asked) = waiting.remove(&answer.id) {
                    let _gone = asked.send(answer.into_result().map_err(CallError::Refused));
                }
                waiting.retain(|_id, asked| !asked.is_closed());
            }
            () = passed(silent_until) => return,
            next = asks.recv() => match next {
                Some(next) => ask = Some(next),
                None => return,
            },
        }
    }
}

/// Resolves at that moment; never, without one.
async fn passed(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;
    use hstore_core::id::{ClusterId, Incarnation};
    use hstore_core::membership::Member;
    use tokio::time::sleep;

    use super::super::directory::Myself;
    use super::*;
    use crate::env::{Hello, PeerAddress, Transport};
    use crate::fate::Fate;
    use crate::tasks::Seeds;

    const PEER: NodeId = NodeId(2);

    /// The question after which a peer takes no more frames.
    const LAST: u32 = 9;

    /// What a peer does with a question: how long it thinks, or that it never answers.
    type Manner = fn(connection: usize, kind: u32) -> Option<Duration>;

    /// Hands out connections to a peer and counts them.
    struct Peers {
        manner: Manner,
        opened: Arc<Mutex<usize>>,
    }

    impl Transport for Peers {
        fn connect(
            &self,
            _to: PeerAddress,
            _hello: Hello,
        ) -> BoxFuture<'static, Result<Duplex, TransportError>> {
            let (near, far) = Duplex::pair();
            let connection = {
                let mut opened = self.opened.lock().expect("no test panics with it");
                *opened += 1;
                *opened
            };
            let manner = self.manner;
            #[expect(clippy::disallowed_methods, reason = "the peer is no part of the node")]
            tokio::spawn(peer(far, connection, manner));
            async { Ok(near) }.boxed()
        }
    }

    /// Answers with the number of the connection.
    async fn peer(mut far: Duplex, connection: usize, manner: Manner) {
        while let Some(frame) = far.rx.recv().await {
            let question: Question = decode(&frame).expect("the caller asks whole questions");
            if question.kind == LAST {
                return std::future::pending().await;
            }
            let Some(thinks) = manner(connection, question.kind) else {
                continue;
            };
            let tx = far.tx.clone();
            #[expect(clippy::disallowed_methods, reason = "the peer is no part of the node")]
            tokio::spawn(async move {
                sleep(thinks).await;
                let body = Bytes::from(vec![connection as u8]);
                let _hung_up = tx.send(encode(&Answer::new(question.id, Ok(body)))).await;
            });
        }
    }

    fn caller(manner: Manner) -> (Caller, Arc<Mutex<usize>>) {
        let opened = Arc::new(Mutex::new(0));
        let peers = Peers {
            manner,
            opened: opened.clone(),
        };
        let myself = Myself {
            cluster: ClusterId(1),
            node: NodeId(1),
            incarnation: Incarnation(1),
            member_since: None,
        };
        let fate = Fate::new();
        let directory = Directory::new(myself, Arc::new(peers), fate.clone());
        directory.learn_member(PEER, &Member::default());
        let tasks = Tasks::new(fate, Seeds::new(1), None);
        (Caller::new(directory, tasks), opened)
    }

    async fn ask(caller: &Caller, kind: u32, millis: u64) -> Result<u8, CallError> {
        let deadline = Instant::now() + Duration::from_millis(millis);
        let answer = caller.call(PEER, kind, Bytes::new(), deadline).await?;
        Ok(answer[0])
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_swallows_everything_is_given_up_after_one_question() {
        let (caller, _opened) =
            caller(|connection, _kind| (connection > 1).then_some(Duration::ZERO));
        assert_eq!(ask(&caller, 1, 1000).await, Err(CallError::Timeout));
        assert_eq!(ask(&caller, 1, 1000).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_without_an_answer_does_not_end_a_connection_that_answers_others() {
        let (caller, opened) = caller(|_connection, kind| (kind != 7).then_some(Duration::ZERO));
        let silent = ask(&caller, 7, 1000);
        let others = async {
            sleep(Duration::from_millis(10)).await;
            ask(&caller, 1, 1000).await
        };
        assert_eq!(
            tokio::join!(silent, others),
            (Err(CallError::Timeout), Ok(1))
        );
        assert_eq!(ask(&caller, 1, 1000).await, Ok(1));
        assert_eq!(*opened.lock().expect("no test panics with it"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_on_which_every_answer_is_late_is_not_opened_again_for_each() {
        let (caller, opened) = caller(|_connection, _kind| Some(Duration::from_millis(300)));
        for _ in 0..20 {
            assert_eq!(ask(&caller, 1, 75).await, Err(CallError::Timeout));
        }
        assert_eq!(ask(&caller, 1, 400).await, Ok(1));
        assert_eq!(*opened.lock().expect("no test panics with it"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_takes_no_more_frames_is_given_up() {
        let (caller, _opened) = caller(|_connection, _kind| Some(Duration::ZERO));
        assert_eq!(ask(&caller, LAST, 1000).await, Err(CallError::Timeout));
        assert_eq!(ask(&caller, 1, 1000).await, Ok(2));
        let too_many = (0..200).map(|_| ask(&caller, LAST, 2000));
        for answer in futures::future::join_all(too_many).await {
            assert!(answer.is_err());
        }
        // The last of them may have been put to the next connection, which then ends as well.
        sleep(SILENCE_MIN * 2).await;
        assert!(ask(&caller, 1, 1000).await.is_ok());
    }
}
