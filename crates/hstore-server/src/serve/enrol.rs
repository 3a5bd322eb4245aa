//! The way of a node into a cluster: an id of its own, learner, caught up, voter.
//!
//! Every step can be asked for again, so a join that was interrupted anywhere is resumed by going
//! through all of them. Invariant: a step that failed for a reason that passes is tried again, one
//! that failed for good ends the join.

use std::time::Duration;

use hstore_core::error::ErrorCode;
use hstore_core::id::{ClusterId, NodeId};
use hstore_node::Identity;
use hstore_proto::hstore::v1::Member;
use hstore_proto::hstore::v1::add_member_progress::Step;
use tokio::time::{Instant, sleep, timeout};

use super::voice::Voice;
use crate::discover::Found;
use crate::fault::Fault;
use crate::remote::Remote;

/// How long a join goes on without anything moving. Others may be joining, one at a time.
const STUCK: Duration = Duration::from_mins(1);

/// How long to wait before a step is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// How often a person hears how much is still to come.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long one try of getting an id may take.
const ALLOCATE: Duration = Duration::from_secs(5);

/// The nodes through which a node joins, the one that was named first.
pub(super) struct Doors {
    hosts: Vec<String>,
    next: usize,
}

impl Doors {
    /// The nodes that answered, then the other members.
    pub(super) fn of(found: &Found) -> Doors {
        let answered = found.nodes.iter().map(|node| node.host.clone());
        let members = found.description.members.iter();
        let members = members
            .filter_map(|status| status.member.as_ref())
            .map(|member| member.client_address.clone());
        let mut hosts: Vec<String> = Vec::new();
        for host in answered.chain(members) {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        Doors { hosts, next: 0 }
    }

    /// All of them.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    async fn open(&mut self) -> Result<Remote, Fault> {
        let host = self.hosts[self.next % self.hosts.len()].clone();
        self.next += 1;
        let remote = Remote::connect(&host).await?;
        self.next -= 1;
        Ok(remote)
    }

    fn turn(&mut self) {
        self.next += 1;
    }
}

/// Gets the node id of a data folder: the same one whenever the same folder asks.
pub(super) async fn allocate(
    identity: Identity,
    name: &str,
    peer_address: &str,
    found: &Found,
    doors: &mut Doors,
) -> Result<Identity, Fault> {
    let deadline = Instant::now() + STUCK;
    let cluster = &found.description.cluster_name;
    loop {
        let asked = match doors.open().await {
            Ok(remote) => {
                remote
                    .allocate(
                        identity.incarnation.0,
                        name,
                        cluster,
                        peer_address,
                        ALLOCATE,
                    )
                    .await
            }
            Err(fault) => Err(fault),
        };
        match asked {
            Ok(place) => {
                return Ok(identity.join(
                    ClusterId(place.cluster_id),
                    place.cluster_name,
                    NodeId(place.node_id),
                ));
            }
            Err(fault) if passes(&fault) && Instant::now() < deadline => {
                doors.turn();
                sleep(AGAIN).await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

/// Makes the node a member, and waits until it votes, or until all that it lacks is that somebody
/// promotes it.
pub(super) async fn become_member(
    member: Member,
    doors: &mut Doors,
    voice: Voice,
) -> Result<(), Fault> {
    let mut teller = Teller::new(voice);
    let mut deadline = Instant::now() + STUCK;
    loop {
        let tried = match doors.open().await {
            Ok(remote) => follow(&remote, member.clone(), &mut teller, &mut deadline).await,
            Err(fault) => Err(fault),
        };
        match tried {
            Ok(()) => return Ok(()),
            Err(fault) if passes(&fault) && Instant::now() < deadline => {
                if fault.code == ErrorCode::MembershipBusy {
                    teller.once("waiting for another change of the membership");
                } else {
                    doors.turn();
                }
                tracing::debug!(%fault, "the join is tried again");
                sleep(AGAIN).await;
            }
            Err(fault) => {
                return Err(fault.hint("hstore-server join   again resumes where this one ended"));
            }
        }
    }
}

async fn follow(
    remote: &Remote,
    member: Member,
    teller: &mut Teller,
    deadline: &mut Instant,
) -> Result<(), Fault> {
    let mut steps = remote.add_member(member).await?;
    let mut least = u64::MAX;
    loop {
        let step = match timeout(STUCK, steps.message()).await {
            Ok(Ok(Some(progress))) => progress.step,
            Ok(Err(status)) => return Err(remote.fault(&status)),
            Ok(Ok(None)) | Err(_) => {
                return Err(Fault::new(
                    ErrorCode::Timeout,
                    format!("{} says nothing more about the join", remote.host),
                ));
            }
        };
        match step {
            Some(Step::Learner(_)) => {
                teller.once("learner: receives the log");
                *deadline = Instant::now() + STUCK;
            }
            Some(Step::CatchingUp(step)) => {
                teller.catching_up(step.behind);
                if step.behind < least {
                    least = step.behind;
                    *deadline = Instant::now() + STUCK;
                }
            }
            Some(Step::Voter(_)) => {
                teller.once("voter");
                return Ok(());
            }
            Some(Step::Waits(_)) => {
                teller.once("caught up; it gets its vote when somebody promotes it");
                return Ok(());
            }
            None => {}
        }
        if Instant::now() > *deadline {
            return Err(Fault::new(
                ErrorCode::Timeout,
                format!("the node does not catch up: it stays {least} entries behind"),
            ));
        }
    }
}

/// Whether the reason of a failure passes by itself.
fn passes(fault: &Fault) -> bool {
    fault.code.is_retryable() || fault.code == ErrorCode::OutcomeUnknown
}

/// Tells how the join gets on, each thing once and nothing too often.
struct Teller {
    voice: Voice,
    told: Vec<&'static str>,
    next: Instant,
}

impl Teller {
    fn new(voice: Voice) -> Teller {
        Teller {
            voice,
            told: Vec::new(),
            next: Instant::now(),
        }
    }

    fn once(&mut self, text: &'static str) {
        if !self.told.contains(&text) {
            self.told.push(text);
            self.voice.progress(&format!("  {text}"));
        }
    }

    fn catching_up(&mut self, behind: u64) {
        let now = Instant::now();
        if behind > 0 && now >= self.next {
            self.next = now + TELL_EVERY;
            self.voice
                .progress(&format!("  catching up: {behind} entries behind"));
        }
    }
}
