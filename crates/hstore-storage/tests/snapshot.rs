//! Snapshot files: their bytes, what a crash, a fault or a flipped bit does to them, and streaming.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use hstore_core::{
    id::{ClusterId, Incarnation, LogId, LogIndex, NodeId, Revision, Term},
    membership::{Member, Membership},
};
use hstore_storage::{
    disk::{
        Disk, OpenMode,
        memory::{Fault, MemoryDisk, Operation},
    },
    os::OsDisk,
    snapshot::{
        CHUNK_BYTES_MAX, Receiver, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter,
        file_name, newest_unverified, newest_valid, parse_file_name, remove_older,
        remove_unfinished,
    },
};

const DIR: &str = "/node/snapshots";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn header(index: u64) -> SnapshotHeader {
    SnapshotHeader {
        cluster_id: ClusterId(0x1122),
        last: LogId {
            index: LogIndex(index),
            term: Term(3),
            leader: NodeId(2),
        },
        membership: Membership::default(),
        revision: Revision(77),
        compacted: Revision(5),
    }
}

fn chunks(count: usize) -> Vec<(u8, Vec<u8>)> {
    (0..count)
        .map(|n| ((n % 3 + 1) as u8, vec![n as u8; n * 37 % 400]))
        .collect()
}

fn try_write(
    disk: &Arc<MemoryDisk>,
    header: &SnapshotHeader,
    count: usize,
) -> Result<PathBuf, SnapshotError> {
    let mut writer = SnapshotWriter::create(disk.clone(), dir(), header)?;
    for (kind, payload) in chunks(count) {
        writer.chunk(kind, &payload)?;
    }
    writer.finish()
}

fn write(disk: &Arc<MemoryDisk>, index: u64, count: usize) -> PathBuf {
    try_write(disk, &header(index), count).unwrap()
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<(u8, Vec<u8>)>, SnapshotError> {
    let mut reader = SnapshotReader::open(disk, path)?;
    let mut found = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        found.push((chunk.kind, chunk.payload.to_vec()));
    }
    Ok(found)
}

