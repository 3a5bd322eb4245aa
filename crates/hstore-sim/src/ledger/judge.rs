//! The laws of rights and of room, and those of [`super::settings`], judged by the committed log once all is calm.
//!
//! 1. `rights_hold`: what went through the log was answered as whoever asked might at its very
//!    place; what was decided elsewhere, as of some place between which it was decided.
//! 2. `rights_leave_no_trace`: what had to be refused, for want of rights or of room, wrote nothing.
//! 3. `rights_name_who_asks`: the log has whoever asked, and nobody else.
//! 4. `watches_end_with_rights`: nobody is told what was written when they might not read it any
//!    more.
//! 5. `rights_are_agreed`: in the end every node knows the users and roles that the log made.
//! 6. `room_is_minded`: while an alarm of the log is raised what grows is refused, and nothing else
//!    is, and otherwise nothing is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::error::ErrorCode;
use hstore_core::id::LogIndex;
use hstore_node::Node;

use super::past::{Decided, Past};
use super::{Asked, Heard, Looked, Notes, Tape, Told, applied};

/// The most broken laws that are told of.
const BROKEN_MAX: usize = 5;

/// What the laws found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How the laws are broken.
    pub broken: Vec<String>,
    /// What was held against the log.
    pub judged: u64,
    /// Of that so many were refused for want of rights.
    pub denied: u64,
    /// Requests that met a lack of room.
    pub full: u64,
    /// Changes of the settings that were acknowledged and are in the log.
    pub settings: u64,
    /// How far the log is known whole.
    pub upto: LogIndex,
}

/// Judges what was noted. `written` is every value that any revision of the store has.
pub fn judge(notes: &Notes, tape: &Tape, written: &BTreeSet<Bytes>, nodes: &[Node]) -> Verdict {
    let past = Past::of(tape);
    let mut verdict = Verdict {
        full: past.full,
        upto: past.upto,
        ..Verdict::default()
    };
    let is_whole = nodes.iter().all(|node| applied(node) <= past.upto);
    for asked in &notes.asked {
        verdict.asked(asked, &past, is_whole);
    }
    verdict.named(notes, &past);
    for looked in &notes.looked {
        verdict.looked(looked, &past);
    }
    for heard in &notes.heard {
        verdict.heard(heard, &past);
    }
    for tuned in &notes.tuned {
        verdict.tuned(tuned, &past, is_whole);
    }
    for read in &notes.read {
        verdict.read(read, &past);
    }
    for (value, index, code) in past.forbidden() {
        if written.contains(value) {
            let shown: String = String::from_utf8_lossy(value).chars().take(12).collect();
            verdict.say(format!(
                "rights_leave_no_trace: {shown:?} at {index} had to be refused with {code}, and \
                 was written"
            ));
        }
    }
    if is_whole {
        verdict.agreed(&past, nodes);
        verdict.set_alike(&past, nodes);
    }
    verdict
}

