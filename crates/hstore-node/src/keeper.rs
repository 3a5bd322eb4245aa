//! Looks after the membership: tells the directory, finishes what was interrupted, notices that
//! this node was removed, and reports its new addresses.
//!
//! Invariants: (1) the identity says `Member` before the node answers as one for long: a log that
//! is lost later is then damage and not a new beginning; (2) only a membership that is later than
//! one that this node was part of removes it.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::id::LogIndex;
use hstore_core::membership::Member;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::StopReason;
use crate::identity::{Identity, Stage};
use crate::inner::Inner;
use crate::raft::Applied;
use crate::status::{Role, Standing};

/// How often the membership is looked at when nothing changes.
const LOOK: Duration = Duration::from_millis(100);

/// How long a joint configuration may stand before the leader finishes it: longer than the two
/// steps of a change that is alive need.
const JOINT_MAX: Duration = Duration::from_millis(500);

/// How long the report of new addresses may take, and the pause before the next try.
const MOVE_MAX: Duration = Duration::from_secs(2);

/// Looks after the membership.
pub(crate) struct Keeper {
    inner: Arc<Inner>,
    identity: Identity,
    applied: watch::Receiver<Applied>,
    standing: watch::Sender<Standing>,
    /// The newest applied membership that this node is part of.
    seen_in: Option<LogIndex>,
    joint_since: Option<Instant>,
    moved_at: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(
        inner: Arc<Inner>,
        identity: Identity,
        standing: watch::Sender<Standing>,
    ) -> Keeper {
        Keeper {
            applied: inner.consensus.applied(),
            seen_in: identity.member_since,
            inner,
            identity,
            standing,
            joint_since: None,
            moved_at: None,
        }
    }

    /// Runs until the node ends.
    pub(crate) async fn run(mut self) {
        let mut changes = self.inner.consensus.changes();
        loop {
            self.look().await;
            tokio::select! {
                biased;
                () = changes.next() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn look(&mut self) {
        if let Some(why) = self.inner.consensus.stopped() {
            self.inner.fate.end(StopReason::Internal(why));
            return;
        }
        let standing = self.inner.consensus.standing();
        self.publish(&standing);
        self.look_at_applied().await;
        self.finish_joint(&standing).await;
        self.report_move(&standing);
    }

    fn publish(&self, standing: &Standing) {
        if !standing.membership.members.is_empty() {
            self.inner.directory.learn(&standing.membership);
            let members = &standing.membership.members;
            self.inner.caller.retain(|node| members.contains_key(&node));
        }
        self.standing.send_if_modified(|present| {
            let changed = present != standing;
            if changed {
                present.clone_from(standing);
            }
            changed
        });
    }

    async fn look_at_applied(&mut self) {
        let membership = self.applied.borrow_and_update().membership.clone();
        let Some(at) = membership.log_id.map(|id| id.index) else {
            return;
        };
        if membership.members.contains_key(&self.identity.node) {
            self.inner.directory.learn_applied(membership);
            if self.seen_in.is_none_or(|seen| seen < at) {
                self.seen_in = Some(at);
            }
            if self.identity.stage != Stage::Member {
                self.become_member(at).await;
            }
        } else {
            if self.seen_in.is_some_and(|seen| seen < at) {
                self.inner.fate.end(StopReason::Removed);
            }
            self.inner.directory.learn_applied(membership);
        }
    }

    async fn become_member(&mut self, since: LogIndex) {
        let identity = self.identity.clone().member(since);
        let written = self.inner.write_identity(identity.clone()).await;
        match written {
            Ok(()) => self.identity = identity,
            Err(error) => {
                self.inner.fate.end(StopReason::DiskFailed(error));
            }
        }
    }

    /// A leader finishes a change of voters that nobody is making any more.
    async fn finish_joint(&mut self, standing: &Standing) {
        let orphaned = standing.role == Role::Leader
            && standing.membership.is_joint()
            && !self.inner.consensus.is_changing();
        if !orphaned {
            self.joint_since = None;
            return;
        }
        let since = *self.joint_since.get_or_insert_with(Instant::now);
        if since.elapsed() < JOINT_MAX {
            return;
        }
        tracing::info!("a change of the voters was interrupted; it is finished now");
        let finishing = self.inner.consensus.finish_joint(&standing.membership);
        // Whatever came of it shows in the next look.
        let _result = tokio::time::timeout(MOVE_MAX, finishing).await;
        self.joint_since = None;
    }

    /// Tells the leader where this node is now.
    fn report_move(&mut self, standing: &Standing) {
        let node = self.identity.node;
        let myself = self.inner.member();
        let recorded: Option<&Member> = standing.membership.members.get(&node);
        let moved = recorded.is_some_and(|recorded| *recorded != myself);
        let tried = self.moved_at.is_some_and(|at| at.elapsed() < MOVE_MAX);
        let alone = standing.membership.members.len() <= 1 && !standing.quorum;
        if !moved || tried || alone {
            return;
        }
        self.moved_at = Some(Instant::now());
        let inner = self.inner.clone();
        self.inner.tasks.spawn("report new addresses", async move {
            let deadline = Instant::now() + MOVE_MAX;
            if let Err(error) = inner.moved(myself, deadline).await {
                tracing::warn!("the new addresses were not taken: {error}");
            }
        });
    }
}
