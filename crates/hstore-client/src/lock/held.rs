//! A lock that is held.

use bytes::Bytes;
use hstore_core::id::Revision;

use super::fence::Fence;
use super::line::Place;
use super::session::Session;
use crate::error::Error;

/// A lock that was held when it was answered. Whether it still is, nobody can know for certain but
/// the transaction that compares its [`Fence`].
#[derive(Clone)]
pub struct Held {
    session: Session,
    place: Place,
}

impl Held {
    pub(super) fn new(session: Session, place: Place) -> Held {
        Held { session, place }
    }

    /// The key by which it is held.
    pub fn key(&self) -> &Bytes {
        self.place.fence.key()
    }

    /// The fencing token: the revision that created the key. It grows from holder to holder.
    pub fn token(&self) -> Revision {
        self.place.fence.token()
    }

    /// What writes are fenced with.
    pub fn fence(&self) -> &Fence {
        &self.place.fence
    }

    /// The session that it hangs on.
    pub fn session(&self) -> &Session {
        &self.session
    }

    pub(super) fn name(&self) -> &Bytes {
        &self.place.name
    }

    /// Waits until the lock is lost: its key is gone, or the session is lost. Whoever works under
    /// the lock stops then.
    pub async fn lost(&self) {
        let gone = async {
            // What cannot be looked at leaves the session to tell.
            if self.place.gone(self.session.client()).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.session.lost() => {}
            () = gone => {}
        }
    }

    /// Gives the lock back; whether it was still held.
    pub async fn unlock(self) -> Result<bool, Error> {
        self.place.leave(self.session.client()).await
    }
}
