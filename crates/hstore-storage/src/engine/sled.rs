//! The engine on sled 0.34. It knows one folder and sled; it must never know what is in it.
//!
//! sled's habits that this file answers to (measured, DESIGN.md D2 and D3):
//! - Opening a folder can fail or panic after a power loss, and fails for ever when a crash left
//!   a `snap.*.generating` behind. So `open` removes those first and runs on a thread of its own,
//!   `engine-open`, on which a panic is not the end of the process but a damaged folder.
//! - `flush` does not reach the disk (it calls `sync_file_range`). So `sync` syncs every file of
//!   the folder itself; nothing else needs it.
//! - A leaf holds up to 16 values and is read, written and kept as one. A leaf larger than a segment
//!   goes to a file of its own, so a segment is large enough for a leaf of full blocks.
//! - Its cache has 256 shards and each keeps the last leaf that it saw, however small the bound: up
//!   to 256 leaves stay in memory. Blocks of 16 KiB make that 50 MB, of 64 KiB 110 MB (measured).
//! - Its background flusher would write at times of its own choosing. It is off.
//!
//! Invariants: (1) no panic of sled leaves `open`; (2) `sync` leaves nothing to the operating
//! system that was written before it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::{Engine, EngineFault, SendVisitor, Visitor, WriteBatch};

/// The name of the thread on which a panic means a damaged folder. The server's panic hook knows
/// it and does not end the process.
pub const OPEN_THREAD_NAME: &str = "engine-open";

/// What sled may keep of pages in memory. Small on purpose: hot values are in the store's own
/// cache, and sled does not hold to this bound strictly.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// The unit in which sled writes: a leaf of 16 full blocks of 16 KiB fits with room to spare.
const SEGMENT_BYTES: usize = 512 * 1024;

/// How often a folder that is still locked is tried again. sled lets go of its lock on a
/// background thread, a moment after the last handle is dropped.
const LOCK_ATTEMPTS_MAX: u32 = 200;

/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A sled database in a folder.
#[derive(Debug)]
pub struct SledEngine {
    db: sled::Db,
    path: PathBuf,
}

impl SledEngine {
    /// Opens or makes the database of a folder and visits every pair in it.
    pub fn open(path: &Path, visit: &mut SendVisitor<'_>) -> Result<SledEngine, EngineFault> {
        remove_half_made_snapshots(path)?;
        let joined = thread::scope(|scope| {
            thread::Builder::new()
                .name(OPEN_THREAD_NAME.to_owned())
                .spawn_scoped(scope, || {
                    let engine = SledEngine {
                        db: open_unlocked(path)?,
                        path: path.to_owned(),
                    };
                    engine.scan(&[], visit)?;
                    Ok(engine)
                })
                .map(thread::ScopedJoinHandle::join)
        });
        match joined {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(EngineFault::Damaged {
                what: "sled panicked while it opened the folder".to_owned(),
            }),
            Err(source) => Err(EngineFault::Io {
                action: "start the thread that opens",
                source,
            }),
        }
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineFault> {
        let found = self.db.get(key).map_err(|error| fault("read", error))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], visit: &mut Visitor<'_>) -> Result<(), EngineFault> {
        for pair in self.db.range(start..) {
            let (key, value) = pair.map_err(|error| fault("read", error))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: WriteBatch) -> Result<(), EngineFault> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => changes.insert(&key[..], &value[..]),
                None => changes.remove(&key[..]),
            }
        }
        self.db
            .apply_batch(changes)
            .map_err(|error| fault("write", error))
    }

    fn sync(&self) -> Result<(), EngineFault> {
        self.db.flush().map_err(|error| fault("flush", error))?;
        sync_folder(&self.path)
    }

    fn size_on_disk(&self) -> Result<u64, EngineFault> {
        self.db
            .size_on_disk()
            .map_err(|error| fault("measure", error))
    }
}

/// Opens sled, waiting a little for a lock that is about to be released.
fn open_unlocked(path: &Path) -> Result<sled::Db, EngineFault> {
    let mut attempts = 1;
    loop {
        let opened = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None)
            .use_compression(false)
            .open();
        match opened {
            Ok(db) => return Ok(db),
            Err(error) if attempts < LOCK_ATTEMPTS_MAX && is_locked(&error) => {
                attempts += 1;
                #[allow(
                    clippy::disallowed_methods,
                    reason = "the lock of another process or thread cannot be waited for"
                )]
                thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(fault("open", error)),
        }
    }
}

/// Whether sled was refused its lock. It says so only in the text of its error.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source) if source.to_string().contains("could not acquire lock"))
}

/// Removes what a crash in the middle of sled's own checkpoint leaves behind.
fn remove_half_made_snapshots(path: &Path) -> Result<(), EngineFault> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_fault("list", source)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| io_fault("list", source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(|source| io_fault("tidy", source))?;
        }
    }
    Ok(())
}

/// Syncs every file below a folder, then the folders.
pub(super) fn sync_folder(path: &Path) -> Result<(), EngineFault> {
    let sync = |source| io_fault("sync", source);
    for entry in fs::read_dir(path).map_err(sync)? {
        let entry = entry.map_err(sync)?;
        let opened = match entry.file_type().map_err(sync)? {
            kind if kind.is_dir() => {
                sync_folder(&entry.path())?;
                continue;
            }
            _ => File::open(entry.path()),
        };
        match opened {
            Ok(file) => file.sync_all().map_err(sync)?,
            // sled removes files of its own in the background.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(sync(error)),
        }
    }
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(sync)
}

fn io_fault(action: &'static str, source: io::Error) -> EngineFault {
    EngineFault::Io { action, source }
}

fn fault(action: &'static str, error: sled::Error) -> EngineFault {
    match error {
        sled::Error::Io(source) => EngineFault::Io { action, source },
        other => EngineFault::Damaged {
            what: other.to_string(),
        },
    }
}
