//! One call: as many attempts as the deadline has room for, at whichever node answers.
//!
//! Invariants: (1) all attempts at one write carry one request id, so it is applied at most once;
//! (2) a write without a request id is not repeated once an attempt may have reached the log;
//! (3) an unknown outcome is never reported as a failure: when the deadline passes and any attempt
//! may have reached the log, the answer is `OutcomeUnknown`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hstore_core::command::RequestId;
use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, LogIndex};
use hstore_proto::etcdserverpb::AuthenticateRequest;
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::hstore::v1::node_client::NodeClient;
use hstore_proto::hstore::v1::{DescribeRequest, NodeStatusRequest, cluster_client::ClusterClient};
use hstore_proto::metadata;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::address::Address;
use crate::credentials::{Credentials, Proof};
use crate::error::Error;
use crate::fault::Fault;
use crate::pool::Pool;
use crate::session::Session;

/// Most writes of one client that wait for their answers; a further one waits its turn. A session
/// keeps 1024 outcomes, so that it has room for those that finished out of order.
const WRITES_MAX: usize = 256;
/// The first pause after every node was tried, and the longest; each is drawn from its upper half.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_millis(400);
/// The least time that an attempt is given while others may follow it.
const ATTEMPT_SHORTEST: Duration = Duration::from_secs(1);
/// No further attempt is begun with less than this: the node could not give its word in time, and
/// the silence of a last attempt would turn a plain refusal into an unknown outcome.
const LAST_ATTEMPT_SHORTEST: Duration = Duration::from_millis(300);
/// How much longer than the node an attempt waits, so that the node's own word on a passed deadline
/// arrives.
const NODE_MARGIN: Duration = Duration::from_millis(100);
/// How often one write may find its session forgotten before it gives up.
const RENEWALS_MAX: u32 = 3;
/// How often one call may prove who calls; more would be a node that takes no proof.
const PROOFS_MAX: u32 = 2;
/// How long the members are asked for in the background.
const LEARN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a call does to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it may be repeated at will.
    Read,
    /// It changes the store, so it needs a request id to be repeated.
    Write,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Until it has its answer.
    pub(crate) timeout: Duration,
    /// Until it gives up while no node at all can be reached.
    pub(crate) unreachable: Duration,
}

/// What all clones of a client share.
pub(crate) struct Shared {
    pool: Mutex<Pool>,
    naming: Mutex<Naming<Session>>,
    /// Held while a session is begun, so that one is begun for all who wait for it.
    beginning: tokio::sync::Mutex<()>,
    writes: Semaphore,
    user: Mutex<Option<Credentials>>,
    proof: Mutex<Proof>,
    /// Held while a token is asked for, so that one is asked for by all who wait for it.
    proving: tokio::sync::Mutex<()>,
    rng: Mutex<StdRng>,
    learning: AtomicU8,
    /// The cluster that is meant, once it is known: a node of another one does nothing then.
    cluster: OnceLock<MetadataValue<Ascii>>,
}

/// How writes get their names.
enum Naming<T> {
    /// Nobody has written yet, or the session was forgotten: one must be begun.
    None,
    /// By this.
    By(T),
    /// The other side is no hstore: writes have no names.
    Unsupported,
}

impl<T> Naming<T> {
    /// What it is, or that a session must be begun first.
    fn settled(self) -> Result<Option<T>, ()> {
        match self {
            Naming::None => Err(()),
            Naming::By(it) => Ok(Some(it)),
            Naming::Unsupported => Ok(None),
        }
    }
}

/// When the members are asked for: at the second success, so that a program of one call is not
/// burdened, and again after a node failed.
const LEARN_AFTER_NEXT: u8 = 0;
const LEARN_NOW: u8 = 1;
const LEARNED: u8 = 2;

impl Shared {
    pub(crate) fn new(pool: Pool) -> Shared {
        let rng = StdRng::try_from_rng(&mut SysRng)
            .expect("the operating system has random numbers for every process");
        Shared::with_rng(pool, rng)
    }

    /// The same, with choices that descend from this generator alone.
    pub(crate) fn with_rng(pool: Pool, rng: StdRng) -> Shared {
        Shared {
            pool: Mutex::new(pool),
            naming: Mutex::new(Naming::None),
            beginning: tokio::sync::Mutex::new(()),
            writes: Semaphore::new(WRITES_MAX),
            user: Mutex::new(None),
            proof: Mutex::new(Proof::Missing),
            proving: tokio::sync::Mutex::new(()),
            rng: Mutex::new(rng),
            learning: AtomicU8::new(LEARN_AFTER_NEXT),
            cluster: OnceLock::new(),
        }
    }

