//! The one owner of all waiting proposals: proposes them where this node leads, sends them to the
//! leader where it does not, keeps them while nobody leads.
//!
//! Invariants: (1) a proposal without a request id is handed on at most once, unless it is known
//! to be in no log; (2) a proposal of a peer is never sent on, so it cannot go round in circles;
//! (3) a leader whose quorum is silent gets nothing: what waits for it is refused in time; (4) a
//! leader proposes nothing until it has applied an entry of its own term.

use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use hstore_core::id::NodeId;
use hstore_core::outcome::Outcome;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::Waiting;
use super::forward::{Event, Stream};
use super::pending::{Failure, Pending};
use super::queue::{Bounds, Queue};
use crate::env::{Class, Duplex, TransportError};
use crate::peer::Directory;
use crate::raft::{Changes, Consensus, Rejected};
use crate::tasks::Tasks;

/// The pause after a leader refused or could not be reached.
const PAUSE: Duration = Duration::from_millis(20);

/// How often what waits is looked through for what is over.
const SWEEP: Duration = Duration::from_millis(50);

/// The most proposals that are taken out of the queue's door at once.
const TAKEN_MAX: usize = 1024;

type Proposed = (Vec<Pending>, Result<Vec<Outcome>, Rejected>);
type Connected = (NodeId, Result<Duplex, TransportError>);

/// The owner of all waiting proposals.
pub(crate) struct Proposer {
    consensus: Consensus,
    changes: Changes,
    directory: Directory,
    tasks: Tasks,
    door: mpsc::Receiver<Pending>,
    waiting: Waiting,
    proposed: FuturesUnordered<BoxFuture<'static, Proposed>>,
    connecting: Option<oneshot::Receiver<Connected>>,
    stream: Option<Stream>,
    retired: Option<Stream>,
    not_before: Instant,
    swept_at: Instant,
    led: bool,
    /// Whether this node leads and did not begin yet.
    early: bool,
}

enum Action {
    Arrived(Vec<Pending>),
    Connected(Option<Connected>),
    Proposed(Proposed),
    Retired(Event),
    Stream(Event),
    Wake,
}

impl Proposer {
    /// A proposer and the door to it.
    pub(crate) fn new(
        bounds: Bounds,
        consensus: Consensus,
        directory: Directory,
        tasks: Tasks,
    ) -> (Queue, Proposer) {
        let (queue, door) = Queue::new(bounds);
        let proposer = Proposer {
            changes: consensus.changes(),
            consensus,
            directory,
            tasks,
            door,
            waiting: Waiting::default(),
            proposed: FuturesUnordered::new(),
            connecting: None,
            stream: None,
            retired: None,
            not_before: Instant::now(),
            swept_at: Instant::now(),
            led: false,
            early: false,
        };
        (queue, proposer)
    }

    /// Runs until the node ends.
    pub(crate) async fn run(mut self) {
        loop {
            let action = self.select().await;
            self.apply(action);
            self.pump();
        }
    }

