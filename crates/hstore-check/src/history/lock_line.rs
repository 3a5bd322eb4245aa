//! The line of a lock, as docs/history-format.md has it.

use hstore_core::id::Revision;
use serde::{Deserialize, Serialize};

use super::line::KeysLine;
use super::text::Text;
use super::{Grant, Lock};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockLine {
    line: KeysLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protects: Option<Text>,
    grants: Vec<GrantLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantLine {
    key: Text,
    token: i64,
    at: i64,
}

impl LockLine {
    pub(super) fn of(lock: &Lock) -> LockLine {
        LockLine {
            line: KeysLine::of(&lock.line),
            protects: lock.protects.clone().map(Text),
            grants: lock.grants.iter().map(GrantLine::of).collect(),
        }
    }

    pub(super) fn into_lock(self) -> Lock {
        let grants = self.grants.into_iter().map(GrantLine::into_grant);
        Lock {
            line: self.line.into_keys(),
            protects: self.protects.map(|key| key.0),
            grants: grants.collect(),
        }
    }
}

impl GrantLine {
    fn of(grant: &Grant) -> GrantLine {
        GrantLine {
            key: Text(grant.key.clone()),
            token: grant.token.0,
            at: grant.at.0,
        }
    }

    fn into_grant(self) -> Grant {
        Grant {
            key: self.key.0,
            token: Revision(self.token),
            at: Revision(self.at),
        }
    }
}
