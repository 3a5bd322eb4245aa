//! A user's way in: it proves its name at some node, shows the token that it got at all nodes, and
//! gets another one when that is refused, as the doors and the client library do together.

use std::sync::Arc;

use hstore_core::auth::{Author, Identity};
use hstore_core::error::ErrorCode;
use hstore_node::Node;
use rand::RngExt;
use rand::rngs::StdRng;

/// Of a hundred refusals so many make a user prove its name anew, although it need not.
const ANEW_PERCENT: u32 = 15;

/// A user, and what it can show.
#[derive(Clone, Debug)]
pub(super) struct Badge {
    name: Arc<str>,
    token: Option<Identity>,
}

impl Badge {
    pub(super) fn new(name: &str) -> Badge {
        Badge {
            name: name.into(),
            token: None,
        }
    }

    /// As whom a node takes its holder.
    pub(super) fn show(&mut self, node: &Node) -> Author {
        let auth = node.auth();
        if self.token.is_none() && auth.is_enabled() && auth.user(&self.name).is_some() {
            self.token = Some(Identity {
                name: self.name.clone(),
                revision: auth.revision(),
            });
        }
        match &self.token {
            Some(identity) => Author::User(identity.clone()),
            None => Author::Nobody,
        }
    }

    /// A node said no.
    pub(super) fn refused(&mut self, code: ErrorCode, rng: &mut StdRng) {
        let is_old = matches!(code, ErrorCode::AuthRevisionOld | ErrorCode::UserEmpty);
        if is_old || rng.random_range(0..100) < ANEW_PERCENT {
            self.token = None;
        }
    }
}
