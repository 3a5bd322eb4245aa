//! Changes of the membership while everything else goes wrong.

use std::time::Duration;

use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Kind, Nemesis, Strike};

/// The most members of a cluster in here.
pub const MEMBERS_MAX: usize = 7;

/// How long a handing over may take.
const TRANSFER_MAX: Duration = Duration::from_secs(3);

/// Strikes; whether it had an effect.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    _rng: &mut StdRng,
) -> bool {
    let world = &nemesis.world;
    let steward = &nemesis.steward;
    match strike.kind {
        Kind::Grow => {
            if steward.members().len() >= MEMBERS_MAX {
                return false;
            }
            let new = world.seat();
            steward.join(new);
            true
        }
        Kind::Shrink => steward.leave(at),
        Kind::Replace => {
            if !steward.may_lose(at) {
                return false;
            }
            steward.hold_down(at, Duration::from_millis(strike.lasts_ms));
            world.cut_power(at);
            world.wipe(at);
            steward.damaged(at);
            steward.join(at);
            true
        }
        Kind::Transfer => {
            let Some(node) = world.node(at) else {
                return false;
            };
            let to = if strike.strength.is_multiple_of(2) {
                None
            } else {
                let others = steward.members();
                let at = others.get(strike.salt as usize % others.len().max(1));
                at.map(|at| world.id(*at))
            };
            let deadline = Instant::now() + TRANSFER_MAX;
            let handed = node.transfer_leader(to, deadline).await;
            world.trace.say(&format!("transfer to {to:?}: {handed:?}"));
            handed.is_ok()
        }
        _ => false,
    }
}
