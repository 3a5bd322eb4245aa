//! What is wrong with the network: rules that come and go, each for itself.
//!
//! Invariant: a rule is removed by the number that it was given, so faults overlap without one
//! healing the other.

use std::time::Duration;

/// One thing that is wrong. An address of none is every address.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Nothing goes from one to the other; a connection over the cut ends after a while.
    Cut {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Every frame and every dial from one to the other is refused, as a firewall that resets
    /// does.
    Reset {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Frames from one to the other wait, however long; nothing ends.
    Clog {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Every frame takes longer.
    Delay {
        /// At least so much.
        min: Duration,
        /// Less than this.
        max: Duration,
    },
    /// Some of a million frames break their connection.
    Break {
        /// How many.
        ppm: u32,
    },
    /// Some of a million frames are lost: what is behind them waits until they were sent again.
    Lose {
        /// How many.
        ppm: u32,
        /// The longest wait.
        max: Duration,
    },
    /// Some of a hundred new connections are heard twice: the second time late, and its answers
    /// go nowhere, as with a sender that gave up and connected again.
    Echo {
        /// How many.
        percent: u32,
        /// The longest that the echo is late.
        late: Duration,
    },
    /// Nobody can connect to this address; what is connected stays.
    Refuse {
        /// The address.
        at: String,
    },
}

impl Rule {
    /// Whether the rule stops frames between these two.
    pub(super) fn cuts(&self, one: &str, other: &str) -> bool {
        matches!(self, Rule::Cut { from, to } if from == one && to == other)
    }

    /// Whether the rule refuses frames between these two.
    pub(super) fn resets(&self, one: &str, other: &str) -> bool {
        matches!(self, Rule::Reset { from, to } if from == one && to == other)
    }

    /// Whether the rule makes frames between these two wait.
    pub(super) fn clogs(&self, one: &str, other: &str) -> bool {
        matches!(self, Rule::Clog { from, to } if from == one && to == other)
    }
}
