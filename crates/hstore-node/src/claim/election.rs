//! What a leader says, what everybody may ask, and those who follow who leads.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::claim;
use hstore_core::command::{Command, Operation, Proposal, Put, Txn};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::record::Record;
use tokio::time::{Instant, sleep};

use super::wait::{created_at, deletion, first_of, passes, refused, txn_reply};
use super::words::ClaimError;
use crate::error::NodeError;
use crate::node::Node;
use crate::status::{Consistency, Header};
use crate::watch::{Delivery, WatchRequest, WatchStream};

/// How long one look may take; then it is tried again.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

impl Node {
    /// Gives the key of a leader another value, if it is still the key that was created at `token`.
    /// It hangs on `lease` from then on; 0 leaves it where it is.
    pub async fn proclaim(
        &self,
        author: &Author,
        key: Bytes,
        token: Revision,
        value: Bytes,
        lease: i64,
        deadline: Instant,
    ) -> Result<Header, ClaimError> {
        let put = Put {
            key: key.clone(),
            value,
            lease,
            prev_kv: false,
            ignore_value: false,
            ignore_lease: lease == 0,
        };
        let txn = Txn {
            compare: vec![created_at(&key, token)],
            then: vec![Operation::Put(put)],
            otherwise: Vec::new(),
        };
        match self.run(author, txn, deadline).await? {
            (header, true) => Ok(header),
            (_header, false) => Err(ClaimError::Lost),
        }
    }

    /// Deletes the key of a leader or of a candidate, if it is still the key that was created at
    /// `token`; otherwise there is nothing to do, which is no error.
    pub async fn resign(
        &self,
        author: &Author,
        key: &Bytes,
        token: Revision,
        deadline: Instant,
    ) -> Result<Header, ClaimError> {
        let (header, _deleted) = self.run(author, deletion(key, token), deadline).await?;
        Ok(header)
    }

    /// The key of the leader of an election; none when there is no leader.
    pub async fn elected(
        &self,
        author: &Author,
        name: &Bytes,
        deadline: Instant,
    ) -> Result<(Header, Option<Record>), ClaimError> {
        let (header, found) = self
            .range(
                author,
                first_of(claim::line(name)),
                Consistency::Linearizable,
                deadline,
            )
            .await?;
        Ok((header, found?.records.into_iter().next()))
    }

    /// Follows who leads an election.
    pub fn observe(&self, author: Author, name: Bytes) -> Result<Observation, NodeError> {
        self.check_working()?;
        Ok(Observation {
            node: self.clone(),
            author,
            name,
            state: State::Looking,
            told: None,
            waiting: VecDeque::new(),
        })
    }

    async fn run(
        &self,
        author: &Author,
        txn: Txn,
        deadline: Instant,
    ) -> Result<(Header, bool), ClaimError> {
        let proposal = Proposal {
            request: None,
            author: author.clone(),
            command: Command::Txn(txn),
        };
        let (header, outcome) = self.propose(proposal, deadline).await?;
        let (succeeded, _replies) = txn_reply(outcome)?;
        Ok((header, succeeded))
    }
}

/// Follows who leads an election, and what the leader proclaims: in order, not necessarily all of
/// it, and always the newest.
#[derive(Debug)]
pub struct Observation {
    node: Node,
    author: Author,
    name: Bytes,
    state: State,
    /// The key that was told last, and the revision that wrote it. A successor's key may be older
    /// than the last word of its predecessor, so that the revision alone says nothing.
    told: Option<(Bytes, Revision)>,
    /// What was seen and not told yet: what one delivery brought.
    waiting: VecDeque<(Header, Record)>,
}

#[derive(Debug)]
enum State {
    /// Somebody has to look who leads.
    Looking,
    /// Nobody leads; the first key that comes does.
    Vacant(WatchStream),
    /// This key leads until it is deleted.
    Led(WatchStream),
}

impl Observation {
    /// The next proclamation; waits for it. Ends with an error when the node ends. Cancel safe.
    pub async fn next(&mut self) -> Result<(Header, Record), ClaimError> {
        loop {
            if let Some((header, record)) = self.waiting.pop_front() {
                let told = Some((record.key.clone(), record.meta.mod_revision));
                if self.told != told {
                    self.told = told;
                    return Ok((header, record));
                }
                continue;
            }
            match &mut self.state {
                State::Looking => self.look().await?,
                State::Vacant(stream) | State::Led(stream) => {
                    let delivery = stream.next().await?;
                    self.take(delivery)?;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<(), ClaimError> {
        let deadline = Instant::now() + LOOK_MAX;
        let (header, found) = match self.node.elected(&self.author, &self.name, deadline).await {
            Ok(answer) => answer,
            Err(ClaimError::Node(error)) if passes(&error) => {
                sleep(PAUSE).await;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let next = header.revision.next();
        self.state = if let Some(record) = found {
            let stream = self.follow(&record.key, next)?;
            self.waiting.push_back((header, record));
            State::Led(stream)
        } else {
            let stream = self.node.watch()?;
            stream.create(WatchRequest {
                author: self.author.clone(),
                start: next,
                no_delete: true,
                ..WatchRequest::of(claim::line(&self.name))
            });
            State::Vacant(stream)
        };
        Ok(())
    }

    fn follow(&self, key: &Bytes, from: Revision) -> Result<WatchStream, NodeError> {
        let stream = self.node.watch()?;
        stream.create(WatchRequest {
            author: self.author.clone(),
            start: from,
            ..WatchRequest::of(KeyRange::One(key.clone()))
        });
        Ok(stream)
    }

    fn take(&mut self, delivery: Delivery) -> Result<(), ClaimError> {
        let (revision, events) = match delivery {
            Delivery::Events {
                revision, events, ..
            } => (revision, events),
            Delivery::Created { .. } | Delivery::Progress { .. } => return Ok(()),
            // Compaction took what came next, or rights ended: the line itself says who leads, or that
            // it may not be read.
            Delivery::Canceled { .. } => {
                self.state = State::Looking;
                return Ok(());
            }
            Delivery::Refused { refusal, .. } => return Err(refused(refusal)),
        };
        if matches!(self.state, State::Vacant(_)) {
            // The first of a line that was empty leads it.
            let Some(first) = events.first() else {
                return Ok(());
            };
            let record = first.record.clone();
            let at = record.meta.mod_revision;
            self.state = State::Led(self.follow(&record.key, at.next())?);
            self.waiting.push_back((self.node.header(at), record));
            return Ok(());
        }
        for event in events.iter() {
            if event.record.meta.is_tombstone() {
                self.state = State::Looking;
                break;
            }
            let header = self.node.header(revision);
            self.waiting.push_back((header, event.record.clone()));
        }
        Ok(())
    }
}