    /// The same for one node alone: the same user, and the same proof of that, which every member
    /// takes.
    pub(crate) fn only(&self, address: Address) -> Shared {
        let mut only = Shared::new(self.pool().only(address));
        only.set_user(self.user());
        locked(&only.proof).clone_from(&locked(&self.proof));
        only.cluster.clone_from(&self.cluster);
        only
    }

    /// Says who the client is.
    pub(crate) fn set_user(&self, user: Option<Credentials>) {
        *locked(&self.user) = user;
        *locked(&self.proof) = Proof::Missing;
    }

    /// Who the client is.
    pub(crate) fn user(&self) -> Option<Credentials> {
        locked(&self.user).clone()
    }

    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        locked(&self.pool)
    }

    /// Calls `send` until it has an answer or patience ends. Answers with the node that answered.
    pub(crate) async fn call<Q, R, F, S>(
        self: &Arc<Self>,
        kind: Kind,
        patience: Patience,
        request: Q,
        send: S,
    ) -> Result<(R, Address), Error>
    where
        Q: Clone,
        S: Fn(Channel, Request<Q>) -> F,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut course = Course::new(kind, patience);
        let _turn = match kind {
            Kind::Read => None,
            Kind::Write => match timeout_at(course.deadline, self.writes.acquire()).await {
                Ok(turn) => Some(turn.expect("nobody closes the semaphore")),
                Err(_) => return Err(course.end()),
            },
        };
        let mut name = self.name(kind, patience, course.deadline).await?;
        loop {
            let picked = self.pool().pick(&course.tried).cloned();
            let Some(address) = picked else {
                match course.pause(self) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(course.end()),
                }
                continue;
            };
            let (channel, others) = {
                let mut pool = self.pool();
                (pool.channel(&address)?, pool.addresses().len() > 1)
            };
            let Some(share) = course.share(others) else {
                return Err(course.end());
            };
            let proved = self.prove(&channel, share).await;
            let shown = proved.as_ref().ok().cloned().flatten();
            let fault = match proved {
                // Nothing was sent.
                Err(fault) => Fault {
                    may_be_applied: false,
                    ..fault
                },
                Ok(token) => {
                    // The proof took its time, too.
                    let Some(share) = course.share(others) else {
                        return Err(course.end());
                    };
                    let mut message = Request::new(request.clone());
                    message.set_timeout(share);
                    if let Some(token) = token {
                        message.metadata_mut().insert(metadata::TOKEN, token);
                    }
                    self.mean(message.metadata_mut());
                    if let Some(name) = &name {
                        let name = header(&name.request);
                        message.metadata_mut().insert(metadata::REQUEST, name);
                    }
                    match timeout(share + NODE_MARGIN, send(channel, message)).await {
                        Ok(Ok(response)) => {
                            self.succeeded(&address);
                            return Ok((response.into_inner(), address));
                        }
                        Ok(Err(status)) => Fault::of(&status),
                        Err(_) => Fault::silence(),
                    }
                }
            };
            tracing::debug!(%address, code = %fault.code, message = fault.message, "attempt failed");
            if kind == Kind::Write && fault.answered && fault.code == ErrorCode::SessionExpired {
                if course.may_be_applied || course.renewals == RENEWALS_MAX {
                    return Err(course.refuse(fault));
                }
                course.renewals += 1;
                self.forget(name.take());
                name = self.name(kind, patience, course.deadline).await?;
                continue;
            }
            if fault.asks_for_proof() && self.user().is_some() && course.proofs < PROOFS_MAX {
                course.proofs += 1;
                self.doubt(shown.as_ref());
                // A refusal of the machine is kept under the name; the next attempt needs another.
                if !course.may_be_applied {
                    drop(name.take());
                    name = self.name(kind, patience, course.deadline).await?;
                }
                continue;
            }
            course.may_be_applied |= fault.may_be_applied;
            if !fault.may_pass() || (course.may_be_applied && kind == Kind::Write && name.is_none())
            {
                return Err(course.refuse(fault));
            }
            if fault.asks_for_patience() {
                course.note(&address, fault);
                match course.pause(self) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(course.end()),
                }
            } else {
                self.pool().leave(&address);
                self.learning.store(LEARN_NOW, Ordering::Relaxed);
                course.tried.insert(address.clone());
                course.note(&address, fault);
            }
        }
    }

    /// The token that proves who calls, asked for if there is none; none where no proof is needed.
    async fn prove(
        &self,
        channel: &Channel,
        at_most: Duration,
    ) -> Result<Option<MetadataValue<Ascii>>, Fault> {
        let Some(user) = self.user() else {
            return Ok(None);
        };
        if let Some(known) = self.proved() {
            return Ok(known);
        }
        // Who asks for it now may have more patience than this call.
        let Ok(_only) = timeout(at_most, self.proving.lock()).await else {
            return Err(Fault::silence());
        };
        if let Some(known) = self.proved() {
            return Ok(known);
        }
        let mut request = Request::new(AuthenticateRequest {
            name: user.name().to_owned(),
            password: user.password().to_owned(),
        });
        self.mean(request.metadata_mut());
        request.set_timeout(at_most);
        let mut client = AuthClient::new(channel.clone());
        let asked = timeout(at_most + NODE_MARGIN, client.authenticate(request)).await;
        let proof = match asked {
            Ok(Ok(answer)) => {
                let token = answer.into_inner().token.parse::<MetadataValue<Ascii>>();
                let mut token = token.map_err(|_not_ascii| Fault {
                    code: ErrorCode::Internal,
                    message: "the token makes no sense".to_owned(),
                    may_be_applied: false,
                    answered: true,
                })?;
                token.set_sensitive(true);
                Proof::Token(token)
            }
            Ok(Err(status)) => match Fault::of(&status) {
                fault if fault.answered && fault.code == ErrorCode::AuthNotEnabled => {
                    Proof::Unneeded
                }
                fault => return Err(fault),
            },
            Err(_elapsed) => return Err(Fault::silence()),
        };
        locked(&self.proof).clone_from(&proof);
        Ok(match proof {
            Proof::Token(token) => Some(token),
            Proof::Missing | Proof::Unneeded => None,
        })
    }

    /// A node did not take what was shown. It is forgotten, unless another call has got another proof
    /// meanwhile: many calls that are refused at once ask for one token, not each for its own.
    fn doubt(&self, shown: Option<&MetadataValue<Ascii>>) {
        let mut proof = locked(&self.proof);
        let is_known = match &*proof {
            Proof::Missing => false,
            Proof::Unneeded => shown.is_none(),
            Proof::Token(token) => shown == Some(token),
        };
        if is_known {
            *proof = Proof::Missing;
        }
    }

    /// The proof that is known: within, none where none is needed.
    #[allow(
        clippy::option_option,
        reason = "not known, not needed and needed are three things"
    )]
    pub(crate) fn proved(&self) -> Option<Option<MetadataValue<Ascii>>> {
        match &*locked(&self.proof) {
            Proof::Missing => None,
            Proof::Unneeded => Some(None),
            Proof::Token(token) => Some(Some(token.clone())),
        }
    }

    /// A name for a write, from the session, which is begun when there is none.
    async fn name(
        self: &Arc<Self>,
        kind: Kind,
        patience: Patience,
        deadline: Instant,
    ) -> Result<Option<Name>, Error> {
        if kind == Kind::Read {
            return Ok(None);
        }
        if let Ok(named) = self.name_now().settled() {
            return Ok(named);
        }
        let Ok(_only) = timeout_at(deadline, self.beginning.lock()).await else {
            return Err(Error::Timeout {
                after_ms: patience.timeout.as_millis() as u64,
                last: "nothing was sent".to_owned(),
            });
        };
        if let Ok(named) = self.name_now().settled() {
            return Ok(named);
        }
        let patience = Patience {
            timeout: deadline.saturating_duration_since(Instant::now()),
            ..patience
        };
        let naming = match self.applied_index(patience).await {
            Ok(born) => {
                let client = locked(&self.rng).random::<u64>();
                Naming::By(Session::new(client, born))
            }
            Err(error) if error.code() == ErrorCode::Unsupported => Naming::Unsupported,
            Err(error) => return Err(error),
        };
        *locked(&self.naming) = naming;
        Ok(self.name_now().settled().unwrap_or_default())
    }

    /// A name from the session that is there.
    fn name_now(self: &Arc<Self>) -> Naming<Name> {
        match &mut *locked(&self.naming) {
            Naming::None => Naming::None,
            Naming::Unsupported => Naming::Unsupported,
            Naming::By(session) => Naming::By(Name {
                request: session.open(),
                shared: Arc::clone(self),
            }),
        }
    }

    /// What a session is born with. Boxed, since it is a call that a call makes.
    fn applied_index(
        self: &Arc<Self>,
        patience: Patience,
    ) -> BoxFuture<'_, Result<LogIndex, Error>> {
        async move {
            let send =
                |channel, request| async move { NodeClient::new(channel).status(request).await };
            let (status, _) = self
                .call(Kind::Read, patience, NodeStatusRequest {}, send)
                .await?;
            let log = status.log.ok_or(Error::Nonsense {
                what: "a status without a log",
            })?;
            Ok(LogIndex(log.applied_index))
        }
        .boxed()
    }

    /// The cluster does not know the session of this name any more: the next write begins another.
    fn forget(&self, name: Option<Name>) {
        if let Some(name) = name {
            let mut naming = locked(&self.naming);
            if matches!(&*naming, Naming::By(session) if session.named(&name.request)) {
                *naming = Naming::None;
            }
            drop(naming);
        }
    }

    /// Stays with a node that works, and asks it for the others when that is due.
    fn succeeded(self: &Arc<Self>, address: &Address) {
        self.pool().stick(address);
        match self.learning.load(Ordering::Relaxed) {
            LEARN_AFTER_NEXT => self.learning.store(LEARN_NOW, Ordering::Relaxed),
            LEARN_NOW => {
                self.learning.store(LEARNED, Ordering::Relaxed);
                let (shared, address) = (Arc::clone(self), address.clone());
                tokio::spawn(async move { shared.learn(&address).await });
            }
            _ => {}
        }
    }

    /// Asks a node for the members. Nothing depends on it, so a failure is passed over.
    async fn learn(&self, via: &Address) {
        let Ok(channel) = self.pool().channel(via) else {
            return;
        };
        let asked = async {
            let mut request = Request::new(DescribeRequest::default());
            request.set_timeout(LEARN_TIMEOUT);
            if let Some(Some(token)) = self.proved() {
                request.metadata_mut().insert(metadata::TOKEN, token);
            }
            self.mean(request.metadata_mut());
            ClusterClient::new(channel)
                .describe(request)
                .await?
                .into_inner()
                .message()
                .await
        };
        if let Ok(Ok(Some(cluster))) = timeout(LEARN_TIMEOUT, asked).await {
            let members = cluster
                .members
                .into_iter()
                .filter_map(|status| status.member);
            let addresses = members.filter_map(|member| member.client_address.parse().ok());
            self.pool().learn(addresses.collect(), via);
            let id = ClusterId(cluster.cluster_id);
            if id != ClusterId(0) {
                let id = id.to_string().parse();
                let _first = self
                    .cluster
                    .get_or_init(|| id.expect("hexadecimal digits make a header"));
            }
        }
    }

    /// Says in a call which cluster it is for, as far as that is known.
    pub(crate) fn mean(&self, metadata: &mut MetadataMap) {
        if let Some(cluster) = self.cluster.get() {
            metadata.insert(metadata::CLUSTER, cluster.clone());
        }
    }
}

