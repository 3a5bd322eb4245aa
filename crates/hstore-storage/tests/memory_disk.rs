//! The in-memory disk is as unkind as the durability contract allows, and no unkinder.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::{collections::BTreeSet, path::Path};

use hstore_storage::disk::{
    Disk, OpenMode,
    memory::{Fault, MemoryDisk, Operation},
};

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_dir_all(Path::new("/d")).unwrap();
    disk
}

fn content(disk: &MemoryDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path), OpenMode::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    Some(bytes)
}

fn write(disk: &MemoryDisk, path: &str, bytes: &[u8], sync: bool) {
    let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
    file.write_at(0, bytes).unwrap();
    if sync {
        file.sync_data().unwrap();
    }
}

#[test]
fn what_was_synced_survives_every_crash() {
    for seed in 0..200 {
        let disk = disk();
        write(&disk, "/d/a", &[7; 3000], true);
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(content(&disk.crash(seed), "/d/a"), Some(vec![7; 3000]));
    }
}

#[test]
fn a_file_without_a_synced_folder_entry_may_be_gone_and_may_be_there() {
    let found: BTreeSet<bool> = (0..50)
        .map(|seed| {
            let disk = disk();
            write(&disk, "/d/a", b"x", true);
            content(&disk.crash(seed), "/d/a").is_some()
        })
        .collect();
    assert_eq!(found.len(), 2);
}

#[test]
fn unsynced_sectors_survive_one_by_one() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk();
        write(&disk, "/d/a", &[1; 1024], true);
        disk.sync_dir(Path::new("/d")).unwrap();
        write(&disk, "/d/a", &[2; 1024], false);
        let bytes = content(&disk.crash(seed), "/d/a").unwrap();
        assert!(
            bytes[..512].iter().all(|byte| *byte == bytes[0]),
            "a sector is atomic"
        );
        assert!(
            bytes[512..].iter().all(|byte| *byte == bytes[512]),
            "a sector is atomic"
        );
        outcomes.insert((bytes[0], bytes[512]));
    }
    assert_eq!(outcomes, BTreeSet::from([(1, 1), (1, 2), (2, 1), (2, 2)]));
}

#[test]
fn a_rename_is_all_or_nothing() {
    for seed in 0..100 {
        let disk = disk();
        write(&disk, "/d/a", b"old", true);
        write(&disk, "/d/b", b"new", true);
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.rename(Path::new("/d/b"), Path::new("/d/a")).unwrap();
        let disk = disk.crash(seed);
        match content(&disk, "/d/a").unwrap().as_slice() {
            b"old" => assert_eq!(content(&disk, "/d/b"), Some(b"new".to_vec())),
            b"new" => assert_eq!(content(&disk, "/d/b"), None),
            other => panic!("a mixture: {other:?}"),
        }
    }
}

#[test]
fn a_failed_sync_is_not_mended_by_the_next_one() {
    for seed in 0..20 {
        let disk = disk();
        write(&disk, "/d/a", b"old", true);
        disk.sync_dir(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/a"), OpenMode::Write).unwrap();
        file.write_at(0, b"new").unwrap();
        disk.fail(Operation::Sync, 1, Fault::Broken);
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(
            content(&disk, "/d/a"),
            Some(b"new".to_vec()),
            "reads still see it"
        );
        assert_eq!(content(&disk.crash(seed), "/d/a"), Some(b"old".to_vec()));
    }
}

#[test]
fn a_killed_process_loses_nothing_and_its_ghost_can_do_nothing() {
    let disk = disk();
    let ghost = disk.open(Path::new("/d/a"), OpenMode::Create).unwrap();
    ghost.write_at(0, b"x").unwrap();
    let after = disk.kill();
    assert_eq!(content(&after, "/d/a"), Some(b"x".to_vec()));
    ghost.write_at(0, b"y").unwrap_err();
    disk.list(Path::new("/d")).unwrap_err();
    assert_eq!(content(&after, "/d/a"), Some(b"x".to_vec()));
}

#[test]
fn a_full_disk_refuses_to_grow_until_there_is_room() {
    let disk = disk();
    disk.set_capacity(Some(1000));
    let file = disk.open(Path::new("/d/a"), OpenMode::Create).unwrap();
    file.write_at(0, &[1; 900]).unwrap();
    let error = file.write_at(900, &[1; 200]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    file.write_at(0, &[2; 900]).unwrap();
    assert_eq!(disk.free_bytes(Path::new("/d")).unwrap(), 100);
    file.set_len(10).unwrap();
    file.write_at(900, &[1; 100]).unwrap();
}

#[test]
fn listing_names_files_and_folders_in_order() {
    let disk = disk();
    disk.create_dir_all(Path::new("/d/sub/deep")).unwrap();
    write(&disk, "/d/b", b"", false);
    write(&disk, "/d/sub/x", b"1", false);
    assert_eq!(disk.list(Path::new("/d")).unwrap(), ["b", "sub"]);
    disk.rename(Path::new("/d/sub"), Path::new("/d/other"))
        .unwrap();
    assert_eq!(disk.list(Path::new("/d/other")).unwrap(), ["deep", "x"]);
    disk.remove_dir_all(Path::new("/d/other")).unwrap();
    assert_eq!(disk.list(Path::new("/d")).unwrap(), ["b"]);
    disk.list(Path::new("/d/other")).unwrap_err();
}

#[test]
fn a_synced_copy_has_what_every_crash_leaves_and_the_disk_goes_on() {
    let disk = disk();
    write(&disk, "/d/a", &[7; 3000], true);
    disk.sync_dir(Path::new("/d")).unwrap();
    write(&disk, "/d/a", &[8; 600], false);
    write(&disk, "/d/b", b"x", true);
    let copy = disk.synced_copy();
    assert_eq!(content(&copy, "/d/a"), Some(vec![7; 3000]));
    assert_eq!(content(&copy, "/d/b"), None, "its name was not synced");
    assert_eq!(content(&disk, "/d/b"), Some(b"x".to_vec()));
}

#[test]
fn a_power_cut_ends_every_operation_after_the_given_number() {
    let mut left = BTreeSet::new();
    for seed in 0..50 {
        let disk = disk();
        write(&disk, "/d/a", &[1; 512], true);
        disk.sync_dir(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/a"), OpenMode::Write).unwrap();
        disk.cut_power_after(1);
        file.write_at(0, &[2; 512]).unwrap();
        assert!(!disk.is_dark());
        assert!(file.sync_data().is_err());
        assert!(disk.is_dark());
        assert!(file.write_at(0, &[3; 512]).is_err());
        left.insert(content(&disk.crash(seed), "/d/a").unwrap()[0]);
    }
    assert_eq!(left, BTreeSet::from([1, 2]));
}
