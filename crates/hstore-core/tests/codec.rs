//! Every format keeps its bytes, refuses what is not its own and never panics.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod common;

use std::fmt::{Debug, Write as _};
use std::path::Path;

use bytes::Bytes;
use hstore_core::alarm::{Alarm, AlarmChange, AlarmKind};
use hstore_core::auth::Author;
use hstore_core::codec::{self, Batch, DecodeError};
use hstore_core::command::{
    Command, Compact, Compare, CompareTarget, Delete, GrantLease, Operation, Proposal, Put,
    Relation, RequestId, ReserveNode, Txn,
};
use hstore_core::id::{Incarnation, LeaseTime, LogId, LogIndex, NodeId, Revision, Term};
use hstore_core::key::KeyRange;
use hstore_core::machine::Machine;
use hstore_core::membership::{Member, Membership};
use hstore_core::outcome::{LeaseReply, Outcome, Reply};
use hstore_core::range::{Filter, Range, RangeResult, Sort, SortTarget};
use hstore_core::record::{Meta, Record};
use hstore_core::testing::MemoryView;
use proptest::prelude::*;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn put() -> Put {
    Put {
        key: bytes("key"),
        value: bytes("value"),
        lease: 0,
        prev_kv: false,
        ignore_value: false,
        ignore_lease: false,
    }
}

fn full_range() -> Range {
    Range {
        keys: KeyRange::From(bytes("k")),
        revision: Revision(5),
        limit: 10,
        sort: Sort {
            target: SortTarget::Value,
            descending: true,
        },
        keys_only: true,
        count_only: true,
        uncounted: false,
        filter: Filter {
            mod_revision_min: Revision(1),
            mod_revision_max: Revision(2),
            create_revision_min: Revision(3),
            create_revision_max: Revision(-1),
        },
    }
}

fn record() -> Record {
    Record {
        key: bytes("key"),
        value: bytes("value"),
        meta: Meta {
            create_revision: Revision(2),
            mod_revision: Revision(300),
            sub: 1,
            version: 4,
            lease: -9,
        },
    }
}

fn request() -> RequestId {
    RequestId {
        client: 0x0123_4567_89ab_cdef,
        sequence: 9,
        answered_below: 8,
        born: LogIndex(1000),
    }
}

fn txn() -> Txn {
    let targets = [
        (Relation::Equal, CompareTarget::CreateRevision(1)),
        (Relation::Greater, CompareTarget::Lease(2)),
        (Relation::Less, CompareTarget::ModRevision(3)),
        (Relation::NotEqual, CompareTarget::Value(bytes("v"))),
        (Relation::Equal, CompareTarget::Version(-1)),
    ];
    let compare = targets.map(|(relation, target)| Compare {
        keys: KeyRange::One(bytes("key")),
        relation,
        target,
    });
    Txn {
        compare: compare.to_vec(),
        then: vec![
            Operation::Put(put()),
            Operation::Delete(Delete {
                keys: KeyRange::Span {
                    start: bytes("a"),
                    end: bytes("b"),
                },
                prev_kv: true,
            }),
        ],
        otherwise: vec![
            Operation::Range(full_range()),
            Operation::Txn(Txn::default()),
        ],
    }
}

fn reserve(node: Option<NodeId>) -> ReserveNode {
    ReserveNode {
        node,
        peer_address: "other:2380".to_owned(),
        learner: true,
    }
}

fn alarm() -> Alarm {
    Alarm {
        kind: AlarmKind::NoSpace,
        node: NodeId(3),
        automatic: true,
    }
}

