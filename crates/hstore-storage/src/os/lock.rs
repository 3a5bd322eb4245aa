//! One process per data folder: the kernel's lock on the file `LOCK`, which also names its owner.
//!
//! The lock is the kernel's and ends with the process, however it ends; the process id inside is
//! only there to be shown to a person.

use std::{
    fs, io,
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The name of the lock file in a data folder.
const LOCK_FILE: &str = "LOCK";

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process runs on this folder.
    #[error("data folder {} is in use by process {}", dir.display(), pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    DataInUse {
        /// The folder.
        dir: PathBuf,
        /// The process, if its lock file says.
        pid: Option<u32>,
    },
    /// The folder or its lock file cannot be made or opened.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Keeps a data folder for this process; released when dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: fs::File,
}

impl FolderLock {
    pub(super) fn take(dir: &Path) -> Result<FolderLock, LockError> {
        let path = dir.join(LOCK_FILE);
        Self::try_take(dir, &path).map_err(|source| LockError::Io { path, source })?
    }

    fn try_take(dir: &Path, path: &Path) -> io::Result<Result<FolderLock, LockError>> {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                let pid = text.trim().parse().ok();
                return Ok(Err(LockError::DataInUse {
                    dir: dir.into(),
                    pid,
                }));
            }
            Err(error) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Ok(FolderLock { _file: file }))
    }
}
