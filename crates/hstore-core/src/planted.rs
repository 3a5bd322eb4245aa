//! Bugs that are planted on purpose, so that the simulator can prove that it finds bugs.
//!
//! Without the feature `planted` this room is a list of names: [`is`] is a constant "no", and every
//! place that asks it compiles to nothing. With the feature, which only the simulator has, one bug
//! can be chosen once for the whole process. This is the one global of this crate, and a build
//! that can be told to lose data must be told apart from one that cannot: [`BUILT_IN`].
//!
//! Invariants: (1) nothing but [`set`] chooses a bug, above all no variable of the environment;
//! (2) a name is never given another meaning, since the seeds that find it are written down;
//! (3) a place asks for one bug with one `if`, and the code beside it stays what it would be.

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        /// One bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])* $name,)*
        }

        impl Bug {
            /// Every bug, in the order of names.
            pub const ALL: &'static [Bug] = &[$(Bug::$name,)*];

            /// The name, for ever.
            pub fn as_str(self) -> &'static str {
                match self { $(Bug::$name => $text,)* }
            }

            /// What is wrong, and which law that breaks.
            pub fn sentence(self) -> &'static str {
                match self { $(Bug::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }
    };
}

bugs! {
    /// Entries are called durable before the sync that makes them so: an acknowledged write can be
    /// lost.
    AcknowledgedBeforeSync = "acknowledged-before-sync";
    /// A node without room refuses by itself and tells nobody: what is refused depends on whom one
    /// asks.
    AlarmOnlyLocal = "alarm-only-local";
    /// An alarm is raised and never taken back: writes are refused for ever, although there is room.
    AlarmStays = "alarm-stays";
    /// Alarms are not part of flushes and snapshots: some nodes apply what the others refuse.
    AlarmsLostInSnapshot = "alarms-lost-in-snapshot";
    /// A request whose answer its client already has runs again when it comes late: applied twice.
    AnsweredRequestRunsAgain = "answered-request-runs-again";
    /// Compaction takes what a read at the compacted revision itself still sees: history is lost.
    CompactionOffByOne = "compaction-off-by-one";
    /// Greater holds for equal, too: a transaction takes the wrong branch.
    CompareOffByOne = "compare-off-by-one";
    /// Damage in the middle of the log is cut as if it were torn by a crash: acknowledged writes
    /// are lost.
    CorruptMiddleCut = "corrupt-middle-cut";
    /// A range with a limit counts what it answers instead of what is there: the count is wrong.
    CountIsLimited = "count-is-limited";
    /// A recreated key has the revision before as its create revision: etcd's data model is
    /// broken.
    CreateRevisionOffByOne = "create-revision-off-by-one";
    /// Without room deletions are refused, too: what makes room must go on.
    DeletionsNeedRoom = "deletions-need-room";
    /// A command that changed nothing takes a revision: revisions grow by nothing but changes.
    EmptyWriteTakesRevision = "empty-write-takes-revision";
    /// The working store is used again after a power loss: what the engine lost is missing,
    /// replicas differ.
    EngineTrustedAfterPowerLoss = "engine-trusted-after-power-loss";
    /// A comparison of a create revision holds for every revision but none: a fence keeps nobody out.
    FenceNotCompared = "fence-not-compared";
    /// A follower answers linearizable reads from what it has applied itself: stale reads.
    FollowerReadsItself = "follower-reads-itself";
    /// A token counts although its user is another one by now, or has another password: former
    /// names are trusted.
    FormerUserTrusted = "former-user-trusted";
    /// A read of the past shows the present: it is not answered as of its revision.
    HistoricalReadShowsNewest = "historical-read-shows-newest";
    /// A peer is admitted whose data folder is another than the member's: an id has two nodes.
    IncarnationNotChecked = "incarnation-not-checked";
    /// A lease ends a second before its time: shorter than promised.
    LeaseEndsEarly = "lease-ends-early";
    /// The end of a lease leaves its keys where they are: keys outlive their lease.
    LeaseKeysStay = "lease-keys-stay";
    /// A renewal is answered and not written down: the lease ends before its time.
    LeaseRenewedInName = "lease-renewed-in-name";
    /// Leases are not part of flushes and snapshots: some nodes know no lease of a key.
    LeasesLostInSnapshot = "leases-lost-in-snapshot";
    /// A lock is granted when nobody is before it, although its own key is gone: two hold it.
    LockGrantedWithoutItsKey = "lock-granted-without-its-key";
    /// Checksums of log records are not compared: damaged bytes are applied.
    LogChecksumNotChecked = "log-checksum-not-checked";
    /// A snapshot does not say who the members are: a node that starts from it knows no quorum.
    MembershipLostInSnapshot = "membership-lost-in-snapshot";
    /// `more` is set when a limit is reached exactly: it promises what is not there.
    MoreOffByOne = "more-off-by-one";
    /// A data folder that comes late is given the id of the last one: ids are never used twice.
    NodeIdReused = "node-id-reused";
    /// The outcomes of a batch are handed out in another order: answers of other requests.
    OutcomesOutOfOrder = "outcomes-out-of-order";
    /// Who may write a key is answered what it was before: a key is told to those who may not read
    /// it.
    PreviousNeedsNoRight = "previous-needs-no-right";
    /// The previous record of a put shows the new value: it is not what was there before.
    PreviousShowsNewValue = "previous-shows-new-value";
    /// A proposal without a request id is proposed again after its stream broke: applied twice.
    ProposedAgainWithoutRequestId = "proposed-again-without-request-id";
    /// A read round that fails serves its reads with the index of the round before: stale reads.
    ReadIndexReused = "read-index-reused";
    /// Reads that come while a round is under way are served by its index: stale reads.
    ReadJoinsRoundUnderWay = "read-joins-round-under-way";
    /// A read does not wait until the read index is applied: stale reads.
    ReadNotWaitingForApplied = "read-not-waiting-for-applied";
    /// A leader answers linearizable reads without asking a quorum whether it still leads: stale
    /// reads.
    ReadWithoutQuorum = "read-without-quorum";
    /// A request id counts for nothing: a repeated request is applied twice.
    RequestIdIgnored = "request-id-ignored";
    /// What a nested transaction does is not held against anybody's rights: who may do nothing may
    /// do all.
    RightsEndAtNesting = "rights-end-at-nesting";
    /// What somebody may do is looked up where they ask and not where it is applied: rights that
    /// were taken meanwhile still count.
    RightsJudgedWhenAsked = "rights-judged-when-asked";
    /// What a role came to for a user is kept when the role changes: rights that were taken still
    /// count on some nodes.
    RightsOutliveTheirRole = "rights-outlive-their-role";
    /// A segment's name is not synced: after a power loss the log is silently shorter.
    SegmentFolderNotSynced = "segment-folder-not-synced";
    /// Sessions are not part of flushes and snapshots: a repeated request is applied twice by some
    /// nodes.
    SessionsLostInSnapshot = "sessions-lost-in-snapshot";
    /// A change of the settings that was not taken, since whoever asked had seen other ones, is made all
    /// the same: a refused change is applied.
    SettingsChangeUnseen = "settings-change-unseen";
    /// A change of the settings is made twice: a version names what nobody ever asked for.
    SettingsChangedTwice = "settings-changed-twice";
    /// Settings are not part of flushes and snapshots: an acknowledged change is lost.
    SettingsLostInSnapshot = "settings-lost-in-snapshot";
    /// What is set for the cluster goes before what is set for a node: nodes do what nobody wants of
    /// them.
    SettingsOfNodeOverruled = "settings-of-node-overruled";
    /// A linearizable read of the settings is answered with what was applied here: stale reads.
    SettingsReadHere = "settings-read-here";
    /// A wish that a node votes, or does not, stays a wish when nobody waits for it: the membership does
    /// not follow the settings.
    SettingsWishForgotten = "settings-wish-forgotten";
    /// A snapshot's name is not synced before the log is purged up to it: a power loss takes both.
    SnapshotFolderNotSynced = "snapshot-folder-not-synced";
    /// A snapshot gets its name before its bytes are synced: a power loss leaves a torn one and a
    /// purged log.
    SnapshotNotSynced = "snapshot-not-synced";
    /// A snapshot lacks the newest revision of its state: a node that starts from it differs.
    SnapshotOneRevisionShort = "snapshot-one-revision-short";
    /// The running hash begins anew at every start: replicas at one index have different hashes.
    StateHashLostAtStart = "state-hash-lost-at-start";
    /// A deleted key's tombstone is not loaded at a start: the key comes back on one node,
    /// replicas differ.
    TombstoneLost = "tombstone-lost";
    /// After a crash one good record is cut with the torn tail: an acknowledged write can be lost.
    TornTailCutsGoodRecord = "torn-tail-cuts-good-record";
    /// Of the entries that conflict with the leader's one is kept: the log has entries that no
    /// leader sent.
    TruncationKeepsOne = "truncation-keeps-one";
    /// Each step of a transaction takes a revision of its own: a transaction is seen in parts.
    TxnTakesTwoRevisions = "txn-takes-two-revisions";
    /// A write that may be applied is reported as failed: unknown is not failed.
    UnknownToldAsFailed = "unknown-told-as-failed";
    /// Users and roles are not part of flushes and snapshots: some nodes let everybody do
    /// everything.
    UsersLostInSnapshot = "users-lost-in-snapshot";
    /// The version of a deleted key goes on when the key is recreated: it counts from 1 in each
    /// generation.
    VersionNotReset = "version-not-reset";
    /// A vote is kept in memory only: a node votes twice in a term, or follows an older one.
    VoteNotPersisted = "vote-not-persisted";
    /// A vote is called durable before the sync that makes it so: after a power loss a node votes
    /// twice.
    VoteNotSynced = "vote-not-synced";
    /// Whoever waits for a lock takes the first end that it hears of for its turn: two hold it.
    WaiterBelievesItsTurn = "waiter-believes-its-turn";
    /// Whoever waits for a lock watches its own key alone: it waits for ever, while the lock is free.
    WaiterWatchesItself = "waiter-watches-itself";
    /// A watch of the future begins now: it is told what is before its start.
    WatchBeginsEarly = "watch-begins-early";
    /// What found no room in a watcher's queue counts as told: events are missing.
    WatchBlockedEventLost = "watch-blocked-event-lost";
    /// A watch of what was compacted begins with what is left, and nobody says so: events are
    /// missing.
    WatchCompactedSkipped = "watch-compacted-skipped";
    /// A deletion at the very revision where older history is read from is left out: an event is
    /// missing.
    WatchDeletionAtStartLost = "watch-deletion-at-start-lost";
    /// A watch that compaction ends does not hear up to where: it ends without a reason.
    WatchEndsWithoutRevision = "watch-ends-without-revision";
    /// Deletions are told to those who wanted none: the filter is ignored.
    WatchFilterIgnored = "watch-filter-ignored";
    /// A watch goes on when whoever watches may not read the keys any more: rights that were taken
    /// still count.
    WatchOutlivesItsRights = "watch-outlives-its-rights";
    /// What an event replaced is looked up one revision too far back: it is not what was there.
    WatchPreviousOffByOne = "watch-previous-off-by-one";
    /// Progress is reported while a watch of the stream is behind: events at or below it follow.
    WatchProgressTooEarly = "watch-progress-too-early";
    /// The last event of a revision comes in an answer of its own: a revision is split.
    WatchRevisionSplit = "watch-revision-split";
    /// A watcher that has caught up leaves one revision out as it meets the tail: an event is
    /// missing.
    WatchSeamEventLost = "watch-seam-event-lost";
    /// A watcher that has caught up is told the last stretch again as it meets the tail: events come
    /// twice.
    WatchSeamEventTwice = "watch-seam-event-twice";
}

