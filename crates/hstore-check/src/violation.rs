//! What a judge finds wrong.
//!
//! Invariants: (1) the text of a kind is stable, programs may compare it; (2) however many
//! violations there are, so many are kept and all are counted.

use std::fmt;

use hstore_core::id::Revision;

use crate::history::{OperationId, WatchId};

/// The first so many violations are kept in full; one mistake of a store may show a million times.
pub const KEPT_MAX: usize = 100;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What is wrong, in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The word, for ever.
            pub fn as_str(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A write has a revision that was seen before the write was invoked.
    AppliedBeforeInvoked = "applied_before_invoked";
    /// One operation wrote two revisions.
    AppliedTwice = "applied_twice";
    /// A token was taken whose password or user was another one by then.
    DeadToken = "dead_token";
    /// A holder wrote whose lock was lost.
    FenceBroken = "fence_broken";
    /// Somebody was refused for want of a right or a name that they had.
    LockedOut = "locked_out";
    /// A lock was granted while another one held it.
    LockShared = "lock_shared";
    /// A lock was granted by a key that was not there.
    LockUnheld = "lock_unheld";
    /// The log has something else than what was answered.
    LogDiffers = "log_differs";
    /// A revision that was answered is not in the log: a lost write.
    LogMissing = "log_missing";
    /// The history itself makes no sense, so nothing follows from it.
    Malformed = "malformed";
    /// No order of the operations on a key explains what was answered.
    NotLinearizable = "not_linearizable";
    /// A revision holds what nobody wrote.
    Phantom = "phantom";
    /// An operation that was refused has an effect.
    RefusedApplied = "refused_applied";
    /// Two writes have one revision.
    RevisionReused = "revision_reused";
    /// A revision that nobody wrote.
    RevisionSkipped = "revision_skipped";
    /// An answer is older than what was answered before the operation began.
    RevisionWentBack = "revision_went_back";
    /// A holder wrote after a newer one had.
    TokenWentBack = "token_went_back";
    /// Something was done or told that its user might not do or hear.
    Trespass = "trespass";
    /// A watch was told something at or below what it was told to be past.
    WatchBehindProgress = "watch_behind_progress";
    /// A watch was told what is before its beginning.
    WatchBeforeStart = "watch_before_start";
    /// A watch was told of progress before its beginning.
    WatchEarlyNotice = "watch_early_notice";
    /// A watch was told of a write that nobody had asked for yet.
    WatchForeseen = "watch_foreseen";
    /// A watch was not told something that it went past.
    WatchMissed = "watch_missed";
    /// A watch was told revisions in another order.
    WatchOutOfOrder = "watch_out_of_order";
    /// A watch was told something before it was made, or after it ended.
    WatchPairing = "watch_pairing";
    /// A watch was told what never happened.
    WatchPhantom = "watch_phantom";
    /// A watch was told a revision in parts.
    WatchSplit = "watch_split";
    /// A watch was told something twice.
    WatchToldTwice = "watch_told_twice";
    /// A watch was told what it had not asked for.
    WatchUnwanted = "watch_unwanted";
    /// A watch was ended without a reason.
    WatchWrongEnd = "watch_wrong_end";
    /// A watch was told that a key was made when it was changed, or the other way round.
    WatchWrongOrigin = "watch_wrong_origin";
    /// A watch was told that something else was replaced.
    WatchWrongPrevious = "watch_wrong_previous";
    /// A transaction took the other branch.
    WrongBranch = "wrong_branch";
    /// A change of users was answered as it cannot have gone.
    WrongChange = "wrong_change";
    /// The count is not the number of keys.
    WrongCount = "wrong_count";
    /// The create revision is another one.
    WrongCreateRevision = "wrong_create_revision";
    /// Another number of keys was deleted.
    WrongDeleted = "wrong_deleted";
    /// The lease is another one.
    WrongLease = "wrong_lease";
    /// The mod revision is another one.
    WrongModRevision = "wrong_mod_revision";
    /// `more` says the opposite.
    WrongMore = "wrong_more";
    /// The replaced or deleted records are not what was there.
    WrongPrevious = "wrong_previous";
    /// A token was given for what is not the password.
    WrongProof = "wrong_proof";
    /// Records are missing, are too many, or stand in another order.
    WrongRecords = "wrong_records";
    /// Refused for a reason that did not hold.
    WrongRefusal = "wrong_refusal";
    /// Not the answer to what was asked.
    WrongReply = "wrong_reply";
    /// The value is another one.
    WrongValue = "wrong_value";
    /// The version is another one.
    WrongVersion = "wrong_version";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What it is.
    pub kind: Kind,
    /// The operations that show it, the one that is wrong first.
    pub operations: Vec<OperationId>,
    /// The watch that shows it.
    pub watch: Option<WatchId>,
    /// At which revision.
    pub revision: Option<Revision>,
    /// A sentence: what was expected, what was found.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.sentence)
    }
}

/// The violations of one history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<Violation>,
    count: u64,
}

impl Violations {
    /// Adds one.
    pub(crate) fn push(
        &mut self,
        kind: Kind,
        operations: &[OperationId],
        revision: Option<Revision>,
        sentence: impl FnOnce() -> String,
    ) {
        self.count += 1;
        if self.wants_more() {
            self.kept.push(Violation {
                kind,
                operations: operations.to_vec(),
                watch: None,
                revision,
                sentence: sentence(),
            });
        }
    }

    /// Adds one that a watch shows.
    pub(crate) fn push_of_watch(
        &mut self,
        kind: Kind,
        watch: WatchId,
        revision: Revision,
        sentence: impl FnOnce() -> String,
    ) {
        self.count += 1;
        if self.wants_more() {
            self.kept.push(Violation {
                kind,
                operations: Vec::new(),
                watch: Some(watch),
                revision: Some(revision),
                sentence: sentence(),
            });
        }
    }

    /// Whether another one would be kept, and so is worth an explanation.
    pub(crate) fn wants_more(&self) -> bool {
        self.kept.len() < KEPT_MAX
    }

    /// Adds those of another judge.
    pub fn join(&mut self, other: Violations) {
        self.count += other.count;
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// The first ones, in full.
    pub fn kept(&self) -> &[Violation] {
        &self.kept
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one of those that were kept is of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        self.kept.iter().any(|violation| violation.kind == kind)
    }
}
