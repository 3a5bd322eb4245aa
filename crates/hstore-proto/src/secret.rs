//! What messages with a secret say of themselves: never the secret.

use std::fmt;

use crate::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthenticateRequest, AuthenticateResponse,
};

impl fmt::Debug for AuthUserAddRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUserAddRequest")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthUserChangePasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthUserChangePasswordRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateRequest")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthenticateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticateResponse")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_tells_a_password_or_a_token() {
        let secret = || "hunter2".to_owned();
        let told = format!(
            "{:?} {:?} {:?} {:?}",
            AuthUserAddRequest {
                password: secret(),
                hashed_password: secret(),
                ..AuthUserAddRequest::default()
            },
            AuthUserChangePasswordRequest {
                password: secret(),
                hashed_password: secret(),
                ..AuthUserChangePasswordRequest::default()
            },
            AuthenticateRequest {
                name: "alice".to_owned(),
                password: secret(),
            },
            AuthenticateResponse {
                token: secret(),
                ..AuthenticateResponse::default()
            },
        );
        assert!(
            !told.contains("hunter2") && told.contains("alice"),
            "{told}"
        );
    }
}
