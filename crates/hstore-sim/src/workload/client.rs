//! One client: it goes from node to node until it has an answer, as the client library does.

use std::time::Duration;

use hstore_check::history::{Call, ClientId, Consistency};
use hstore_core::auth::Author;
use hstore_core::command::{Command, Proposal, RequestId};
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::range::RangeResult;
use hstore_node::{Header, Node, NodeError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, sleep, timeout_at};

use super::badge::Badge;
use super::mix::Memory;
use super::{Clients, Ordering};
use crate::ledger::{Looked, applied};

/// The least time that an attempt is given while others may follow it.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// How much longer than the node a client waits.
const MARGIN: Duration = Duration::from_millis(100);

/// The longest pause before the next attempt.
const PAUSE_MAX: Duration = Duration::from_millis(300);

/// Which way a call takes, and how long.
pub(super) struct Course {
    /// Which door is tried first.
    first: usize,
    /// Whether no other door is tried.
    only: bool,
    deadline: Instant,
}

impl Course {
    /// Through any node.
    pub(super) fn within(first: usize, patience: Duration) -> Course {
        Course {
            first,
            only: false,
            deadline: Instant::now() + patience,
        }
    }

    /// Through one node only.
    pub(super) fn through(at: usize, patience: Duration) -> Course {
        Course {
            first: at,
            only: true,
            deadline: Instant::now() + patience,
        }
    }
}

/// What one attempt brought.
enum Attempt {
    Answered(Revision, Reply),
    /// The store itself said no: it is final.
    Refused(ErrorCode),
    /// The node gave no answer.
    Failed(ErrorCode),
    /// Nobody was there, so nothing was asked.
    Nobody,
}

/// One client.
pub(super) struct Client {
    clients: Clients,
    id: ClientId,
    /// Whether its writes carry request ids, so that they may be repeated.
    named: bool,
    session: Option<RequestId>,
    rng: StdRng,
    memory: Memory,
    /// The user that it is; none is somebody to whom no rights apply.
    badge: Option<Badge>,
    /// How often it was refused for want of room.
    refused_for_room: u32,
}

impl Client {
    pub(super) fn new(clients: Clients, id: ClientId, named: bool, seed: u64) -> Client {
        Client {
            clients,
            id,
            named,
            session: None,
            rng: StdRng::seed_from_u64(seed),
            memory: Memory::default(),
            badge: None,
            refused_for_room: 0,
        }
    }

    /// It is a user from now on. Its writes carry request ids, so that each can be found in the log.
    pub(super) fn is_user(&mut self, badge: Badge) {
        self.badge = Some(badge);
        self.named = true;
    }

    /// How often it was refused for want of room.
    pub(super) fn refused_for_room(&self) -> u32 {
        self.refused_for_room
    }

    /// Whether its writes carry request ids from now on.
    pub(super) fn name(&mut self, named: bool) {
        self.named = named;
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory
    }

