//! The disk, and how long it takes to sync.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hstore_storage::disk::{Disk, File, OpenMode};

use super::{FILE_SYNC, Histogram, LOG_SYNC};

/// The folder of the log, in a data folder.
const LOG_FOLDER: &str = "wal";

/// A disk whose syncs are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeteredDisk<D>(pub(crate) D);

struct MeteredFile {
    file: Arc<dyn File>,
    syncs: &'static Histogram<14>,
}

impl<D: Disk> Disk for MeteredDisk<D> {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, mode)?;
        let folder = path.parent().and_then(Path::file_name);
        let syncs = if folder.is_some_and(|name| name == LOG_FOLDER) {
            &LOG_SYNC
        } else {
            &FILE_SYNC
        };
        Ok(Arc::new(MeteredFile { file, syncs }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.0.free_bytes(dir)
    }
}

impl File for MeteredFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let began = Instant::now();
        let synced = self.file.sync_data();
        self.syncs.add(began.elapsed());
        synced
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

#[cfg(test)]
mod tests {
    use hstore_storage::disk::memory::MemoryDisk;

    use super::*;

    #[test]
    fn a_sync_is_counted_where_it_belongs() {
        let disk = MeteredDisk(MemoryDisk::new());
        for (path, log, other) in [("/data/wal/1.wal", 1, 0), ("/data/snapshots/1", 1, 1)] {
            disk.create_dir_all(Path::new(path).parent().unwrap())
                .unwrap();
            let file = disk.open(Path::new(path), OpenMode::Create).unwrap();
            file.write_at(0, b"x").unwrap();
            file.sync_data().unwrap();
            assert_eq!(LOG_SYNC.snapshot().count, log, "{path}");
            assert_eq!(FILE_SYNC.snapshot().count, other, "{path}");
            assert_eq!(file.len().unwrap(), 1);
        }
    }
}
