//! Real files: the disk port on the operating system, and the lock of a data folder.
//!
//! Data folders are private (0700), so are files (0600). This room must never know what the bytes
//! mean, and never retries a failed sync.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the one room of storage that may touch the operating system"
)]

mod lock;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

pub use self::lock::{FolderLock, LockError};
use crate::disk::{Disk, File, OpenMode};

/// Zeros are written in pieces of this size where the file system cannot reserve space itself.
const ZEROS_BYTES: usize = 1 << 20;

/// The disk of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

struct OsFile(fs::File);

impl OsDisk {
    /// The disk of this machine.
    pub fn new() -> Self {
        OsDisk
    }

    /// Takes the data folder for this process until the lock is dropped; made if missing.
    pub fn lock(&self, dir: &Path) -> Result<FolderLock, LockError> {
        self.create_dir_all(dir).map_err(|source| LockError::Io {
            path: dir.into(),
            source,
        })?;
        FolderLock::take(dir)
    }
}

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(mode != OpenMode::Read)
            .create(mode == OpenMode::Create)
            .create_new(mode == OpenMode::CreateNew)
            .mode(0o600)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not text is none of ours, and no caller could ask for it.
            if let Ok(name) = OsString::into_string(entry?.file_name()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = parent_of(dir);
        self.create_dir_all(&parent)?;
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            made => made?,
        }
        self.sync_dir(&parent)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl File for OsFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let old = self.len()?;
        if len <= old {
            return Ok(());
        }
        match fallocate(&self.0, FallocateFlags::empty(), old, len - old) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                self.write_zeros(old, len)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl OsFile {
    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut at = from;
        while at < to {
            let bytes = (to - at).min(ZEROS_BYTES as u64);
            self.write_at(at, &zeros[..bytes as usize])?;
            at += bytes;
        }
        Ok(())
    }
}

/// The folder that holds a path; a bare name lies in the current folder.
fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_path_buf(),
        None => PathBuf::from("/"),
    }
}