    /// Makes a call and writes down what came of it; whether there was an answer.
    pub(super) async fn call(&mut self, call: Call, course: Course) -> bool {
        let clients = self.clients.clone();
        let recorded = self.as_recorded(&call);
        let id = clients
            .recorder()
            .invoke(self.id, clients.now(), recorded.clone());
        let reads = matches!(call, Call::Range { .. });
        let mut may_be_applied = false;
        let mut last = ErrorCode::NoQuorum;
        let mut turn = 0;
        let ended = loop {
            let attempt = self.attempt(&call, &course, turn).await;
            turn += 1;
            match attempt {
                Attempt::Answered(revision, reply) => break Ok((revision, reply)),
                Attempt::Refused(ErrorCode::SessionExpired) if !may_be_applied => {
                    self.session = None;
                    last = ErrorCode::SessionExpired;
                }
                Attempt::Refused(code) => {
                    may_be_applied |= !code.definitely_not_applied();
                    last = code;
                    break Err(());
                }
                Attempt::Failed(code) => {
                    may_be_applied |= !code.definitely_not_applied();
                    last = code;
                }
                Attempt::Nobody => {}
            }
            let repeatable = reads || self.named || !may_be_applied;
            let over = Instant::now() + MARGIN >= course.deadline;
            if over || !repeatable {
                break Err(());
            }
            let pause = self.rng.random_range(Duration::from_millis(5)..PAUSE_MAX);
            sleep(pause).await;
        };
        if let Some(session) = &mut self.session {
            // The next write has the next number, and nobody asks for this one again.
            session.sequence += 1;
            session.answered_below = session.sequence;
        }
        let now = clients.now();
        if let Ok((revision, reply)) = ended {
            self.remember(revision, &reply);
            clients.saw(revision, &reply, &call);
            clients.shared.world.trace.say(&format!(
                "{} {id} at {revision}: {}",
                self.id,
                summary(&reply)
            ));
            clients.recorder().answer(id, now, revision, reply);
            let counter = if reads {
                &clients.shared.reads
            } else {
                &clients.shared.writes
            };
            counter.fetch_add(1, Ordering::Relaxed);
            true
        } else {
            clients.shared.world.trace.say(&format!(
                "{} {id} {last}, may be applied: {may_be_applied}",
                self.id
            ));
            if may_be_applied && !reads {
                clients.recorder().give_up(id, now);
            } else {
                clients.recorder().fail(id, now, last);
            }
            self.refused(last, &call);
            matches!(
                last,
                ErrorCode::Overloaded | ErrorCode::Compacted | ErrorCode::NoSpace
            )
        }
    }

    /// What a refusal tells this client, and what it means where it must not be.
    fn refused(&mut self, code: ErrorCode, call: &Call) {
        if code == ErrorCode::NoSpace {
            self.refused_for_room += 1;
            if matches!(call, Call::Delete(_)) {
                let what = "room_is_minded: a deletion was refused for want of room";
                self.clients.accuse(what.to_owned());
            }
        }
        if let Some(badge) = &mut self.badge {
            badge.refused(code, &mut self.rng);
        }
    }

    /// What the judge is told was asked.
    fn as_recorded(&self, call: &Call) -> Call {
        match call {
            Call::Range { range, .. } if self.clients.shared.mix.lie => Call::Range {
                range: range.clone(),
                consistency: Consistency::Linearizable,
            },
            _ => call.clone(),
        }
    }

    fn remember(&mut self, revision: Revision, reply: &Reply) {
        self.memory.revision = self.memory.revision.max(revision);
        if let Reply::Range(result) = reply {
            let record = result.records.first();
            self.memory.read = record.map_or(0, |record| record.meta.mod_revision.0);
        }
    }

    async fn attempt(&mut self, call: &Call, course: &Course, turn: usize) -> Attempt {
        let clients = self.clients.clone();
        let world = &clients.shared.world;
        let running = world.running_at();
        let doors: Vec<usize> = match clients.shared.mix.doors {
            Some(doors) => running.into_iter().take(doors).collect(),
            None => running,
        };
        let at = if course.only {
            course.first
        } else if doors.is_empty() {
            return Attempt::Nobody;
        } else {
            doors[(course.first + turn) % doors.len()]
        };
        let Some(node) = world.node(at) else {
            return Attempt::Nobody;
        };
        let now = Instant::now();
        let left = course.deadline.saturating_duration_since(now);
        let share = if course.only {
            left
        } else {
            (left / 2).max(ATTEMPT_MIN).min(left)
        };
        let life = world.life(at);
        let speaking = async {
            world.awake(at).await;
            let answer = self.ask(&node, call, now + share).await;
            world.awake(at).await;
            answer
        };
        match timeout_at(now + share + MARGIN, speaking).await {
            // The machine lost its power, or the process is another one: its last words are lost.
            Ok(_lost) if world.life(at) != life => Attempt::Failed(ErrorCode::OutcomeUnknown),
            Ok(answer) => answer,
            Err(_silence) => Attempt::Failed(ErrorCode::OutcomeUnknown),
        }
    }

