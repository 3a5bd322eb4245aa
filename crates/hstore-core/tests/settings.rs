//! The laws of the settings that are part of the state, and their bytes.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::fmt::Write as _;
use std::path::Path;

use bytes::Bytes;
use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::{AuthCommand, AuthRefusal, Author, PasswordHash, TokenKey};
use hstore_core::check;
use hstore_core::codec;
use hstore_core::command::{Command, Proposal};
use hstore_core::error::ErrorCode;
use hstore_core::id::{Incarnation, LogIndex, NodeId, Revision};
use hstore_core::limits::Limits;
use hstore_core::machine::Machine;
use hstore_core::outcome::{Outcome, Refusal, Reply};
use hstore_core::settings::{
    CHANGES_MAX, ChangeSettings, NODES_WITH_SETTINGS_MAX, NodeType, SettingChange, SettingKey,
    SettingValue, SettingViolation, SettingsVersion,
};
use hstore_core::testing::MemoryView;

/// A machine, the records below it, and the index of the next entry.
struct World {
    machine: Machine,
    view: MemoryView,
    index: u64,
}

impl World {
    fn new() -> World {
        World {
            machine: Machine::default(),
            view: MemoryView::new(),
            index: 1,
        }
    }

    fn run(&mut self, author: Author, command: Command) -> Outcome {
        let proposal = Proposal {
            request: None,
            author,
            command,
        };
        let bytes = codec::encode_proposal(&proposal);
        let decoded = codec::decode_proposal(bytes);
        let index = LogIndex(self.index);
        self.index += 1;
        let Ok(applied) = self.machine.apply(&mut self.view, index, decoded);
        applied.outcome
    }

    fn change(
        &mut self,
        expected: Option<u64>,
        changes: Vec<SettingChange>,
    ) -> Result<u64, Refusal> {
        let expected = expected.map(SettingsVersion);
        let command = Command::ChangeSettings(ChangeSettings { expected, changes });
        match self.run(Author::Node, command).result? {
            Reply::Settings(version) => Ok(version.0),
            other => panic!("{other:?}"),
        }
    }

    fn value(&self, node: u64, key: SettingKey) -> Option<SettingValue> {
        let found = self.machine.settings().of_node(NodeId(node), key)?;
        Some(found.value.clone())
    }
}

fn cluster(value: SettingValue) -> SettingChange {
    SettingChange::set(None, value)
}

fn of(node: u64, value: SettingValue) -> SettingChange {
    SettingChange::set(Some(NodeId(node)), value)
}

fn name(name: &str) -> SettingValue {
    SettingValue::Name(name.into())
}

fn every_value() -> Vec<SettingChange> {
    vec![
        cluster(SettingValue::AutoCompaction {
            age_ms: Some(3_600_000),
            revisions: Some(1000),
        }),
        cluster(SettingValue::CacheBytes(1 << 26)),
        cluster(SettingValue::HeartbeatMs(250)),
        cluster(SettingValue::LogLevel("info,hstore_node=debug".into())),
        cluster(SettingValue::QuotaBytes(Some(1 << 30))),
        of(1, SettingValue::CacheBytes(1 << 20)),
        of(1, SettingValue::LogLevel("debug".into())),
        of(1, name("alpha")),
        of(1, SettingValue::QuotaBytes(None)),
        of(1, SettingValue::Type(NodeType::Learner)),
    ]
}

#[test]
fn what_a_node_is_told_goes_before_what_the_cluster_is_told() {
    let mut world = World::new();
    let cache = SettingValue::CacheBytes;
    assert_eq!(world.value(1, SettingKey::CacheBytes), None);
    let set = vec![cluster(cache(1 << 26)), of(1, cache(1 << 27))];
    assert_eq!(world.change(None, set), Ok(1));
    assert_eq!(world.value(1, SettingKey::CacheBytes), Some(cache(1 << 27)));
    assert_eq!(world.value(2, SettingKey::CacheBytes), Some(cache(1 << 26)));
    let unset = SettingChange::unset(Some(NodeId(1)), SettingKey::CacheBytes);
    assert_eq!(world.change(None, vec![unset]), Ok(2));
    assert_eq!(world.value(1, SettingKey::CacheBytes), Some(cache(1 << 26)));
}

