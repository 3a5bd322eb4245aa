//! The folder of snapshot files: their names, the newest good one, and tidying up.
//!
//! Names sort as the snapshots do: by index, then by term.

use std::path::{Path, PathBuf};

use hstore_core::id::{LogId, LogIndex, Term};

use super::{SnapshotError, SnapshotHeader, SnapshotReader};
use crate::disk::Disk;

/// What ends the name of a snapshot.
const SUFFIX: &str = ".snap";
/// What ends the name of a file that is not a snapshot yet.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";
/// The digits of each number in a name.
const DIGITS: usize = 20;

/// What a look through the folder found.
#[derive(Debug, Default)]
pub struct Newest {
    /// The newest whole snapshot.
    pub snapshot: Option<(PathBuf, SnapshotHeader)>,
    /// Newer ones that are damaged, with what is wrong.
    pub damaged: Vec<(PathBuf, SnapshotError)>,
}

/// The file name of a snapshot up to this entry.
pub fn file_name(last: LogId) -> String {
    format!("{:020}-{:020}{SUFFIX}", last.index.0, last.term.0)
}

/// What a file name says; `None` if it names no snapshot.
pub fn parse_file_name(name: &str) -> Option<(LogIndex, Term)> {
    let (index, term) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    Some((LogIndex(parse_number(index)?), Term(parse_number(term)?)))
}

/// The newest snapshot in the folder that is whole; damaged ones are skipped and told. Reads all
/// of the file. A snapshot of a newer format is an error: passing it over would go back in time.
pub fn newest_valid(disk: &dyn Disk, dir: &Path) -> Result<Newest, SnapshotError> {
    newest(disk, dir, SnapshotReader::verify)
}

/// As [`newest_valid`], but looks at header and footer only: enough to know up to where there is
/// a snapshot, not enough to build a store from it.
pub fn newest_unverified(disk: &dyn Disk, dir: &Path) -> Result<Newest, SnapshotError> {
    newest(disk, dir, |reader| Ok(reader.header().clone()))
}

/// Removes all snapshots but the newest `keep`; says how many went.
pub fn remove_older(disk: &dyn Disk, dir: &Path, keep: usize) -> Result<usize, SnapshotError> {
    let names: Vec<String> = snapshots(disk, dir)?;
    let old = names.len().saturating_sub(keep);
    remove(disk, dir, &names[..old])
}

/// Removes what writers and receivers left unfinished; for start-up, when none can be running.
pub fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<usize, SnapshotError> {
    let mut names = list(disk, dir)?;
    names.retain(|name| name.ends_with(TEMPORARY_SUFFIX));
    remove(disk, dir, &names)
}

fn newest(
    disk: &dyn Disk,
    dir: &Path,
    check: impl Fn(SnapshotReader) -> Result<SnapshotHeader, SnapshotError>,
) -> Result<Newest, SnapshotError> {
    let mut found = Newest::default();
    for name in snapshots(disk, dir)?.into_iter().rev() {
        let path = dir.join(&name);
        match SnapshotReader::open(disk, &path).and_then(&check) {
            Ok(header) if file_name(header.last) == name => {
                found.snapshot = Some((path, header));
                break;
            }
            Ok(_) => {
                let reason = "the name is not that of its content";
                let error = SnapshotError::Damaged {
                    path: path.clone(),
                    offset: 0,
                    reason,
                };
                found.damaged.push((path, error));
            }
            Err(error @ SnapshotError::Damaged { .. }) => found.damaged.push((path, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The names of snapshots, oldest first; none if there is no folder.
fn snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, SnapshotError> {
    let mut names = list(disk, dir)?;
    names.retain(|name| parse_file_name(name).is_some());
    Ok(names)
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, SnapshotError> {
    let failed = |error| SnapshotError::io("list", dir, error);
    if disk.exists(dir).map_err(failed)? {
        disk.list(dir).map_err(failed)
    } else {
        Ok(Vec::new())
    }
}

fn remove(disk: &dyn Disk, dir: &Path, names: &[String]) -> Result<usize, SnapshotError> {
    for name in names {
        let path = dir.join(name);
        disk.remove_file(&path)
            .map_err(|error| SnapshotError::io("remove", &path, error))?;
    }
    Ok(names.len())
}

fn parse_number(digits: &str) -> Option<u64> {
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok())?
}
