//! Engines on real files: folders `engine-N`, each with a marker beside it, and `CURRENT`, which
//! names the one in use. It must never know what is in an engine or in a marker.
//!
//! Invariants: (1) `CURRENT` and the markers change by a synced temporary file, a rename and a
//! sync of the folder, so a crash leaves the old or the new; (2) numbers only grow; (3) a folder
//! that `CURRENT` does not name is never needed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::sled::{SledEngine, sync_folder};
use super::{Engine, EngineFault, EngineNumber, EngineSource, SendVisitor};

const CURRENT: &str = "CURRENT";
const PREFIX: &str = "engine-";
const MARKER_SUFFIX: &str = ".marker";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// sled engines in folders side by side.
pub struct FolderSource {
    root: PathBuf,
    boot_id: Box<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for FolderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderSource")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl FolderSource {
    /// Engines below `root`, which is made if need be. `boot_id` names the present boot of the
    /// machine: it must change whenever the file system could have lost unsynced bytes.
    pub fn open(
        root: &Path,
        boot_id: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<FolderSource, EngineFault> {
        fs::create_dir_all(root).map_err(|source| io_fault("make", source))?;
        Ok(FolderSource {
            root: root.to_owned(),
            boot_id: Box::new(boot_id),
        })
    }

    fn folder(&self, number: EngineNumber) -> PathBuf {
        self.root.join(number.to_string())
    }

    fn marker_path(&self, number: EngineNumber) -> PathBuf {
        self.root.join(format!("{number}{MARKER_SUFFIX}"))
    }

    /// Replaces a file below the root so that a crash leaves the old or the new.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), EngineFault> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(TEMPORARY_SUFFIX);
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| io_fault("mark", source))
    }

    /// The numbers of everything below the root that belongs to an engine.
    fn numbers(&self) -> Result<Vec<EngineNumber>, EngineFault> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(|source| io_fault("list", source))? {
            let entry = entry.map_err(|source| io_fault("list", source))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let digits = rest.split('.').next().unwrap_or(rest);
            if let Ok(number) = digits.parse() {
                numbers.push(EngineNumber(number));
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

impl EngineSource for FolderSource {
    fn list(&self) -> Result<Vec<EngineNumber>, EngineFault> {
        self.numbers()
    }

    fn current(&self) -> Result<Option<EngineNumber>, EngineFault> {
        let text = match fs::read(self.root.join(CURRENT)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(io_fault("read", source)),
        };
        let number = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim_end().strip_prefix(PREFIX)?.parse().ok());
        match number {
            Some(number) => Ok(Some(EngineNumber(number))),
            None => Err(EngineFault::Damaged {
                what: format!("{CURRENT} names no engine"),
            }),
        }
    }

    fn marker(&self, number: EngineNumber) -> Result<Option<Bytes>, EngineFault> {
        match fs::read(self.marker_path(number)) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_fault("read", source)),
        }
    }

    fn save_marker(&self, number: EngineNumber, marker: &[u8]) -> Result<(), EngineFault> {
        self.replace(&self.marker_path(number), marker)
    }

    fn create(&self) -> Result<(EngineNumber, Arc<dyn Engine>), EngineFault> {
        let last = self.numbers()?.last().map_or(0, |number| number.0);
        // A pointer to a folder that is gone still claims its number.
        let named = self.current().ok().flatten().map_or(0, |number| number.0);
        let number = EngineNumber(last.max(named) + 1);
        let engine = self.open(number, &mut |_, _| ControlFlow::Continue(()))?;
        Ok((number, engine))
    }

    fn open(
        &self,
        number: EngineNumber,
        visit: &mut SendVisitor<'_>,
    ) -> Result<Arc<dyn Engine>, EngineFault> {
        Ok(Arc::new(SledEngine::open(&self.folder(number), visit)?))
    }

    fn switch(&self, number: EngineNumber) -> Result<(), EngineFault> {
        self.replace(&self.root.join(CURRENT), format!("{number}\n").as_bytes())
    }

    fn close(&self, number: EngineNumber, engine: Arc<dyn Engine>) -> Result<bool, EngineFault> {
        if Arc::strong_count(&engine) > 1 {
            return Ok(false);
        }
        engine.sync()?;
        // sled writes once more when its last handle goes.
        drop(engine);
        sync_folder(&self.folder(number))?;
        Ok(true)
    }

    fn remove(&self, number: EngineNumber) -> Result<(), EngineFault> {
        let remove = |source| io_fault("remove", source);
        match fs::remove_dir_all(self.folder(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(remove(error)),
            _ => {}
        }
        for entry in fs::read_dir(&self.root).map_err(remove)? {
            let entry = entry.map_err(remove)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_this = name.strip_prefix(&number.to_string());
            if of_this.is_some_and(|rest| rest.starts_with('.')) {
                fs::remove_file(entry.path()).map_err(remove)?;
            }
        }
        Ok(())
    }

    fn boot_id(&self) -> String {
        (self.boot_id)()
    }
}

fn io_fault(action: &'static str, source: io::Error) -> EngineFault {
    EngineFault::Io { action, source }
}