#[test]
fn the_version_counts_what_changed_and_nothing_else() {
    let mut world = World::new();
    let unset = SettingChange::unset(None, SettingKey::LogLevel);
    assert_eq!(world.change(None, vec![unset.clone()]), Ok(0));
    assert_eq!(world.change(None, every_value()), Ok(1));
    assert_eq!(world.change(None, every_value()), Ok(1));
    let beat = cluster(SettingValue::HeartbeatMs(300));
    assert_eq!(world.change(None, vec![beat]), Ok(2));
    let settings = world.machine.settings();
    let since = |key| settings.get(None, key).unwrap().version.0;
    assert_eq!(since(SettingKey::Heartbeat), 2);
    assert_eq!(since(SettingKey::LogLevel), 1);
    assert_eq!(world.change(None, vec![unset]), Ok(3));
}

#[test]
fn settings_that_were_changed_meanwhile_are_not_changed() {
    let mut world = World::new();
    let level = |level: &str| vec![cluster(SettingValue::LogLevel(level.into()))];
    assert_eq!(world.change(Some(0), level("debug")), Ok(1));
    let refused = world.change(Some(0), level("trace"));
    let version = SettingsVersion(1);
    assert_eq!(refused, Err(Refusal::SettingsChanged { version }));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(
        world.value(1, SettingKey::LogLevel),
        Some(SettingValue::LogLevel("debug".into()))
    );
    assert_eq!(world.change(Some(1), level("trace")), Ok(2));
}

#[test]
fn a_refused_change_changes_nothing_of_what_came_with_it() {
    let mut world = World::new();
    let refused = world.change(
        None,
        vec![cluster(SettingValue::HeartbeatMs(50)), of(7, name("x"))],
    );
    assert_eq!(refused, Err(Refusal::NoSuchNode));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NodeNotFound);
    assert_eq!(world.machine.settings().version(), SettingsVersion(0));
    assert_eq!(world.value(1, SettingKey::Heartbeat), None);
}

#[test]
fn two_nodes_are_never_given_one_name() {
    let mut world = World::new();
    let incarnation = Incarnation(9);
    let peer_address = String::new();
    let allocate = Command::AllocateNode {
        incarnation,
        peer_address,
    };
    let Ok(Reply::Node(second)) = world.run(Author::Node, allocate).result else {
        panic!("an id");
    };
    assert_eq!(world.change(None, vec![of(1, name("a"))]), Ok(1));
    let refused = world.change(None, vec![of(second.0, name("a"))]);
    assert_eq!(refused, Err(Refusal::NameTaken));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidConfig);
    // In one step the name may go from one to the other.
    let swapped = vec![of(1, name("b")), of(second.0, name("a"))];
    assert_eq!(world.change(None, swapped), Ok(2));
}

#[test]
fn only_so_many_nodes_have_settings_of_their_own() {
    let mut world = World::new();
    world.index = 1_000_000;
    let allocate = Command::AllocateNode {
        incarnation: Incarnation(9),
        peer_address: String::new(),
    };
    world.run(Author::Node, allocate);
    let cache = SettingValue::CacheBytes(1 << 20);
    let nodes: Vec<u64> = (1..=NODES_WITH_SETTINGS_MAX as u64).collect();
    for some in nodes.chunks(CHANGES_MAX) {
        let changes = some.iter().map(|node| of(*node, cache.clone())).collect();
        world.change(None, changes).unwrap();
    }
    let one_more = || vec![of(5000, SettingValue::CacheBytes(1 << 20))];
    let refused = world.change(None, one_more());
    assert_eq!(refused, Err(Refusal::TooManySettings));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Overloaded);
    let forgotten = world.machine.settings().forget(NodeId(3));
    assert_eq!(forgotten.len(), 1);
    world.change(None, forgotten).unwrap();
    world.change(None, one_more()).unwrap();
}

