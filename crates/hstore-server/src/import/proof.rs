//! Who asks etcd, where it asks for that: a user of its own, and the token that proves it.
//!
//! etcd's tokens end when nobody uses them for five minutes, and whenever anything about its users
//! changes. Invariant: a token is asked for when a call was refused for want of one, never before.

use std::sync::{Arc, Mutex, PoisonError};

use hstore_proto::etcdserverpb::AuthenticateRequest;
use hstore_proto::etcdserverpb::auth_client::AuthClient;
use hstore_proto::metadata;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// What goes with every call: the newest token, if there is one.
#[derive(Clone, Default)]
pub(super) struct Ticket(Arc<Mutex<Option<MetadataValue<Ascii>>>>);

/// A user of etcd's, if one was named.
#[derive(Clone)]
pub(super) struct Proof {
    channel: Channel,
    user: Option<AuthenticateRequest>,
    pub(super) ticket: Ticket,
}

impl Interceptor for Ticket {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &*token {
            let headers = request.metadata_mut();
            headers.insert(metadata::TOKEN, token.clone());
        }
        Ok(request)
    }
}

impl Ticket {
    fn set(&self, token: Option<MetadataValue<Ascii>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl Proof {
    pub(super) fn new(channel: Channel, user: Option<AuthenticateRequest>) -> Proof {
        Proof {
            channel,
            user,
            ticket: Ticket::default(),
        }
    }

    /// Whether a user was named.
    pub(super) fn is_named(&self) -> bool {
        self.user.is_some()
    }

    /// Whether a call was refused for want of a token that counts, and one can be had.
    pub(super) fn is_wanted(&self, refused: &Status) -> bool {
        let is_about_tokens = match refused.code() {
            Code::Unauthenticated => true,
            Code::InvalidArgument => {
                let words = ["user name is empty", "revision of auth store is old"];
                words.iter().any(|words| refused.message().contains(words))
            }
            _other => false,
        };
        self.user.is_some() && is_about_tokens
    }

    /// Has the next call that needs a token ask for one.
    pub(super) fn forget(&self) {
        self.ticket.set(None);
    }

    /// Asks for a token.
    pub(super) async fn bring(&self) -> Result<(), Status> {
        let Some(user) = self.user.clone() else {
            return Ok(());
        };
        let answer = AuthClient::new(self.channel.clone())
            .authenticate(user)
            .await?;
        let token = answer.into_inner().token.parse::<MetadataValue<Ascii>>();
        let mut token = token.map_err(|_not_ascii| Status::unauthenticated("its token is none"))?;
        token.set_sensitive(true);
        self.ticket.set(Some(token));
        Ok(())
    }
}