    async fn ask(&mut self, node: &Node, call: &Call, deadline: Instant) -> Attempt {
        let command = match call.clone() {
            Call::Range { range, consistency } => {
                let consistency = match consistency {
                    Consistency::Linearizable => hstore_node::Consistency::Linearizable,
                    Consistency::Serializable => hstore_node::Consistency::Serializable,
                };
                let author = match &mut self.badge {
                    Some(badge) => badge.show(node),
                    None => Author::Node,
                };
                let keys = range.keys.clone();
                let from = self.clients.decided_from(node, consistency);
                let read = node.range(&author, range, consistency, deadline).await;
                if let (Some(from), true) = (from, self.badge.is_some()) {
                    self.note_read(author, keys, from, node, &read);
                }
                return match read {
                    Ok((header, Ok(result))) => {
                        Attempt::Answered(header.revision, Reply::Range(result))
                    }
                    Ok((_header, Err(refusal))) => Attempt::Refused(refusal.code()),
                    Err(error) => Attempt::Failed(error.code()),
                };
            }
            Call::Compact(compact) => Command::Compact(compact),
            Call::Delete(delete) => Command::Delete(delete),
            Call::Put(put) => Command::Put(put),
            Call::Txn(txn) => Command::Txn(txn),
        };
        let request = self.request(node);
        let author = match &mut self.badge {
            Some(badge) => badge.show(node),
            None => self.clients.insider(),
        };
        let ledger = self.clients.ledger().cloned();
        let note = ledger.zip(request).map(|(ledger, request)| {
            let place = ledger.ask(request, author.clone());
            (ledger, place)
        });
        let proposal = Proposal {
            request,
            author,
            command,
        };
        let proposed = node.propose(proposal, deadline).await;
        if let (Some((ledger, place)), Ok((_header, outcome))) = (note, &proposed) {
            let told = outcome.result.as_ref().map(drop);
            ledger.told(place, told.map_err(Refusal::code));
        }
        match proposed {
            Ok((_header, outcome)) => match outcome.result {
                Ok(reply) => Attempt::Answered(outcome.revision, reply),
                Err(refusal) => Attempt::Refused(refusal.code()),
            },
            Err(error) => {
                debug_assert!(
                    !matches!(error, NodeError::Timeout),
                    "a write is unknown then"
                );
                Attempt::Failed(error.code())
            }
        }
    }

    /// Notes what a read was told, and by which places of the log that may have been decided.
    fn note_read(
        &self,
        author: Author,
        keys: KeyRange,
        from: LogIndex,
        node: &Node,
        read: &Result<(Header, Result<RangeResult, Refusal>), NodeError>,
    ) {
        let (Some(ledger), Ok((_header, result))) = (self.clients.ledger(), read) else {
            return;
        };
        let told = match result.as_ref().map_err(Refusal::code) {
            // A read that is refused for what is in the store was allowed to look.
            Err(ErrorCode::Compacted | ErrorCode::FutureRevision) => Ok(()),
            other => other.map(drop),
        };
        ledger.notes().looked.push(Looked {
            what: "a read",
            author,
            keys,
            from,
            upto: applied(node),
            told,
        });
    }

    /// The name of this write; a session is begun with the first one.
    fn request(&mut self, node: &Node) -> Option<RequestId> {
        if !self.named {
            return None;
        }
        if self.session.is_none() {
            let applied = node.status().applied;
            self.session = Some(RequestId {
                client: self.rng.random(),
                sequence: 1,
                answered_below: 1,
                born: applied.map_or(LogIndex(0), |id| id.index),
            });
        }
        self.session
    }
}

/// An answer in a few words, for the trace.
fn summary(reply: &Reply) -> String {
    match reply {
        Reply::Alarms(alarms) => format!("{} alarms", alarms.len()),
        Reply::Auth => "users or roles changed".to_owned(),
        Reply::Compact => "compacted".to_owned(),
        Reply::Delete { deleted, .. } => format!("deleted {deleted}"),
        Reply::Lease(reply) => format!("{reply:?}"),
        Reply::Node(node) => format!("node {node}"),
        Reply::Put { .. } => "put".to_owned(),
        Reply::Settings(version) => format!("settings at {version}"),
        Reply::Range(result) => {
            let newest = result
                .records
                .iter()
                .map(|record| record.meta.mod_revision.0);
            format!(
                "{} keys, newest {}",
                result.count,
                newest.max().unwrap_or(0)
            )
        }
        Reply::Txn { succeeded, .. } => format!("txn {succeeded}"),
        Reply::Untold => "too much to tell".to_owned(),
    }
}
