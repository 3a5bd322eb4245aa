//! Random histories with power losses and kills at random moments.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hstore_storage::{
    disk::{Disk, OpenMode, memory::MemoryDisk},
    wal::{Wal, WalError, WalOptions},
};

use crate::model::{DIR, Dice, Driver, OPTIONS, Op, entry};

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

#[test]
fn hundreds_of_crashes_leave_only_the_segments_that_their_bytes_fill() {
    let mut dice = Dice(7);
    let mut driver = Driver::new(&MemoryDisk::new()).unwrap();
    let mut torn = 0;
    for round in 0..200 {
        driver.apply(&Op::Append(vec![round % 3])).unwrap();
        driver.apply(&Op::Sync).unwrap();
        let lengths = (0..dice.below(4)).map(|_| dice.below(600) as usize);
        driver.apply(&Op::Append(lengths.collect())).unwrap();
        let before = driver.state().clone();
        driver = crash(&driver, &mut dice);
        torn += usize::from(*driver.state() != before);
    }
    assert!(torn > 50, "only {torn} of the crashes tore anything");
    driver.check();
    // A record that no longer fits leaves less than its own length unused.
    let stats = driver.wal.stats();
    let full = stats.bytes / u64::from(OPTIONS.segment_bytes - 1024);
    assert!(stats.segments <= full + 1, "{stats:?}");
    for _ in 0..200 {
        driver.apply(&Op::Purge(100)).unwrap();
        driver.apply(&Op::Vote(dice.below(1000))).unwrap();
        driver = crash(&driver, &mut dice);
    }
    let stats = driver.wal.stats();
    assert!(
        stats.segments <= 4,
        "one, and those that are kept to be used again: {stats:?}"
    );
}

#[test]
fn no_header_of_a_torn_tail_is_left_in_the_file() {
    // Longer than what a log writes with zeros ahead of its records anyway.
    const LENGTHS: [usize; 4] = [700, 600_000, 900_000, 90];
    let options = WalOptions {
        segment_bytes: 2 << 20,
        ..OPTIONS
    };
    let open = |disk: &MemoryDisk| {
        let (wal, recovered) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
        (wal, recovered.last)
    };
    let mut torn = 0;
    for seed in 0..40 {
        let disk = MemoryDisk::new();
        let (mut wal, _none) = open(&disk);
        let entries = LENGTHS.iter().zip(0..);
        let entries = entries.map(|(length, index)| entry(index, 1, *length));
        wal.append(entries.collect()).unwrap();
        // The write is done, the sync is not.
        disk.cut_power_after(1);
        wal.sync().unwrap_err();
        let disk = disk.crash(seed);
        let (wal, last) = open(&disk);
        torn += usize::from(last.is_some_and(|last| last.index.0 < 3));
        torn += usize::from(last.is_none());
        let file = disk.open(&newest(), OpenMode::Read).unwrap();
        let mut bytes = vec![0; options.segment_bytes as usize];
        file.read_exact_at(0, &mut bytes).unwrap();
        let end = wal.stats().bytes as usize;
        // A header names its segment and, right behind that, the place it lies at.
        let left = (end..bytes.len() - 20).step_by(8).find(|at| {
            let place = [&1_u64.to_le_bytes()[..], &(*at as u32).to_le_bytes()].concat();
            bytes[at + 8..at + 20] == place
        });
        assert_eq!(left, None, "seed {seed}");
    }
    assert!(torn > 10, "only {torn} of the crashes tore anything");
}

#[test]
fn damage_to_what_was_found_after_a_crash_is_refused_from_then_on() {
    let mut driver = Driver::new(&MemoryDisk::new()).unwrap();
    driver.apply(&Op::Append(vec![900])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    // Before this start it was the last batch, whose damage looks like the tear of a crash.
    let driver = kill(&driver);
    let disk = driver.disk.kill();
    assert!(disk.flip(&newest(), 600, 1));
    let error = Driver::open(&disk, &driver.states, 2).err().unwrap();
    assert!(matches!(error, WalError::Corrupt { .. }), "{error}");
}

/// The one segment of a short log.
fn newest() -> PathBuf {
    Path::new(DIR).join("00000000000000000001.wal")
}
