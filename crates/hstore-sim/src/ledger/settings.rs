//! The laws of settings, judged by the committed log once all is calm.
//!
//! 1. `settings_hold`: a change was answered with what it came to at its very place in the log; one
//!    that was acknowledged is there, one that was refused changed nothing, and one that nobody
//!    repeated under its name is there once at most.
//! 2. `settings_are_seen`: a linearizable read shows the settings as the log made them under the
//!    version that it names, and never an older version than one that was acknowledged before it began.
//! 3. `settings_are_agreed`: in the end every node knows the settings that the log made.

use std::sync::Arc;

use hstore_core::command::RequestId;
use hstore_core::error::ErrorCode;
use hstore_core::id::NodeId;
use hstore_core::settings::{ChangeSettings, Settings, SettingsVersion};
use hstore_node::Node;

use super::Ledger;
use super::judge::Verdict;
use super::past::{Changed, Past};

/// What a change of the settings was told: the version that it led to, or the code of a no.
pub type Answer = Result<SettingsVersion, ErrorCode>;

/// A change of the settings that was asked for.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// What was asked for.
    pub command: ChangeSettings,
    /// Its name, if it has one.
    pub request: Option<RequestId>,
    /// Nobody else asks for the very same.
    pub is_single: bool,
    /// What came of it, if anything came.
    pub told: Option<Answer>,
}

/// Settings that somebody read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where.
    pub node: NodeId,
    /// The newest version that was acknowledged before.
    pub least: SettingsVersion,
    /// What was read.
    pub settings: Arc<Settings>,
}

impl Ledger {
    /// A change of the settings is asked for; the place of its note.
    pub fn tune(
        &self,
        command: ChangeSettings,
        request: Option<RequestId>,
        is_single: bool,
    ) -> usize {
        let mut notes = self.notes();
        notes.tuned.push(Tuned {
            command,
            request,
            is_single,
            told: None,
        });
        notes.tuned.len() - 1
    }

    /// What came of it.
    pub fn tuned(&self, place: usize, told: Answer) {
        if let Some(tuned) = self.notes().tuned.get_mut(place) {
            tuned.told = Some(told);
        }
    }
}

impl Verdict {
    /// Holds one change against the log.
    pub(super) fn tuned(&mut self, tuned: &Tuned, past: &Past, is_whole: bool) {
        let name = tuned.request.map(|name| (name.client, name.sequence));
        let places: Vec<&Changed> = past
            .changes()
            .iter()
            .filter(|changed| changed.name == name && changed.command == tuned.command)
            .collect();
        if tuned.is_single && places.len() > 1 {
            self.say(format!(
                "settings_hold: {:?} was asked for once and is in the log at {} and {}",
                tuned.command, places[0].index, places[1].index
            ));
        }
        let Some(told) = tuned.told else { return };
        let fits = |changed: &&&Changed| match told {
            Ok(version) => changed.result == Ok(version.0),
            Err(code) => changed.result == Err(code),
        };
        let found = places.iter().find(fits);
        self.judged += 1;
        match (told, found) {
            (Ok(_), Some(_)) => self.settings += 1,
            (Ok(version), None) if is_whole => self.say(format!(
                "settings_hold: {:?} was acknowledged with version {version}, and the log has \
                 {places:?}",
                tuned.command
            )),
            // What is not in the log was refused before it; of a name that is forgotten nothing is
            // said, and what nobody can say is no answer.
            (Err(code), None)
                if tuned.is_single
                    && code.definitely_not_applied()
                    && code != ErrorCode::SessionExpired =>
            {
                if let Some(changed) = places.iter().find(|changed| changed.result.is_ok()) {
                    self.say(format!(
                        "settings_hold: {:?} was refused with {code}, and the log made it at {}",
                        tuned.command, changed.index
                    ));
                }
            }
            _unsaid => {}
        }
    }