    /// Waits for the next thing. Cancel safe: every branch only receives.
    async fn select(&mut self) -> Action {
        let busy = !self.waiting.is_empty() || self.stream.is_some() || self.retired.is_some();
        let mut arrived = Vec::new();
        tokio::select! {
            // Outcomes first: they make room for what arrives.
            biased;
            Some(proposed) = self.proposed.next(), if !self.proposed.is_empty() => {
                Action::Proposed(proposed)
            }
            event = next_of(self.stream.as_mut()) => Action::Stream(event),
            event = next_of(self.retired.as_mut()) => Action::Retired(event),
            connected = async {
                match self.connecting.as_mut() {
                    Some(connecting) => connecting.await.ok(),
                    None => std::future::pending().await,
                }
            } => Action::Connected(connected),
            count = self.door.recv_many(&mut arrived, TAKEN_MAX) => {
                if count == 0 {
                    // The door itself is held by the node; nobody else can close it.
                    std::future::pending::<()>().await;
                }
                Action::Arrived(arrived)
            }
            () = self.changes.next() => Action::Wake,
            () = self.consensus.begun(), if self.early => Action::Wake,
            () = tokio::time::sleep(SWEEP), if busy => Action::Wake,
            () = tokio::time::sleep_until(self.not_before), if !self.waiting.is_empty()
                && self.not_before > Instant::now() => Action::Wake,
        }
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Arrived(arrived) => {
                for pending in arrived {
                    self.waiting.push(pending);
                }
            }
            Action::Proposed((batch, result)) => self.settle(batch, result),
            Action::Connected(connected) => {
                self.connecting = None;
                match connected {
                    Some((leader, Ok(duplex))) => self.stream = Some(Stream::new(leader, duplex)),
                    Some((leader, Err(error))) => {
                        tracing::debug!(%leader, "cannot forward: {error}");
                        self.pause();
                    }
                    None => self.pause(),
                }
            }
            Action::Stream(event) => match event {
                Event::Settled => {}
                Event::TakenBack(batch) => {
                    self.waiting.put_back(batch);
                    self.pause();
                }
                Event::Broken => {
                    if let Some(stream) = self.stream.take() {
                        self.waiting.put_back(stream.end());
                    }
                    self.pause();
                }
            },
            Action::Retired(event) => match event {
                Event::Settled => {}
                Event::TakenBack(batch) => self.waiting.put_back(batch),
                Event::Broken => self.drop_retired(),
            },
            Action::Wake => {}
        }
    }

    fn settle(&mut self, batch: Vec<Pending>, result: Result<Vec<Outcome>, Rejected>) {
        match result {
            Ok(outcomes) => {
                debug_assert_eq!(outcomes.len(), batch.len());
                let mut outcomes = outcomes.into_iter();
                for pending in batch {
                    pending.settle(outcomes.next().ok_or(Failure::Unknown));
                }
            }
            Err(Rejected::NotProposed) => {
                self.waiting.put_back(batch);
                self.pause();
            }
            Err(Rejected::Unknown) => {
                let again = batch.into_iter().filter_map(Pending::taint).collect();
                self.waiting.put_back(again);
                self.pause();
            }
        }
    }

    fn pause(&mut self) {
        self.not_before = Instant::now() + PAUSE;
    }

    fn drop_retired(&mut self) {
        if let Some(stream) = self.retired.take() {
            self.waiting.put_back(stream.end());
        }
    }

    /// Sends on what may go.
    fn pump(&mut self) {
        let now = Instant::now();
        let node = self.consensus.node();
        let leader = self.consensus.leader();
        let leads = leader == Some(node);
        if leads != self.led || now >= self.swept_at + SWEEP {
            self.swept_at = now;
            self.led = leads;
            self.waiting.sweep(now);
            for stream in [&mut self.stream, &mut self.retired].into_iter().flatten() {
                stream.sweep();
            }
        }
        if !leads {
            self.waiting.send_back();
        }
        self.tend_streams(leader, now);
        self.early = leads && !self.consensus.has_begun();
        if self.early || now < self.not_before {
            return;
        }
        match leader {
            None => {}
            Some(leader) if leader == node => self.propose(),
            Some(leader) => self.forward(leader),
        }
    }

    /// Retires the stream to a leader that leads no more, and ends it when it has been silent.
    fn tend_streams(&mut self, leader: Option<NodeId>, now: Instant) {
        let other = |stream: &Stream| leader.is_some_and(|leader| stream.leader != leader);
        if self.stream.as_ref().is_some_and(other) {
            self.drop_retired();
            self.retired = self.stream.take().map(|mut stream| {
                stream.retired = Some(now);
                stream
            });
        }
        let silence = self.consensus.timing().election_max;
        if let Some(stream) = &self.retired {
            let over = stream.retired.is_none_or(|since| now > since + silence);
            if stream.is_empty() || over {
                self.drop_retired();
            }
        }
    }

    fn propose(&mut self) {
        while self.waiting.is_due(self.proposed.len()) {
            let batch = self.waiting.take();
            if batch.is_empty() {
                continue;
            }
            let consensus = self.consensus.clone();
            self.proposed.push(Box::pin(async move {
                let proposals = batch.iter().map(|pending| pending.bytes.clone()).collect();
                let result = consensus.propose(proposals).await;
                let result = result.map(|(index, outcomes)| {
                    let followed = batch.iter().filter_map(|pending| pending.journey.as_ref());
                    followed.for_each(|journey| consensus.timeline().tell(index, journey));
                    outcomes
                });
                (batch, result)
            }));
        }
    }

    fn forward(&mut self, leader: NodeId) {
        let Some(stream) = &mut self.stream else {
            if !self.waiting.is_empty() && self.connecting.is_none() {
                self.connect(leader);
            }
            return;
        };
        while self.waiting.is_due(stream.frames_in_flight()) {
            let batch = self.waiting.take();
            if batch.is_empty() {
                continue;
            }
            for pending in &batch {
                pending.note(|moments, _now| moments.is_forwarded = true);
            }
            if let Err(batch) = stream.send(batch) {
                self.waiting.put_back(batch);
                return;
            }
        }
    }

    fn connect(&mut self, leader: NodeId) {
        let (connected, wait) = oneshot::channel();
        let directory = self.directory.clone();
        self.connecting = Some(wait);
        self.tasks.spawn("forward connect", async move {
            let result = directory.connect(leader, Class::Forward).await;
            // The proposer ends with the node, and so does this.
            let _gone = connected.send((leader, result));
        });
    }
}

/// The next event of a stream, if there is one. Cancel safe.
async fn next_of(stream: Option<&mut Stream>) -> Event {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}
