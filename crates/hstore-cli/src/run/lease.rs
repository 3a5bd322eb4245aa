//! `lease`: for how long keys are needed.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::args::Lease;
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::Context;

pub(super) async fn run(context: &Context, what: &Lease) -> Result<Data, Failure> {
    match what {
        Lease::Grant { ttl, id } => {
            let lease = context.client.grant_lease(*ttl, *id).await?;
            Ok(Data::Lease(lease))
        }
        Lease::Renew { lease, once } => {
            let ttl = renewed(context, *lease).await?;
            if *once {
                return Ok(Data::Renewed { lease: *lease, ttl });
            }
            keep_alive(context, *lease, ttl).await
        }
        Lease::Revoke { lease } => {
            let revision = context.client.revoke_lease(*lease).await?;
            Ok(Data::Written {
                revision: revision.0,
            })
        }
        Lease::Show { lease } => match context.client.lease(*lease, true).await? {
            Some(lease) => Ok(Data::Lease(lease)),
            None => Err(Failure::NoLease(*lease)),
        },
        Lease::List => Ok(Data::Leases(context.client.leases().await?)),
    }
}

/// Renews for as long as the lease is there; three times in its time, so that one that fails does
/// no harm.
async fn keep_alive(context: &Context, lease: i64, ttl: Duration) -> Result<Data, Failure> {
    let mut ticks = interval((ttl / 3).max(Duration::from_millis(300)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ttl = ttl;
    loop {
        render::now(context.view, &Data::Renewed { lease, ttl })?;
        ticks.tick().await;
        if ticks.period() > ttl {
            return Err(Failure::NoLease(lease));
        }
        ttl = renewed(context, lease).await?;
    }
}

async fn renewed(context: &Context, lease: i64) -> Result<Duration, Failure> {
    let renewed = context.client.renew_lease(lease).await?;
    renewed.ok_or(Failure::NoLease(lease))
}