    /// Holds what was read against the log.
    pub(super) fn read(&mut self, read: &Read, past: &Past) {
        let Read {
            node,
            least,
            settings,
        } = read;
        let version = settings.version();
        self.judged += 1;
        if version < *least {
            self.say(format!(
                "settings_are_seen: node {node} showed version {version} when {least} had been \
                 acknowledged"
            ));
        }
        if past
            .board(version.0)
            .is_some_and(|board| !board.is(settings))
        {
            self.say(format!(
                "settings_are_seen: node {node} showed {settings:?}, and the log made {:?}",
                past.board(version.0)
            ));
        }
    }

    /// Every node knows what the log made.
    pub(super) fn set_alike(&mut self, past: &Past, nodes: &[Node]) {
        let board = past.last_board();
        for node in nodes {
            let settings = node.settings();
            if !board.is(&settings) {
                self.say(format!(
                    "settings_are_agreed: node {} has {settings:?}, and the log made {board:?}",
                    node.status().node
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hstore_core::auth::Author;
    use hstore_core::command::{Command, Proposal};
    use hstore_core::settings::{SettingChange, SettingValue};

    use super::super::{Notes, Tape, judge};
    use super::*;

    fn change(expected: Option<u64>, bytes: u64) -> ChangeSettings {
        ChangeSettings {
            expected: expected.map(SettingsVersion),
            changes: vec![SettingChange::set(None, SettingValue::CacheBytes(bytes))],
        }
    }

    /// The log: version 1, a change by somebody who had seen none, version 2, and that again.
    fn tape() -> Tape {
        let proposal = |command| Proposal {
            request: None,
            author: Author::Node,
            command: Command::ChangeSettings(command),
        };
        let changes = [(None, 1), (Some(0), 2), (Some(1), 3), (None, 4), (None, 4)];
        let proposals = changes.map(|(seen, mib)| proposal(change(seen, mib << 20)));
        Tape::of(vec![proposals.to_vec()])
    }

    fn broken(notes: &Notes) -> Vec<String> {
        judge(notes, &tape(), &BTreeSet::new(), &[]).broken
    }

    fn tuned(expected: Option<u64>, mib: u64, told: Answer) -> Notes {
        Notes {
            tuned: vec![Tuned {
                command: change(expected, mib << 20),
                request: None,
                is_single: true,
                told: Some(told),
            }],
            ..Notes::default()
        }
    }

    #[test]
    fn a_change_is_answered_with_what_the_log_made_of_it() {
        let conflict = Err(ErrorCode::Conflict);
        let version = |n| Ok(SettingsVersion(n));
        for (notes, is_good) in [
            (tuned(None, 1, version(1)), true),
            (tuned(Some(0), 2, conflict), true),
            (tuned(Some(1), 3, version(2)), true),
            (tuned(Some(1), 3, Err(ErrorCode::OutcomeUnknown)), true),
            // It never came so far.
            (tuned(None, 9, Err(ErrorCode::NoQuorum)), true),
            (tuned(None, 1, version(2)), false),
            (tuned(None, 1, conflict), false),
            (tuned(Some(0), 2, version(2)), false),
            (tuned(Some(1), 3, Err(ErrorCode::NoQuorum)), false),
            // It was lost, and it was done twice.
            (tuned(None, 9, version(3)), false),
            (tuned(None, 4, version(3)), false),
        ] {
            let found = broken(&notes);
            assert_eq!(found.is_empty(), is_good, "{notes:?}: {found:?}");
            assert!(found.iter().all(|how| how.starts_with("settings_hold")));
        }
    }

    #[test]
    fn a_read_shows_what_was_acknowledged_before_it() {
        let read = |least| Notes {
            read: vec![Read {
                node: NodeId(1),
                least: SettingsVersion(least),
                settings: Arc::default(),
            }],
            ..Notes::default()
        };
        assert!(broken(&read(0)).is_empty());
        let found = broken(&read(1));
        assert!(found.len() == 1 && found[0].starts_with("settings_are_seen"));
    }
}