fn proposals() -> Vec<(&'static str, Proposal)> {
    let commands = [
        ("put", Command::Put(put())),
        (
            "put with everything",
            Command::Put(Put {
                lease: 77,
                prev_kv: true,
                ignore_value: true,
                ignore_lease: true,
                ..put()
            }),
        ),
        (
            "delete",
            Command::Delete(Delete {
                keys: KeyRange::One(bytes("key")),
                prev_kv: false,
            }),
        ),
        ("txn", Command::Txn(txn())),
        (
            "compact",
            Command::Compact(Compact {
                revision: Revision(6),
            }),
        ),
        (
            "allocate node",
            Command::AllocateNode {
                incarnation: Incarnation(0xfeed),
                peer_address: String::new(),
            },
        ),
        (
            "allocate node at an address",
            Command::AllocateNode {
                incarnation: Incarnation(0xfeee),
                peer_address: "host:2380".to_owned(),
            },
        ),
        ("reserve node", Command::ReserveNode(reserve(None))),
        (
            "move reserved node",
            Command::ReserveNode(reserve(Some(NodeId(5)))),
        ),
        ("release node", Command::ReleaseNode { node: NodeId(6) }),
        ("raise alarm", Command::Alarm(AlarmChange::Raise(alarm()))),
        (
            "clear alarm",
            Command::Alarm(AlarmChange::Clear {
                kind: AlarmKind::Corrupt,
                node: NodeId(4),
            }),
        ),
        (
            "grant lease",
            Command::GrantLease(GrantLease { lease: 77, ttl: 60 }),
        ),
        ("renew lease", Command::RenewLease { lease: 77 }),
        ("revoke lease", Command::RevokeLease { lease: -78 }),
        ("expire leases", Command::ExpireLeases),
    ];
    let plain = commands.into_iter().map(|(name, command)| {
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        (name, proposal)
    });
    let named = Proposal {
        request: Some(request()),
        author: Author::Nobody,
        command: Command::Put(put()),
    };
    plain.chain([("put with a request id", named)]).collect()
}

fn outcomes() -> Vec<(String, Outcome)> {
    let replies = [
        ("alarms", Reply::Alarms(vec![alarm()])),
        ("compact", Reply::Compact),
        (
            "delete",
            Reply::Delete {
                deleted: 1,
                previous: vec![record()],
            },
        ),
        (
            "lease granted",
            Reply::Lease(LeaseReply::Granted { ttl: 60 }),
        ),
        (
            "lease renewed",
            Reply::Lease(LeaseReply::Renewed { ttl: 60 }),
        ),
        ("lease revoked", Reply::Lease(LeaseReply::Revoked)),
        (
            "leases expired",
            Reply::Lease(LeaseReply::Expired {
                count: 3,
                more: true,
            }),
        ),
        ("node", Reply::Node(NodeId(12))),
        ("put", Reply::Put { previous: None }),
        (
            "put that replaced",
            Reply::Put {
                previous: Some(record()),
            },
        ),
        ("range", Reply::Range(range_result())),
        (
            "txn",
            Reply::Txn {
                succeeded: true,
                replies: vec![
                    Reply::Put { previous: None },
                    Reply::Txn {
                        succeeded: false,
                        replies: vec![],
                    },
                ],
            },
        ),
    ];
    let outcome = |result| Outcome {
        revision: Revision(42),
        result,
    };
    let replies = replies
        .into_iter()
        .map(|(name, reply)| (name.to_owned(), outcome(Ok(reply))));
    let refusals = common::refusals()
        .into_iter()
        .map(|refusal| (format!("{refusal:?}"), outcome(Err(refusal))));
    replies.chain(refusals).collect()
}

fn range_result() -> RangeResult {
    RangeResult {
        records: vec![record(), record()],
        more: true,
        count: 3,
    }
}

fn log_id() -> LogId {
    LogId {
        term: Term(3),
        leader: NodeId(2),
        index: LogIndex(1000),
    }
}

fn membership() -> Membership {
    let member = |name: &str, n: u64| Member {
        name: name.to_owned(),
        started_as: (n > 1).then(|| format!("n{n}")),
        peer_address: format!("127.0.0.1:{n}"),
        client_address: format!("127.0.0.1:{}", n + 1),
        incarnation: Incarnation(n),
    };
    Membership {
        log_id: Some(log_id()),
        voters: vec![[NodeId(1)].into(), [NodeId(1), NodeId(9)].into()],
        members: [
            (NodeId(1), member("one", 100)),
            (NodeId(9), member("nine", 200)),
        ]
        .into(),
    }
}

