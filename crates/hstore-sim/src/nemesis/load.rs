//! Too much of everything.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Kind, Nemesis, Strike};

/// Strikes; whether it had an effect.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    rng: &mut StdRng,
) -> bool {
    let strength = strike.strength as usize;
    match strike.kind {
        Kind::Burst => {
            let salt = rng.random();
            nemesis.clients.burst(at, 20 + 2 * strength, 0, salt).await > 0
        }
        Kind::Bulk => {
            let mut written = 0;
            for _ in 0..4 {
                let salt = rng.random();
                written += nemesis.clients.burst(at, 8, 200 * strength, salt).await;
                nemesis
                    .wait(Duration::from_millis(strike.lasts_ms / 8))
                    .await;
            }
            written > 0
        }
        Kind::Compact => nemesis.clients.compact(at, strike.strength).await,
        _ => false,
    }
}