impl Verdict {
    pub(super) fn say(&mut self, what: String) {
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(what);
        }
    }

    fn count(&mut self, told: Told) {
        self.judged += 1;
        self.denied += u64::from(told.is_err_and(is_of_rights));
    }

    fn asked(&mut self, asked: &Asked, past: &Past, is_whole: bool) {
        let Some(told) = asked.told else { return };
        let request = asked.request;
        let Some(decided) = past.decided(request.client, request.sequence) else {
            if is_whole && told != Err(ErrorCode::SessionExpired) {
                let of_room = told == Err(ErrorCode::NoSpace);
                let law = law_of(of_room);
                self.say(format!(
                    "{law}: request {}/{} was answered {told:?} and is not in the log",
                    request.client, request.sequence
                ));
            }
            return;
        };
        // Nothing was decided but that it was too late to ask.
        if matches!(
            told,
            Err(ErrorCode::SessionExpired | ErrorCode::OutcomeUnknown)
        ) {
            return;
        }
        self.count(told);
        if let Some(expected) = wrong(told, decided) {
            let Decided {
                index,
                author,
                what,
                ..
            } = decided;
            let of_room = decided.is_full || told == Err(ErrorCode::NoSpace);
            let law = law_of(of_room);
            self.say(format!(
                "{law}: {what} at {index} of {author:?} was answered {told:?}, and {expected}"
            ));
        }
    }

    /// Of each request the log has the author of some attempt.
    fn named(&mut self, notes: &Notes, past: &Past) {
        let mut authors: BTreeMap<(u64, u64), Vec<&Author>> = BTreeMap::new();
        for Asked {
            request, author, ..
        } in &notes.asked
        {
            let name = (request.client, request.sequence);
            authors.entry(name).or_default().push(author);
        }
        for ((client, sequence), authors) in authors {
            let Some(decided) = past.decided(client, sequence) else {
                continue;
            };
            if !authors.contains(&&decided.author) {
                self.say(format!(
                    "rights_name_who_asks: {} at {} is of {:?}, and {authors:?} asked",
                    decided.what, decided.index, decided.author
                ));
            }
        }
    }

    fn looked(&mut self, looked: &Looked, past: &Past) {
        let Some(states) = past.states(looked.from, looked.upto) else {
            return;
        };
        self.count(looked.told);
        let mut said = states.map(|users| users.may_read(&looked.author, &looked.keys));
        if !said.any(|said| said == looked.told) {
            let Looked {
                what,
                author,
                keys,
                from,
                upto,
                told,
            } = looked;
            self.say(format!(
                "rights_hold: {what} of {keys:?} by {author:?} was answered {told:?} between {from} \
                 and {upto}"
            ));
        }
    }

    fn heard(&mut self, heard: &Heard, past: &Past) {
        for value in &heard.values {
            let Some(index) = past.index_of(value) else {
                continue;
            };
            if index <= heard.made {
                continue;
            }
            let Some(mut states) = past.states(index, heard.upto) else {
                continue;
            };
            self.judged += 1;
            if !states.any(|users| users.may_read(&heard.author, &heard.keys).is_ok()) {
                self.say(format!(
                    "watches_end_with_rights: {:?} was told what was written at {index}, and might \
                     not read {:?} from then to {}",
                    heard.author, heard.keys, heard.upto
                ));
            }
        }
    }

    fn agreed(&mut self, past: &Past, nodes: &[Node]) {
        let Some(users) = past.last() else { return };
        for node in nodes {
            let auth = node.auth();
            let names: (Vec<&str>, Vec<&str>) = (auth.users().collect(), auth.roles().collect());
            let standing = (auth.is_enabled(), auth.revision().0);
            if standing != users.standing() || names != users.names() {
                self.say(format!(
                    "rights_are_agreed: node {} is at {standing:?} with {names:?}, the log at {:?} \
                     with {:?}",
                    node.status().node,
                    users.standing(),
                    users.names()
                ));
            }
        }
    }
}

/// Which law an answer breaks that was wrong.
fn law_of(room: bool) -> &'static str {
    if room {
        "room_is_minded"
    } else {
        "rights_hold"
    }
}

fn is_of_rights(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AuthRevisionOld | ErrorCode::PermissionDenied | ErrorCode::UserEmpty
    )
}

/// What had to be said, in words, when something else was.
fn wrong(told: Told, decided: &Decided) -> Option<String> {
    let expected = match decided.may {
        Some(Err(code)) => Some(Err(code)),
        _ if decided.is_full => Some(Err(ErrorCode::NoSpace)),
        None => return None,
        Some(Ok(())) => decided.changed,
    };
    if let Some(expected) = expected {
        return (told != expected).then(|| format!("it had to be {expected:?}"));
    }
    // It may still be refused for what is in the store.
    let is_wrong = told.is_err_and(|code| is_of_rights(code) || code == ErrorCode::NoSpace);
    is_wrong.then(|| "nothing there forbids it".to_owned())
}

#[cfg(test)]
mod tests {
    use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
    use hstore_core::auth::{AuthCommand, TokenKey};
    use hstore_core::command::{Command, Proposal, Put, RequestId};
    use hstore_core::id::NodeId;
    use hstore_core::key::KeyRange;

    use super::*;

    fn request(sequence: u64) -> RequestId {
        RequestId {
            client: 1,
            sequence,
            answered_below: 1,
            born: LogIndex(0),
        }
    }

    fn put(sequence: u64) -> Proposal {
        let value = Bytes::from(format!("v{sequence}"));
        Proposal {
            request: Some(request(sequence)),
            author: Author::Nobody,
            command: Command::Put(Put {
                key: "a".into(),
                value,
                lease: 0,
                prev_kv: false,
                ignore_value: false,
                ignore_lease: false,
            }),
        }
    }

    fn by_node(command: Command) -> Proposal {
        Proposal {
            request: None,
            author: Author::Node,
            command,
        }
    }