#[test]
fn what_cannot_be_is_refused_at_the_door_and_in_the_log() {
    let all = |changes: Vec<SettingChange>| ChangeSettings {
        expected: None,
        changes,
    };
    let swapped = SettingChange {
        node: None,
        key: SettingKey::CacheBytes,
        value: Some(SettingValue::HeartbeatMs(100)),
    };
    let bounds = SettingViolation::OutOfBounds;
    let keep = |age_ms, revisions| cluster(SettingValue::AutoCompaction { age_ms, revisions });
    let beat = |ms| cluster(SettingValue::HeartbeatMs(ms));
    let cache = |bytes| cluster(SettingValue::CacheBytes(bytes));
    let quota = |bytes| cluster(SettingValue::QuotaBytes(Some(bytes)));
    let level = |text: &str| cluster(SettingValue::LogLevel(text.into()));
    let many = (1..=CHANGES_MAX as u64 + 1).map(|node| of(node, SettingValue::QuotaBytes(None)));
    let table = [
        (vec![], SettingViolation::Nothing),
        (many.collect(), SettingViolation::TooMany),
        (
            vec![beat(100), beat(200)],
            SettingViolation::Twice(SettingKey::Heartbeat),
        ),
        (
            vec![of(1, SettingValue::HeartbeatMs(100))],
            SettingViolation::Misplaced(SettingKey::Heartbeat),
        ),
        (
            vec![cluster(name("a"))],
            SettingViolation::Misplaced(SettingKey::Name),
        ),
        (
            vec![cluster(SettingValue::Type(NodeType::Voter))],
            SettingViolation::Misplaced(SettingKey::Type),
        ),
        (
            vec![SettingChange::unset(None, SettingKey::Type)],
            SettingViolation::Misplaced(SettingKey::Type),
        ),
        (vec![swapped], bounds(SettingKey::CacheBytes)),
        (
            vec![keep(Some(999), None)],
            bounds(SettingKey::AutoCompaction),
        ),
        (
            vec![keep(None, Some(0))],
            bounds(SettingKey::AutoCompaction),
        ),
        (vec![beat(9)], bounds(SettingKey::Heartbeat)),
        (vec![beat(10_001)], bounds(SettingKey::Heartbeat)),
        (vec![cache((1 << 20) - 1)], bounds(SettingKey::CacheBytes)),
        (vec![cache((1 << 40) + 1)], bounds(SettingKey::CacheBytes)),
        (vec![quota((1 << 20) - 1)], bounds(SettingKey::QuotaBytes)),
        (vec![level("")], bounds(SettingKey::LogLevel)),
        (vec![level("info\n")], bounds(SettingKey::LogLevel)),
        (vec![level(&"x".repeat(257))], bounds(SettingKey::LogLevel)),
        (vec![of(1, name(""))], bounds(SettingKey::Name)),
        (vec![of(1, name("a/b"))], bounds(SettingKey::Name)),
        (vec![of(1, name(&"n".repeat(64)))], bounds(SettingKey::Name)),
    ];
    for (changes, violation) in table {
        let command = Command::ChangeSettings(all(changes));
        let found = check::command(&command, &Limits::default()).unwrap_err();
        assert_eq!(found, check::Violation::Setting(violation), "{command:?}");
        assert_eq!(found.code(), ErrorCode::InvalidConfig);
        let mut world = World::new();
        let outcome = world.run(Author::Node, command);
        assert_eq!(outcome.result, Err(Refusal::Malformed));
    }
    let good = Command::ChangeSettings(all(every_value()));
    assert_eq!(check::command(&good, &Limits::default()), Ok(()));
}

#[test]
fn with_users_only_root_changes_settings() {
    let mut world = World::new();
    let root = || "root".into();
    for command in [
        AuthCommand::UserAdd {
            name: root(),
            password: Some(PasswordHash::new("$h")),
        },
        AuthCommand::GrantRole {
            user: root(),
            role: root(),
        },
        AuthCommand::Enable {
            key: TokenKey([1; 32]),
        },
    ] {
        world
            .run(Author::Node, Command::Auth(command))
            .result
            .unwrap();
    }
    let command = Command::ChangeSettings(ChangeSettings {
        expected: None,
        changes: every_value(),
    });
    let refused = world.run(Author::Nobody, command.clone());
    assert_eq!(refused.result, Err(Refusal::Auth(AuthRefusal::UserEmpty)));
    assert!(world.run(Author::Node, command).result.is_ok());
}

#[test]
fn a_cluster_without_room_is_given_room_by_a_setting() {
    let mut world = World::new();
    for kind in [AlarmKind::NoSpace, AlarmKind::Corrupt] {
        let alarm = AlarmChange::Raise(Alarm {
            kind,
            node: NodeId(1),
            automatic: true,
        });
        world.run(Author::Node, Command::Alarm(alarm));
    }
    let quota = cluster(SettingValue::QuotaBytes(Some(1 << 40)));
    assert_eq!(world.change(None, vec![quota]), Ok(1));
}

#[test]
fn settings_change_no_revision() {
    let mut world = World::new();
    world.change(None, every_value()).unwrap();
    assert_eq!(world.machine.revision(), Revision::EMPTY);
}

#[test]
fn another_cluster_takes_over_what_was_said_of_the_cluster_alone() {
    let mut world = World::new();
    world.change(None, every_value()).unwrap();
    let machine = world.machine.refounded(0, false).unwrap();
    let settings = machine.settings();
    assert_eq!(settings.iter().count(), 5);
    assert!(settings.iter().all(|(node, _)| node.is_none()));
    assert_eq!(settings.version(), SettingsVersion(1));
}

