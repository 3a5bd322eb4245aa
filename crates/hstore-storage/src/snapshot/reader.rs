//! Reading a snapshot file: the header and the footer when it is opened, each chunk when it is
//! asked for, the checksum of the whole at the end.
//!
//! Invariants:
//! 1. No chunk is given out that is not as it was written, in its place.
//! 2. The end is only reported when every byte before it was checked.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use crc32c::crc32c_append;

use super::{
    Chunk, SnapshotError, SnapshotHeader,
    format::{
        FOOTER_BYTES, FOOTER_KIND, FRAME_BYTES, Footer, Frame, HEADER_BYTES_MAX, PREAMBLE_BYTES,
        Preamble, VERSION, decode_footer, decode_frame, decode_header, decode_preamble,
        header_checksum, is_whole,
    },
};
use crate::disk::{Disk, File, OpenMode};

/// Reads a snapshot file.
pub struct SnapshotReader {
    path: PathBuf,
    file: Arc<dyn File>,
    len: u64,
    header: SnapshotHeader,
    footer: Footer,
    /// Where the next chunk begins, and its number.
    at: u64,
    number: u32,
    /// The checksum of the bytes before `at`.
    checksum: u32,
}

impl SnapshotReader {
    /// Opens a file and checks its header and its footer: a file that was cut is refused here.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, SnapshotError> {
        let failed = |error| SnapshotError::io("open", path, error);
        let file = disk.open(path, OpenMode::Read).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        SnapshotReader::within(path, file, len)
    }

    /// The same of a file that is open already, and of which the first `len` bytes are the
    /// snapshot.
    pub(crate) fn within(
        path: &Path,
        file: Arc<dyn File>,
        len: u64,
    ) -> Result<Self, SnapshotError> {
        let source = Source {
            path,
            file: file.as_ref(),
            len,
        };
        let (header, checksum, at) = source.header()?;
        let footer = source.footer()?;
        let path = path.to_path_buf();
        Ok(SnapshotReader {
            path,
            file,
            len,
            header,
            footer,
            at,
            number: 0,
            checksum,
        })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// The next chunk, checked; `None` after the whole was checked too.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, SnapshotError> {
        if self.at >= self.footer.bytes {
            return self.finish().map(|()| None);
        }
        let (frame, bytes) = self.source().chunk(self.at)?;
        if frame.number != self.number || frame.kind == 0 || frame.kind == FOOTER_KIND {
            return Err(self
                .source()
                .damaged(self.at, "a chunk is not the next one"));
        }
        self.checksum = crc32c_append(self.checksum, &bytes);
        self.at += bytes.len() as u64;
        self.number += 1;
        Ok(Some(Chunk {
            kind: frame.kind,
            payload: bytes.slice(FRAME_BYTES..),
        }))
    }

    /// Reads and checks all that is left.
    pub fn verify(mut self) -> Result<SnapshotHeader, SnapshotError> {
        while self.next_chunk()?.is_some() {}
        Ok(self.header)
    }

    /// The file's length.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Bytes of the file as they are, for a peer; shorter at the end, empty after it. The peer
    /// checks them, as a whole, when it has them all.
    pub fn read_raw(&self, offset: u64, bytes_max: usize) -> Result<Bytes, SnapshotError> {
        let bytes = self.len.saturating_sub(offset).min(bytes_max as u64);
        self.source().read(offset, bytes as usize)
    }

    fn source(&self) -> Source<'_> {
        Source {
            path: &self.path,
            file: self.file.as_ref(),
            len: self.len,
        }
    }

    fn finish(&self) -> Result<(), SnapshotError> {
        let right = Footer {
            chunks: self.number.into(),
            bytes: self.at,
            checksum: self.checksum,
        };
        if right == self.footer {
            Ok(())
        } else {
            Err(self
                .source()
                .damaged(self.footer.bytes, "the chunks do not match the footer"))
        }
    }
}