    /// A put that may be done, one while an alarm is raised, one after it and one that nobody may.
    fn tape() -> Tape {
        let (kind, node) = (AlarmKind::NoSpace, NodeId(1));
        let raise = AlarmChange::Raise(Alarm {
            kind,
            node,
            automatic: true,
        });
        let (name, role): (std::sync::Arc<str>, _) = ("root".into(), "root".into());
        let add = AuthCommand::UserAdd {
            name: name.clone(),
            password: None,
        };
        let give = AuthCommand::GrantRole { user: name, role };
        let enable = AuthCommand::Enable {
            key: TokenKey([1; 32]),
        };
        Tape::of(vec![
            vec![put(1), by_node(Command::Alarm(raise)), put(2)],
            vec![
                by_node(Command::Alarm(AlarmChange::Clear { kind, node })),
                put(3),
            ],
            vec![
                by_node(Command::Auth(add)),
                by_node(Command::Auth(give)),
                by_node(Command::Auth(enable)),
                put(4),
            ],
        ])
    }

    fn notes(told: &[(u64, Told)]) -> Notes {
        let asked = told.iter().map(|(sequence, told)| Asked {
            request: request(*sequence),
            author: Author::Nobody,
            told: Some(*told),
        });
        Notes {
            asked: asked.collect(),
            ..Notes::default()
        }
    }

    fn broken(notes: &Notes, written: &[&'static str]) -> Vec<String> {
        let written = written
            .iter()
            .map(|value| Bytes::from_static(value.as_bytes()));
        judge(notes, &tape(), &written.collect(), &[]).broken
    }

    #[test]
    fn answers_are_those_of_their_places_in_the_log() {
        let (full, nobody) = (Err(ErrorCode::NoSpace), Err(ErrorCode::UserEmpty));
        let good = [(1, Ok(())), (2, full), (3, Ok(())), (4, nobody)];
        assert!(broken(&notes(&good), &["v1", "v3"]).is_empty());
        for (bad, law) in [
            ((1, full), "room_is_minded"),
            ((2, Ok(())), "room_is_minded"),
            ((3, full), "room_is_minded"),
            ((1, nobody), "rights_hold"),
            ((4, Ok(())), "rights_hold"),
            ((5, Ok(())), "rights_hold"),
            ((5, full), "room_is_minded"),
        ] {
            let found = broken(&notes(&[bad]), &[]);
            assert!(
                found.len() == 1 && found[0].starts_with(law),
                "{bad:?}: {found:?}"
            );
        }
    }

    #[test]
    fn what_had_to_be_refused_wrote_nothing_and_is_of_whoever_asked() {
        for value in ["v2", "v4"] {
            let found = broken(&Notes::default(), &[value]);
            assert!(found.len() == 1 && found[0].starts_with("rights_leave_no_trace"));
        }
        let mut other = notes(&[(1, Ok(()))]);
        other.asked[0].author = Author::Node;
        let found = broken(&other, &[]);
        assert!(found.len() == 1 && found[0].starts_with("rights_name_who_asks"));
    }

    #[test]
    fn what_was_decided_in_a_stretch_is_of_one_of_its_places() {
        let looked = |from, upto, told| Looked {
            what: "a read",
            author: Author::Nobody,
            keys: KeyRange::all(),
            from: LogIndex(from),
            upto: LogIndex(upto),
            told,
        };
        let nobody = Err(ErrorCode::UserEmpty);
        for (looked, is_good) in [
            (looked(1, 2, Ok(())), true),
            (looked(1, 3, Ok(())), true),
            (looked(1, 3, nobody), true),
            (looked(3, 3, nobody), true),
            (looked(1, 2, nobody), false),
            (looked(3, 3, Ok(())), false),
            // The log is not known as far.
            (looked(4, 4, Ok(())), true),
        ] {
            let notes = Notes {
                looked: vec![looked],
                ..Notes::default()
            };
            assert_eq!(broken(&notes, &[]).is_empty(), is_good, "{notes:?}");
        }
    }

    #[test]
    fn nobody_is_told_what_was_written_after_their_rights_were_taken() {
        let heard = |made, upto, value: &'static str| Notes {
            heard: vec![Heard {
                author: Author::Nobody,
                keys: KeyRange::all(),
                made: LogIndex(made),
                upto: LogIndex(upto),
                values: vec![Bytes::from_static(value.as_bytes())],
            }],
            ..Notes::default()
        };
        assert!(broken(&heard(1, 3, "v3"), &[]).is_empty());
        assert!(broken(&heard(3, 3, "v4"), &[]).is_empty());
        let found = broken(&heard(1, 3, "v4"), &[]);
        assert!(found.len() == 1 && found[0].starts_with("watches_end_with_rights"));
    }
}
