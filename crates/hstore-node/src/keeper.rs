//! Looks after the membership and the settings: tells the directory, finishes what was interrupted,
//! notices that this node was removed, reports its new addresses, does what is set.
//!
//! Invariants: (1) the identity says `Member` before the node answers as one for long: a log that
//! is lost later is then damage and not a new beginning; (2) only a membership that is later than
//! one that this node was part of removes it; (3) a leader brings the membership to what the settings
//! say, and takes back what they say of nodes that are no members any more.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::auth::Author;
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, Proposal};
use hstore_core::id::{LogIndex, NodeId};
use hstore_core::membership::{Member, Membership};
use hstore_core::planted::{self, Bug};
use hstore_core::settings::{ChangeSettings, NodeType, SettingChange, Settings, SettingsVersion};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::StopReason;
use crate::identity::{Identity, Stage};
use crate::inner::Inner;
use crate::raft::Applied;
use crate::settings;
use crate::status::{Role, Standing};

/// How often the membership is looked at when nothing changes.
const LOOK: Duration = Duration::from_millis(100);

/// How long a joint configuration may stand before the leader finishes it: longer than the two
/// steps of a change that is alive need.
const JOINT_MAX: Duration = Duration::from_millis(500);

/// How long the report of new addresses may take, and the pause before the next try.
const MOVE_MAX: Duration = Duration::from_secs(2);

/// How long the membership may be other than it is set before the leader sees to it, and the pause
/// before the next try: longer than a change that somebody is making needs.
const SETTLE_PAUSE: Duration = Duration::from_secs(2);

/// What is not as it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsettled {
    /// A node that is no member any more has settings.
    Gone(NodeId),
    /// A member is to be something else.
    Type(NodeId, NodeType),
}

fn unsettled(settings: &Settings, membership: &Membership) -> Option<Unsettled> {
    let mut nodes = settings.iter().filter_map(|(node, _)| node);
    nodes.find_map(|node| {
        if !membership.members.contains_key(&node) {
            return Some(Unsettled::Gone(node));
        }
        let kind = settings.node_type(node)?;
        let votes = membership.is_voter(node);
        (votes != (kind == NodeType::Voter)).then_some(Unsettled::Type(node, kind))
    })
}

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
    settings: watch::Receiver<Arc<Settings>>,
    /// What this node does is what these say.
    done: Option<Arc<Settings>>,
    /// Whether the heart beats in another rhythm than that of the start, or did.
    beats: bool,
    /// When the membership was first, or last in vain, found to be other than it is set.
    unsettled_since: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(
        inner: Arc<Inner>,
        identity: Identity,
        standing: watch::Sender<Standing>,
    ) -> Keeper {
        Keeper {
            applied: inner.consensus.applied(),
            settings: inner.consensus.settings(),
            done: None,
            beats: false,
            unsettled_since: None,
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
                Ok(()) = self.settings.changed() => {}
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
        self.do_as_set();
        self.publish(&standing);
        self.look_at_applied().await;
        self.finish_joint(&standing).await;
        self.settle(&standing).await;
        self.report_move(&standing);
    }

    /// Does what the settings say, when they say something new.
    fn do_as_set(&mut self) {
        let settings = self.settings.borrow_and_update().clone();
        let is_known = |known: &Arc<Settings>| Arc::ptr_eq(known, &settings);
        if self.done.as_ref().is_some_and(is_known) {
            return;
        }
        let version = settings.version();
        if version > SettingsVersion(0) {
            let effective = self.inner.effective();
            tracing::info!(%version, ?effective, "the settings of the cluster hold here");
            let store = self.inner.consensus.store();
            store.set_cache_bytes(effective.cache_bytes);
        }
        if !self.beats && self.inner.own_heartbeat().is_some() {
            self.beats = true;
            let beating = settings::beat(self.inner.clone());
            self.inner.tasks.spawn_vital("heartbeat", beating);
        }
        self.done = Some(settings);
    }

    /// A leader brings the membership to what is set when nobody does it any more.
    async fn settle(&mut self, standing: &Standing) {
        let Some(settings) = self.done.clone() else {
            return;
        };
        let leads = standing.role == Role::Leader && !standing.membership.is_joint();
        let unsettled = leads.then(|| unsettled(&settings, &standing.membership));
        let Some(unsettled) = unsettled.flatten() else {
            self.unsettled_since = None;
            return;
        };
        let since = *self.unsettled_since.get_or_insert_with(Instant::now);
        if since.elapsed() < SETTLE_PAUSE {
            return;
        }
        match unsettled {
            Unsettled::Type(..) if planted::is(Bug::SettingsWishForgotten) => {}
            Unsettled::Type(node, kind) => {
                let settling = self.inner.members.become_type(node, kind);
                // Whatever came of it shows in the next look.
                if let Ok(Err(why)) = tokio::time::timeout(MOVE_MAX, settling).await {
                    tracing::debug!(%node, ?kind, ?why, "the membership is not as it is set yet");
                }
            }
            Unsettled::Gone(node) => self.forget(node, settings.forget(node)),
        }
        self.unsettled_since = Some(Instant::now());
    }

    /// Takes back what is set for a node that is no member any more.
    fn forget(&self, node: NodeId, changes: Vec<SettingChange>) {
        let inner = self.inner.clone();
        self.inner.tasks.spawn("forget settings", async move {
            let bytes = encode_proposal(&Proposal {
                request: None,
                author: Author::Node,
                command: Command::ChangeSettings(ChangeSettings {
                    expected: None,
                    changes,
                }),
            });
            let deadline = Instant::now() + MOVE_MAX;
            if let Err(error) = inner.queue.propose(bytes, false, deadline).await {
                // The next look finds the same.
                tracing::debug!(%node, "the settings of a former member stay: {error}");
            }
        });
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
