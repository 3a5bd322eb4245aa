//! The disk port: all that storage may ask of a file system, and what survives a crash.
//!
//! Everything durable (log, snapshot files, identity) goes through [`Disk`], so that the same code
//! runs on real files (`os::OsDisk`) and on [`memory::MemoryDisk`], which forgets what was never
//! synced. This room must never know what the bytes mean.
//!
//! What survives power loss (the durability contract):
//! 1. The bytes and the length of a file, as of its last successful [`File::sync_data`].
//! 2. Folder entries (a file made, renamed or removed), once [`Disk::sync_dir`] of that folder
//!    returned. Syncing a file does not make its name durable.
//! 3. Folders, when [`Disk::create_dir_all`] returned.
//! 4. Of everything else any part may survive: any 512-byte sector of an unsynced write without its
//!    neighbours, any folder change without the ones before it. A sector and a rename are atomic.
//! 5. After a failed write or sync the unsynced bytes of that file are in an unknown state, and
//!    syncing again proves nothing. The only right answer is to stop using the file.

pub mod memory;

use std::{io, path::Path, sync::Arc};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    Write,
    /// Reading and writing; an empty file is made if there is none.
    Create,
    /// Reading and writing; the file must not exist yet.
    CreateNew,
}

/// A file system as storage sees it. Paths are used as given; all methods may be called from any
/// thread.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file. A new file's name is durable only after [`Disk::sync_dir`].
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// The names in a folder, files and folders, in byte order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder and its parents; durable when it returns. Fine if it is there already.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or folder, replacing a file of the new name; atomic, durable after
    /// [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; whoever holds it open can still read it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder and everything below it, not atomically.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Whether a file or folder of this name is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes the entries of a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// How many bytes can still be written below this folder.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file. Reads may run beside writes from other threads.
pub trait File: Send + Sync {
    /// Reads at an offset until the buffer is full or the file ends; says how many bytes.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at an offset, growing the file as needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all bytes written so far, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Grows the file to `len` with bytes that read as zeros and whose space is reserved, so that
    /// writing there cannot fail for want of space. Never shrinks.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads exactly the buffer's length; an early end is [`io::ErrorKind::UnexpectedEof`].
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.read_at(offset, buffer)? == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
