//! Users, roles and permissions, command by command, and who may have what done.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::sync::Arc;

use bytes::Bytes;
use hstore_core::auth::{
    AUTH_BYTES_MAX, Access, Auth, AuthCommand, AuthRefusal, Author, Identity, NAME_BYTES_MAX,
    PASSWORD_HASH_BYTES_MAX, PasswordHash, Permission, TokenKey,
};
use hstore_core::check::{self, Violation};
use hstore_core::command::{
    Command, Compact, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Put,
    Relation, RequestId, Txn,
};
use hstore_core::id::{AuthRevision, Incarnation, LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::limits::Limits;
use hstore_core::machine::Machine;
use hstore_core::outcome::{Refusal, Reply};
use hstore_core::range::Range;
use hstore_core::testing::MemoryView;

use AuthRefusal::{
    InvalidManagement, OldRevision, PermissionDenied, PermissionNotGranted, RoleEmpty, RoleExists,
    RoleNotFound, RoleNotGranted, RootRoleMissing, RootUserMissing, UserEmpty, UserExists,
    UserNotFound,
};

#[derive(Default)]
struct Store {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl Store {
    fn propose(&mut self, proposal: Proposal) -> Result<Reply, Refusal> {
        self.index += 1;
        let index = LogIndex(self.index);
        let Ok(applied) = self.machine.apply(&mut self.view, index, Ok(proposal));
        applied.outcome.result
    }

    fn run_as(&mut self, author: &Author, command: Command) -> Result<Reply, Refusal> {
        self.propose(Proposal {
            request: None,
            author: author.clone(),
            command,
        })
    }

    /// Changes users or roles, without being asked who asks.
    fn auth(&mut self, command: AuthCommand) -> Result<(), AuthRefusal> {
        match self.run_as(&Author::Node, Command::Auth(command)) {
            Ok(Reply::Auth) => Ok(()),
            Err(Refusal::Auth(refusal)) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn state(&self) -> &Auth {
        self.machine.auth()
    }

    /// A user who has just said who they are.
    fn user(&self, name: &str) -> Author {
        Author::User(Identity {
            name: name.into(),
            revision: self.state().revision(),
        })
    }
}

fn name(text: &str) -> Arc<str> {
    text.into()
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn one(key: &'static str) -> KeyRange {
    KeyRange::One(bytes(key))
}

fn span(start: &'static str, end: &'static str) -> KeyRange {
    KeyRange::Span {
        start: bytes(start),
        end: bytes(end),
    }
}

fn user_add(user: &str) -> AuthCommand {
    AuthCommand::UserAdd {
        name: name(user),
        password: Some(PasswordHash::new("hash")),
    }
}

fn role_add(role: &str) -> AuthCommand {
    AuthCommand::RoleAdd { name: name(role) }
}

fn grant_role(user: &str, role: &str) -> AuthCommand {
    AuthCommand::GrantRole {
        user: name(user),
        role: name(role),
    }
}

fn grant(role: &str, access: Access, keys: KeyRange) -> AuthCommand {
    AuthCommand::GrantPermission {
        role: name(role),
        permission: Permission { keys, access },
    }
}

fn enable() -> AuthCommand {
    AuthCommand::Enable {
        key: TokenKey([7; 32]),
    }
}

fn put(key: &'static str) -> Put {
    Put {
        key: bytes(key),
        value: bytes("value"),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn delete(keys: KeyRange, prev_kv: bool) -> Delete {
    Delete { keys, prev_kv }
}

/// A store that asks: root, a writer of `[a, c)` who reads `b`, and a reader of `[a, c)`.
fn guarded() -> Store {
    let mut store = Store::default();
    let commands = [
        user_add("root"),
        grant_role("root", "root"),
        role_add("writes"),
        grant("writes", Access::Write, span("a", "c")),
        grant("writes", Access::Read, span("b", "b\0")),
        role_add("reads"),
        grant("reads", Access::Read, span("a", "b")),
        grant("reads", Access::Read, span("b", "c")),
        user_add("writer"),
        grant_role("writer", "writes"),
        user_add("reader"),
        grant_role("reader", "reads"),
        enable(),
    ];
    for command in commands {
        store.auth(command).unwrap();
    }
    store
}

#[test]
fn every_change_of_users_and_roles_is_refused_as_etcd_refuses_it() {
    let mut store = Store::default();
    let table = [
        (enable(), Err(RootUserMissing)),
        (user_add(""), Err(UserEmpty)),
        (user_add("root"), Ok(())),
        (user_add("root"), Err(UserExists)),
        (enable(), Err(RootRoleMissing)),
        (grant_role("nobody", "root"), Err(UserNotFound)),
        (grant_role("root", "none"), Err(RoleNotFound)),
        (grant_role("root", "root"), Ok(())),
        (grant_role("root", "root"), Ok(())),
        (role_add(""), Err(RoleEmpty)),
        (role_add("r"), Ok(())),
        (role_add("r"), Err(RoleExists)),
        (grant("none", Access::Read, one("k")), Err(RoleNotFound)),
        (grant("r", Access::Read, one("")), Err(InvalidManagement)),
        (
            grant("r", Access::Read, span("b", "b")),
            Err(InvalidManagement),
        ),
        (
            grant("r", Access::Read, span("b", "a")),
            Err(InvalidManagement),
        ),
        (grant("r", Access::Read, one("k")), Ok(())),
        (grant("r", Access::ReadWrite, one("k")), Ok(())),
        (
            AuthCommand::RevokePermission {
                role: name("none"),
                keys: one("k"),
            },
            Err(RoleNotFound),
        ),
        (
            AuthCommand::RevokePermission {
                role: name("r"),
                keys: span("k", "l"),
            },
            Err(PermissionNotGranted),
        ),
        (enable(), Ok(())),
        (enable(), Ok(())),
        (
            AuthCommand::UserDelete { name: name("root") },
            Err(InvalidManagement),
        ),
        (
            AuthCommand::RevokeRole {
                user: name("root"),
                role: name("root"),
            },
            Err(InvalidManagement),
        ),
        (
            AuthCommand::RoleDelete { name: name("root") },
            Err(InvalidManagement),
        ),
        (
            AuthCommand::UserDelete { name: name("x") },
            Err(UserNotFound),
        ),
        (
            AuthCommand::RoleDelete { name: name("x") },
            Err(RoleNotFound),
        ),
        (
            AuthCommand::RevokeRole {
                user: name("x"),
                role: name("r"),
            },
            Err(UserNotFound),
        ),
        (
            AuthCommand::RevokeRole {
                user: name("root"),
                role: name("r"),
            },
            Err(RoleNotGranted),
        ),
        (
            AuthCommand::UserPassword {
                name: name("x"),
                password: PasswordHash::new("y"),
            },
            Err(UserNotFound),
        ),
        (AuthCommand::Disable, Ok(())),
        (AuthCommand::Disable, Ok(())),
        (AuthCommand::UserDelete { name: name("root") }, Ok(())),
    ];
    for (command, expected) in table {
        let before = store.state().revision();
        assert_eq!(store.auth(command.clone()), expected, "{command:?}");
        if expected.is_err() {
            assert_eq!(store.state().revision(), before, "{command:?}");
        }
    }
}

#[test]
fn the_revision_grows_with_each_change_but_that_of_enabling() {
    let mut store = Store::default();
    assert_eq!(store.state().revision(), AuthRevision(1));
    store.auth(user_add("root")).unwrap();
    store.auth(grant_role("root", "root")).unwrap();
    store.auth(grant_role("root", "root")).unwrap();
    assert_eq!(store.state().revision(), AuthRevision(3));
    store.auth(enable()).unwrap();
    assert_eq!(store.state().revision(), AuthRevision(3));
    store.auth(AuthCommand::Disable).unwrap();
    assert_eq!(store.state().revision(), AuthRevision(4));
    assert_eq!(store.state().token_key(), None);
}

#[test]
fn what_a_role_may_do_is_kept_in_the_order_of_keys_each_range_once() {
    let mut store = Store::default();
    store.auth(role_add("r")).unwrap();
    let from = KeyRange::From(bytes("b"));
    for keys in [
        one("c"),
        from.clone(),
        span("b", "d"),
        one("b"),
        one("a"),
        one("c"),
    ] {
        store.auth(grant("r", Access::Read, keys)).unwrap();
    }
    store.auth(grant("r", Access::Write, one("c"))).unwrap();
    let role = store.state().role("r").unwrap();
    let keys: Vec<_> = role.permissions().iter().map(|p| p.keys.clone()).collect();
    assert_eq!(keys, [one("a"), one("b"), span("b", "d"), from, one("c")]);
    assert_eq!(role.permissions()[4].access, Access::Write);
}

#[test]
fn a_role_that_is_deleted_is_taken_from_its_users() {
    let mut store = guarded();
    let reader = store.user("reader");
    store
        .auth(AuthCommand::RoleDelete {
            name: name("reads"),
        })
        .unwrap();
    assert_eq!(store.state().user("reader").unwrap().roles().count(), 0);
    assert_eq!(
        store.state().check_read(&reader, &one("a")),
        Err(PermissionDenied)
    );
    store.auth(role_add("reads")).unwrap();
    assert_eq!(
        store.state().check_read(&reader, &one("a")),
        Err(PermissionDenied)
    );
}

#[test]
fn a_change_of_a_role_counts_at_once_for_those_who_have_it() {
    let mut store = guarded();
    let reader = store.user("reader");
    assert_eq!(store.state().check_read(&reader, &span("a", "c")), Ok(()));
    store
        .auth(AuthCommand::RevokePermission {
            role: name("reads"),
            keys: span("b", "c"),
        })
        .unwrap();
    assert_eq!(
        store.state().check_read(&reader, &span("a", "c")),
        Err(PermissionDenied)
    );
    assert_eq!(store.state().check_read(&reader, &span("a", "b")), Ok(()));
    store
        .auth(AuthCommand::RevokeRole {
            user: name("reader"),
            role: name("reads"),
        })
        .unwrap();
    assert_eq!(
        store.state().check_read(&reader, &one("a")),
        Err(PermissionDenied)
    );
}

#[test]
fn what_a_name_proved_before_a_change_of_its_password_is_worth_nothing() {
    let mut store = guarded();
    let before = store.user("writer");
    store.auth(grant("reads", Access::Read, one("z"))).unwrap();
    let command = || Command::Put(put("a"));
    assert!(store.run_as(&before, command()).is_ok(), "others changed");
    store
        .auth(AuthCommand::UserPassword {
            name: name("writer"),
            password: PasswordHash::new("other"),
        })
        .unwrap();
    assert_eq!(store.run_as(&before, command()), Err(OldRevision.into()));
    let after = store.user("writer");
    assert!(store.run_as(&after, command()).is_ok());
    store
        .auth(AuthCommand::UserDelete {
            name: name("writer"),
        })
        .unwrap();
    assert_eq!(
        store.run_as(&after, command()),
        Err(PermissionDenied.into())
    );
    store.auth(user_add("writer")).unwrap();
    store.auth(grant_role("writer", "writes")).unwrap();
    assert_eq!(store.run_as(&after, command()), Err(OldRevision.into()));
    let root = store.user("root");
    store.auth(AuthCommand::Disable).unwrap();
    store.auth(enable()).unwrap();
    assert_eq!(store.run_as(&root, command()), Err(OldRevision.into()));
}

#[test]
fn a_user_without_a_password_never_gets_one() {
    let mut store = Store::default();
    store
        .auth(AuthCommand::UserAdd {
            name: name("u"),
            password: None,
        })
        .unwrap();
    store
        .auth(AuthCommand::UserPassword {
            name: name("u"),
            password: PasswordHash::new("x"),
        })
        .unwrap();
    assert!(store.state().user("u").unwrap().password().is_none());
}

#[test]
fn nobody_is_asked_while_authentication_is_not_enabled() {
    let mut store = guarded();
    store.auth(AuthCommand::Disable).unwrap();
    for author in [Author::Nobody, Author::Node, store.user("stranger")] {
        assert!(store.run_as(&author, Command::Put(put("z"))).is_ok());
        let change = Command::Auth(role_add("anybody"));
        let _either = store.run_as(&author, change);
    }
    assert!(store.state().role("anybody").is_some());
}

/// A command, and what the writer and the reader hear.
type Row = (Command, Result<(), AuthRefusal>, Result<(), AuthRefusal>);

/// Every command that a door proposes, and who may have it done while authentication is enabled.
#[test]
fn each_command_needs_what_it_touches() {
    let denied = Err(PermissionDenied);
    let with_previous = |key| Put {
        prev_kv: true,
        ..put(key)
    };
    // command, writer, reader
    let table: Vec<Row> = vec![
        (Command::Put(put("a")), Ok(()), denied),
        (Command::Put(put("c")), denied, denied),
        (Command::Put(with_previous("a")), denied, denied),
        (Command::Put(with_previous("b")), Ok(()), denied),
        (
            Command::Delete(delete(span("a", "c"), false)),
            Ok(()),
            denied,
        ),
        (
            Command::Delete(delete(span("a", "d"), false)),
            denied,
            denied,
        ),
        (
            Command::Delete(delete(span("a", "c"), true)),
            denied,
            denied,
        ),
        (Command::Delete(delete(one("b"), true)), Ok(()), denied),
        (
            Command::Delete(delete(KeyRange::all(), false)),
            denied,
            denied,
        ),
        (Command::Txn(Txn::default()), Ok(()), Ok(())),
        (
            Command::GrantLease(GrantLease { lease: 5, ttl: 60 }),
            Ok(()),
            Ok(()),
        ),
        (Command::RenewLease { lease: 4 }, Ok(()), Ok(())),
        (
            Command::Compact(Compact {
                revision: Revision(1),
            }),
            denied,
            denied,
        ),
        (
            Command::AllocateNode {
                incarnation: Incarnation(3),
                peer_address: String::new(),
            },
            denied,
            denied,
        ),
        (Command::Auth(role_add("more")), denied, denied),
        (Command::Auth(AuthCommand::Disable), denied, denied),
    ];
    for (command, writer, reader) in table {
        let rows = [
            ("root", Ok(())),
            ("writer", writer),
            ("reader", reader),
            ("stranger", denied),
        ];
        for (user, expected) in rows {
            let mut store = guarded();
            let lease = Command::GrantLease(GrantLease { lease: 4, ttl: 60 });
            store.run_as(&Author::Node, lease).unwrap();
            let author = store.user(user);
            let result = store.run_as(&author, command.clone()).map(|_reply| ());
            let expected = expected.map_err(Refusal::from);
            assert_eq!(result, expected, "{user} {command:?}");
        }
        let mut store = guarded();
        let result = store
            .run_as(&Author::Nobody, command.clone())
            .map(|_reply| ());
        assert_eq!(result, Err(UserEmpty.into()), "{command:?}");
    }
}

fn txn_of(operations: Vec<Operation>) -> Txn {
    Txn {
        then: operations,
        ..Txn::default()
    }
}

/// What the writer may not do, alone and however it is wrapped.
fn forbidden() -> Vec<Operation> {
    vec![
        Operation::Put(put("c")),
        Operation::Put(Put {
            prev_kv: true,
            ..put("a")
        }),
        Operation::Put(Put {
            lease: 9,
            ..put("a")
        }),
        Operation::Delete(delete(span("a", "d"), false)),
        Operation::Delete(delete(one("a"), true)),
        Operation::Range(Range::of(one("a"))),
        Operation::Range(Range::of(span("b", "c"))),
    ]
}

/// A store in which lease 9 has a key that only root may write.
fn with_foreign_lease() -> Store {
    let mut store = guarded();
    let lease = Command::GrantLease(GrantLease { lease: 9, ttl: 60 });
    store.run_as(&Author::Node, lease).unwrap();
    let foreign = Command::Put(Put {
        lease: 9,
        ..put("x")
    });
    store.run_as(&Author::Node, foreign).unwrap();
    store
}

fn refused_as_writer(txn: &Txn) {
    let mut store = with_foreign_lease();
    let before = store.machine.revision();
    let writer = store.user("writer");
    let result = store.run_as(&writer, Command::Txn(txn.clone()));
    assert_eq!(result, Err(PermissionDenied.into()), "{txn:?}");
    assert_eq!(store.machine.revision(), before, "{txn:?}");
}

/// etcd's CVE-2026-33343: rights were not looked at in transactions within transactions.
#[test]
fn advisory_nested_transactions_are_looked_at_on_every_level_and_in_both_branches() {
    for operation in forbidden() {
        let plain = txn_of(vec![operation.clone()]);
        let nested = txn_of(vec![Operation::Txn(plain.clone())]);
        let deep = txn_of(vec![Operation::Txn(nested.clone())]);
        let other = Txn {
            otherwise: vec![Operation::Txn(plain.clone())],
            ..Txn::default()
        };
        for txn in [plain, nested, deep, other] {
            refused_as_writer(&txn);
        }
    }
}

#[test]
fn a_comparison_needs_the_right_to_read_on_every_level() {
    let compare = Compare {
        keys: one("a"),
        relation: Relation::Equal,
        target: CompareTarget::Version(0),
    };
    let asks = Txn {
        compare: vec![compare],
        ..Txn::default()
    };
    refused_as_writer(&asks);
    refused_as_writer(&txn_of(vec![Operation::Txn(asks)]));
}

/// etcd's CVE-2026-44283: the former value and the lease of a put within a transaction.
#[test]
fn advisory_previous_values_and_leases_of_puts_in_transactions_are_looked_at() {
    for put in [
        Put {
            prev_kv: true,
            ..put("a")
        },
        Put {
            lease: 9,
            ..put("a")
        },
    ] {
        let mut store = with_foreign_lease();
        let writer = store.user("writer");
        let alone = store.run_as(&writer, Command::Put(put.clone()));
        assert_eq!(alone, Err(PermissionDenied.into()), "{put:?}");
        refused_as_writer(&txn_of(vec![Operation::Put(put)]));
    }
}

#[test]
fn who_ends_a_lease_must_be_allowed_to_delete_its_keys() {
    let mut store = with_foreign_lease();
    let writer = store.user("writer");
    let revoke = || Command::RevokeLease { lease: 9 };
    assert_eq!(
        store.run_as(&writer, revoke()),
        Err(PermissionDenied.into())
    );
    assert_eq!(
        store.run_as(&writer, Command::RevokeLease { lease: 10 }),
        Err(Refusal::LeaseNotFound)
    );
    let root = store.user("root");
    assert!(store.run_as(&root, revoke()).is_ok());
}

#[test]
fn what_may_be_done_is_decided_before_what_can_be_done() {
    let mut store = guarded();
    let writer = store.user("writer");
    let on_no_lease = |key| {
        Command::Put(Put {
            lease: 77,
            ..put(key)
        })
    };
    assert_eq!(
        store.run_as(&writer, on_no_lease("c")),
        Err(PermissionDenied.into())
    );
    assert_eq!(
        store.run_as(&writer, on_no_lease("a")),
        Err(Refusal::LeaseNotFound)
    );
}

/// What was asked before a right was granted stays refused when it comes late.
#[test]
fn a_refused_request_stays_refused_when_it_comes_again() {
    let mut store = guarded();
    let proposal = Proposal {
        request: Some(RequestId {
            client: 1,
            sequence: 1,
            answered_below: 1,
            born: LogIndex(1),
        }),
        author: store.user("reader"),
        command: Command::Put(put("a")),
    };
    assert_eq!(
        store.propose(proposal.clone()),
        Err(PermissionDenied.into())
    );
    store.auth(grant("reads", Access::Write, one("a"))).unwrap();
    assert_eq!(store.propose(proposal), Err(PermissionDenied.into()));
    let reader = store.user("reader");
    assert!(store.run_as(&reader, Command::Put(put("a"))).is_ok());
}

#[test]
fn what_the_clock_does_needs_no_right() {
    let mut store = guarded();
    for author in [Author::Node, Author::Nobody] {
        assert!(store.run_as(&author, Command::ExpireLeases).is_ok());
    }
}

#[test]
fn users_and_roles_survive_in_the_state_and_differences_show_in_the_hash() {
    let store = guarded();
    let state = store.machine.encode_state();
    let again = Machine::decode_state(state.clone()).unwrap();
    assert_eq!(again.encode_state(), state);
    let reader = store.user("reader");
    assert_eq!(again.auth().check_read(&reader, &span("a", "c")), Ok(()));
    assert_eq!(again.auth().token_key(), Some(TokenKey([7; 32])));
    let mut one = guarded();
    let mut two = guarded();
    one.auth(grant("reads", Access::Read, one_key())).unwrap();
    two.auth(grant("reads", Access::Write, one_key())).unwrap();
    assert_ne!(one.machine.state_hash(), two.machine.state_hash());
}

fn one_key() -> KeyRange {
    one("k")
}

#[test]
fn users_and_roles_are_bounded_together() {
    let mut store = Store::default();
    let mut made = 0;
    loop {
        let name = format!("{made:0NAME_BYTES_MAX$}");
        match store.auth(user_add(&name)) {
            Ok(()) => made += 1,
            Err(refusal) => {
                assert_eq!(refusal, AuthRefusal::Full);
                break;
            }
        }
    }
    assert!(made > 1000, "{made}");
    assert_eq!(
        store.auth(role_add(&"r".repeat(NAME_BYTES_MAX))),
        Err(AuthRefusal::Full)
    );
    let len = store.machine.encode_state().len();
    assert!(len <= AUTH_BYTES_MAX + 1024, "{len}");
    store
        .auth(AuthCommand::UserDelete {
            name: "0".repeat(NAME_BYTES_MAX).into(),
        })
        .unwrap();
    assert!(store.auth(role_add("small")).is_ok());
}

#[test]
fn names_hashes_and_ranges_are_bounded_at_the_door() {
    let limits = Limits::default();
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let hash = "h".repeat(PASSWORD_HASH_BYTES_MAX + 1);
    let too_long = |command| {
        let refused = check::command(&Command::Auth(command), &limits);
        assert!(matches!(refused, Err(Violation::NameTooLong { .. })));
    };
    too_long(user_add(&long));
    too_long(role_add(&long));
    too_long(grant_role("u", &long));
    too_long(grant_role(&long, "r"));
    too_long(AuthCommand::UserPassword {
        name: name("u"),
        password: PasswordHash::new(&hash),
    });
    let key = Bytes::from(vec![b'k'; limits.key_bytes_max + 1]);
    let refused = check::auth(&grant("r", Access::Read, KeyRange::One(key)), &limits);
    assert!(matches!(refused, Err(Violation::KeyTooLarge { .. })));
    assert_eq!(check::auth(&user_add("root"), &limits), Ok(()));
}

/// etcd's CVE-2021-28235 was a secret that could be read where it was not needed any more.
#[test]
fn advisory_secrets_say_nothing_of_themselves() {
    let command = AuthCommand::UserAdd {
        name: name("u"),
        password: Some(PasswordHash::new("$argon2id$secret")),
    };
    let enabled = AuthCommand::Enable {
        key: TokenKey([211; 32]),
    };
    let told = format!("{command:?} {enabled:?} {:?}", guarded().machine);
    assert!(
        !told.contains("secret") && !told.contains("211, 211"),
        "{told}"
    );
    assert!(!told.contains("hash\""), "{told}");
}
