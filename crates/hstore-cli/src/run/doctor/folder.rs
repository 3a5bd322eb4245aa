//! How long a folder's disk on this machine takes to sync.
//!
//! It leaves nothing behind, and a disk that does not answer holds a thread that the process does not
//! wait for.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hstore_client::v1::DiskExamination;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::facts::FolderFacts;
use crate::failure::Failure;

/// As a node does it: so many syncs of so many bytes, none begun after so long.
const BLOCKS: usize = 10;
const BLOCK_BYTES: usize = 4096;
const LOOK_MAX: Duration = Duration::from_secs(1);

/// How long the disk may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures a folder; one that cannot be written to is a failure of the command.
pub(super) async fn measure(path: &Path) -> Result<FolderFacts, Failure> {
    let (answer, wait) = oneshot::channel();
    let folder = path.to_owned();
    let look = move || {
        // Nobody may wait any more.
        let _late = answer.send(look(&folder));
    };
    std::thread::Builder::new()
        .name("disk".to_owned())
        .spawn(look)
        .map_err(|error| Failure::at(path, error))?;
    let disk = match timeout(PATIENCE, wait).await {
        Ok(Ok(Ok(disk))) => disk,
        Ok(Ok(Err(error))) => return Err(Failure::at(path, error)),
        Ok(Err(_)) | Err(_) => DiskExamination {
            problem: format!("no sync ended within {} s", PATIENCE.as_secs()),
            ..DiskExamination::default()
        },
    };
    Ok(FolderFacts {
        path: path.to_owned(),
        disk,
    })
}

/// The name of the file goes with the value.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        // It was there; when it is not any more, that is what was wanted.
        let _gone = fs::remove_file(&self.0);
    }
}

fn look(folder: &Path) -> io::Result<DiskExamination> {
    let path = folder.join(format!(".hstore-doctor-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let _named = Named(path);
    file.write_all_at(&vec![0; BLOCKS * BLOCK_BYTES], 0)?;
    file.sync_data()?;
    let began = Instant::now();
    let mut sync_us = Vec::with_capacity(BLOCKS);
    while sync_us.len() < BLOCKS && (sync_us.is_empty() || began.elapsed() < LOOK_MAX) {
        let at = sync_us.len();
        file.write_all_at(&[at as u8 + 1; BLOCK_BYTES], (at * BLOCK_BYTES) as u64)?;
        let begins = Instant::now();
        file.sync_data()?;
        sync_us.push(begins.elapsed().as_micros() as u64);
    }
    let told = rustix::fs::statvfs(folder)?;
    Ok(DiskExamination {
        sync_us,
        free_bytes: told.f_bavail.saturating_mul(told.f_frsize),
        total_bytes: told.f_blocks.saturating_mul(told.f_frsize),
        problem: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_measured_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let facts = measure(folder.path()).await.unwrap();
        assert_eq!(facts.disk.problem, "");
        assert!(!facts.disk.sync_us.is_empty() && facts.disk.total_bytes > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let missing = measure(&folder.path().join("missing")).await.unwrap_err();
        assert_eq!(missing.code().as_str(), "file_unusable");
    }
}
