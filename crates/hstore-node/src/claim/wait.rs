//! One claim, from standing in line to its end.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{
    Command, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Relation, Txn,
};
use hstore_core::error::ErrorCode;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::{Outcome, Refusal, Reply};
use hstore_core::planted::{self, Bug};
use hstore_core::range::{Filter, Range, Sort, SortTarget};
use hstore_core::record::Record;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::words::{Claim, ClaimError, ClaimKind, ClaimLease, Holding};
use crate::error::NodeError;
use crate::node::Node;
use crate::status::{Consistency, Header};
use crate::watch::{Delivery, WatchRefusal, WatchRequest};

/// How long a claim may take to stand in line, whatever its own deadline.
const JOIN_MAX: Duration = Duration::from_secs(10);

/// How long one command or read may take; then it is tried again.
const STEP_MAX: Duration = Duration::from_secs(5);

/// The pause before it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a claim that ended tries to take its key away; then the lease does.
const LEAVE_MAX: Duration = Duration::from_secs(30);

/// How long a lease lives that a claim makes for itself, in seconds. etcd's value.
const FRESH_TTL_S: i64 = 60;

/// What an answer of another kind than the question is called.
const WRONG_REPLY: NodeError = NodeError::Invalid("an answer of another kind than the question");

/// One claim.
pub(super) struct Waiter {
    node: Node,
    claim: Claim,
    deadline: Option<Instant>,
    needs_leader: bool,
}

/// A claim that stands in line.
#[derive(Clone, Debug)]
struct Place {
    key: Bytes,
    /// The key's create revision, by which the line is ordered.
    token: Revision,
    /// The store's revision when it stood in line.
    joined: Revision,
    /// Whether this claim made the key, and not an earlier one with the same lease.
    made: bool,
    /// The answer that made it, if nobody was before it then.
    first: Option<Header>,
}

/// What a look at the line showed.
enum Look {
    /// Nobody is before it.
    First(Header),
    /// The key before it, and as of when.
    Behind(Bytes, Revision),
    /// It is not in the line.
    Gone,
}

impl Waiter {
    pub(super) fn new(
        node: Node,
        claim: Claim,
        deadline: Option<Instant>,
        needs_leader: bool,
    ) -> Waiter {
        Waiter {
            node,
            claim,
            deadline,
            needs_leader,
        }
    }

    /// Stands in line, waits, and answers; or goes when nobody listens any more.
    pub(super) async fn run(
        mut self,
        joined: oneshot::Sender<()>,
        mut answer: oneshot::Sender<Result<Holding, ClaimError>>,
    ) {
        let place = match self.join(&answer).await {
            Ok(place) => place,
            Err(error) => {
                // Whoever asked may be gone.
                let _gone = answer.send(Err(error));
                self.leave(None).await;
                return;
            }
        };
        // What was proclaimed may be large, and is in the store now.
        if let ClaimKind::Campaign(value) = &mut self.claim.kind {
            *value = Bytes::new();
        }
        // Nobody may be interested.
        let _nobody = joined.send(());
        let ended = tokio::select! {
            // An end that is there already goes before a lock that could still be had.
            biased;
            () = answer.closed() => None,
            () = self.too_late() => Some(Err(ClaimError::NotInTime)),
            () = self.leaderless() => Some(Err(NodeError::NoQuorum.into())),
            outcome = self.wait(&place) => Some(outcome),
        };
        let kept = match ended {
            None => false,
            Some(Ok(holding)) => answer.send(Ok(holding)).is_ok(),
            Some(Err(error)) => {
                let nothing_left = error == ClaimError::Lost;
                // Whoever asked may be gone.
                let _gone = answer.send(Err(error));
                nothing_left
            }
        };
        if !kept {
            self.leave(Some(&place)).await;
        }
    }