/// Fails when a file is no snapshot file, or is one of a newer format.
pub(crate) fn check_kind(path: &Path, file: &dyn File) -> Result<(), SnapshotError> {
    let foreign = || SnapshotError::Foreign { path: path.into() };
    let mut first = [0; PREAMBLE_BYTES];
    let read = file
        .read_at(0, &mut first)
        .map_err(|error| SnapshotError::io("read", path, error))?;
    match decode_preamble(&first) {
        Preamble::Ours { .. } if read == PREAMBLE_BYTES => Ok(()),
        Preamble::TooNew(found) => Err(SnapshotError::TooNew {
            path: path.into(),
            found,
            known: VERSION,
        }),
        Preamble::Ours { .. } | Preamble::Other => Err(foreign()),
    }
}

/// An open file and what is needed to read from it and to say what is wrong.
struct Source<'a> {
    path: &'a Path,
    file: &'a dyn File,
    len: u64,
}

impl Source<'_> {
    /// The header, the checksum of the bytes up to its end, and where that is.
    fn header(&self) -> Result<(SnapshotHeader, u32, u64), SnapshotError> {
        let preamble = self.read(0, PREAMBLE_BYTES)?;
        let first = preamble
            .first_chunk()
            .ok_or_else(|| self.damaged(0, "the file is too short"))?;
        let (header_bytes, checksum) = match decode_preamble(first) {
            Preamble::Ours {
                header_bytes,
                checksum,
            } => (header_bytes, checksum),
            Preamble::TooNew(found) => {
                return Err(SnapshotError::TooNew {
                    path: self.path.into(),
                    found,
                    known: VERSION,
                });
            }
            Preamble::Other => return Err(self.damaged(0, "this is no snapshot file")),
        };
        if header_bytes > HEADER_BYTES_MAX {
            return Err(self.damaged(8, "the header is too long"));
        }
        let bytes = self.read(PREAMBLE_BYTES as u64, header_bytes)?;
        if bytes.len() < header_bytes || header_checksum(&preamble, &bytes) != checksum {
            return Err(self.damaged(0, "the header does not match its checksum"));
        }
        let header =
            decode_header(&bytes).ok_or_else(|| self.damaged(0, "the header is damaged"))?;
        let checksum = crc32c_append(crc32c_append(0, &preamble), &bytes);
        Ok((header, checksum, (PREAMBLE_BYTES + header_bytes) as u64))
    }

    fn footer(&self) -> Result<Footer, SnapshotError> {
        let at = self.len.saturating_sub(FOOTER_BYTES as u64);
        let cut = || self.damaged(at, "the file does not end with a footer");
        let bytes = self.read(at, FOOTER_BYTES)?;
        let frame_bytes = bytes.first_chunk().ok_or_else(cut)?;
        let frame = decode_frame(frame_bytes).ok_or_else(cut)?;
        let payload = &bytes[FRAME_BYTES..];
        let footer = decode_footer(payload).ok_or_else(cut)?;
        let right = frame.kind == FOOTER_KIND
            && frame.length == payload.len()
            && footer.bytes == at
            && u64::from(frame.number) == footer.chunks
            && is_whole(&frame, frame_bytes, payload);
        if right { Ok(footer) } else { Err(cut()) }
    }

    /// The whole chunk at this place, with its frame.
    fn chunk(&self, at: u64) -> Result<(Frame, Bytes), SnapshotError> {
        let broken = || self.damaged(at, "a chunk does not match its checksum");
        let first = self.read(at, FRAME_BYTES)?;
        let frame = first
            .first_chunk()
            .and_then(decode_frame)
            .ok_or_else(broken)?;
        let bytes = self.read(at, FRAME_BYTES + frame.length)?;
        let (frame_bytes, payload) = bytes.split_at_checked(FRAME_BYTES).ok_or_else(broken)?;
        if payload.len() == frame.length && is_whole(&frame, frame_bytes, payload) {
            Ok((frame, bytes))
        } else {
            Err(broken())
        }
    }

    /// At most so many bytes; fewer where the file ends.
    fn read(&self, offset: u64, bytes: usize) -> Result<Bytes, SnapshotError> {
        let bytes = self.len.saturating_sub(offset).min(bytes as u64);
        let mut buffer = vec![0; bytes as usize];
        self.file
            .read_exact_at(offset, &mut buffer)
            .map_err(|error| SnapshotError::io("read", self.path, error))?;
        Ok(Bytes::from(buffer))
    }

    fn damaged(&self, offset: u64, reason: &'static str) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.into(),
            offset,
            reason,
        }
    }
}