impl Bug {
    /// The bug with this name.
    pub fn parse(name: &str) -> Option<Bug> {
        Bug::ALL.iter().copied().find(|bug| bug.as_str() == name)
    }
}

impl std::fmt::Display for Bug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether this build can be told to have a bug. What is given to people must not.
pub const BUILT_IN: bool = cfg!(feature = "planted");

/// Whether this process has this bug.
#[cfg(not(feature = "planted"))]
#[inline]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
pub use chosen::{is, set};

#[cfg(feature = "planted")]
mod chosen {
    use std::sync::OnceLock;

    use super::Bug;

    static CHOSEN: OnceLock<Bug> = OnceLock::new();

    /// Whether this process has this bug.
    #[inline]
    pub fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(&bug)
    }

    /// Gives this process a bug, before anything runs; false when it has one already.
    pub fn set(bug: Bug) -> bool {
        CHOSEN.set(bug).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own_and_a_sentence_with_a_law() {
        for (place, bug) in Bug::ALL.iter().enumerate() {
            assert_eq!(Bug::parse(bug.as_str()), Some(*bug));
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(bug.as_str().chars().all(kebab), "{bug}");
            assert!(bug.sentence().contains(": "), "{bug}: {}", bug.sentence());
            assert!(!Bug::ALL[..place].contains(bug));
        }
        assert_eq!(Bug::parse("no-such-bug"), None);
        assert!(Bug::ALL.len() >= 25);
    }

    #[test]
    fn nothing_is_planted_unless_it_was_chosen() {
        assert!(Bug::ALL.iter().all(|bug| !is(*bug)));
    }
}