/// A machine with a bit of everything in it.
fn machine() -> Machine {
    let mut machine = Machine::default();
    let mut view = MemoryView::new();
    machine.advance(LeaseTime(1500));
    for (index, (_, proposal)) in proposals().into_iter().enumerate() {
        machine
            .apply(&mut view, LogIndex(1001 + index as u64), Ok(proposal))
            .unwrap();
    }
    let compact = Proposal {
        request: None,
        author: Author::Nobody,
        command: Command::Compact(Compact {
            revision: Revision(2),
        }),
    };
    machine
        .apply(&mut view, LogIndex(1030), Ok(compact))
        .unwrap();
    let lease = Proposal {
        request: None,
        author: Author::Nobody,
        command: Command::GrantLease(GrantLease { lease: 79, ttl: 9 }),
    };
    machine.apply(&mut view, LogIndex(1031), Ok(lease)).unwrap();
    let alarm = Proposal {
        request: None,
        author: Author::Node,
        command: Command::Alarm(AlarmChange::Raise(alarm())),
    };
    machine.advance(LeaseTime(9000));
    machine.apply(&mut view, LogIndex(1032), Ok(alarm)).unwrap();
    machine
}

/// Compares encodings with those in the file, which is written anew with `UPDATE_GOLDEN=1`.
fn golden(file: &str, encodings: impl IntoIterator<Item = (String, Bytes)>) {
    let mut text = String::new();
    for (name, bytes) in encodings {
        writeln!(text, "{name}: {}", hex(&bytes)).unwrap();
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
        "{file}: the format changed; a change of a format needs a new version byte"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn check<T: PartialEq + Debug>(
    file: &str,
    values: impl IntoIterator<Item = (String, T)>,
    encode: impl Fn(&T) -> Bytes,
    decode: impl Fn(Bytes) -> Result<T, DecodeError>,
) {
    let encodings = values.into_iter().map(|(name, value)| {
        let encoded = encode(&value);
        assert_eq!(decode(encoded.clone()), Ok(value), "{name}");
        refuses_what_is_not_whole(&encoded, &decode);
        (name, encoded)
    });
    golden(file, encodings);
}

fn refuses_what_is_not_whole<T: PartialEq + Debug>(
    encoded: &Bytes,
    decode: impl Fn(Bytes) -> Result<T, DecodeError>,
) {
    for len in 0..encoded.len() {
        let cut = decode(encoded.slice(..len));
        assert_eq!(cut, Err(DecodeError::Truncated), "cut to {len} bytes");
    }
    let mut padded = encoded.to_vec();
    padded.push(0);
    assert!(matches!(
        decode(padded.into()),
        Err(DecodeError::Malformed(_))
    ));
    let mut newer = encoded.to_vec();
    let (found, known) = (encoded[0] + 1, encoded[0]);
    newer[0] = found;
    let too_new = DecodeError::TooNew { found, known };
    assert_eq!(decode(newer.into()), Err(too_new));
    let mut zero = encoded.to_vec();
    zero[0] = 0;
    assert!(matches!(
        decode(zero.into()),
        Err(DecodeError::Malformed(_))
    ));
}

fn named<T>(value: T) -> [(String, T); 1] {
    [("value".to_owned(), value)]
}

#[test]
fn proposals_keep_their_bytes() {
    let proposals = proposals();
    let proposals = proposals.into_iter().map(|(name, p)| (name.to_owned(), p));
    check(
        "proposal.txt",
        proposals,
        codec::encode_proposal,
        codec::decode_proposal,
    );
}

#[test]
fn outcomes_keep_their_bytes() {
    check(
        "outcome.txt",
        outcomes(),
        codec::encode_outcome,
        codec::decode_outcome,
    );
}

#[test]
fn ranges_and_their_results_keep_their_bytes() {
    check(
        "range.txt",
        [
            ("key".to_owned(), Range::of(KeyRange::One(bytes("key")))),
            ("everything".to_owned(), full_range()),
        ],
        codec::encode_range,
        codec::decode_range,
    );
    check(
        "range_result.txt",
        named(range_result()),
        codec::encode_range_result,
        codec::decode_range_result,
    );
}

#[test]
fn records_keep_their_bytes() {
    let tombstone = Record {
        value: Bytes::new(),
        meta: Meta {
            mod_revision: Revision(7),
            ..Meta::default()
        },
        ..record()
    };
    check(
        "record.txt",
        [
            ("live".to_owned(), record()),
            ("tombstone".to_owned(), tombstone),
        ],
        codec::encode_record,
        codec::decode_record,
    );
}

#[test]
fn memberships_and_log_ids_keep_their_bytes() {
    check(
        "membership.txt",
        named(membership()),
        codec::encode_membership,
        codec::decode_membership,
    );
    check(
        "log_id.txt",
        named(log_id()),
        codec::encode_log_id,
        codec::decode_log_id,
    );
}

#[test]
fn batches_keep_their_bytes() {
    let batch = Batch {
        time: LeaseTime(300),
        proposals: vec![bytes("first"), bytes("second")],
    };
    assert_eq!(batch.encode().len(), batch.encoded_len());
    check(
        "batch.txt",
        [
            ("two".to_owned(), batch),
            ("none".to_owned(), Batch::default()),
        ],
        Batch::encode,
        Batch::decode,
    );
    // As versions that knew no leases wrote it.
    let former = Bytes::from_static(b"\x01\x02\x05first\x06second");
    let read = Batch::decode(former).unwrap();
    assert_eq!(read.time, LeaseTime(0));
    assert_eq!(read.proposals, [bytes("first"), bytes("second")]);
}

#[test]
fn the_machine_keeps_its_bytes_and_its_hash() {
    let machine = machine();
    let encoded = machine.encode_state();
    let decoded = Machine::decode_state(encoded.clone()).unwrap();
    assert_eq!(decoded.encode_state(), encoded);
    assert_eq!(decoded.state_hash(), machine.state_hash());
    assert_eq!(decoded.revision(), machine.revision());
    assert_eq!(decoded.compacted(), machine.compacted());
    let decode = |bytes| Machine::decode_state(bytes).map(|machine| machine.encode_state());
    refuses_what_is_not_whole(&encoded, decode);
    golden(
        "state.txt",
        [
            ("state".to_owned(), encoded),
            (
                "hash".to_owned(),
                machine.state_hash().to_be_bytes().to_vec().into(),
            ),
        ],
    );
}

#[test]
fn absurd_lengths_are_refused_without_room_being_made() {
    let longest = [&[1][..], &[0xff; 9], &[1]].concat();
    let endless = [&[1][..], &[0xff; 11]].concat();
    // A put whose key says that it has 2^63 bytes.
    let key = [&[0x0a][..], &[0xff; 8], &[0x7f]].concat();
    let put = [&[0x12, key.len() as u8][..], &key].concat();
    let nested = [&[1, put.len() as u8][..], &put].concat();
    for damaged in [longest, endless, nested] {
        let damaged = Bytes::from(damaged);
        assert!(codec::decode_proposal(damaged.clone()).is_err());
        assert!(Batch::decode(damaged).is_err());
    }
}

#[test]
fn values_that_no_message_may_have_are_refused() {
    type Decoder = fn(Bytes) -> Result<(), DecodeError>;
    let proposal: Decoder = |bytes| codec::decode_proposal(bytes).map(drop);
    let outcome: Decoder = |bytes| codec::decode_outcome(bytes).map(drop);
    let range: Decoder = |bytes| codec::decode_range(bytes).map(drop);
    let members: Decoder = |bytes| codec::decode_membership(bytes).map(drop);
    let state: Decoder = |bytes| Machine::decode_state(bytes).map(drop);
    let batch: Decoder = |bytes| Batch::decode(bytes).map(drop);
    let cases: [(&str, Decoder, &[u8]); 22] = [
        ("a proposal without a command", proposal, &[1, 0]),
        ("a delete without keys", proposal, &[1, 2, 0x1a, 0]),
        ("an empty operation", proposal, &[1, 4, 0x22, 2, 0x12, 0]),
        (
            "a comparison with nothing",
            proposal,
            &[1, 4, 0x22, 2, 0x0a, 0],
        ),
        ("an outcome without a result", outcome, &[1, 0]),
        ("an empty reply", outcome, &[1, 2, 0x12, 0]),
        ("an unknown refusal", outcome, &[1, 4, 0x1a, 2, 0x08, 99]),
        ("a range without keys", range, &[1, 0]),
        ("an unknown sort", range, &[1, 4, 0x0a, 0, 0x20, 9]),
        (
            "keys endless with an end",
            range,
            &[1, 6, 0x0a, 4, 0x12, 0, 0x18, 1],
        ),
        ("a member twice", members, &[1, 4, 0x1a, 0, 0x1a, 0]),
        ("revision 0", state, &[1, 0]),
        (
            "compacted beyond the revision",
            state,
            &[1, 4, 0x08, 1, 0x10, 2],
        ),
        ("a change of no alarm", proposal, &[1, 3, 0xa2, 0x01, 0]),
        (
            "an unknown alarm",
            proposal,
            &[1, 7, 0xa2, 0x01, 4, 0x0a, 2, 8, 9],
        ),
        (
            "times that go back",
            state,
            &[1, 14, 8, 1, 0xaa, 1, 4, 8, 7, 16, 2, 0xaa, 1, 2, 8, 6],
        ),
        (
            "an id reserved twice",
            state,
            &[1, 14, 8, 1, 32, 3, 0xb2, 0x01, 2, 8, 2, 0xb2, 0x01, 2, 8, 2],
        ),
        ("an empty proposal in a batch", batch, &[1, 1, 0]),
        ("an empty one behind a time", batch, &[2, 9, 1, 0]),
        ("a lease without an id", proposal, &[1, 4, 0x3a, 2, 0x10, 5]),
        (
            "a lease without a time to live",
            state,
            &[1, 6, 0x08, 1, 0x4a, 2, 0x08, 7],
        ),
        (
            "a lease twice",
            state,
            &[1, 14, 8, 1, 0x4a, 4, 8, 7, 16, 9, 0x4a, 4, 8, 7, 16, 9],
        ),
    ];
    for (case, decode, bytes) in cases {
        let refused = decode(Bytes::from_static(bytes));
        assert!(
            matches!(refused, Err(DecodeError::Malformed(_))),
            "{case}: {refused:?}"
        );
    }
}

#[test]
fn decoded_byte_strings_are_slices_of_the_input() {
    let value = Bytes::from(vec![7; 4096]);
    let encoded = codec::encode_proposal(&Proposal {
        request: None,
        author: Author::Nobody,
        command: Command::Put(Put { value, ..put() }),
    });
    let batch = Batch {
        time: LeaseTime(0),
        proposals: vec![encoded],
    };
    let entry = batch.encode();
    let batch = Batch::decode(entry.clone()).unwrap();
    let proposal = codec::decode_proposal(batch.proposals[0].clone()).unwrap();
    let Command::Put(put) = proposal.command else {
        panic!("no put");
    };
    let (inside, whole) = (put.value.as_ptr_range(), entry.as_ptr_range());
    assert!(whole.start <= inside.start && inside.end <= whole.end);
}

/// The bytes of a proposal of empty transactions within each other, made by hand since the codec
/// itself is only ever asked for what the door lets through.
fn nested_proposal(depth: usize) -> Bytes {
    use prost::encoding::encode_varint;
    let within = |field: u8, message: &[u8]| {
        let mut outer = vec![field << 3 | 2];
        encode_varint(message.len() as u64, &mut outer);
        outer.extend_from_slice(message);
        outer
    };
    let txn = (1..depth).fold(Vec::new(), |inner, _| within(2, &within(4, &inner)));
    let proposal = within(4, &txn);
    let mut bytes = vec![1];
    encode_varint(proposal.len() as u64, &mut bytes);
    bytes.extend(proposal);
    bytes.into()
}

#[test]
fn transactions_nested_too_deep_are_refused() {
    assert!(codec::decode_proposal(nested_proposal(1)).is_ok());
    assert!(codec::decode_proposal(nested_proposal(32)).is_ok());
    for depth in [33, 60, 10_000] {
        let refused = codec::decode_proposal(nested_proposal(depth));
        assert!(matches!(refused, Err(DecodeError::Malformed(_))));
    }
}

/// Whatever a decoder makes of some bytes, it must not panic.
fn decode_as_everything(bytes: &Bytes) {
    drop(codec::decode_proposal(bytes.clone()));
    drop(codec::decode_outcome(bytes.clone()));
    drop(codec::decode_range(bytes.clone()));
    drop(codec::decode_range_result(bytes.clone()));
    drop(codec::decode_record(bytes.clone()));
    drop(codec::decode_membership(bytes.clone()));
    drop(codec::decode_log_id(bytes.clone()));
    drop(Machine::decode_state(bytes.clone()));
    drop(Batch::decode(bytes.clone()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn proposals_round_trip(value in common::proposal()) {
        let encoded = codec::encode_proposal(&value);
        prop_assert_eq!(codec::decode_proposal(encoded), Ok(value));
    }

    #[test]
    fn outcomes_round_trip(value in common::outcome()) {
        let encoded = codec::encode_outcome(&value);
        prop_assert_eq!(codec::decode_outcome(encoded), Ok(value));
    }

    #[test]
    fn ranges_round_trip(value in common::range(common::Wildness::Any)) {
        let encoded = codec::encode_range(&value);
        prop_assert_eq!(codec::decode_range(encoded), Ok(value));
    }

    #[test]
    fn range_results_round_trip(value in common::range_result()) {
        let encoded = codec::encode_range_result(&value);
        prop_assert_eq!(codec::decode_range_result(encoded), Ok(value));
    }

    #[test]
    fn records_round_trip(value in common::record()) {
        let encoded = codec::encode_record(&value);
        prop_assert_eq!(codec::decode_record(encoded), Ok(value));
    }

    #[test]
    fn memberships_round_trip(value in common::membership()) {
        let encoded = codec::encode_membership(&value);
        prop_assert_eq!(codec::decode_membership(encoded), Ok(value));
    }

    #[test]
    fn log_ids_round_trip(value in common::log_id()) {
        let encoded = codec::encode_log_id(&value);
        prop_assert_eq!(codec::decode_log_id(encoded), Ok(value));
    }

    #[test]
    fn batches_round_trip(
        time: u64, values in proptest::collection::vec(common::proposal(), 0..5),
    ) {
        let proposals = values.iter().map(codec::encode_proposal).collect();
        let batch = Batch { time: LeaseTime(time), proposals };
        prop_assert_eq!(Batch::decode(batch.encode()), Ok(batch));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // As they are, and where the frame lets them through.
        let framed = [&[1, bytes.len() as u8][..], &bytes].concat();
        decode_as_everything(&bytes.into());
        decode_as_everything(&framed.into());
    }

    #[test]
    fn no_flipped_bit_makes_a_decoder_panic(value in common::proposal(), at: usize, bit in 0..8) {
        let mut bytes = codec::encode_proposal(&value).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1_u8 << bit;
        decode_as_everything(&bytes.into());
    }
}
