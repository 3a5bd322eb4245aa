//! What keeps the writes of a former holder out.

use bytes::Bytes;
use hstore_core::id::Revision;
use hstore_proto::etcdserverpb::{Compare, RequestOp, TxnRequest, TxnResponse};

use crate::client::Client;
use crate::error::Error;
use crate::txn::{self, Relation, Target};

/// The proof that a lock was held: its key, and the revision that created the key. Compared in the
/// transaction that writes, it holds exactly as long as the lock does, whatever the writer believes.
///
/// The revision grows from holder to holder. Where the protected thing is not in the store, hand
/// the revision to it and let it refuse what comes with a smaller one than it saw.
///
/// ```
/// use hstore_client::Fence;
/// use hstore_client::etcdserverpb::TxnRequest;
/// use hstore_core::id::Revision;
///
/// let fence = Fence::new("jobs/7587", Revision(12));
/// let mut txn = TxnRequest::default();
/// fence.guard(&mut txn);
/// assert_eq!(txn.compare.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    key: Bytes,
    token: Revision,
}

impl Fence {
    /// The fence of a key that was created at this revision.
    pub fn new(key: impl Into<Bytes>, token: Revision) -> Fence {
        Fence {
            key: key.into(),
            token,
        }
    }

    /// The key by which the lock is held.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The fencing token: the revision that created the key.
    pub fn token(&self) -> Revision {
        self.token
    }

    /// The comparison that holds as long as the lock is held.
    pub fn compare(&self) -> Compare {
        let created = Target::CreateRevision(self.token.0);
        txn::compare(self.key.clone(), Relation::Equal, created)
    }

    /// Adds the comparison to a transaction: its `success` runs only while the lock is held.
    pub fn guard(&self, txn: &mut TxnRequest) {
        txn.compare.push(self.compare());
    }
}

impl Client {
    /// Does all of it in one revision if the lock is still held, and otherwise nothing, with the
    /// error `LockLost`.
    pub async fn fenced(&self, fence: &Fence, steps: Vec<RequestOp>) -> Result<TxnResponse, Error> {
        let mut txn = TxnRequest {
            success: steps,
            ..TxnRequest::default()
        };
        fence.guard(&mut txn);
        let answer = self.txn(txn).await?;
        if answer.succeeded {
            Ok(answer)
        } else {
            Err(Error::LockLost)
        }
    }
}