fn bytes(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn index_of(found: Option<(PathBuf, SnapshotHeader)>) -> Option<u64> {
    found.map(|(_, header)| header.last.index.0)
}

#[test]
fn the_bytes_of_a_snapshot_stay_as_they_are() {
    let disk = Arc::new(MemoryDisk::new());
    let mut writer = SnapshotWriter::create(disk.clone(), dir(), &header(9)).unwrap();
    writer.chunk(1, b"abc").unwrap();
    writer.chunk(254, b"").unwrap();
    let path = writer.finish().unwrap();
    assert_eq!(
        path,
        dir().join("00000000000000000009-00000000000000000003.snap")
    );
    let whole = bytes(disk.as_ref(), &path);
    let hex = whole
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let golden = [
        "687374736e6170 01 32000000 8f9e6648",
        "2211000000000000 0900000000000000 0300000000000000 0200000000000000",
        "4d00000000000000 0500000000000000 0100",
        "1663b1c5 03000000 00000000 01000000 616263",
        "808a1a97 00000000 01000000 fe000000",
        "22939ae1 14000000 02000000 ff000000 0200000000000000 6500000000000000 ca2cc397",
    ];
    assert_eq!(hex, golden.concat().replace(' ', ""));
}

#[test]
fn a_snapshot_reads_back_as_it_was_written() {
    let disk = Arc::new(MemoryDisk::new());
    let member = |name: &str| Member {
        name: name.into(),
        started_as: None,
        peer_address: "127.0.0.1:1".into(),
        client_address: "127.0.0.1:2".into(),
        incarnation: Incarnation(7),
    };
    let membership = Membership {
        log_id: Some(header(4).last),
        voters: vec![
            BTreeSet::from([NodeId(1), NodeId(2)]),
            BTreeSet::from([NodeId(1)]),
        ],
        members: BTreeMap::from([(NodeId(1), member("a")), (NodeId(2), member("b"))]),
    };
    let header = SnapshotHeader {
        membership,
        ..header(9)
    };
    for count in [0, 1, 1500] {
        let path = try_write(&disk, &header, count).unwrap();
        assert_eq!(read(disk.as_ref(), &path).unwrap(), chunks(count));
        let reader = SnapshotReader::open(disk.as_ref(), &path).unwrap();
        assert_eq!(reader.header(), &header);
        assert_eq!(reader.verify().unwrap(), header);
    }
}

#[test]
fn a_chunk_too_large_or_of_a_reserved_kind_is_refused_and_the_rest_goes_on() {
    let disk = Arc::new(MemoryDisk::new());
    let mut writer = SnapshotWriter::create(disk.clone(), dir(), &header(9)).unwrap();
    let large = vec![1; CHUNK_BYTES_MAX];
    writer.chunk(1, &large).unwrap();
    let error = writer.chunk(1, &vec![1; CHUNK_BYTES_MAX + 1]).unwrap_err();
    assert!(
        matches!(error, SnapshotError::ChunkTooLarge { .. }),
        "{error}"
    );
    for kind in [0, 255] {
        let error = writer.chunk(kind, b"x").unwrap_err();
        assert!(
            matches!(error, SnapshotError::ReservedKind { .. }),
            "{error}"
        );
    }
    let path = writer.finish().unwrap();
    assert_eq!(read(disk.as_ref(), &path).unwrap(), [(1, large)]);
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let disk = Arc::new(MemoryDisk::new());
    let path = write(&disk, 9, 8);
    let len = bytes(disk.as_ref(), &path).len() as u64;
    for offset in 0..len {
        for bit in 0..8 {
            assert!(disk.flip(&path, offset, 1 << bit));
            match SnapshotReader::open(disk.as_ref(), &path).and_then(SnapshotReader::verify) {
                Err(SnapshotError::Damaged { .. }) => {}
                Err(SnapshotError::TooNew { .. }) if offset == 7 => {}
                other => panic!("byte {offset} bit {bit}: {other:?}"),
            }
            assert!(disk.flip(&path, offset, 1 << bit));
        }
    }
    SnapshotReader::open(disk.as_ref(), &path)
        .unwrap()
        .verify()
        .unwrap();
}

#[test]
fn a_file_cut_anywhere_or_with_something_behind_its_end_is_refused_when_it_is_opened() {
    let disk = Arc::new(MemoryDisk::new());
    let path = write(&disk, 9, 8);
    let len = bytes(disk.as_ref(), &path).len() as u64;
    for keep in (0..len).chain([len + 1, len + 36]) {
        let bad = disk.copy();
        bad.open(&path, OpenMode::Write)
            .unwrap()
            .set_len(keep)
            .unwrap();
        let error = SnapshotReader::open(&bad, &path).err().unwrap();
        assert!(
            matches!(error, SnapshotError::Damaged { .. }),
            "{keep}: {error}"
        );
    }
}

#[test]
fn chunks_that_change_places_are_found() {
    let disk = Arc::new(MemoryDisk::new());
    let mut writer = SnapshotWriter::create(disk.clone(), dir(), &header(9)).unwrap();
    for byte in [1, 2] {
        writer.chunk(1, &[byte; 100]).unwrap();
    }
    let path = writer.finish().unwrap();
    let whole = bytes(disk.as_ref(), &path);
    let first = whole.len() - 36 - 2 * 116;
    let file = disk.open(&path, OpenMode::Write).unwrap();
    file.write_at(first as u64, &whole[first + 116..first + 232])
        .unwrap();
    file.write_at(first as u64 + 116, &whole[first..first + 116])
        .unwrap();
    let error = read(disk.as_ref(), &path).unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
}

#[test]
fn the_newest_whole_snapshot_is_found_and_damaged_ones_are_told() {
    let disk = Arc::new(MemoryDisk::new());
    assert!(
        newest_valid(disk.as_ref(), dir())
            .unwrap()
            .snapshot
            .is_none(),
        "no folder yet"
    );
    let paths: Vec<_> = [5, 9, 12].map(|index| write(&disk, index, 8)).into();
    assert_eq!(
        index_of(newest_valid(disk.as_ref(), dir()).unwrap().snapshot),
        Some(12)
    );
    assert!(disk.flip(&paths[2], 300, 1));
    let found = newest_valid(disk.as_ref(), dir()).unwrap();
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.damaged[0].0, paths[2]);
    assert_eq!(index_of(found.snapshot), Some(9));
    let quick = newest_unverified(disk.as_ref(), dir()).unwrap();
    assert_eq!(
        index_of(quick.snapshot),
        Some(12),
        "a look at both ends cannot see the middle"
    );

    disk.rename(&paths[0], &dir().join(file_name(header(20).last)))
        .unwrap();
    let found = newest_valid(disk.as_ref(), dir()).unwrap();
    assert_eq!(found.damaged.len(), 2, "a name that lies is damage");
    assert_eq!(index_of(found.snapshot), Some(9));

    assert!(disk.flip(&paths[2], 7, 2));
    let error = newest_valid(disk.as_ref(), dir()).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::TooNew {
                found: 3,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_crash_while_writing_leaves_the_old_snapshot_or_the_new_one() {
    let mut found = BTreeSet::new();
    for seed in 0..300 {
        let disk = Arc::new(MemoryDisk::new());
        write(&disk, 5, 20);
        // Power loss in place of the rename, of the folder's sync, or after both.
        let operation = [Operation::Sync, Operation::Folder, Operation::SyncFolder];
        let nth = if seed % 4 == 1 { 2 } else { 1 };
        if let Some(operation) = operation.get(seed as usize % 4) {
            disk.fail(*operation, nth, Fault::Broken);
        }
        let written = try_write(&disk, &header(9), 20).is_ok();
        let after = disk.crash(seed);
        let newest = newest_valid(&after, dir()).unwrap();
        assert!(
            newest.damaged.is_empty(),
            "a name without a whole file: {:?}",
            newest.damaged
        );
        let index = index_of(newest.snapshot);
        assert!(
            index == Some(9) || (index == Some(5) && !written),
            "{index:?}"
        );
        found.insert((written, index));
        remove_unfinished(&after, dir()).unwrap();
        assert!(
            after
                .list(dir())
                .unwrap()
                .iter()
                .all(|name| parse_file_name(name).is_some())
        );
    }
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn every_failed_operation_is_told_and_leaves_no_damaged_snapshot() {
    for operation in [
        Operation::Write,
        Operation::Sync,
        Operation::Folder,
        Operation::SyncFolder,
    ] {
        for fault in [Fault::Broken, Fault::Full] {
            let mut site = 0;
            loop {
                site += 1;
                let disk = Arc::new(MemoryDisk::new());
                disk.fail(operation, site, fault);
                let Err(error) = try_write(&disk, &header(9), 3000) else {
                    break;
                };
                assert_eq!(error.is_disk_full(), fault == Fault::Full, "{error}");
                let newest = newest_valid(&disk.crash(site), dir()).unwrap();
                assert!(newest.damaged.is_empty());
            }
            assert!(site > 1, "{operation:?} never happens");
        }
    }
}

#[test]
fn an_abandoned_snapshot_leaves_nothing() {
    let disk = Arc::new(MemoryDisk::new());
    let mut writer = SnapshotWriter::create(disk.clone(), dir(), &header(9)).unwrap();
    writer.chunk(1, b"x").unwrap();
    writer.abandon().unwrap();
    Receiver::create(disk.clone(), dir())
        .unwrap()
        .abandon()
        .unwrap();
    assert!(disk.list(dir()).unwrap().is_empty());
}

#[test]
fn older_snapshots_are_removed_and_the_newest_stay() {
    let disk = Arc::new(MemoryDisk::new());
    for index in [5, 9, 12, 100] {
        write(&disk, index, 1);
    }
    assert_eq!(remove_older(disk.as_ref(), dir(), 2).unwrap(), 2);
    assert_eq!(remove_older(disk.as_ref(), dir(), 2).unwrap(), 0);
    let left = [12, 100].map(|index| file_name(header(index).last));
    assert_eq!(disk.list(dir()).unwrap(), left);
    assert_eq!(
        remove_older(disk.as_ref(), Path::new("/nowhere"), 2).unwrap(),
        0
    );
}

#[test]
fn names_read_back_and_foreign_names_are_refused() {
    let name = file_name(header(u64::MAX).last);
    assert_eq!(parse_file_name(&name), Some((LogIndex(u64::MAX), Term(3))));
    let digits = "0".repeat(20);
    for foreign in [
        "1-2.snap".to_owned(),
        format!("{name}.tmp"),
        format!("{digits}-{digits}"),
        format!("{digits}.snap"),
        format!("+{}-{digits}.snap", "0".repeat(19)),
        String::new(),
    ] {
        assert_eq!(parse_file_name(&foreign), None, "{foreign}");
    }
}

#[test]
fn a_streamed_snapshot_arrives_whole_also_when_pieces_come_twice() {
    let from = Arc::new(MemoryDisk::new());
    let path = write(&from, 9, 300);
    let reader = SnapshotReader::open(from.as_ref(), &path).unwrap();
    let to = Arc::new(MemoryDisk::new());
    let mut receiver = Receiver::create(to.clone(), dir()).unwrap();
    let second = Receiver::create(to.clone(), dir()).unwrap();
    let mut pieces = 0;
    loop {
        let piece = reader.read_raw(receiver.received_bytes(), 1000).unwrap();
        if piece.is_empty() {
            break;
        }
        let at = receiver.received_bytes();
        receiver.write_at(at, &piece).unwrap();
        receiver.write_at(at, &piece).unwrap();
        pieces += 1;
    }
    assert!(pieces > 10);
    assert_eq!(receiver.received_bytes(), reader.len_bytes());
    let (arrived, found) = receiver.finish().unwrap();
    assert_eq!((found, arrived.file_name()), (header(9), path.file_name()));
    assert_eq!(bytes(to.as_ref(), &arrived), bytes(from.as_ref(), &path));
    second.abandon().unwrap();
    let crashed = to.crash(3);
    assert_eq!(read(&crashed, &arrived).unwrap(), chunks(300));
}

#[test]
fn a_streamed_snapshot_with_a_gap_or_a_wrong_byte_is_refused() {
    let from = Arc::new(MemoryDisk::new());
    let path = write(&from, 9, 30);
    let whole = bytes(from.as_ref(), &path);
    let to = Arc::new(MemoryDisk::new());
    let mut receiver = Receiver::create(to.clone(), dir()).unwrap();
    let error = receiver.write_at(1, &whole).unwrap_err();
    assert!(
        matches!(
            error,
            SnapshotError::Gap {
                expected: 0,
                found: 1
            }
        ),
        "{error}"
    );
    for at in (0..whole.len()).step_by(7) {
        let mut bad = whole.clone();
        bad[at] ^= 16;
        let mut receiver = Receiver::create(to.clone(), dir()).unwrap();
        receiver.write_at(0, &bad).unwrap();
        receiver.finish().unwrap_err();
    }
    receiver.write_at(0, &whole[..whole.len() - 1]).unwrap();
    let error = receiver.finish().unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    assert!(
        to.list(dir()).unwrap().is_empty(),
        "what is refused is removed"
    );
}

#[test]
fn snapshots_work_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(OsDisk::new());
    let mut writer = SnapshotWriter::create(disk.clone(), dir.path(), &header(9)).unwrap();
    for (kind, payload) in chunks(100) {
        writer.chunk(kind, &payload).unwrap();
    }
    let path = writer.finish().unwrap();
    assert_eq!(read(disk.as_ref(), &path).unwrap(), chunks(100));
    let newest = newest_valid(disk.as_ref(), dir.path()).unwrap();
    assert_eq!(newest.snapshot, Some((path, header(9))));
}
