//! Why bytes could not be decoded.

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the message does.
    #[error("the bytes end before the message does")]
    Truncated,
    /// The version byte names a format that this version of hstore does not know.
    #[error("format version {found} is newer than {known}, the newest that this version knows")]
    TooNew {
        /// The version byte.
        found: u8,
        /// The newest version that is understood.
        known: u8,
    },
    /// The bytes are not a message of this format.
    #[error("the bytes are not a valid message: {0}")]
    Malformed(&'static str),
}
