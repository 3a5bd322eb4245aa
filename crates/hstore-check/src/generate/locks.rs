//! Made up runs of a lock, and what can go wrong with one.

use bytes::Bytes;
use hstore_core::command::{Delete, Put};
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_core::outcome::Reply;

use super::Chance;
use crate::history::{
    Call, ClientId, Grant, History, Lock, LogEntry, LogRecord, Moment, OperationId,
};
use crate::recorder::Recorder;
use crate::violation::Kind;

const PROTECTED: &str = "data";
const LINE: [&str; 4] = ["l/1", "l/2", "l/3", "l/4"];

/// A run of so many revisions.
pub(super) fn good(seed: u64, revisions: u64) -> History {
    let mut run = Run::new(seed);
    for _ in 0..revisions {
        run.step();
    }
    run.finish()
}

/// A run at whose end something is wrong.
pub(super) fn bad(seed: u64, revisions: u64, planted: PlantedLock) -> History {
    let mut run = Run::new(seed);
    for _ in 0..revisions {
        run.step();
    }
    while let Some((key, _token)) = run.line.first().copied() {
        run.write(key, None);
        run.line.remove(0);
    }
    planted.plant(&mut run);
    run.finish()
}

struct Run {
    chance: Chance,
    revision: i64,
    recorder: Recorder,
    /// Who stands in line, with their tokens.
    line: Vec<(&'static str, Revision)>,
    grants: Vec<Grant>,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            chance: Chance::new(seed),
            revision: 1,
            recorder: Recorder::new(),
            line: Vec::new(),
            grants: Vec::new(),
        }
    }

    fn write(&mut self, key: &'static str, value: Option<String>) -> Revision {
        self.revision += 1;
        let revision = Revision(self.revision);
        let value = value.map(Bytes::from);
        let id = self.asked(key.into(), value.clone(), revision);
        self.recorder.log([LogEntry {
            revision,
            records: vec![LogRecord {
                key: key.into(),
                value,
            }],
            operation: Some(id),
        }]);
        revision
    }

    fn asked(&mut self, key: Bytes, value: Option<Bytes>, revision: Revision) -> OperationId {
        let (call, reply) = if let Some(value) = value {
            let put = Put {
                key,
                value,
                lease: 0,
                prev_kv: false,
                ignore_value: false,
                ignore_lease: false,
            };
            (Call::Put(put), Reply::Put { previous: None })
        } else {
            let delete = Delete {
                keys: KeyRange::One(key),
                prev_kv: false,
            };
            let (deleted, previous) = (1, Vec::new());
            (Call::Delete(delete), Reply::Delete { deleted, previous })
        };
        let now = revision.0.unsigned_abs() * 10;
        let id = self.recorder.invoke(ClientId(1), Moment(now), call);
        self.recorder.answer(id, Moment(now + 5), revision, reply);
        id
    }

    fn stand(&mut self, key: &'static str) -> Revision {
        let token = self.write(key, Some("here".to_owned()));
        self.line.push((key, token));
        token
    }

    fn grant(&mut self, key: &'static str, token: Revision) {
        self.grants.push(Grant {
            key: key.into(),
            token,
            at: Revision(self.revision),
        });
    }

    fn fenced(&mut self, token: Revision) {
        self.write(PROTECTED, Some(format!("{token}.by its holder")));
    }

    fn step(&mut self) {
        let key = *self.chance.pick(&LINE);
        let stands = self.line.iter().position(|(other, _token)| *other == key);
        match (stands, self.chance.below(4)) {
            (None, 0..3) => {
                self.stand(key);
            }
            // Its lease ended, or it gave up.
            (Some(place), 0) => {
                self.line.remove(place);
                self.write(key, None);
            }
            // It wrote something into its key.
            (Some(_), 1) => {
                self.write(key, Some("still here".to_owned()));
            }
            _ => {
                let Some((key, token)) = self.line.first().copied() else {
                    return;
                };
                self.grant(key, token);
                if self.chance.percent(60) {
                    self.fenced(token);
                }
            }
        }
    }

    fn finish(self) -> History {
        let mut history = self.recorder.finish();
        history.locks.push(Lock {
            line: KeyRange::prefix(&"l/".into()),
            protects: Some(PROTECTED.into()),
            grants: self.grants,
        });
        history
    }
}

macro_rules! planted {
    ($($(#[$doc:meta])* $name:ident, $kind:ident;)*) => {
        /// A violation of a lock that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PlantedLock {
            $($(#[$doc])* $name,)*
        }

        impl PlantedLock {
            /// Every violation of the catalogue.
            pub const ALL: &'static [PlantedLock] = &[$(PlantedLock::$name,)*];

            /// As what it must be found.
            pub fn kind(self) -> Kind {
                match self { $(PlantedLock::$name => Kind::$kind,)* }
            }
        }
    };
}

planted! {
    /// The second in line is told that it holds the lock.
    SecondHolds, LockShared;
    /// Somebody holds the lock whose key went while they waited.
    GoneHolds, LockUnheld;
    /// Somebody holds the lock with the token of a former life of their key.
    FormerTokenHolds, LockUnheld;
    /// A former holder writes when nobody holds the lock.
    FormerWrites, FenceBroken;
    /// A former holder writes while the next one holds the lock.
    FormerWritesBeside, FenceBroken;
    /// What is no token is written.
    UnfencedWrites, FenceBroken;
    /// Who holds writes after the one behind it in line did.
    OlderWritesAfterNewer, TokenWentBack;
}

impl PlantedLock {
    fn plant(self, run: &mut Run) {
        use PlantedLock as P;
        let first = run.stand(LINE[0]);
        let second = run.stand(LINE[1]);
        run.grant(LINE[0], first);
        run.fenced(first);
        match self {
            P::SecondHolds => run.grant(LINE[1], second),
            P::GoneHolds => {
                run.write(LINE[0], None);
                run.grant(LINE[0], first);
            }
            P::FormerTokenHolds => {
                run.write(LINE[1], None);
                run.write(LINE[0], None);
                run.stand(LINE[0]);
                run.grant(LINE[0], first);
            }
            P::FormerWrites => {
                run.write(LINE[1], None);
                run.write(LINE[0], None);
                run.fenced(first);
            }
            P::FormerWritesBeside => {
                run.write(LINE[0], None);
                run.grant(LINE[1], second);
                run.fenced(first);
            }
            P::UnfencedWrites => {
                run.write(PROTECTED, Some("just so".to_owned()));
            }
            P::OlderWritesAfterNewer => {
                run.fenced(second);
                run.fenced(first);
            }
        }
    }
}