fn hex(label: &str, bytes: &Bytes) -> String {
    let mut text = format!("{label}: ");
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn settings_keep_their_bytes_and_come_back_from_them() {
    let mut text = String::new();
    let mut changes = every_value();
    changes.push(cluster(SettingValue::AutoCompaction {
        age_ms: None,
        revisions: None,
    }));
    changes.push(of(3, SettingValue::Type(NodeType::Voter)));
    for key in SettingKey::ALL {
        changes.push(SettingChange::unset(Some(NodeId(300)), key));
    }
    for change in changes {
        if matches!(
            change.key,
            SettingKey::AutoCompaction | SettingKey::Heartbeat
        ) && change.node.is_some()
        {
            continue;
        }
        let label = format!("{change:?}");
        for expected in [None, Some(SettingsVersion(300))] {
            let proposal = Proposal {
                request: None,
                author: Author::Nobody,
                command: Command::ChangeSettings(ChangeSettings {
                    expected,
                    changes: vec![change.clone()],
                }),
            };
            let bytes = codec::encode_proposal(&proposal);
            assert_eq!(codec::decode_proposal(bytes.clone()), Ok(proposal));
            text.push_str(&hex(&label, &bytes));
        }
    }
    for result in [
        Ok(Reply::Settings(SettingsVersion(300))),
        Err(Refusal::SettingsChanged {
            version: SettingsVersion(300),
        }),
        Err(Refusal::TooManySettings),
        Err(Refusal::NoSuchNode),
        Err(Refusal::NameTaken),
    ] {
        let label = format!("{result:?}");
        let outcome = Outcome {
            revision: Revision(42),
            result,
        };
        let bytes = codec::encode_outcome(&outcome);
        assert_eq!(codec::decode_outcome(bytes.clone()), Ok(outcome));
        text.push_str(&hex(&label, &bytes));
    }
    let mut world = World::new();
    world.change(None, every_value()).unwrap();
    let beat = cluster(SettingValue::HeartbeatMs(300));
    world.change(None, vec![beat]).unwrap();
    let state = world.machine.encode_state();
    text.push_str(&hex("state", &state));
    let again = Machine::decode_state(state.clone()).unwrap();
    assert_eq!(again.settings(), world.machine.settings());
    assert_eq!(again.encode_state(), state);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/settings.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "a change of a format needs a new version byte");
}

#[test]
fn a_state_of_a_version_without_settings_has_none() {
    let state = include_str!("golden/auth_state.txt");
    let digits = state.trim().rsplit(' ').next().unwrap();
    let byte = |place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let machine = Machine::decode_state(bytes.clone().into()).unwrap();
    assert_eq!(machine.settings().version(), SettingsVersion(0));
    assert_eq!(machine.settings().iter().count(), 0);
    assert_eq!(machine.encode_state(), Bytes::from(bytes));
}

#[test]
fn impossible_settings_of_a_state_are_refused() {
    // Settings at version 1: of the version that set them, the node and the value, all that can be
    // wrong.
    let setting = |node: u8, key: u8, number: u8, version: u8| {
        vec![
            0x08, node, 0x10, key, 0x1a, 0x02, 0x08, number, 0x20, version,
        ]
    };
    let state = |all: &[Vec<u8>]| {
        let mut settings = vec![0x08, 0x01];
        for one in all {
            settings.push(0x12);
            settings.push(one.len() as u8);
            settings.extend(one);
        }
        let mut message = vec![0x08, 0x01, 0xc2, 0x02, settings.len() as u8];
        message.extend(settings);
        let mut bytes = vec![1, message.len() as u8];
        bytes.extend(message);
        Machine::decode_state(bytes.into())
    };
    let good = setting(0, 3, 100, 1);
    assert!(state(std::slice::from_ref(&good)).is_ok());
    for (bad, why) in [
        (vec![good.clone(), good.clone()], "twice"),
        (vec![setting(0, 3, 1, 1)], "out of bounds"),
        (vec![setting(1, 3, 100, 1)], "of a node"),
        (vec![setting(0, 3, 100, 2)], "of a later version"),
        (vec![setting(0, 3, 100, 0)], "of no version"),
        (vec![setting(0, 99, 100, 1)], "unknown"),
        (vec![setting(0, 4, 100, 1)], "of another kind"),
    ] {
        assert!(state(&bad).is_err(), "{why}");
    }
}
