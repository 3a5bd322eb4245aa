//! What the log refuses and what it promises, one by one.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use hstore_core::id::LogIndex;
use hstore_storage::{
    disk::{
        Disk,
        memory::{MemoryDisk, Operation},
    },
    wal::{Wal, WalError, WalOptions},
};

use crate::model::{DIR, Driver, OPTIONS, Op, entry};

fn driver() -> Driver {
    Driver::new(&MemoryDisk::new()).unwrap()
}

fn range(from: u64, to: u64) -> std::ops::Range<LogIndex> {
    LogIndex(from)..LogIndex(to)
}

#[test]
fn an_entry_that_leaves_a_gap_is_refused_and_harms_nothing() {
    let mut driver = driver();
    driver.apply(&Op::Append(vec![1, 2])).unwrap();
    for index in [0, 1, 3, 9] {
        let error = driver.wal.append(vec![entry(index, 1, 1)]).unwrap_err();
        let WalError::Gap { expected, found } = error else {
            panic!("{error}")
        };
        assert_eq!((expected, found), (LogIndex(2), LogIndex(index)));
    }
    let error = driver
        .wal
        .append(vec![entry(2, 1, 1), entry(4, 1, 1)])
        .unwrap_err();
    assert!(matches!(error, WalError::Gap { .. }), "{error}");
    driver.check();
    driver.apply(&Op::Append(vec![1])).unwrap();
    driver.check();
}

#[test]
fn a_log_that_was_never_written_may_begin_at_any_index() {
    let mut driver = driver();
    driver
        .wal
        .append(vec![entry(5, 1, 1), entry(6, 1, 1)])
        .unwrap();
    driver.wal.sync().unwrap();
    let disk = driver.disk.crash(1);
    let (wal, recovered) = Wal::open(Arc::new(disk), Path::new(DIR), OPTIONS).unwrap();
    assert_eq!(recovered.last, Some(entry(6, 1, 1).id));
    assert_eq!(wal.reader().read(range(5, 9), 1000).unwrap().len(), 2);
    let error = wal.reader().read(range(4, 9), 1000).unwrap_err();
    assert!(
        matches!(error, WalError::Purged { index: LogIndex(4) }),
        "{error}"
    );
}

#[test]
fn too_large_a_vote_or_a_truncation_to_nowhere_is_refused_and_harms_nothing() {
    let mut driver = driver();
    driver.apply(&Op::Append(vec![1, 2, 3])).unwrap();
    driver.apply(&Op::Purge(34)).unwrap();
    let error = driver
        .wal
        .save_vote(Bytes::from(vec![0; 5000]))
        .unwrap_err();
    assert!(
        matches!(
            error,
            WalError::TooLarge {
                bytes: 5000,
                max: 4096
            }
        ),
        "{error}"
    );
    let error = driver
        .wal
        .truncate_after(Some(entry(0, 1, 0).id))
        .unwrap_err();
    assert!(
        matches!(error, WalError::Purged { index: LogIndex(0) }),
        "{error}"
    );
    driver.apply(&Op::Sync).unwrap();
    driver.check();
}

#[test]
fn a_batch_costs_one_write_and_one_sync_and_no_sync_when_there_is_nothing_new() {
    let disk = MemoryDisk::new();
    let options = WalOptions {
        segment_bytes: 1 << 20,
        ..OPTIONS
    };
    let (mut wal, _) = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let before = (disk.count(Operation::Write), disk.count(Operation::Sync));
    for index in 0..50 {
        wal.append(vec![entry(index, 1, 100)]).unwrap();
    }
    wal.save_vote(Bytes::from_static(b"v")).unwrap();
    assert_eq!(
        (disk.count(Operation::Write), disk.count(Operation::Sync)),
        before
    );
    assert_eq!(
        wal.reader().read(range(0, 50), usize::MAX).unwrap().len(),
        50,
        "before the sync"
    );
    wal.sync().unwrap();
    wal.sync().unwrap();
    assert_eq!(disk.count(Operation::Write), before.0 + 1);
    assert_eq!(disk.count(Operation::Sync), before.1 + 1);
}

#[test]
fn reading_stops_at_the_bytes_asked_for_and_at_the_end_but_gives_at_least_one() {
    let mut driver = driver();
    driver.apply(&Op::Append(vec![500; 20])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    let reader = driver.wal.reader();
    let count = |from, to, bytes| reader.read(range(from, to), bytes).unwrap().len();
    assert_eq!(count(0, 20, 0), 1);
    assert_eq!(count(0, 20, 600 * 3), 3);
    assert_eq!(count(18, 40, 1 << 20), 2);
    assert_eq!(
        count(0, 40, 1 << 20),
        20,
        "old ones from files, new ones from memory"
    );
    assert_eq!(count(20, 40, 1 << 20), 0);
    assert_eq!(count(7, 7, 1 << 20), 0);
}

#[test]
fn purged_segments_are_used_again_and_the_folder_stays_small() {
    let mut driver = driver();
    for round in 0..50 {
        driver.apply(&Op::Append(vec![900; 6])).unwrap();
        driver.apply(&Op::Sync).unwrap();
        driver.apply(&Op::Purge(100)).unwrap();
        let names = driver.disk.list(Path::new(DIR)).unwrap();
        assert!(names.len() <= 4, "round {round}: {names:?}");
        driver.check();
    }
    let made = driver.disk.count(Operation::Folder);
    driver.apply(&Op::Append(vec![900; 3])).unwrap();
    driver.apply(&Op::Append(vec![900; 3])).unwrap();
    let names = driver.disk.list(Path::new(DIR)).unwrap();
    assert!(
        driver.disk.count(Operation::Folder) > made,
        "a segment began: {names:?}"
    );
    let disk = driver.disk.kill();
    Driver::open(&disk, &driver.states, 99).unwrap().check();
}

#[test]
fn a_log_goes_on_in_its_segment_closed_or_killed() {
    let mut driver = driver();
    driver.apply(&Op::Append(vec![10])).unwrap();
    driver.apply(&Op::Vote(1)).unwrap();
    driver.settled();
    driver.wal.close().unwrap();
    let mut driver = Driver::open(&driver.disk.kill(), &driver.states, 5).unwrap();
    assert_eq!(driver.wal.stats().segments, 1);
    driver.apply(&Op::Append(vec![10])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    let driver = Driver::open(&driver.disk.kill(), &driver.states, 5).unwrap();
    assert_eq!(driver.wal.stats().segments, 1);
    driver.check();
}

#[test]
fn entries_longer_than_a_segment_are_kept() {
    let mut driver = driver();
    for length in [3000, 20_000, 10, 9000, 4096] {
        driver.apply(&Op::Append(vec![length])).unwrap();
    }
    driver.apply(&Op::Sync).unwrap();
    driver.check();
    Driver::open(&driver.disk.crash(3), &driver.states, 9)
        .unwrap()
        .check();
}

#[test]
fn foreign_files_in_the_folder_are_left_alone() {
    let mut driver = driver();
    driver.apply(&Op::Append(vec![10])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    let foreign = Path::new(DIR).join("notes.txt");
    driver
        .disk
        .open(&foreign, hstore_storage::disk::OpenMode::Create)
        .unwrap();
    let disk = driver.disk.kill();
    Driver::open(&disk, &driver.states, 9).unwrap().check();
    assert!(disk.exists(&foreign).unwrap());
}
