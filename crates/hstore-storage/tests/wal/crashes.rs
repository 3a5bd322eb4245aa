//! Random histories with power losses and kills at random moments.

use hstore_storage::disk::memory::MemoryDisk;

use crate::model::{Dice, Driver, Op};

/// Histories that are tried, each with its own seed.
const HISTORIES: u64 = 1500;
const STEPS: u64 = 60;

#[test]
fn what_was_synced_survives_and_nothing_else_than_a_prefix_of_the_rest_appears() {
    let mut rolled = 0;
    for seed in 0..HISTORIES {
        let mut dice = Dice(seed);
        let mut driver = Driver::new(&MemoryDisk::new()).unwrap();
        for step in 0..STEPS {
            match dice.below(12) {
                0 => driver = crash(&driver, &mut dice),
                1 if dice.below(3) == 0 => driver = kill(&driver),
                2 if dice.below(3) == 0 => driver = close(driver),
                3 => driver.check(),
                _ => {
                    let op = Op::random(&mut dice);
                    driver.apply(&op).unwrap_or_else(|error| {
                        panic!("seed {seed} step {step} {op:?}: {error}");
                    });
                }
            }
        }
        driver.check();
        rolled += u64::from(driver.wal.stats().segments > 2);
    }
    assert!(
        rolled > HISTORIES / 4,
        "histories that never leave a segment prove little: {rolled}"
    );
}

#[test]
fn a_crash_while_recovering_from_a_crash_loses_nothing() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut driver = Driver::new(&MemoryDisk::new()).unwrap();
        for _ in 0..20 {
            driver.apply(&Op::random(&mut dice)).unwrap();
        }
        for _ in 0..6 {
            driver = crash(&driver, &mut dice);
        }
        driver.apply(&Op::Append(vec![10])).unwrap();
        driver.apply(&Op::Sync).unwrap();
        crash(&driver, &mut dice).check();
    }
}

fn crash(driver: &Driver, dice: &mut Dice) -> Driver {
    let disk = driver.disk.crash(dice.below(u64::MAX));
    Driver::open(&disk, &driver.states, driver.term).unwrap()
}

fn kill(driver: &Driver) -> Driver {
    Driver::open(&driver.disk.kill(), &driver.states, driver.term).unwrap()
}

fn close(mut driver: Driver) -> Driver {
    driver.settled();
    driver.wal.close().unwrap();
    Driver::open(&driver.disk.kill(), &driver.states, driver.term).unwrap()
}
