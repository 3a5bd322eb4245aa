//! The log on real files.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use bytes::Bytes;
use hstore_core::id::LogIndex;
use hstore_storage::{
    os::OsDisk,
    wal::{Wal, WalError, WalOptions},
};

use crate::model::{entry, read_all};

const OPTIONS: WalOptions = WalOptions {
    segment_bytes: 64 << 10,
    tail_bytes_max: 4 << 10,
};

#[test]
fn a_log_on_real_files_survives_reopening_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node/wal");
    let disk = Arc::new(OsDisk::new());
    let (mut wal, _) = Wal::open(disk.clone(), &path, OPTIONS).unwrap();
    for index in 0..500 {
        wal.append(vec![entry(index, 1, 1000)]).unwrap();
        wal.sync().unwrap();
    }
    wal.save_vote(Bytes::from_static(b"vote")).unwrap();
    wal.purge(entry(99, 1, 0).id).unwrap();
    wal.truncate_after(Some(entry(449, 1, 0).id)).unwrap();
    wal.close().unwrap();
    for file in fs::read_dir(&path).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );

    let (wal, recovered) = Wal::open(disk, &path, OPTIONS).unwrap();
    assert_eq!(recovered.vote, Some(Bytes::from_static(b"vote")));
    assert_eq!(recovered.purged, Some(entry(99, 1, 0).id));
    assert_eq!(recovered.last, Some(entry(449, 1, 0).id));
    let entries = read_all(&wal);
    assert!(
        entries.values().eq((100..450)
            .map(|index| entry(index, 1, 1000))
            .collect::<Vec<_>>()
            .iter())
    );
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "readers run beside the writer: that is the test"
)]
fn readers_on_other_threads_never_see_a_hole_or_a_wrong_byte_while_segments_are_recycled() {
    const ENTRIES: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let (mut wal, _) = Wal::open(Arc::new(OsDisk::new()), dir.path(), OPTIONS).unwrap();
    wal.append(vec![entry(0, 1, 0)]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = wal.reader();
            scope.spawn(move || {
                let mut next = 0;
                while next < ENTRIES {
                    match reader.read(LogIndex(next)..LogIndex(next + 50), 20_000) {
                        Ok(entries) => {
                            for found in entries {
                                let length = (next % 300) as usize;
                                assert_eq!(found, entry(next, 1, length));
                                next += 1;
                            }
                        }
                        Err(WalError::Purged { .. }) => {
                            next = reader.state().purged.unwrap().index.0 + 1;
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        for index in 1..ENTRIES {
            wal.append(vec![entry(index, 1, (index % 300) as usize)])
                .unwrap();
            if index % 64 == 0 {
                wal.sync().unwrap();
            }
            if index % 1000 == 0 {
                wal.purge(entry(index - 500, 1, 0).id).unwrap();
            }
        }
        wal.sync().unwrap();
    });
}
