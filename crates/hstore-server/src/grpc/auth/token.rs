//! Tokens: who somebody is and as of when, signed for one cluster with a key that all its members
//! share, so that each of them knows a token that another made, and no call for one is written to
//! the log. A cluster that was restored from a backup has the key of the former one and another id:
//! what was a token there is none here.
//!
//! Invariants: (1) nothing of a token is believed before its signature was compared; (2) what it
//! says is only a name and a revision: whether that is worth anything now is looked up each time.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use hstore_core::auth::TokenKey;
use hstore_core::id::{AuthRevision, ClusterId};
use sha2::Sha256;

/// What every token of this form begins with. It is signed, too.
const PREFIX: &str = "hst2.";

/// No token is longer: two numbers, the longest name and a signature, in base 64.
const TOKEN_BYTES_MAX: usize = 1024;

/// What the two numbers take.
const NUMBERS_BYTES: usize = 16;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The user.
    pub(super) name: Arc<str>,
    /// The state of users and roles in which the password was right.
    pub(super) revision: AuthRevision,
    /// The end of its life, in seconds since 1970.
    pub(super) expires_s: u64,
}

/// A token as it came.
pub(super) struct Token {
    claims: Claims,
    body: Vec<u8>,
    signature: Vec<u8>,
}

impl Claims {
    /// The token that says this.
    pub(super) fn sign(&self, key: &TokenKey, cluster: ClusterId) -> String {
        let mut body = Vec::with_capacity(NUMBERS_BYTES + self.name.len());
        body.extend(self.revision.0.to_be_bytes());
        body.extend(self.expires_s.to_be_bytes());
        body.extend(self.name.as_bytes());
        let signature = signer(key, cluster, &body).finalize().into_bytes();
        let (body, signature) = (
            URL_SAFE_NO_PAD.encode(body),
            URL_SAFE_NO_PAD.encode(signature),
        );
        format!("{PREFIX}{body}.{signature}")
    }
}

impl Token {
    /// Reads a token; none when it is none of ours. Nothing is known of its signature yet.
    pub(super) fn parse(text: &str) -> Option<Token> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (body, signature) = text.strip_prefix(PREFIX)?.split_once('.')?;
        let body = URL_SAFE_NO_PAD.decode(body).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let (numbers, name) = body.split_at_checked(NUMBERS_BYTES)?;
        let (revision, expires) = numbers.split_at(NUMBERS_BYTES / 2);
        let claims = Claims {
            name: std::str::from_utf8(name).ok()?.into(),
            revision: AuthRevision(u64::from_be_bytes(revision.try_into().ok()?)),
            expires_s: u64::from_be_bytes(expires.try_into().ok()?),
        };
        Some(Token {
            claims,
            body,
            signature,
        })
    }

    /// What it claims, which anybody can have made up.
    pub(super) fn claimed_revision(&self) -> AuthRevision {
        self.claims.revision
    }

    /// What it says, if it was signed with this key for this cluster and lives.
    pub(super) fn claims(self, key: &TokenKey, cluster: ClusterId, now_s: u64) -> Option<Claims> {
        // This comparison takes as long for a wrong signature as for a right one.
        let signed = signer(key, cluster, &self.body).verify_slice(&self.signature);
        let lives = now_s < self.claims.expires_s;
        (signed.is_ok() && lives).then_some(self.claims)
    }
}

fn signer(key: &TokenKey, cluster: ClusterId, body: &[u8]) -> Hmac<Sha256> {
    let mut signer =
        Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
    signer.update(PREFIX.as_bytes());
    signer.update(&cluster.0.to_be_bytes());
    signer.update(body);
    signer
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: TokenKey = TokenKey([7; 32]);
    const CLUSTER: ClusterId = ClusterId(0xc1);

    fn claims() -> Claims {
        Claims {
            name: "alice".into(),
            revision: AuthRevision(9),
            expires_s: 1000,
        }
    }

    fn read(text: &str, key: &TokenKey, now_s: u64) -> Option<Claims> {
        Token::parse(text)?.claims(key, CLUSTER, now_s)
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_ends() {
        let token = claims().sign(&KEY, CLUSTER);
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        assert_eq!(read(&token, &KEY, 999), Some(claims()));
        assert_eq!(read(&token, &KEY, 1000), None);
        assert_eq!(read(&token, &TokenKey([8; 32]), 1), None);
        let elsewhere = Token::parse(&token).unwrap();
        assert_eq!(elsewhere.claims(&KEY, ClusterId(0xc2), 1), None);
        assert_eq!(
            Token::parse(&token).unwrap().claimed_revision(),
            AuthRevision(9)
        );
    }

    #[test]
    fn no_changed_letter_and_no_missing_one_passes() {
        let token = claims().sign(&KEY, CLUSTER);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(read(&changed, &KEY, 1), None, "{changed}");
            assert_eq!(read(&token[..at], &KEY, 1), None, "{at}");
        }
        for text in ["", "hst2.", "hst2..", "hst2.AA.AA", "simple.42"] {
            assert_eq!(read(text, &KEY, 1), None, "{text}");
        }
        let long = format!("{PREFIX}{}", "A".repeat(TOKEN_BYTES_MAX));
        assert_eq!(read(&long, &KEY, 1), None);
    }

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        // Made with another program.
        let known = "hst2.AAAAAAAAAAkAAAAAAAAD6GFsaWNl.J5Hc-b5aistpwbzX3U96SST9mV3O5j-GWETrYzaRJDY";
        assert_eq!(claims().sign(&KEY, CLUSTER), known);
    }
}
