//! The bytes of users, roles and what changes them.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::auth::{
    Access, AuthCommand, AuthRefusal, Author, Identity, PasswordHash, Permission, TokenKey,
};
use hstore_core::codec::{self, DecodeError};
use hstore_core::command::{Command, Proposal};
use hstore_core::id::{AuthRevision, LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::Machine;
use hstore_core::outcome::{Outcome, Refusal, Reply};
use hstore_core::testing::MemoryView;

fn name(text: &str) -> Arc<str> {
    text.into()
}

fn key(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn commands() -> Vec<AuthCommand> {
    let permission = |keys, access| AuthCommand::GrantPermission {
        role: name("r"),
        permission: Permission { keys, access },
    };
    let span = KeyRange::Span {
        start: key("a"),
        end: key("b"),
    };
    vec![
        AuthCommand::UserAdd {
            name: name("root"),
            password: Some(PasswordHash::new("$hash")),
        },
        AuthCommand::UserAdd {
            name: name("u"),
            password: None,
        },
        AuthCommand::UserPassword {
            name: name("root"),
            password: PasswordHash::new("$other"),
        },
        AuthCommand::RoleAdd { name: name("r") },
        AuthCommand::RoleAdd { name: name("s") },
        AuthCommand::GrantRole {
            user: name("root"),
            role: name("root"),
        },
        AuthCommand::GrantRole {
            user: name("u"),
            role: name("r"),
        },
        permission(KeyRange::One(key("k")), Access::Read),
        permission(span.clone(), Access::Write),
        permission(KeyRange::From(key("z")), Access::ReadWrite),
        AuthCommand::RevokePermission {
            role: name("r"),
            keys: span,
        },
        AuthCommand::RevokeRole {
            user: name("u"),
            role: name("s"),
        },
        AuthCommand::Enable {
            key: TokenKey([0xab; 32]),
        },
        AuthCommand::RoleDelete { name: name("s") },
        AuthCommand::UserDelete { name: name("x") },
        AuthCommand::Disable,
    ]
}

fn authors() -> Vec<Author> {
    vec![
        Author::Nobody,
        Author::Node,
        Author::User(Identity {
            name: name("alice"),
            revision: AuthRevision(300),
        }),
    ]
}

fn proposal(author: Author, command: AuthCommand) -> Proposal {
    Proposal {
        request: None,
        author,
        command: Command::Auth(command),
    }
}

fn golden(file: &str, encodings: Vec<(String, Bytes)>) {
    let mut text = String::new();
    for (name, bytes) in encodings {
        write!(text, "{name}: ").unwrap();
        for byte in bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, known,
        "{file}: a change of a format needs a new version byte"
    );
}

#[test]
fn changes_and_authors_keep_their_bytes() {
    let mut encodings = Vec::new();
    for command in commands() {
        let label = format!("{command:?}");
        encodings.push((label, proposal(Author::Nobody, command)));
    }
    for author in authors() {
        let label = format!("by {author:?}");
        encodings.push((label, proposal(author, AuthCommand::Disable)));
    }
    let encode = |(label, value): (String, Proposal)| {
        let bytes = codec::encode_proposal(&value);
        assert_eq!(codec::decode_proposal(bytes.clone()), Ok(value));
        (label, bytes)
    };
    golden(
        "auth_proposal.txt",
        encodings.into_iter().map(encode).collect(),
    );
}

#[test]
fn outcomes_keep_their_bytes() {
    let mut results = vec![("changed".to_owned(), Ok(Reply::Auth))];
    for refusal in AuthRefusal::ALL {
        results.push((format!("{refusal:?}"), Err(Refusal::Auth(refusal))));
    }
    let encode = |(label, result)| {
        let value = Outcome {
            revision: Revision(42),
            result,
        };
        let bytes = codec::encode_outcome(&value);
        assert_eq!(codec::decode_outcome(bytes.clone()), Ok(value));
        (label, bytes)
    };
    golden(
        "auth_outcome.txt",
        results.into_iter().map(encode).collect(),
    );
}

/// A machine after the first `count` changes.
fn machine(count: usize) -> Machine {
    let mut machine = Machine::default();
    let mut view = MemoryView::new();
    for (index, command) in commands().into_iter().take(count).enumerate() {
        let proposal = proposal(Author::Node, command);
        let Ok(_applied) = machine.apply(&mut view, LogIndex(index as u64), Ok(proposal));
    }
    machine
}

#[test]
fn a_state_with_users_keeps_its_bytes() {
    let machine = machine(14);
    let state = machine.encode_state();
    golden("auth_state.txt", vec![("state".to_owned(), state.clone())]);
    let again = Machine::decode_state(state.clone()).unwrap();
    assert_eq!(again.encode_state(), state);
}

#[test]
fn impossible_authors_and_states_are_refused() {
    // A put of "k" by a node that is a user, and by a user without a name.
    let put = [0x12, 0x03, 0x0a, 0x01, 0x6b];
    let tag = [0x82, 0x02];
    for author in [&[0x08, 0x01, 0x12, 0x01, 0x75][..], &[0x18, 0x05]] {
        let mut message = put.to_vec();
        message.extend(tag);
        message.push(author.len() as u8);
        message.extend(author);
        let mut bytes = vec![1, message.len() as u8];
        bytes.extend(message);
        let refused = codec::decode_proposal(bytes.into());
        assert_eq!(refused, Err(DecodeError::Malformed("an impossible author")));
    }
    // Enabled, without a key and without root.
    let auth = [0x08, 0x01, 0x18, 0x02];
    let mut message = vec![0x08, 0x01];
    message.extend(tag);
    message.push(auth.len() as u8);
    message.extend(auth);
    let mut bytes = vec![1, message.len() as u8];
    bytes.extend(message);
    assert!(Machine::decode_state(bytes.into()).is_err());
}
