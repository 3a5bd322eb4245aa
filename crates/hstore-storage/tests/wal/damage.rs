//! Bytes that change at rest: found always, cut only where a crash could have torn them.

use std::path::{Path, PathBuf};

use hstore_storage::{
    disk::{Disk, OpenMode, memory::MemoryDisk},
    wal::WalError,
};

use crate::model::{DIR, Driver, Op, State};

/// A log of several segments with every kind of record, closed or not, and the states that may be
/// found after damage: those since the sync before the last one if it was not closed.
fn log(close: bool) -> (MemoryDisk, Vec<State>) {
    let disk = MemoryDisk::new();
    let mut driver = Driver::new(&disk).unwrap();
    let ops = [
        Op::Append(vec![700, 20, 0, 900]),
        Op::Vote(1),
        Op::Sync,
        Op::Append(vec![900, 900, 900, 900]),
        Op::Truncate(70),
        Op::Sync,
        Op::Append(vec![30, 1200, 900, 40]),
        Op::Purge(20),
        Op::Vote(2),
        Op::Append(vec![30]),
        Op::Sync,
    ];
    for op in &ops {
        driver.apply(op).unwrap();
    }
    let before = driver.states.clone();
    for op in [Op::Append(vec![10, 20]), Op::Vote(3)] {
        driver.apply(&op).unwrap();
    }
    let mut states = before;
    states.extend(driver.states.iter().cloned());
    driver.wal.sync().unwrap();
    if close {
        driver.wal.close().unwrap();
        states.drain(..states.len() - 1);
    }
    (disk.kill(), states)
}

fn files(disk: &MemoryDisk) -> Vec<(PathBuf, u64)> {
    let names = disk.list(Path::new(DIR)).unwrap();
    let path = |name: &String| Path::new(DIR).join(name);
    let with_len = |path: PathBuf| {
        let len = disk.open(&path, OpenMode::Read).unwrap().len().unwrap();
        (path, len)
    };
    names.iter().map(path).map(with_len).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_only_cuts_what_nothing_proves_durable() {
    for close in [false, true] {
        let (disk, states) = log(close);
        let segments = files(&disk);
        assert!(segments.len() >= 3, "{segments:?}");
        let (mut refused, mut opened) = (0, 0);
        for (path, len) in segments {
            for offset in 0..len {
                let bad = disk.copy();
                assert!(bad.flip(&path, offset, 1 << (offset % 8)));
                // `open` panics if what it finds is none of the states.
                match Driver::open(&bad, &states, 100) {
                    Ok(_) => opened += 1,
                    Err(WalError::Corrupt { .. } | WalError::TooNew { .. }) => refused += 1,
                    Err(other) => panic!("{} byte {offset}: {other}", path.display()),
                }
            }
        }
        assert!(
            refused > 5000 && opened > 500,
            "{refused} refused, {opened} opened"
        );
    }
}

#[test]
fn damage_in_an_older_segment_names_the_segment_and_the_byte_and_changes_nothing() {
    let (disk, states) = log(true);
    let (oldest, _) = files(&disk).into_iter().next().unwrap();
    assert!(disk.flip(&oldest, 200, 1));
    for _ in 0..2 {
        let error = Driver::open(&disk, &states, 100).err().unwrap();
        assert!(
            matches!(
                error,
                WalError::Corrupt {
                    offset: 16..=200,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert!(disk.flip(&oldest, 200, 1));
    Driver::open(&disk, &states, 100).unwrap().check();
}

#[test]
fn a_missing_segment_is_refused() {
    let (disk, states) = log(true);
    let segments = files(&disk);
    for (path, _) in &segments[..segments.len() - 1] {
        let bad = disk.copy();
        bad.remove_file(path).unwrap();
        let error = Driver::open(&bad, &states, 100).err().unwrap();
        assert!(matches!(error, WalError::Missing { .. }), "{error}");
    }
}

#[test]
fn a_file_that_someone_cut_is_refused() {
    let (disk, states) = log(true);
    let segments = files(&disk);
    for (nth, (path, len)) in segments.iter().enumerate() {
        // Of the newest file so little may be left that it looks like one that a crash kept from
        // being begun; below that, nothing can tell. Of an older one only unused bytes may go.
        let newest = nth == segments.len() - 1;
        for keep in (if newest { 512 } else { 0 }..*len).step_by(8) {
            let bad = disk.copy();
            bad.open(path, OpenMode::Write)
                .unwrap()
                .set_len(keep)
                .unwrap();
            match Driver::open(&bad, &states, 100) {
                Ok(_) => assert!(!newest && keep > 2000, "cut to {keep}"),
                Err(WalError::Corrupt { .. }) => {}
                Err(other) => panic!("cut to {keep}: {other}"),
            }
        }
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (disk, states) = log(true);
    for (path, _) in files(&disk) {
        let newer = disk.copy();
        assert!(newer.flip(&path, 7, 2));
        let error = Driver::open(&newer, &states, 100).err().unwrap();
        assert!(
            matches!(
                error,
                WalError::TooNew {
                    found: 3,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_flipped_bit_under_a_running_log_is_found_when_it_is_read() {
    let disk = MemoryDisk::new();
    let mut driver = Driver::new(&disk).unwrap();
    driver.apply(&Op::Append(vec![900; 8])).unwrap();
    driver.apply(&Op::Sync).unwrap();
    let (oldest, _) = files(&disk).into_iter().next().unwrap();
    assert!(disk.flip(&oldest, 600, 1));
    let first = driver.state().entries[&0].id.index;
    let next = driver.state().entries[&1].id.index;
    let error = driver.wal.reader().read(first..next, 1).unwrap_err();
    assert!(
        matches!(error, WalError::Corrupt { segment: 1, .. }),
        "{error}"
    );
}
