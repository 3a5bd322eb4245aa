//! A lease that is kept alive in the background, and what hangs on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::election::Leadership;
use super::held::Held;
use super::line::Place;
use crate::client::Client;
use crate::error::Error;

/// In how many parts the time of a lease is cut: it is renewed after one of them.
const RENEWALS_PER_TTL: u32 = 3;

/// The pause after a renewal that failed.
const PAUSE: Duration = Duration::from_millis(200);

/// A lease that is kept alive in the background. Locks and leaderships of a session go with it.
///
/// It is lost when the lease ended, or when nobody could be reached to renew it for its whole time.
/// That is counted from the moment in which the last renewal that succeeded was asked for, so that
/// a session knows that it is lost no later than others may. Time in which the whole machine sleeps
/// is not counted: only a [`Fence`](super::Fence) guards against that.
///
/// Clones are the same session. With the last one the renewals end, and the lease at its time;
/// [`Session::close`] ends it at once.
///
/// ```no_run
/// # async fn example(client: hstore_client::Client) -> Result<(), hstore_client::Error> {
/// use std::time::Duration;
///
/// let session = client.session(Duration::from_secs(10)).await?;
/// let lock = session.lock("jobs").await?;
/// let write = hstore_client::txn::put("jobs/state", "running");
/// client.fenced(lock.fence(), vec![write]).await?;
/// lock.unlock().await?;
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    client: Client,
    lease: i64,
    ttl: Duration,
    lost: watch::Receiver<bool>,
    /// The renewals end with the last clone.
    _keeper: Arc<Keeper>,
}

struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Begins a session whose lease lives for `ttl` without a renewal, in whole seconds and at least
    /// 2.
    pub async fn session(&self, ttl: Duration) -> Result<Session, Error> {
        let asked = Instant::now();
        let lease = self.grant_lease(ttl, None).await?;
        let (says, lost) = watch::channel(false);
        let keeping = keep(self.clone(), lease.id, lease.ttl, asked, says);
        Ok(Session {
            client: self.clone(),
            lease: lease.id,
            ttl: lease.ttl,
            lost,
            _keeper: Arc::new(Keeper(tokio::spawn(keeping))),
        })
    }
}

impl Session {
    /// The lease.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// How long it lives without a renewal.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The client that the session belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the lease must be taken for ended.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until the lease must be taken for ended.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // The end of the keeper is the end of the session, too.
        let _lost_or_ended = lost.wait_for(|lost| *lost).await;
    }

    /// Ends the lease, and with it everything that hangs on it.
    pub async fn close(self) -> Result<(), Error> {
        match self.client.revoke_lease(self.lease).await {
            Ok(_revision) => Ok(()),
            // It ended by itself.
            Err(error) if error.code() == crate::ErrorCode::LeaseNotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a lock; waits for as long as others hold it. A session takes a lock once: a second
    /// call is about the same key.
    ///
    /// When the call is dropped while it waits, the session's key stays in the line until the
    /// session ends; [`Session::lock_within`] takes it away.
    pub async fn lock(&self, name: impl Into<Bytes>) -> Result<Held, Error> {
        let place = self.stand(name.into(), None).await?;
        self.turn(&place).await?;
        Ok(Held::new(self.clone(), place))
    }

    /// The same, for so long at most; none when others hold it still. A time of zero takes the lock
    /// only when it is free.
    pub async fn lock_within(
        &self,
        name: impl Into<Bytes>,
        time: Duration,
    ) -> Result<Option<Held>, Error> {
        let until = Instant::now().checked_add(time);
        let place = self.stand(name.into(), None).await?;
        if place.first {
            return Ok(Some(Held::new(self.clone(), place)));
        }
        let turn = self.turn(&place);
        let ended = match until {
            Some(until) => timeout_at(until, turn).await,
            None => Ok(turn.await),
        };
        match ended {
            Ok(Ok(())) => Ok(Some(Held::new(self.clone(), place))),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => {
                place.leave(&self.client).await?;
                Ok(None)
            }
        }
    }

    /// Stands for election with a value; waits for as long as others lead.
    pub async fn campaign(
        &self,
        name: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Leadership, Error> {
        let won = async {
            let place = self.stand(name.into(), Some(value.into())).await?;
            self.turn(&place).await?;
            Ok(Leadership::new(Held::new(self.clone(), place)))
        };
        won.await.map_err(|error| match error {
            Error::LockLost => Error::ElectionLost,
            error => error,
        })
    }

    async fn stand(&self, name: Bytes, value: Option<Bytes>) -> Result<Place, Error> {
        tokio::select! {
            biased;
            () = self.lost() => Err(Error::LockLost),
            place = Place::stand(&self.client, name, self.lease, value) => place,
        }
    }

    async fn turn(&self, place: &Place) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.lost() => Err(Error::LockLost),
            turn = place.turn(&self.client) => turn,
        }
    }
}

/// Renews a lease until it is gone, or has not been renewed for its whole time.
async fn keep(
    client: Client,
    lease: i64,
    ttl: Duration,
    granted: Instant,
    says: watch::Sender<bool>,
) {
    let mut good_until = granted + ttl;
    loop {
        sleep_until(good_until.min(Instant::now() + ttl / RENEWALS_PER_TTL)).await;
        let asked = Instant::now();
        let patient = client
            .clone()
            .with_timeout(good_until.saturating_duration_since(asked))
            .patient();
        match timeout_at(good_until, patient.renew_lease(lease)).await {
            Ok(Ok(Some(time))) => good_until = asked + time,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                tracing::debug!(lease, %error, "a lease was not renewed");
                sleep(PAUSE).await;
            }
            Err(_elapsed) => {}
        }
        if Instant::now() >= good_until {
            break;
        }
    }
    // Nobody may listen.
    says.send_replace(true);
}