/// The name of a write, until its caller has an answer or gives up.
struct Name {
    request: RequestId,
    shared: Arc<Shared>,
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Naming::By(session) = &mut *locked(&self.shared.naming) {
            session.close(&self.request);
        }
    }
}

/// How a call has gone so far.
struct Course {
    kind: Kind,
    begun: Instant,
    deadline: Instant,
    /// When it gives up if no node was reached until then.
    unreachable_at: Instant,
    /// Whether any attempt may have reached the log.
    may_be_applied: bool,
    /// Whether any node was reached.
    reached: bool,
    /// The nodes that failed in this round.
    tried: BTreeSet<Address>,
    rounds: u32,
    renewals: u32,
    proofs: u32,
    /// What each node's last failure was.
    failures: BTreeMap<Address, String>,
    last: Option<Fault>,
}

impl Course {
    fn new(kind: Kind, patience: Patience) -> Course {
        let begun = Instant::now();
        Course {
            kind,
            begun,
            deadline: begun + patience.timeout,
            unreachable_at: begun + patience.unreachable.min(patience.timeout),
            may_be_applied: false,
            reached: false,
            tried: BTreeSet::new(),
            rounds: 0,
            renewals: 0,
            proofs: 0,
            failures: BTreeMap::new(),
            last: None,
        }
    }

