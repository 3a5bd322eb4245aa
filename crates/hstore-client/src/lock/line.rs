//! A place in a line: standing there, and waiting until nobody is before it.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::claim;
use hstore_core::id::Revision;
use hstore_core::key::KeyRange;
use hstore_proto::convert::keys;
use hstore_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use hstore_proto::etcdserverpb::response_op::Response as Done;
use hstore_proto::etcdserverpb::{PutRequest, RangeRequest, ResponseOp, TxnRequest};
use hstore_proto::mvccpb;
use tokio::time::sleep;

use super::fence::Fence;
use crate::client::{Client, range_request, revision};
use crate::error::Error;
use crate::kv::Read;
use crate::txn;
use crate::watch::Watch;

/// The pause after a call that failed, before the line is looked at again.
const PAUSE: Duration = Duration::from_millis(200);

/// A key that stands in line.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: Bytes,
    pub(super) fence: Fence,
    /// Whether nobody was before it when it stood there.
    pub(super) first: bool,
}

/// What a look at the line showed.
enum Look {
    /// Nobody is before it.
    First,
    /// The key before it, and as of when.
    Behind(Bytes, Revision),
    /// It is not in the line.
    Gone,
}

impl Place {
    /// Stands in line with a lease, with a value where one is proclaimed. A lease that stands there
    /// already keeps its place.
    pub(super) async fn stand(
        client: &Client,
        name: Bytes,
        lease: i64,
        value: Option<Bytes>,
    ) -> Result<Place, Error> {
        let key = claim::key(&name, lease);
        let free = Fence::new(key.clone(), Revision(0));
        let first = txn::read(first_of(claim::line(&name)));
        let own = txn::get(KeyRange::One(key.clone()));
        let put = PutRequest {
            key: key.clone(),
            value: value.clone().unwrap_or_default(),
            lease,
            ..PutRequest::default()
        };
        let answer = client
            .txn(TxnRequest {
                compare: vec![free.compare()],
                success: vec![txn::write(put.clone()), first.clone()],
                failure: vec![own, first],
            })
            .await?;
        let at = revision(answer.header.as_ref())?;
        let mut found = answer.responses.into_iter().map(found);
        let (own, first) = (found.next().flatten(), found.next().flatten());
        let token = match (answer.succeeded, own) {
            (true, _) => at,
            (false, None) => {
                return Err(Error::Nonsense {
                    what: "a transaction without its read",
                });
            }
            (false, Some(own)) => {
                let fence = Fence::new(key.clone(), Revision(own.create_revision));
                if value.is_some_and(|value| value != own.value) {
                    client.fenced(&fence, vec![txn::write(put)]).await?;
                }
                fence.token()
            }
        };
        Ok(Place {
            name,
            fence: Fence::new(key, token),
            first: first.is_some_and(|first| first.create_revision == token.0),
        })
    }

    /// Waits until nobody is before it, for as long as that takes: a node that is lost, or all of
    /// them, is waited for.
    pub(super) async fn turn(&self, client: &Client) -> Result<(), Error> {
        if self.first {
            return Ok(());
        }
        loop {
            let ended = match self.look(client).await {
                Ok(Look::First) => return Ok(()),
                Ok(Look::Gone) => return Err(Error::LockLost),
                Ok(Look::Behind(ahead, at)) => self.until_change(client, ahead, at).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) | Err(Error::Compacted { .. }) => {}
                Err(error) if error.code().is_retryable() => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the key is gone, or another one by its name.
    pub(super) async fn gone(&self, client: &Client) -> Result<(), Error> {
        loop {
            let ended = match self.look(client).await {
                Ok(Look::Gone) => return Ok(()),
                Ok(Look::First | Look::Behind(..)) => {
                    let mut watch = deletions(client, self.fence.key(), self.fence.token());
                    watch.next().await.map(drop)
                }
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) | Err(Error::Compacted { .. }) => {}
                Err(error) if error.code().is_retryable() => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes the key, if it is still the one that stands here; whether it was.
    pub(super) async fn leave(&self, client: &Client) -> Result<bool, Error> {
        let delete = txn::delete(KeyRange::One(self.fence.key().clone()));
        match client.fenced(&self.fence, vec![delete]).await {
            Ok(_deleted) => Ok(true),
            Err(Error::LockLost) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One linearizable read of the line up to the place, youngest first.
    async fn look(&self, client: &Client) -> Result<Look, Error> {
        let request = RangeRequest {
            sort_order: SortOrder::Descend.into(),
            sort_target: SortTarget::Create.into(),
            max_create_revision: self.fence.token().0,
            keys_only: true,
            limit: 2,
            ..range_request(claim::line(&self.name), Read::default(), 2)
        };
        let answer = client.range(request).await?;
        let at = revision(answer.header.as_ref())?;
        let mut pairs = answer.kvs.into_iter();
        let own = pairs.next().filter(|pair| {
            pair.key == *self.fence.key() && pair.create_revision == self.fence.token().0
        });
        Ok(match (own, pairs.next()) {
            (None, _) => Look::Gone,
            (Some(_own), None) => Look::First,
            (Some(_own), Some(ahead)) => Look::Behind(ahead.key, at),
        })
    }

    /// Waits until the own key or the one before it is deleted after a revision.
    async fn until_change(&self, client: &Client, ahead: Bytes, at: Revision) -> Result<(), Error> {
        let mut ahead = deletions(client, &ahead, at);
        let mut own = deletions(client, self.fence.key(), at);
        tokio::select! {
            batch = ahead.next() => batch.map(drop),
            batch = own.next() => batch.map(drop),
        }
    }
}

/// The deletions of a key after a revision.
fn deletions(client: &Client, key: &Bytes, after: Revision) -> Watch {
    client
        .watch(KeyRange::One(key.clone()))
        .from(after.next())
        .without_writes()
        .begin()
}

/// The oldest key of a line.
pub(super) fn first_of(line: KeyRange) -> RangeRequest {
    let (key, range_end) = keys::to_wire(line);
    RangeRequest {
        key,
        range_end,
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Create.into(),
        limit: 1,
        ..RangeRequest::default()
    }
}

/// The first pair that a step found.
fn found(step: ResponseOp) -> Option<mvccpb::KeyValue> {
    match step.response {
        Some(Done::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    }
}
