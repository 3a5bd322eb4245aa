//! Faults of processes and machines.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Kind, Nemesis, Strike};

/// How long a process that was asked to stop may take.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Strikes; whether it had an effect.
pub(super) async fn strike(
    nemesis: &Nemesis,
    strike: &Strike,
    at: usize,
    rng: &mut StdRng,
) -> bool {
    let world = &nemesis.world;
    let down = Duration::from_millis(strike.lasts_ms);
    match strike.kind {
        Kind::Crash | Kind::Kill => {
            end(nemesis, at, down, strike.kind == Kind::Crash);
            true
        }
        Kind::CrashAll | Kind::KillAll => {
            let power = strike.kind == Kind::CrashAll;
            for at in world.running_at() {
                let down = down.mul_f64(rng.random_range(0.2..1.0));
                end(nemesis, at, down, power);
            }
            true
        }
        Kind::KillLoop => {
            for _ in 0..=strike.strength / 20 {
                let power = rng.random_bool(0.3);
                end(nemesis, at, Duration::from_millis(20), power);
                // In the middle of its start, or shortly after.
                let pause = Duration::from_micros(rng.random_range(100..1_500_000));
                nemesis.wait(pause).await;
                if nemesis.is_over() {
                    break;
                }
            }
            true
        }
        Kind::Pause | Kind::PauseAll => {
            let whom = if strike.kind == Kind::Pause {
                vec![at]
            } else {
                world.running_at()
            };
            let lives: Vec<u64> = whom.iter().map(|at| world.life(*at)).collect();
            for at in &whom {
                world.pause(*at);
            }
            nemesis.last(strike).await;
            for (at, life) in whom.into_iter().zip(lives) {
                world.resume(at, life);
                // Not all wake up at the same time.
                nemesis
                    .wait(Duration::from_micros(rng.random_range(0..200_000)))
                    .await;
            }
            true
        }
        Kind::Stop => stop(nemesis, at, down).await,
        Kind::RollingStop => {
            let mut struck = false;
            for at in world.running_at() {
                struck |= stop(nemesis, at, Duration::from_millis(100)).await;
                nemesis
                    .wait(Duration::from_millis(strike.lasts_ms / 4))
                    .await;
            }
            struck
        }
        _ => false,
    }
}

/// Ends a life; the steward begins the next one.
fn end(nemesis: &Nemesis, at: usize, down: Duration, power: bool) {
    nemesis.steward.hold_down(at, down);
    if power {
        nemesis.world.cut_power(at);
    } else {
        nemesis.world.kill_now(at);
    }
}

/// Asks a process to stop.
async fn stop(nemesis: &Nemesis, at: usize, down: Duration) -> bool {
    let world = &nemesis.world;
    let Some(node) = world.node(at) else {
        return false;
    };
    let life = world.life(at);
    nemesis.steward.hold_down(at, STOP_MAX + down);
    node.stop(Instant::now() + STOP_MAX).await;
    if world.life(at) == life {
        world.kill_now(at);
    }
    nemesis.steward.hold_down(at, down);
    true
}
