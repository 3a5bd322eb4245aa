//! Elections: a lock whose key says something, and those who listen.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::claim;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_proto::etcdserverpb::PutRequest;
use tokio::time::sleep;

use super::fence::Fence;
use super::held::Held;
use super::line::first_of;
use crate::client::{Client, revision};
use crate::error::Error;
use crate::kv::KeyValue;
use crate::txn;
use crate::watch::Watch;

/// The pause after a call that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A leadership: a lock whose key says what the leader proclaims.
#[derive(Clone)]
pub struct Leadership {
    held: Held,
}

impl Leadership {
    pub(super) fn new(held: Held) -> Leadership {
        Leadership { held }
    }

    /// The key by which it is held.
    pub fn key(&self) -> &Bytes {
        self.held.key()
    }

    /// The name of the election.
    pub fn name(&self) -> &Bytes {
        self.held.name()
    }

    /// The fencing token. It grows from leader to leader.
    pub fn token(&self) -> Revision {
        self.held.token()
    }

    /// What the leader's writes are fenced with.
    pub fn fence(&self) -> &Fence {
        self.held.fence()
    }

    /// Waits until the leadership is lost.
    pub async fn lost(&self) {
        self.held.lost().await;
    }

    /// Says something else, if it leads still. Answers the revision that did.
    pub async fn proclaim(&self, value: impl Into<Bytes>) -> Result<Revision, Error> {
        let session = self.held.session();
        let put = PutRequest {
            key: self.key().clone(),
            value: value.into(),
            lease: session.lease(),
            ..PutRequest::default()
        };
        let said = session.client().fenced(self.fence(), vec![txn::write(put)]);
        match said.await {
            Ok(answer) => revision(answer.header.as_ref()),
            Err(Error::LockLost) => Err(Error::ElectionLost),
            Err(error) => Err(error),
        }
    }

    /// Gives the leadership back; whether it was still held.
    pub async fn resign(self) -> Result<bool, Error> {
        self.held.unlock().await
    }
}

impl Client {
    /// The key of who leads an election, with what it proclaims; none when nobody leads.
    pub async fn leader(&self, name: impl Into<Bytes>) -> Result<Option<KeyValue>, Error> {
        let request = first_of(claim::line(&name.into()));
        let found = self.range(request).await?;
        Ok(found.kvs.into_iter().next().map(KeyValue::from))
    }

    /// Follows who leads an election.
    pub fn observe(&self, name: impl Into<Bytes>) -> Observation {
        Observation {
            client: self.clone(),
            line: claim::line(&name.into()),
            watch: None,
            told: None,
            waiting: VecDeque::new(),
        }
    }
}

/// Follows who leads an election, whichever nodes come and go: each proclamation of each leader in
/// order, not necessarily all of them, and always the newest.
pub struct Observation {
    client: Client,
    line: KeyRange,
    /// What is followed: the leader's key, or the whole line while nobody leads.
    watch: Option<Followed>,
    /// The key that was told last, and the revision that wrote it. A successor's key may be older
    /// than the last word of its predecessor.
    told: Option<(Bytes, Revision)>,
    waiting: VecDeque<KeyValue>,
}

struct Followed {
    watch: Watch,
    is_led: bool,
}

impl Observation {
    /// The next proclamation; waits for it. What may pass is waited for, too.
    pub async fn next(&mut self) -> Result<KeyValue, Error> {
        loop {
            if let Some(pair) = self.waiting.pop_front() {
                let told = Some((pair.key.clone(), pair.mod_revision));
                if self.told != told {
                    self.told = told;
                    return Ok(pair);
                }
                continue;
            }
            match self.step().await {
                Ok(()) => {}
                Err(Error::Compacted { .. }) => self.watch = None,
                Err(error) if error.code().is_retryable() => {
                    self.watch = None;
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        let Some(followed) = &mut self.watch else {
            return self.look().await;
        };
        let batch = followed.watch.next().await?;
        if !followed.is_led {
            // The first key of a line that was empty leads it.
            let first = batch.changes.into_iter().find(|change| !change.deleted);
            if let Some(first) = first {
                let from = first.pair.mod_revision;
                self.watch = Some(self.follow(first.pair.key.clone(), from));
                self.waiting.push_back(first.pair);
            }
            return Ok(());
        }
        for change in batch.changes {
            if change.deleted {
                self.watch = None;
                break;
            }
            self.waiting.push_back(change.pair);
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), Error> {
        let found = self.client.range(first_of(self.line.clone())).await?;
        let at = revision(found.header.as_ref())?;
        self.watch = Some(match found.kvs.into_iter().next().map(KeyValue::from) {
            Some(pair) => {
                let followed = self.follow(pair.key.clone(), at);
                self.waiting.push_back(pair);
                followed
            }
            None => Followed {
                watch: self
                    .client
                    .watch(self.line.clone())
                    .from(at.next())
                    .without_deletions()
                    .begin(),
                is_led: false,
            },
        });
        Ok(())
    }

    fn follow(&self, key: Bytes, after: Revision) -> Followed {
        Followed {
            watch: self
                .client
                .watch(KeyRange::One(key))
                .from(after.next())
                .begin(),
            is_led: true,
        }
    }
}
