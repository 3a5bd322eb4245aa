//! Faults of the clock on the wall. Nothing in a node decides by it, and this is how that stays so.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use super::{Kind, Nemesis, Strike};

/// The furthest that a clock is wrong.
const WRONG_MAX_MS: i64 = 3_600_000;

/// Strikes; it always has an effect: from then on the clock is wrong.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    rng: &mut StdRng,
) -> bool {
    let wall = nemesis.world.wall(at);
    let by_ms = rng.random_range(-WRONG_MAX_MS..WRONG_MAX_MS) * i64::from(strike.strength) / 100;
    if strike.kind == Kind::ClockSkew {
        wall.jump(by_ms);
        nemesis.last(strike).await;
        wall.jump(-by_ms);
        return true;
    }
    let mut left_ms = strike.lasts_ms;
    while left_ms > 0 && !nemesis.is_over() {
        wall.jump(rng.random_range(-WRONG_MAX_MS..WRONG_MAX_MS));
        let pause_ms = rng.random_range(10..300);
        nemesis.wait(Duration::from_millis(pause_ms)).await;
        left_ms = left_ms.saturating_sub(pause_ms);
    }
    true
}
