//! The disk of the operating system: that it does what the port says, and locks.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use hstore_storage::{
    disk::{Disk, OpenMode, memory::MemoryDisk},
    os::{LockError, OsDisk},
};

/// Runs a check on both disks, so that they cannot drift apart.
fn on_both(check: impl Fn(&dyn Disk, &Path)) {
    let memory = MemoryDisk::new();
    memory.create_dir_all(Path::new("/top")).unwrap();
    check(&memory, Path::new("/top"));
    let dir = tempfile::tempdir().unwrap();
    check(&OsDisk::new(), dir.path());
}

#[test]
fn opening_minds_the_mode() {
    on_both(|disk, top| {
        let path = top.join("a");
        for mode in [OpenMode::Read, OpenMode::Write] {
            let error = disk.open(&path, mode).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
        disk.open(&path, OpenMode::CreateNew)
            .unwrap()
            .write_at(0, b"x")
            .unwrap();
        let error = disk.open(&path, OpenMode::CreateNew).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(
            disk.open(&path, OpenMode::Create).unwrap().len().unwrap(),
            1
        );
        disk.open(&path, OpenMode::Read)
            .unwrap()
            .write_at(0, b"y")
            .unwrap_err();
        let nowhere = top.join("no/folder");
        let error = disk.open(&nowhere, OpenMode::Create).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn files_read_what_was_written_and_zeros_in_between() {
    on_both(|disk, top| {
        let file = disk.open(&top.join("a"), OpenMode::Create).unwrap();
        assert!(file.is_empty().unwrap());
        file.write_at(1000, b"tail").unwrap();
        let mut bytes = [7; 1010];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), 1004);
        assert_eq!(
            (&bytes[..1000], &bytes[1000..1004]),
            (&[0; 1000][..], &b"tail"[..])
        );
        let error = file.read_exact_at(0, &mut bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(file.read_at(2000, &mut bytes).unwrap(), 0);
        file.set_len(1002).unwrap();
        file.allocate(5000).unwrap();
        file.allocate(100).unwrap();
        assert_eq!(file.len().unwrap(), 5000);
        assert_eq!(file.read_at(1000, &mut bytes[..4]).unwrap(), 4);
        assert_eq!(&bytes[..4], b"ta\0\0");
        file.sync_data().unwrap();
    });
}

#[test]
fn folders_are_made_listed_renamed_and_removed() {
    on_both(|disk, top| {
        let deep = top.join("x/y/z");
        disk.create_dir_all(&deep).unwrap();
        disk.create_dir_all(&deep).unwrap();
        for name in ["b", "a", "c"] {
            disk.open(&deep.join(name), OpenMode::Create).unwrap();
        }
        assert_eq!(disk.list(&deep).unwrap(), ["a", "b", "c"]);
        disk.rename(&deep.join("c"), &deep.join("a")).unwrap();
        disk.remove_file(&deep.join("b")).unwrap();
        assert_eq!(disk.list(&deep).unwrap(), ["a"]);
        disk.rename(&top.join("x/y"), &top.join("w")).unwrap();
        assert!(disk.exists(&top.join("w/z/a")).unwrap());
        assert!(!disk.exists(&deep).unwrap());
        disk.sync_dir(top).unwrap();
        disk.remove_dir_all(&top.join("w")).unwrap();
        assert_eq!(disk.list(top).unwrap(), ["x"]);
        for missing in [top.join("w"), top.join("w/z")] {
            assert_eq!(
                disk.list(&missing).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
            assert_eq!(
                disk.remove_file(&missing).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
        }
        assert!(disk.free_bytes(top).unwrap() > 0);
    });
}

#[test]
fn a_removed_file_can_still_be_read_by_who_holds_it() {
    on_both(|disk, top| {
        let path = top.join("a");
        let file = disk.open(&path, OpenMode::Create).unwrap();
        file.write_at(0, b"x").unwrap();
        disk.remove_file(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(0, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    });
}

#[test]
fn a_data_folder_is_private_and_belongs_to_one_holder_at_a_time() {
    let top = tempfile::tempdir().unwrap();
    let dir = top.path().join("data/node");
    let disk = OsDisk::new();
    let lock = disk.lock(&dir).unwrap();
    for (path, mode) in [(&dir, 0o700), (&dir.join("LOCK"), 0o600)] {
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    let error = disk.lock(&dir).unwrap_err();
    let LockError::DataInUse { pid, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*pid, Some(std::process::id()));
    let text = error.to_string();
    assert!(text.contains("in use by process"), "{text}");
    assert!(text.contains(dir.to_str().unwrap()), "{text}");
    drop(lock);
    disk.lock(&dir).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_told_by_name() {
    let top = tempfile::tempdir().unwrap();
    let file = top.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = OsDisk::new().lock(&file.join("data")).unwrap_err();
    assert!(matches!(error, LockError::Io { .. }), "{error}");
    assert!(error.to_string().contains("file/data"), "{error}");
}
