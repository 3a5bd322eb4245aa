//! Every write, sync and folder change of a history fails once, with EIO and with ENOSPC.

use std::collections::BTreeSet;

use bytes::Bytes;
use hstore_storage::{
    disk::memory::{Fault, MemoryDisk, Operation},
    wal::WalError,
};

use crate::model::{Dice, Driver, Op, State, entry};

const SCRIPT_STEPS: usize = 80;

fn script() -> Vec<Op> {
    let mut dice = Dice(7);
    (0..SCRIPT_STEPS).map(|_| Op::random(&mut dice)).collect()
}

/// Runs the script up to its first failure.
fn run(driver: &mut Driver) -> Result<(), WalError> {
    script().iter().try_for_each(|op| driver.apply(op))
}

#[test]
fn every_failed_operation_ends_the_log_and_a_restart_finds_all_that_was_synced() {
    let mut met = BTreeSet::new();
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::Folder,
        Operation::SyncFolder,
    ] {
        let whole = MemoryDisk::new();
        run(&mut Driver::new(&whole).unwrap()).unwrap();
        let sites = whole.count(operation);
        assert!(sites > 1, "{operation:?} never happens");
        for site in 1..=sites {
            for fault in [Fault::Broken, Fault::Full] {
                let disk = MemoryDisk::new();
                disk.fail(operation, site, fault);
                let (states, term) = match Driver::new(&disk) {
                    Err(error) => {
                        assert_eq!(error.is_disk_full(), fault == Fault::Full, "{error}");
                        (vec![State::default()], 1)
                    }
                    Ok(mut driver) => {
                        let error = run(&mut driver).expect_err("the planned fault was met");
                        assert_eq!(error.is_disk_full(), fault == Fault::Full, "{error}");
                        assert_dead(&mut driver, &error);
                        (driver.states, driver.term)
                    }
                };
                met.insert((operation, site));
                // After the process alone ends the kernel may still show what the disk never got;
                // a power loss right after the next start must not find less than that start did.
                let killed = disk.kill();
                let restarted = Driver::open(&killed, &states, term).unwrap();
                let again = restarted.disk.crash(site);
                Driver::open(&again, &restarted.states, term)
                    .unwrap()
                    .check();
            }
        }
    }
    assert!(met.len() > 50, "only {} sites", met.len());
}

#[test]
fn power_loss_after_a_failed_operation_loses_nothing_synced() {
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::Folder,
        Operation::SyncFolder,
    ] {
        for site in 1..60 {
            let disk = MemoryDisk::new();
            disk.fail(operation, site, Fault::Broken);
            let Ok(mut driver) = Driver::new(&disk) else {
                continue;
            };
            if run(&mut driver).is_ok() {
                break;
            }
            for seed in 0..4 {
                let image = disk.copy();
                let crashed = if seed == 0 {
                    disk.crash(site)
                } else {
                    image.crash(seed)
                };
                Driver::open(&crashed, &driver.states, driver.term)
                    .unwrap()
                    .check();
                if seed == 0 {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_full_disk_ends_the_log_and_with_space_again_a_restart_finds_it_whole() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(3 * 4096));
    let mut driver = Driver::new(&disk).unwrap();
    let error = loop {
        if let Err(error) = driver.apply(&Op::Append(vec![900])) {
            break error;
        }
        driver.apply(&Op::Sync).unwrap();
    };
    assert!(error.is_disk_full(), "{error}");
    assert_dead(&mut driver, &error);
    let disk = disk.kill();
    disk.set_capacity(None);
    let mut driver = Driver::open(&disk, &driver.states, driver.term).unwrap();
    driver.apply(&Op::Append(vec![900])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    driver.check();
}

#[test]
fn a_failed_read_is_told_and_ends_nothing() {
    let disk = MemoryDisk::new();
    let mut driver = Driver::new(&disk).unwrap();
    driver.apply(&Op::Append(vec![900; 8])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    disk.fail(Operation::Read, 1, Fault::Broken);
    let first = entry(0, 0, 0).id.index..entry(1, 0, 0).id.index;
    let error = driver.wal.reader().read(first, 1).unwrap_err();
    assert!(
        matches!(error, WalError::Io { doing: "read", .. }),
        "{error}"
    );
    driver.apply(&Op::Append(vec![1])).unwrap();
    driver.check();
}

/// Every call gives the same error again, and nothing more reaches the disk.
fn assert_dead(driver: &mut Driver, error: &WalError) {
    let writes = driver.disk.count(Operation::Write);
    let syncs = driver.disk.count(Operation::Sync);
    let next = driver.state().last.map_or(0, |last| last.index.0 + 1);
    let answers = [
        driver.wal.sync(),
        driver.wal.append(vec![entry(next, 99, 1)]),
        driver.wal.save_vote(Bytes::from_static(b"v")),
        driver.wal.truncate_after(None),
        driver.wal.purge(entry(next, 99, 1).id),
        driver
            .wal
            .reader()
            .read(entry(0, 0, 0).id.index..entry(1, 0, 0).id.index, 1)
            .map(drop),
    ];
    for answer in answers {
        assert_eq!(answer.unwrap_err().to_string(), error.to_string());
    }
    assert_eq!(driver.disk.count(Operation::Write), writes);
    assert_eq!(driver.disk.count(Operation::Sync), syncs);
}
