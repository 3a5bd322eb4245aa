//! The marker beside an engine's folder: whose it is, and whether it can be trusted after the way
//! the last process ended (DESIGN.md, D2). It must never know an engine.
//!
//! Invariants: (1) a marker that says `clean` is saved only after everything in the folder was
//! synced; (2) one that does not is saved before the first write; (3) decoding never panics.
//!
//! The bytes are drawn in docs/formats.md.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use hstore_core::id::{ClusterId, LogId, LogIndex, NodeId, Term};

/// The format that this version writes.
const VERSION: u8 = 1;

/// A boot id is a short text; a longer one is damage.
const BOOT_ID_BYTES_MAX: usize = 256;

/// What stands beside an engine's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The cluster whose records the engine holds.
    pub(crate) cluster_id: ClusterId,
    /// The boot of the machine in which the engine was used last.
    pub(crate) boot_id: String,
    /// Set when the last use ended well.
    pub(crate) clean: Option<Clean>,
}

/// What a clean stop left behind, for the next start to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clean {
    /// The last entry that was applied.
    pub(crate) applied: Option<LogId>,
    /// How many records the blocks hold.
    pub(crate) records: u64,
}

/// Why a marker says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkerError {
    /// It is not what was written.
    Damaged,
    /// A newer version wrote it.
    TooNew,
}

impl Marker {
    /// The marker as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(VERSION);
        bytes.put_u64_le(self.cluster_id.0);
        bytes.put_u16_le(self.boot_id.len() as u16);
        bytes.put_slice(self.boot_id.as_bytes());
        bytes.put_u8(u8::from(self.clean.is_some()));
        if let Some(clean) = &self.clean {
            bytes.put_u8(u8::from(clean.applied.is_some()));
            let applied = clean.applied.unwrap_or_default();
            bytes.put_u64_le(applied.term.0);
            bytes.put_u64_le(applied.leader.0);
            bytes.put_u64_le(applied.index.0);
            bytes.put_u64_le(clean.records);
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.put_u32_le(checksum);
        bytes.freeze()
    }

    /// The marker that `encode` wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Marker, MarkerError> {
        match bytes.first() {
            None | Some(0) => return Err(MarkerError::Damaged),
            Some(version) if *version > VERSION => return Err(MarkerError::TooNew),
            Some(_) => {}
        }
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(MarkerError::Damaged)?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
            return Err(MarkerError::Damaged);
        }
        parse(&body[1..]).ok_or(MarkerError::Damaged)
    }
}

fn parse(mut rest: &[u8]) -> Option<Marker> {
    let cluster_id = ClusterId(rest.try_get_u64_le().ok()?);
    let boot_id_bytes = usize::from(rest.try_get_u16_le().ok()?);
    if boot_id_bytes > BOOT_ID_BYTES_MAX {
        return None;
    }
    let (boot_id, mut rest) = rest.split_at_checked(boot_id_bytes)?;
    let boot_id = String::from_utf8(boot_id.to_vec()).ok()?;
    let clean = match rest.try_get_u8().ok()? {
        0 => None,
        1 => {
            let is_some = rest.try_get_u8().ok()? == 1;
            let applied = LogId {
                term: Term(rest.try_get_u64_le().ok()?),
                leader: NodeId(rest.try_get_u64_le().ok()?),
                index: LogIndex(rest.try_get_u64_le().ok()?),
            };
            Some(Clean {
                applied: is_some.then_some(applied),
                records: rest.try_get_u64_le().ok()?,
            })
        }
        _ => return None,
    };
    rest.is_empty().then_some(Marker {
        cluster_id,
        boot_id,
        clean,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn markers() -> Vec<Marker> {
        let applied = LogId {
            term: Term(2),
            leader: NodeId(3),
            index: LogIndex(4),
        };
        let clean = [
            None,
            Some(Clean {
                applied: None,
                records: 0,
            }),
            Some(Clean {
                applied: Some(applied),
                records: 5,
            }),
        ];
        let marker = |clean| Marker {
            cluster_id: ClusterId(0x0102),
            boot_id: "boot".to_owned(),
            clean,
        };
        clean.into_iter().map(marker).collect()
    }

    #[test]
    fn a_marker_comes_back_and_every_change_of_it_is_noticed() {
        for marker in markers() {
            let bytes = marker.encode();
            assert_eq!(Marker::decode(&bytes), Ok(marker));
            for at in 0..bytes.len() {
                let mut flipped = bytes.to_vec();
                flipped[at] ^= 0x10;
                assert!(Marker::decode(&flipped).is_err(), "byte {at}");
                assert!(Marker::decode(&bytes[..at]).is_err(), "cut at {at}");
            }
        }
    }

    #[test]
    fn a_newer_marker_is_told_from_a_damaged_one() {
        assert_eq!(
            Marker::decode(&[VERSION + 1, 9, 9]),
            Err(MarkerError::TooNew)
        );
        assert_eq!(Marker::decode(&[0, 9, 9]), Err(MarkerError::Damaged));
        assert_eq!(Marker::decode(&[]), Err(MarkerError::Damaged));
    }

    #[test]
    fn the_bytes_of_version_1_stay_as_they_are() {
        let bytes = markers()[2].encode();
        let golden = [
            1, 2, 1, 0, 0, 0, 0, 0, 0, 4, 0, b'b', b'o', b'o', b't', 1, 1, 2, 0, 0, 0, 0, 0, 0, 0,
            3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,
        ];
        let (body, checksum) = bytes.split_last_chunk::<4>().unwrap();
        assert_eq!(body, golden);
        assert_eq!(*checksum, crc32c::crc32c(&golden).to_le_bytes());
    }
}
