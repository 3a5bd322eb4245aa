//! The peers: connections to them, questions and answers over them.
//!
//! This room must never know what consensus says; it carries bytes.

mod call;
mod directory;
mod frame;
mod round_trips;

pub(crate) use call::{CallError, Caller};
pub(crate) use directory::{Directory, Myself};
pub(crate) use frame::{Answer, Question, Refused, decode, encode, read_frame};
pub use round_trips::RoundTrips;
