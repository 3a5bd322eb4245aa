//! The state machine: commands in, outcomes and records out.
//!
//! `apply` cannot fail but for a fault of the store below it, and then the node stops.

mod view;

use bytes::Bytes;

use crate::codec::DecodeError;
use crate::command::Proposal;
use crate::id::{LogIndex, Revision};
use crate::outcome::{Outcome, Refusal};
use crate::range::{Range, RangeResult};

pub use view::View;

/// What applying one proposal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The answer, the same on every node.
    pub outcome: Outcome,
    /// Set when the history below this revision may be dropped by the store.
    pub compact: Option<Revision>,
}

/// The replicated state beside the records.
#[derive(Clone, Debug, Default)]
pub struct Machine {}

impl Machine {
    /// The current revision.
    pub fn revision(&self) -> Revision {
        todo!()
    }
    /// The oldest revision that is readable; 0 when nothing was compacted.
    pub fn compacted(&self) -> Revision {
        todo!()
    }
    /// The running hash of everything applied.
    pub fn state_hash(&self) -> u64 {
        todo!()
    }
    /// Applies the proposal that stands at `index`.
    pub fn apply<V: View>(
        &mut self,
        _view: &mut V,
        _index: LogIndex,
        _proposal: Result<Proposal, DecodeError>,
    ) -> Result<Applied, V::Fault> {
        todo!()
    }
    /// The whole machine as bytes.
    pub fn encode_state(&self) -> Bytes {
        todo!()
    }
    /// The machine that `encode_state` wrote.
    pub fn decode_state(_bytes: Bytes) -> Result<Machine, DecodeError> {
        todo!()
    }
}

/// Reads a range.
pub fn read<V: View>(
    _view: &V,
    _current: Revision,
    _compacted: Revision,
    _range: &Range,
) -> Result<Result<RangeResult, Refusal>, V::Fault> {
    todo!()
}
