//! The log against a model, on a disk that forgets, fails and lies.

#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod crashes;
mod damage;
mod faults;
mod files;
mod model;
mod recycling;
mod rules;
