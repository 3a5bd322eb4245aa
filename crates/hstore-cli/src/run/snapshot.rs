//! `snapshot`: the whole state of the cluster as a file, and a look at such a file.
//!
//! Invariant: a file has its name only when every byte of it was checked and is on the disk; a save
//! that ends early leaves the file that was there before.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use hstore_storage::backup::Backup;
use hstore_storage::os::OsDisk;
use hstore_storage::store::{self, Summary};
use serde_json::{Value, json};

use crate::args::Snapshot;
use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;
use crate::run::progress::Progress;
use crate::text;

/// What the name of a file ends with while it is being written.
const UNFINISHED: &str = ".part";

pub(super) async fn run(context: &Context, what: &Snapshot) -> Result<Data, Failure> {
    match what {
        Snapshot::Save { file, force } => save(context, file, *force).await.map(Data::Saved),
        Snapshot::Restore { .. } => Err(Failure::Usage(
            "a saved file becomes a new cluster where its first node will run: hstore-server restore FILE"
                .to_owned(),
        )),
        Snapshot::Status { file } => {
            let file = file.clone();
            let report = blocking(move || report(&file)).await?;
            Ok(Data::Backup(Box::new(report)))
        }
    }
}

async fn save(context: &Context, file: &Path, force: bool) -> Result<Saved, Failure> {
    let there = file
        .try_exists()
        .map_err(|error| Failure::at(file, error))?;
    if there && !force {
        let what = "it is there already; --force replaces it";
        let error = io::Error::new(io::ErrorKind::AlreadyExists, what);
        return Err(Failure::at(file, error));
    }
    let mut part = Part::beside(file)?;
    let mut snapshot = context.client.snapshot().await?;
    let all = snapshot.remaining_bytes;
    let progress = Progress::of_bytes(context.progress, Some(all));
    progress.say(format!("from {}", snapshot.address));
    while let Some(piece) = snapshot.next().await? {
        part.write(&piece)?;
        progress.reached(part.written);
    }
    progress.say("checking".to_owned());
    let (bytes, to) = (part.written, file.to_owned());
    let header = blocking(move || {
        let backup = Backup::open(&OsDisk::new(), &part.path).map_err(Failure::of_backup)?;
        let read = backup.read().map_err(Failure::of_backup)?;
        let header = read.verify().map_err(Failure::of_backup)?;
        part.finish(&to)?;
        Ok(header)
    })
    .await?;
    progress.done();
    Ok(Saved {
        file: file.to_owned(),
        bytes,
        revision: header.revision.0,
        applied: header.last.index.0,
        node: snapshot.address.to_string(),
    })
}

/// Runs what reads a whole file beside the rest, so that a person can say stop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::Output(io::Error::other(error))))
}

/// A file that is being written. It goes away unless it was finished.
struct Part {
    path: PathBuf,
    file: File,
    written: u64,
    finished: bool,
}

impl Part {
    fn beside(file: &Path) -> Result<Part, Failure> {
        let mut name = file.as_os_str().to_owned();
        name.push(UNFINISHED);
        let path = PathBuf::from(name);
        // Whoever may not read the cluster may not read this either.
        let created = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        Ok(Part {
            file: created.map_err(|error| Failure::at(&path, error))?,
            path,
            written: 0,
            finished: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| Failure::at(&self.path, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name, durably.
    fn finish(&mut self, file: &Path) -> Result<(), Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Failure::at(&self.path, error))?;
        fs::rename(&self.path, file).map_err(|error| Failure::at(file, error))?;
        self.finished = true;
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Failure::at(folder, error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.finished {
            // The next save writes over it.
            let _left = fs::remove_file(&self.path).is_err();
        }
    }
}

/// What was saved.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    file: PathBuf,
    bytes: u64,
    revision: i64,
    applied: u64,
    node: String,
}

impl Saved {
    pub(crate) fn sentence(&self) -> String {
        format!(
            "rev {} of {} saved in {}  {}",
            self.revision,
            self.node,
            self.file.display(),
            text::size(self.bytes)
        )
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "file": self.file.display().to_string(),
            "bytes": self.bytes,
            "revision": self.revision,
            "applied_index": self.applied,
            "node": self.node,
        })
    }
}

/// What a saved file holds.
#[derive(Clone, Debug)]
pub(crate) struct BackupReport {
    file: PathBuf,
    bytes: u64,
    sha256: Option<String>,
    summary: Summary,
}

fn report(file: &Path) -> Result<BackupReport, Failure> {
    let backup = Backup::open(&OsDisk::new(), file).map_err(Failure::of_backup)?;
    let summary = store::inspect(backup.read().map_err(Failure::of_backup)?);
    Ok(BackupReport {
        file: file.to_owned(),
        bytes: backup.len_bytes,
        sha256: backup.sha256.as_ref().map(|sum| hexadecimal(sum)),
        summary: summary.map_err(Failure::of_backup)?,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

impl BackupReport {
    /// Name and value of each figure, for people.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String)> {
        let Summary { header, .. } = &self.summary;
        let none = || "none: this is a file out of a node's folder".to_owned();
        vec![
            ("file", self.file.display().to_string()),
            ("cluster", header.cluster_id.to_string()),
            (
                "revision",
                format!("{} (history from {})", header.revision, header.compacted),
            ),
            (
                "log",
                format!(
                    "up to entry {} of term {}",
                    header.last.index, header.last.term
                ),
            ),
            ("keys", self.summary.keys.to_string()),
            ("records", self.summary.records.to_string()),
            ("leases", self.summary.leases.to_string()),
            ("size", text::size(self.bytes)),
            ("state hash", format!("{:016x}", self.summary.state_hash)),
            ("sha256", self.sha256.clone().unwrap_or_else(none)),
        ]
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let Summary { header, .. } = &self.summary;
        json!({
            "file": self.file.display().to_string(),
            "cluster_id": header.cluster_id.to_string(),
            "revision": header.revision.0,
            "compacted_revision": header.compacted.0,
            "applied_index": header.last.index.0,
            "applied_term": header.last.term.0,
            "keys": self.summary.keys,
            "records": self.summary.records,
            "leases": self.summary.leases,
            "bytes": self.bytes,
            "state_hash": format!("{:016x}", self.summary.state_hash),
            "sha256": self.sha256,
        })
    }
}
