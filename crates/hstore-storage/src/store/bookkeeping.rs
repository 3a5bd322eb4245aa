//! What the engine holds beside blocks: the state that goes with them, and the tally of them.
//!
//! The tally changes in the same batch as the blocks it counts, so a block that the engine lost
//! without a word is missed at the next start. The state is written last in a flush: it names the
//! revision up to which blocks count, and blocks beyond it are what a flush left that did not end.
//!
//! Invariants: (1) both sort before every block; (2) decoding never panics.
//!
//! The bytes are drawn in docs/formats.md.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use hstore_core::codec;
use hstore_core::id::{LogId, Revision};
use hstore_core::machine::Machine;
use hstore_core::membership::Membership;

/// The format that this version writes.
const VERSION: u8 = 1;

/// Version and checksum.
const HEADER_BYTES: usize = 5;

/// The engine's key of the state.
pub(crate) const STATE_KEY: &[u8] = &[0, b's'];

/// The engine's key of the tally.
pub(crate) const TALLY_KEY: &[u8] = &[0, b't'];

/// Everything about an applied index but the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The last entry that was applied.
    pub(crate) applied: Option<LogId>,
    /// The membership as of it.
    pub(crate) membership: Membership,
    /// The machine as of it.
    pub(crate) machine: Machine,
}

/// How many blocks there are, and how many records they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Blocks.
    pub(crate) blocks: u64,
    /// Records in them.
    pub(crate) records: u64,
}

/// Why a state or a tally cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BookError {
    /// It is not what was written.
    Damaged,
    /// A newer version wrote it.
    TooNew,
}

#[derive(Clone, PartialEq, Message)]
struct StateMessage {
    #[prost(bytes = "bytes", optional, tag = "1")]
    applied: Option<Bytes>,
    #[prost(bytes = "bytes", tag = "2")]
    membership: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    machine: Bytes,
    /// The machine's revision, so that a person with a hex dump sees it; checked on reading.
    #[prost(int64, tag = "4")]
    revision: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TallyMessage {
    #[prost(uint64, tag = "1")]
    blocks: u64,
    #[prost(uint64, tag = "2")]
    records: u64,
}

impl State {
    /// The state that `encode_state` wrote.
    pub(crate) fn decode(bytes: &Bytes) -> Result<State, BookError> {
        let message = StateMessage::decode(unseal(bytes)?).map_err(|_| BookError::Damaged)?;
        let damaged = |_| BookError::Damaged;
        let applied = message.applied.map(codec::decode_log_id).transpose();
        let machine = Machine::decode_state(message.machine).map_err(damaged)?;
        if machine.revision().0 != message.revision {
            return Err(BookError::Damaged);
        }
        Ok(State {
            applied: applied.map_err(damaged)?,
            membership: codec::decode_membership(message.membership).map_err(damaged)?,
            machine,
        })
    }
}

/// A state as bytes, of a machine that was encoded before.
pub(crate) fn encode_state(
    applied: Option<LogId>,
    membership: &Membership,
    machine: Bytes,
    revision: Revision,
) -> Bytes {
    seal(&StateMessage {
        applied: applied.as_ref().map(codec::encode_log_id),
        membership: codec::encode_membership(membership),
        machine,
        revision: revision.0,
    })
}

impl Tally {
    /// The tally as bytes.
    pub(crate) fn encode(&self) -> Bytes {
        seal(&TallyMessage {
            blocks: self.blocks,
            records: self.records,
        })
    }

    /// The tally that `encode` wrote.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Tally, BookError> {
        let message = TallyMessage::decode(unseal(bytes)?).map_err(|_| BookError::Damaged)?;
        Ok(Tally {
            blocks: message.blocks,
            records: message.records,
        })
    }
}

fn seal(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
    bytes.put_u8(VERSION);
    bytes.put_u32_le(crc32c::crc32c(&body));
    bytes.put_slice(&body);
    bytes.freeze()
}

fn unseal(bytes: &Bytes) -> Result<Bytes, BookError> {
    if bytes.len() < HEADER_BYTES {
        return Err(BookError::Damaged);
    }
    match bytes[0] {
        0 => return Err(BookError::Damaged),
        version if version > VERSION => return Err(BookError::TooNew),
        _ => {}
    }
    let body = bytes.slice(HEADER_BYTES..);
    if bytes[1..HEADER_BYTES] == crc32c::crc32c(&body).to_le_bytes() {
        Ok(body)
    } else {
        Err(BookError::Damaged)
    }
}
