//! A purged segment becomes the next one, but never under the hands of a reader.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use hstore_core::id::LogIndex;
use hstore_storage::{
    disk::{Disk, File, OpenMode, memory::MemoryDisk},
    wal::{Wal, WalError},
};

use crate::model::{DIR, OPTIONS, entry};

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk that does something else right before its next read.
struct HookDisk {
    disk: MemoryDisk,
    hook: Hook,
}

struct HookFile {
    file: Arc<dyn File>,
    hook: Hook,
}

#[test]
fn a_reader_in_the_middle_of_a_segment_finishes_while_the_segment_is_purged() {
    let hook = Hook::default();
    let disk = HookDisk {
        disk: MemoryDisk::new(),
        hook: hook.clone(),
    };
    let (mut wal, _) = Wal::open(Arc::new(disk), Path::new(DIR), OPTIONS).unwrap();
    append(&mut wal, 0..8);
    let reader = wal.reader();
    let wal = Arc::new(Mutex::new(wal));
    let writer = wal.clone();
    // The reader has found its file and is about to read it: now the log purges it and goes on far
    // enough to need every spare there is.
    *hook.lock().unwrap() = Some(Box::new(move || {
        let mut wal = writer.lock().unwrap();
        for next in (8..48).step_by(8) {
            append(&mut wal, next..next + 8);
            wal.purge(entry(next, 1, 0).id).unwrap();
        }
    }));
    let entries = reader.read(LogIndex(0)..LogIndex(3), usize::MAX).unwrap();
    assert!(
        hook.lock().unwrap().is_none(),
        "the purge happened in between"
    );
    assert_eq!(
        entries,
        [entry(0, 1, 900), entry(1, 1, 900), entry(2, 1, 900)]
    );
    let error = reader
        .read(LogIndex(0)..LogIndex(3), usize::MAX)
        .unwrap_err();
    assert!(
        matches!(error, WalError::Purged { index: LogIndex(0) }),
        "{error}"
    );
}

fn append(wal: &mut Wal, indexes: std::ops::Range<u64>) {
    wal.append(indexes.map(|index| entry(index, 1, 900)).collect())
        .unwrap();
    wal.sync().unwrap();
}

impl Disk for HookDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(HookFile {
            file,
            hook: self.hook.clone(),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

impl File for HookFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let hook = self.hook.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
}
