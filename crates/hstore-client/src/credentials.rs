//! Who a program is: a name and a password, and the token that proves them.
//!
//! Invariants: (1) neither the password nor the token is told by `Debug`; (2) a token is asked for
//! when the first call needs one, by one call for all that wait, and again when a node does not take it.

use std::fmt;
use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataValue};

/// A name and its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: Arc<str>,
    password: Arc<str>,
}

impl Credentials {
    /// The user `name`.
    pub fn new(name: &str, password: &str) -> Credentials {
        Credentials {
            name: name.into(),
            password: password.into(),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What is known of the proof.
#[derive(Clone, Default)]
pub(crate) enum Proof {
    /// None was asked for yet, or a node did not take it.
    #[default]
    Missing,
    /// Nobody is asked who they are.
    Unneeded,
    /// This token.
    Token(MetadataValue<Ascii>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_told() {
        let told = format!("{:?}", Credentials::new("alice", "hunter2"));
        assert!(
            told.contains("alice") && !told.contains("hunter2"),
            "{told}"
        );
    }
}
