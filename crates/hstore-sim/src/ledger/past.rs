//! The committed log gone through once: what each request was allowed at its place, and who might do
//! what after each entry.
//!
//! Invariant: a request counts where it stands first; repeated, it is answered again and not done.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use hstore_check::rights::Users;
use hstore_core::alarm::{AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::command::{Command, Operation, Proposal, Txn};
use hstore_core::error::ErrorCode;
use hstore_core::id::{LogIndex, NodeId};
use hstore_core::settings::ChangeSettings;

use super::board::Board;
use super::{Tape, Told};

/// What the log says of one request.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    /// Where it stands first.
    pub(super) index: LogIndex,
    /// Who asked, as the log has it.
    pub(super) author: Author,
    /// Whether they might; none when nobody can tell.
    pub(super) may: Option<Told>,
    /// Whether there was no room for it.
    pub(super) is_full: bool,
    /// What a change of users came to.
    pub(super) changed: Option<Told>,
    /// What it was, in a word.
    pub(super) what: &'static str,
}

/// A change of the settings, as it stands in the log.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    /// Where.
    pub(super) index: LogIndex,
    /// Under which name of a request, if it has one.
    pub(super) name: Option<(u64, u64)>,
    /// What was asked for.
    pub(super) command: ChangeSettings,
    /// The version that it led to, or why it was refused.
    pub(super) result: Result<u64, ErrorCode>,
}

/// Everything that the log says.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// The last entry that was gone through.
    pub(super) upto: LogIndex,
    decided: BTreeMap<(u64, u64), Decided>,
    /// Who might do what from an entry on.
    states: BTreeMap<LogIndex, Rc<Users>>,
    /// Where a value was written first, if it was.
    values: BTreeMap<Bytes, LogIndex>,
    /// Values that had to be refused.
    forbidden: Vec<(Bytes, LogIndex, ErrorCode)>,
    /// How many requests met a lack of room.
    pub(super) full: u64,
    /// The settings by their versions, but for version 0: then nothing is set.
    boards: BTreeMap<u64, Board>,
    changes: Vec<Changed>,
}

impl Past {
    pub(super) fn of(tape: &Tape) -> Past {
        let mut past = Past::default();
        let mut users = Users::default();
        let mut alarms: BTreeSet<(AlarmKind, NodeId)> = BTreeSet::new();
        past.states.insert(LogIndex(0), Rc::new(users.clone()));
        for (index, proposals) in tape.proposals() {
            let before = users.standing();
            for proposal in proposals.into_iter().flatten() {
                past.proposed(index, proposal, &mut users, &mut alarms);
            }
            if users.standing() != before {
                past.states.insert(index, Rc::new(users.clone()));
            }
            past.upto = index;
        }
        past
    }

    fn proposed(
        &mut self,
        index: LogIndex,
        proposal: Proposal,
        users: &mut Users,
        alarms: &mut BTreeSet<(AlarmKind, NodeId)>,
    ) {
        let Proposal {
            request,
            author,
            command,
        } = proposal;
        let name = request.map(|request| (request.client, request.sequence));
        if name.is_some_and(|name| self.decided.contains_key(&name)) {
            return;
        }
        let may = users.may(&author, &command);
        let may_be_done = matches!(may, Some(Ok(())) | None);
        let has_room = !alarms.iter().any(|(kind, _)| *kind == AlarmKind::NoSpace);
        let is_full = may_be_done && !has_room && grows(&command);
        self.full += u64::from(is_full);
        let forbidden = match may {
            Some(Err(code)) => Some(code),
            _ => is_full.then_some(ErrorCode::NoSpace),
        };
        for value in values_of(&command) {
            if let Some(code) = forbidden {
                self.forbidden.push((value.clone(), index, code));
            }
            self.values.entry(value).or_insert(index);
        }
        let mut changed = None;
        if forbidden.is_none() {
            match &command {
                Command::Auth(change) => changed = Some(users.change(change)),
                Command::Alarm(AlarmChange::Raise(alarm)) => {
                    alarms.insert((alarm.kind, alarm.node));
                }
                Command::Alarm(AlarmChange::Clear { kind, node }) => {
                    alarms.remove(&(*kind, *node));
                }
                _ => {}
            }
        }
        if let Some(name) = name {
            let decided = Decided {
                index,
                author,
                may,
                is_full,
                changed,
                what: word_for(&command),
            };
            self.decided.insert(name, decided);
        }
        if let Command::ChangeSettings(command) = command {
            let result = match forbidden {
                Some(code) => Err(code),
                None => self.set(&command, index),
            };
            self.changes.push(Changed {
                index,
                name,
                command,
                result,
            });
        }
    }

