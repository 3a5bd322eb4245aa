//! Minds the room that the store takes: a node that keeps more than its quota says so to the whole
//! cluster through the log, and takes it back when the room is there again.
//!
//! What counts is what is kept: blocks, what of them compaction has not given back yet included, and
//! records that wait to be written down. The engine's files do not count. sled takes two to four
//! times of what it holds, gives little of that back, and writes to it again before it takes more
//! (measured: 32 MiB alive after 100 MiB of changes in 140 MiB, and 100 MiB with nothing alive): a
//! node that deleted everything would stay refused. While the alarm stands, compaction takes all
//! waste, also what would not pay otherwise.
//!
//! Invariants: (1) a node clears no alarm but those it raised itself, and the leader those of nodes
//! that are no members any more; (2) between raising and clearing there is a margin, so that an
//! alarm does not flicker.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::codec::encode_proposal;
use hstore_core::command::{Command, Proposal};
use hstore_core::planted::{self, Bug};
use tokio::time::{Instant, sleep};

use crate::inner::Inner;

/// How often the size is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long one proposal may wait for its outcome.
const PROPOSE_MAX: Duration = Duration::from_secs(2);

/// The alarm is over below so many tenths of the quota.
const CLEAR_BELOW_TENTHS: u64 = 9;

/// Runs until the node ends.
pub(crate) async fn mind(inner: Arc<Inner>) {
    loop {
        sleep(LOOK).await;
        for change in changes(&inner) {
            tracing::warn!(?change, "the alarms change");
            let proposal = Proposal {
                request: None,
                author: Author::Node,
                command: Command::Alarm(change),
            };
            let deadline = Instant::now() + PROPOSE_MAX;
            let bytes = encode_proposal(&proposal);
            if let Err(error) = inner.queue.propose(bytes, false, deadline).await {
                // The next look finds the same.
                tracing::debug!("the alarms did not change: {error}");
            }
        }
    }
}

fn changes(inner: &Inner) -> Vec<AlarmChange> {
    let me = inner.identity.node;
    let notices = inner.consensus.store().notices();
    let quota = inner.effective().quota_bytes;
    let raised = |alarm: &&Alarm| alarm.kind == AlarmKind::NoSpace && alarm.node == me;
    let mine = notices.alarms.iter().find(raised);
    let says_nothing = planted::is(Bug::AlarmOnlyLocal);
    if (quota.is_none() && notices.alarms.is_empty()) || says_nothing {
        return Vec::new();
    }
    let bytes = inner.consensus.store().stats().room_bytes();
    if mine.is_some() {
        inner.consensus.store().tidy();
    }
    let mut changes = Vec::new();
    changes.extend(own_change(quota, bytes, mine).map(|raise| {
        let kind = AlarmKind::NoSpace;
        let (node, automatic) = (me, true);
        if raise {
            AlarmChange::Raise(Alarm {
                kind,
                node,
                automatic,
            })
        } else {
            AlarmChange::Clear { kind, node }
        }
    }));
    if inner.consensus.leader() == Some(me) {
        let membership = inner.consensus.standing().membership;
        let gone = notices.alarms.iter().filter(|alarm| {
            alarm.automatic && alarm.node != me && !membership.members.contains_key(&alarm.node)
        });
        changes.extend(gone.map(|alarm| AlarmChange::Clear {
            kind: alarm.kind,
            node: alarm.node,
        }));
    }
    changes
}

/// Whether the node's own alarm has to be raised (true) or cleared (false), if either.
fn own_change(quota: Option<u64>, bytes: u64, mine: Option<&Alarm>) -> Option<bool> {
    match (mine, quota) {
        (None, Some(quota)) if bytes > quota => Some(true),
        (Some(_), _) if planted::is(Bug::AlarmStays) => None,
        (Some(alarm), None) if alarm.automatic => Some(false),
        (Some(alarm), Some(quota))
            if alarm.automatic && bytes < quota / 10 * CLEAR_BELOW_TENTHS =>
        {
            Some(false)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::id::NodeId;

    use super::*;

    #[test]
    fn an_alarm_comes_above_the_quota_and_goes_well_below_it() {
        let alarm = |automatic| Alarm {
            kind: AlarmKind::NoSpace,
            node: NodeId(1),
            automatic,
        };
        let (own, by_hand) = (alarm(true), alarm(false));
        let table = [
            (None, 1001, None, None),
            (Some(1000), 1000, None, None),
            (Some(1000), 1001, None, Some(true)),
            (Some(1000), 1001, Some(&own), None),
            (Some(1000), 900, Some(&own), None),
            (Some(1000), 899, Some(&own), Some(false)),
            // The quota was taken back.
            (None, 1001, Some(&own), Some(false)),
            // A person said so.
            (Some(1000), 0, Some(&by_hand), None),
            (None, 0, Some(&by_hand), None),
        ];
        for (quota, bytes, mine, expected) in table {
            let found = own_change(quota, bytes, mine);
            assert_eq!(found, expected, "{quota:?} {bytes} {mine:?}");
        }
    }
}