    /// What is left of the deadline for the next attempt; half of it while others may follow.
    fn share(&self, others: bool) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || (self.last.is_some() && left < LAST_ATTEMPT_SHORTEST) {
            None
        } else if others {
            Some((left / 2).max(ATTEMPT_SHORTEST).min(left))
        } else {
            Some(left)
        }
    }

    /// How long to wait before the next round; none when there is no room for one.
    fn pause(&mut self, shared: &Shared) -> Option<Duration> {
        self.tried.clear();
        let whole = PAUSE_FIRST
            .saturating_mul(1 << self.rounds.min(16))
            .min(PAUSE_LONGEST);
        self.rounds += 1;
        let pause = whole.mul_f64(locked(&shared.rng).random_range(0.5..=1.0));
        let end = if self.reached {
            self.deadline
        } else {
            self.unreachable_at
        };
        (Instant::now() + pause < end).then_some(pause)
    }

    fn note(&mut self, address: &Address, fault: Fault) {
        self.reached |= fault.answered || fault.may_be_applied;
        self.failures.insert(address.clone(), fault.message.clone());
        // What a node says tells more than a node that is not there.
        if fault.answered || !self.last.as_ref().is_some_and(|last| last.answered) {
            self.last = Some(fault);
        }
    }

    /// What to tell the caller when an attempt ended in something that will not pass.
    fn refuse(&self, fault: Fault) -> Error {
        let unknown = self.kind == Kind::Write && self.may_be_applied;
        if unknown && !fault.is_about_the_request() {
            return Error::OutcomeUnknown {
                last: fault.message,
            };
        }
        if fault.code == ErrorCode::Unreachable && !fault.answered {
            return Error::Unreachable {
                tried: fault.message,
            };
        }
        Error::Refused {
            code: fault.code,
            message: fault.message,
        }
    }

    /// What to tell the caller when patience ends.
    fn end(&self) -> Error {
        let last = self.last.as_ref();
        let words = last.map_or_else(
            || "nothing was sent".to_owned(),
            |last| last.message.clone(),
        );
        if self.kind == Kind::Write && self.may_be_applied {
            return Error::OutcomeUnknown { last: words };
        }
        match last {
            Some(fault) if fault.answered && fault.code != ErrorCode::Timeout => Error::Refused {
                code: fault.code,
                message: words,
            },
            Some(fault) if fault.code == ErrorCode::Unreachable => {
                let tried: Vec<String> = self
                    .failures
                    .iter()
                    .map(|(address, message)| format!("{address} ({message})"))
                    .collect();
                Error::Unreachable {
                    tried: tried.join(", "),
                }
            }
            _ => Error::Timeout {
                after_ms: self.begun.elapsed().as_millis() as u64,
                last: words,
            },
        }
    }
}

fn header(request: &RequestId) -> MetadataValue<Ascii> {
    metadata::encode_request_id(request)
        .parse()
        .expect("hexadecimal numbers and dashes make a header")
}

/// No code of ours panics while it holds one of these locks, and their contents are whole at every
/// step, so that a poisoned one is as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_forgotten_only_while_it_is_the_one_that_is_known() {
        let pool = Pool::new(Address::parse_list("127.0.0.1:1").unwrap()).unwrap();
        let shared = Shared::new(pool);
        let [old, new] = ["old", "new"].map(|text| text.parse::<MetadataValue<Ascii>>().unwrap());
        *locked(&shared.proof) = Proof::Token(new.clone());
        shared.doubt(Some(&old));
        shared.doubt(None);
        assert_eq!(shared.proved(), Some(Some(new.clone())));
        shared.doubt(Some(&new));
        assert_eq!(shared.proved(), None);
        // Who was not asked for a token and is refused for want of one needs it now.
        *locked(&shared.proof) = Proof::Unneeded;
        shared.doubt(Some(&old));
        assert_eq!(shared.proved(), Some(None));
        shared.doubt(None);
        assert_eq!(shared.proved(), None);
    }
}