    fn set(&mut self, command: &ChangeSettings, at: LogIndex) -> Result<u64, ErrorCode> {
        let mut board = self.last_board();
        let version = board.change(command, at)?;
        self.boards.insert(version, board);
        Ok(version)
    }

    /// What was set last.
    pub(super) fn last_board(&self) -> Board {
        let last = self.boards.values().next_back();
        last.cloned().unwrap_or_default()
    }

    /// What was set at a version; none when the log does not say.
    pub(super) fn board(&self, version: u64) -> Option<&Board> {
        self.boards.get(&version)
    }

    /// The changes of the settings, in their order.
    pub(super) fn changes(&self) -> &[Changed] {
        &self.changes
    }

    /// What the log says of a request; none when it is not in there.
    pub(super) fn decided(&self, client: u64, sequence: u64) -> Option<&Decided> {
        self.decided.get(&(client, sequence))
    }

    /// Where a value was written first.
    pub(super) fn index_of(&self, value: &Bytes) -> Option<LogIndex> {
        self.values.get(value).copied()
    }

    /// Values that had to be refused: where, and why.
    pub(super) fn forbidden(&self) -> &[(Bytes, LogIndex, ErrorCode)] {
        &self.forbidden
    }

    /// Who might do what somewhere between two entries, the state after each of them included; none
    /// when the stretch is not known whole.
    pub(super) fn states(
        &self,
        from: LogIndex,
        upto: LogIndex,
    ) -> Option<impl Iterator<Item = &Users>> {
        if upto > self.upto || from > upto {
            return None;
        }
        let first = self.states.range(..=from).next_back()?.0;
        Some(self.states.range(first..=&upto).map(|(_, users)| &**users))
    }

    /// Who may do what in the end.
    pub(super) fn last(&self) -> Option<&Users> {
        self.states.values().next_back().map(|users| &**users)
    }
}

/// Whether a command makes the store larger.
fn grows(command: &Command) -> bool {
    fn writes(txn: &Txn) -> bool {
        let mut steps = txn.then.iter().chain(&txn.otherwise);
        steps.any(|step| match step {
            Operation::Put(_) => true,
            Operation::Txn(txn) => writes(txn),
            Operation::Delete(_) | Operation::Range(_) => false,
        })
    }
    match command {
        Command::GrantLease(_) | Command::Put(_) => true,
        Command::Txn(txn) => writes(txn),
        _ => false,
    }
}

/// The values that a command would write.
fn values_of(command: &Command) -> Vec<Bytes> {
    fn collect(txn: &Txn, values: &mut Vec<Bytes>) {
        for step in txn.then.iter().chain(&txn.otherwise) {
            match step {
                Operation::Put(put) => values.push(put.value.clone()),
                Operation::Txn(txn) => collect(txn, values),
                Operation::Delete(_) | Operation::Range(_) => {}
            }
        }
    }
    let mut values = Vec::new();
    match command {
        Command::Put(put) => values.push(put.value.clone()),
        Command::Txn(txn) => collect(txn, &mut values),
        _ => {}
    }
    values
}

fn word_for(command: &Command) -> &'static str {
    match command {
        Command::Auth(_) => "a change of users",
        Command::ChangeSettings(_) => "a change of settings",
        Command::Compact(_) => "a compaction",
        Command::Delete(_) => "a deletion",
        Command::Put(_) => "a put",
        Command::Txn(_) => "a transaction",
        _ => "a command",
    }
}
