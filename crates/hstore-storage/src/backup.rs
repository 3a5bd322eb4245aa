//! A snapshot outside of a node: the bytes that etcd's Snapshot call streams, and the file that its
//! clients make of them.
//!
//! etcd's clients keep a file whose length is a multiple of 512, and 32 bytes more: the SHA-256 of
//! what is before them. So the snapshot is followed by padding that says how long it is itself.
//!
//! Invariants: (1) nothing of a backup is believed before every byte of it was checked; (2) the
//! memory that is held is that of one piece. The bytes are drawn in docs/formats.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, File, OpenMode};
use crate::snapshot::{self, SnapshotError, SnapshotHeader, SnapshotReader};

/// What the length of everything but the trailer is a multiple of.
pub const UNIT_BYTES: u64 = 512;
/// The SHA-256 at the end.
pub const TRAILER_BYTES: u64 = 32;
/// The number at the end of the padding, which is its length.
const LENGTH_BYTES: u64 = 2;
/// How much is read at a time for the checksum.
const PIECE_BYTES: usize = 256 << 10;

/// How long the padding of a snapshot is: at least the number that says so.
fn padding_bytes(snapshot: u64) -> u64 {
    let over = (snapshot + LENGTH_BYTES) % UNIT_BYTES;
    LENGTH_BYTES + (UNIT_BYTES - over) % UNIT_BYTES
}

fn padding(snapshot: u64) -> Bytes {
    let length = padding_bytes(snapshot);
    let mut bytes = BytesMut::zeroed((length - LENGTH_BYTES) as usize);
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.freeze()
}

/// A snapshot on its way out.
pub struct Outgoing {
    reader: SnapshotReader,
    padding: Bytes,
    sent: u64,
    sum: Sha256,
}

impl Outgoing {
    /// Of a whole snapshot.
    pub fn of(reader: SnapshotReader) -> Outgoing {
        Outgoing {
            padding: padding(reader.len_bytes()),
            reader,
            sent: 0,
            sum: Sha256::new(),
        }
    }

    /// What the snapshot says of itself.
    pub fn header(&self) -> &SnapshotHeader {
        self.reader.header()
    }

    /// How much is to come before the trailer.
    pub fn remaining_bytes(&self) -> u64 {
        self.reader.len_bytes() + self.padding.len() as u64 - self.sent
    }

    /// The next bytes, shorter at the end; none when only the trailer is left.
    pub fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, SnapshotError> {
        if self.remaining_bytes() == 0 {
            return Ok(None);
        }
        let mut piece = self.reader.read_raw(self.sent, bytes_max)?;
        if piece.len() < bytes_max {
            let at = (self.sent + piece.len() as u64 - self.reader.len_bytes()) as usize;
            let end = self.padding.len().min(at + bytes_max - piece.len());
            let mut whole = BytesMut::from(&piece[..]);
            whole.extend_from_slice(&self.padding[at..end]);
            piece = whole.freeze();
        }
        self.sum.update(&piece);
        self.sent += piece.len() as u64;
        Ok(Some(piece))
    }

    /// The SHA-256 of all that was given out.
    pub fn trailer(self) -> [u8; TRAILER_BYTES as usize] {
        self.sum.finalize().into()
    }
}

/// A backup file whose bytes are those that were sent.
pub struct Backup {
    path: PathBuf,
    file: Arc<dyn File>,
    snapshot_bytes: u64,
    /// The file's length.
    pub len_bytes: u64,
    /// The SHA-256 at its end; none for a file that was taken out of a node's folder.
    pub sha256: Option<[u8; TRAILER_BYTES as usize]>,
}

impl Backup {
    /// Opens a backup and checks its length, its trailer, its header and its footer. `Backup::read`
    /// checks the rest. A snapshot file out of a node's folder, which has no trailer, is taken, too.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Backup, SnapshotError> {
        let failed = |error| SnapshotError::io("open", path, error);
        let file = disk.open(path, OpenMode::Read).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let backup = |snapshot_bytes, sha256| Backup {
            path: path.into(),
            file: Arc::clone(&file),
            snapshot_bytes,
            len_bytes: len,
            sha256,
        };
        snapshot::check_kind(path, file.as_ref())?;
        if SnapshotReader::within(path, Arc::clone(&file), len).is_ok() {
            return Ok(backup(len, None));
        }
        let damaged = |offset, reason| SnapshotError::Damaged {
            path: path.into(),
            offset,
            reason,
        };
        if len % UNIT_BYTES != TRAILER_BYTES || len <= UNIT_BYTES {
            return Err(damaged(len, "its length is not that of a whole backup"));
        }
        let body = len - TRAILER_BYTES;
        let mut trailer = [0; TRAILER_BYTES as usize];
        let read = |at, buffer: &mut [u8]| {
            file.read_exact_at(at, buffer)
                .map_err(|error| SnapshotError::io("read", path, error))
        };
        read(body, &mut trailer)?;
        if sum(body, read)? != trailer {
            return Err(damaged(body, "it does not match the SHA-256 at its end"));
        }
        let mut length = [0; LENGTH_BYTES as usize];
        read(body - LENGTH_BYTES, &mut length)?;
        let padded = u64::from(u16::from_le_bytes(length));
        let snapshot_bytes = body.saturating_sub(padded);
        if padded != padding_bytes(snapshot_bytes) {
            return Err(damaged(body, "its padding is not one that is written"));
        }
        let mut zeros = vec![0; (padded - LENGTH_BYTES) as usize];
        read(snapshot_bytes, &mut zeros)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(damaged(snapshot_bytes, "its padding is not zeros"));
        }
        let backup = backup(snapshot_bytes, Some(trailer));
        backup.read()?;
        Ok(backup)
    }

    /// The snapshot in it, from its beginning.
    pub fn read(&self) -> Result<SnapshotReader, SnapshotError> {
        SnapshotReader::within(&self.path, Arc::clone(&self.file), self.snapshot_bytes)
    }
}

fn sum(
    len: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<(), SnapshotError>,
) -> Result<[u8; TRAILER_BYTES as usize], SnapshotError> {
    let mut sum = Sha256::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < len {
        let piece = &mut buffer[..(len - at).min(PIECE_BYTES as u64) as usize];
        read(at, piece)?;
        sum.update(&*piece);
        at += piece.len() as u64;
    }
    Ok(sum.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_up_to_the_unit_and_tells_its_length() {
        for (snapshot, padded) in [
            (0, 512),
            (1, 511),
            (509, 3),
            (510, 2),
            (511, 513),
            (512, 512),
        ] {
            assert_eq!(padding_bytes(snapshot), padded, "{snapshot}");
            assert_eq!((snapshot + padded) % UNIT_BYTES, 0);
            let bytes = padding(snapshot);
            assert_eq!(bytes.len() as u64, padded);
            let (zeros, length) = bytes.split_at(bytes.len() - 2);
            assert!(zeros.iter().all(|byte| *byte == 0));
            assert_eq!(length, (padded as u16).to_le_bytes());
        }
    }
}