    async fn too_late(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    async fn leaderless(&self) {
        if self.needs_leader {
            self.node.leader_lost().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Stands in line, again and again while that may still work: an attempt of which nothing was
    /// heard is repeated, since the key is made only once.
    async fn join(
        &self,
        answer: &oneshot::Sender<Result<Holding, ClaimError>>,
    ) -> Result<Place, ClaimError> {
        let soon = Instant::now() + JOIN_MAX;
        let until = self.deadline.map_or(soon, |deadline| deadline.min(soon));
        let before = self.node.inner().consensus.store().revision();
        let mut is_certain = true;
        loop {
            let step = until.min(Instant::now() + STEP_MAX);
            let error = match self.join_once(step).await {
                Ok(place) => {
                    // An attempt whose end was not heard may have made it.
                    let made = place.made || (!is_certain && place.token > before);
                    return Ok(Place { made, ..place });
                }
                Err(ClaimError::Node(error)) => error,
                Err(error) => return Err(error),
            };
            let may_pass = passes(&error) || error == NodeError::OutcomeUnknown;
            is_certain &= error.code().definitely_not_applied();
            let over = Instant::now() + PAUSE >= until || answer.is_closed();
            if over || !may_pass || (self.needs_leader && error == NodeError::NoQuorum) {
                // What was not heard of may stand in the line: an earlier attempt makes a later
                // refusal no proof.
                return Err(if is_certain {
                    error.into()
                } else {
                    NodeError::OutcomeUnknown.into()
                });
            }
            sleep(PAUSE).await;
        }
    }

    async fn join_once(&self, deadline: Instant) -> Result<Place, ClaimError> {
        if let ClaimLease::Fresh(lease) = self.claim.lease {
            let grant = GrantLease {
                lease,
                ttl: FRESH_TTL_S,
            };
            let grant = Command::GrantLease(grant);
            let (_header, outcome) = self.propose(self.author(), grant, deadline).await?;
            match outcome.result {
                // An earlier attempt made it: the id was drawn for this claim alone.
                Ok(_) | Err(Refusal::LeaseExists) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        let put = self.claim.put();
        let key = put.key.clone();
        let first = Operation::Range(Range {
            keys_only: true,
            ..first_of(self.claim.line())
        });
        let own = Operation::Range(Range::of(KeyRange::One(key.clone())));
        let stand = Txn {
            compare: vec![created_at(&key, Revision(0))],
            then: vec![Operation::Put(put), first.clone()],
            otherwise: vec![own, first],
        };
        let stand = Command::Txn(stand);
        let (header, outcome) = self.propose(self.author(), stand, deadline).await?;
        let joined = outcome.revision;
        let (made, replies) = txn_reply(outcome)?;
        let mut found = replies.into_iter().map(|reply| match reply {
            Reply::Range(found) => found.records.into_iter().next(),
            _ => None,
        });
        let (own, first) = (found.next().flatten(), found.next().flatten());
        let token = match (made, own) {
            (true, _) => joined,
            (false, Some(own)) => {
                self.proclaim_anew(&own, deadline).await?;
                own.meta.create_revision
            }
            (false, None) => return Err(WRONG_REPLY.into()),
        };
        let is_first = first.is_some_and(|first| first.meta.create_revision == token);
        Ok(Place {
            key,
            token,
            joined,
            made,
            first: is_first.then_some(header),
        })
    }

    /// The lease stands in this line already: a candidate says what it proclaims now.
    async fn proclaim_anew(&self, own: &Record, deadline: Instant) -> Result<(), ClaimError> {
        let ClaimKind::Campaign(value) = &self.claim.kind else {
            return Ok(());
        };
        if own.value == *value {
            return Ok(());
        }
        let (key, token) = (own.key.clone(), own.meta.create_revision);
        let lease = self.claim.lease.id();
        let proclaimed = self.node.proclaim(
            &self.claim.author,
            key,
            token,
            value.clone(),
            lease,
            deadline,
        );
        proclaimed.await.map(drop)
    }

    /// Waits until nobody is before the claim.
    async fn wait(&self, place: &Place) -> Result<Holding, ClaimError> {
        let header = match place.first {
            Some(header) => header,
            None => self.turn(place).await?,
        };
        Ok(Holding {
            key: place.key.clone(),
            lease: self.claim.lease.id(),
            token: place.token,
            joined: place.joined,
            header,
        })
    }

    /// The read in which nobody is before the claim any more.
    async fn turn(&self, place: &Place) -> Result<Header, ClaimError> {
        loop {
            match self.look(place).await? {
                Look::First(header) => return Ok(header),
                Look::Gone => return Err(ClaimError::Lost),
                Look::Behind(ahead, at) => {
                    self.until_change(place, ahead, at).await?;
                    if planted::is(Bug::WaiterBelievesItsTurn) {
                        return Ok(self.node.header(at.next()));
                    }
                }
            }
        }
    }

    /// One linearizable read of the line up to the claim, youngest first: the claim itself, and
    /// the one before it.
    async fn look(&self, place: &Place) -> Result<Look, ClaimError> {
        let range = Range {
            limit: 2,
            sort: Sort {
                target: SortTarget::CreateRevision,
                descending: true,
            },
            keys_only: true,
            filter: Filter {
                create_revision_max: place.token,
                ..Filter::default()
            },
            ..Range::of(self.claim.line())
        };
        let (header, found) = loop {
            let deadline = Instant::now() + STEP_MAX;
            let read = self
                .node
                .range(
                    &self.claim.author,
                    range.clone(),
                    Consistency::Linearizable,
                    deadline,
                )
                .await;
            match read {
                Ok((header, found)) => break (header, found?),
                Err(error) if passes(&error) => sleep(PAUSE).await,
                Err(error) => return Err(error.into()),
            }
        };
        let found_count = found.records.len();
        let mut records = found.records.into_iter();
        let own = records
            .next()
            .filter(|record| record.key == place.key && record.meta.create_revision == place.token);
        if planted::is(Bug::LockGrantedWithoutItsKey) && found_count == 0 {
            return Ok(Look::First(header));
        }
        Ok(match (own, records.next()) {
            (None, _) => Look::Gone,
            (Some(_own), None) => Look::First(header),
            (Some(_own), Some(ahead)) => Look::Behind(ahead.key, header.revision),
        })
    }

    /// Waits until the claim's key or the one before it is deleted after a revision. Both are
    /// watched, since a lease may end while others are still before it.
    async fn until_change(
        &self,
        place: &Place,
        ahead: Bytes,
        at: Revision,
    ) -> Result<(), ClaimError> {
        let mut stream = self.node.watch()?;
        let ahead = if planted::is(Bug::WaiterWatchesItself) {
            place.key.clone()
        } else {
            ahead
        };
        for key in [ahead, place.key.clone()] {
            stream.create(WatchRequest {
                author: self.author(),
                start: at.next(),
                no_put: true,
                ..WatchRequest::of(KeyRange::One(key))
            });
        }
        loop {
            match stream.next().await? {
                Delivery::Created { .. } | Delivery::Progress { .. } => {}
                // After a compaction, too, the line itself says what became of it; and of rights
                // that ended.
                Delivery::Events { .. } | Delivery::Canceled { .. } => return Ok(()),
                Delivery::Refused { refusal, .. } => return Err(refused(refusal)),
            }
        }
    }

    /// Takes away what the claim made. A node that stops leaves it to the lease.
    async fn leave(&self, place: Option<&Place>) {
        let command = match (self.claim.lease, place) {
            (ClaimLease::Fresh(lease), _) => Command::RevokeLease { lease },
            (ClaimLease::Named(_), Some(place)) if place.made => {
                Command::Txn(deletion(&place.key, place.token))
            }
            (ClaimLease::Named(_), _) => return,
        };
        let until = Instant::now() + LEAVE_MAX;
        while Instant::now() < until {
            let deadline = Instant::now() + STEP_MAX;
            // It takes nothing but what the claim made, so that nobody whose rights ended meanwhile
            // is left in the line.
            match self.propose(Author::Node, command.clone(), deadline).await {
                Err(ClaimError::Node(error))
                    if passes(&error) || error == NodeError::OutcomeUnknown =>
                {
                    sleep(PAUSE).await;
                }
                // Done, or there was nothing to do.
                _ => return,
            }
        }
    }

    fn author(&self) -> Author {
        self.claim.author.clone()
    }

    async fn propose(
        &self,
        author: Author,
        command: Command,
        deadline: Instant,
    ) -> Result<(Header, Outcome), ClaimError> {
        let proposal = Proposal {
            request: None,
            author,
            command,
        };
        Ok(self.node.propose(proposal, deadline).await?)
    }
}

/// Why a watch was not made.
pub(super) fn refused(refusal: WatchRefusal) -> ClaimError {
    match refusal {
        WatchRefusal::Denied(denied) => NodeError::Denied(denied).into(),
        WatchRefusal::DuplicateId(_)
        | WatchRefusal::EmptyRange
        | WatchRefusal::NegativeStart(_)
        | WatchRefusal::TooMany { .. } => NodeError::Overloaded.into(),
    }
}

/// Whether the same step may succeed a little later at this node.
pub(super) fn passes(error: &NodeError) -> bool {
    let code = error.code();
    code.is_retryable() && code != ErrorCode::ShuttingDown
}

/// The oldest key of a line.
pub(super) fn first_of(line: KeyRange) -> Range {
    Range {
        limit: 1,
        sort: Sort {
            target: SortTarget::CreateRevision,
            descending: false,
        },
        ..Range::of(line)
    }
}

/// Holds when a key was created at a revision; 0 is a key that is not there.
pub(super) fn created_at(key: &Bytes, revision: Revision) -> Compare {
    Compare {
        keys: KeyRange::One(key.clone()),
        relation: Relation::Equal,
        target: CompareTarget::CreateRevision(revision.0),
    }
}

/// The deletion of a key that is still what was created then.
pub(super) fn deletion(key: &Bytes, token: Revision) -> Txn {
    let delete = Delete {
        keys: KeyRange::One(key.clone()),
        prev_kv: false,
    };
    Txn {
        compare: vec![created_at(key, token)],
        then: vec![Operation::Delete(delete)],
        otherwise: Vec::new(),
    }
}

/// Which branch ran, and what came of its steps.
pub(super) fn txn_reply(outcome: Outcome) -> Result<(bool, Vec<Reply>), ClaimError> {
    match outcome.result? {
        Reply::Txn { succeeded, replies } => Ok((succeeded, replies)),
        _ => Err(WRONG_REPLY.into()),
    }
}
