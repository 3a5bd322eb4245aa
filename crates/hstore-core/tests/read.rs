//! What a range answers, case by case, with etcd's answers.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::ControlFlow;

use bytes::Bytes;
use hstore_core::auth::Author;
use hstore_core::command::{Command, Delete, Proposal, Put};
use hstore_core::id::{LogIndex, Revision};
use hstore_core::key::KeyRange;
use hstore_core::machine::{self, Machine, View};
use hstore_core::outcome::Refusal;
use hstore_core::range::{Filter, Range, RangeResult, Sort, SortTarget};
use hstore_core::record::{Meta, Record};
use hstore_core::testing::MemoryView;

/// A view that counts how many values are fetched.
struct Counting {
    view: MemoryView,
    fetched: Cell<usize>,
}

impl View for Counting {
    type Fault = Infallible;

    fn get(&self, key: &[u8], at: Revision) -> Option<Meta> {
        self.view.get(key, at)
    }

    fn scan(
        &self,
        keys: &KeyRange,
        at: Revision,
        visit: &mut dyn FnMut(&Bytes, &Meta) -> ControlFlow<()>,
    ) {
        self.view.scan(keys, at, visit);
    }

    fn attached(&self, lease: i64) -> Vec<Bytes> {
        self.view.attached(lease)
    }

    fn value(&self, key: &[u8], meta: &Meta) -> Result<Bytes, Infallible> {
        self.fetched.set(self.fetched.get() + 1);
        self.view.value(key, meta)
    }

    fn append(&mut self, record: Record) {
        self.view.append(record);
    }
}

const COMPACTED: Revision = Revision(4);

/// | key | value | create | mod | version |
/// | a   | 5     | 2      | 7   | 2       |
/// | b   | 4     | 3      | 3   | 1       |
/// | c   | 3     | 4      | 4   | 1       |
/// | e   | 4     | 6      | 8   | 2       |
/// and d was there at revision 5 and was deleted at revision 9.
fn store() -> (Counting, Revision) {
    let mut machine = Machine::default();
    let mut view = MemoryView::new();
    let puts = [
        ("a", "1"),
        ("b", "4"),
        ("c", "3"),
        ("d", "2"),
        ("e", "0"),
        ("a", "5"),
        ("e", "4"),
    ];
    let mut commands: Vec<Command> = puts
        .iter()
        .map(|(key, value)| {
            Command::Put(Put {
                key: Bytes::from_static(key.as_bytes()),
                value: Bytes::from_static(value.as_bytes()),
                lease: 0,
                prev_kv: false,
                ignore_value: false,
                ignore_lease: false,
            })
        })
        .collect();
    commands.push(Command::Delete(Delete {
        keys: KeyRange::One(Bytes::from_static(b"d")),
        prev_kv: false,
    }));
    for command in commands {
        let proposal = Proposal {
            request: None,
            author: Author::Nobody,
            command,
        };
        machine.apply(&mut view, LogIndex(1), Ok(proposal)).unwrap();
    }
    let counting = Counting {
        view,
        fetched: Cell::new(0),
    };
    (counting, machine.revision())
}

fn all() -> Range {
    Range::of(KeyRange::all())
}

fn sorted(target: SortTarget, descending: bool) -> Range {
    Range {
        sort: Sort { target, descending },
        ..all()
    }
}

fn read(range: &Range) -> (Result<RangeResult, Refusal>, usize) {
    let (view, current) = store();
    let result = machine::read(&view, current, COMPACTED, range).unwrap();
    (result, view.fetched.get())
}

/// The keys that are answered, `more`, the count, and how many values were fetched for it.
fn answer(range: &Range) -> (String, bool, u64, usize) {
    let (result, fetched) = read(range);
    let result = result.unwrap();
    let keys = result.records.iter().map(|record| {
        let key = std::str::from_utf8(&record.key).unwrap();
        assert_eq!(record.value.is_empty(), range.keys_only, "{key}");
        key
    });
    (keys.collect(), result.more, result.count, fetched)
}

#[test]
fn ranges_answer_in_the_order_and_to_the_extent_asked_for() {
    use SortTarget::{CreateRevision, Key, ModRevision, Value, Version};
    let limited = |limit, range| Range { limit, ..range };
    let uncounted = |range| Range {
        uncounted: true,
        ..range
    };
    let span = |start: &'static str, end: &'static str| {
        Range::of(KeyRange::Span {
            start: Bytes::from_static(start.as_bytes()),
            end: Bytes::from_static(end.as_bytes()),
        })
    };
    let one = |key: &'static str| Range::of(KeyRange::One(Bytes::from_static(key.as_bytes())));
    let cases = [
        ("all", all(), ("abce", false, 4, 4)),
        ("one", one("b"), ("b", false, 1, 1)),
        ("one that is deleted", one("d"), ("", false, 0, 0)),
        ("a span", span("b", "e"), ("bc", false, 2, 2)),
        (
            "a span the wrong way round",
            span("e", "b"),
            ("", false, 0, 0),
        ),
        (
            "from a key on",
            Range::of(KeyRange::From(Bytes::from_static(b"c"))),
            ("ce", false, 2, 2),
        ),
        (
            "an older revision",
            Range {
                revision: Revision(5),
                ..all()
            },
            ("abcd", false, 4, 4),
        ),
        (
            "the compacted revision",
            Range {
                revision: COMPACTED,
                ..all()
            },
            ("abc", false, 3, 3),
        ),
        (
            "a revision below zero is now",
            Range {
                revision: Revision(-3),
                ..all()
            },
            ("abce", false, 4, 4),
        ),
        ("a limit", limited(2, all()), ("ab", true, 4, 2)),
        (
            "a limit without a count",
            limited(2, uncounted(all())),
            ("ab", true, 3, 2),
        ),
        (
            "a limit that fits without a count",
            limited(4, uncounted(all())),
            ("abce", false, 4, 4),
        ),
        (
            "another order looks at all, also without a count",
            limited(2, uncounted(sorted(SortTarget::Key, true))),
            ("ec", true, 4, 2),
        ),
        (
            "a limit that fits",
            limited(4, all()),
            ("abce", false, 4, 4),
        ),
        (
            "a limit of one on one key",
            limited(1, one("a")),
            ("a", false, 1, 1),
        ),
        (
            "the largest limit",
            limited(u64::MAX, all()),
            ("abce", false, 4, 4),
        ),
        (
            "keys only",
            Range {
                keys_only: true,
                ..all()
            },
            ("abce", false, 4, 0),
        ),
        (
            "count only",
            Range {
                count_only: true,
                limit: 1,
                ..all()
            },
            ("", false, 4, 0),
        ),
        (
            "count only of one",
            Range {
                count_only: true,
                ..one("a")
            },
            ("", false, 1, 0),
        ),
        (
            "by key, descending",
            sorted(Key, true),
            ("ecba", false, 4, 4),
        ),
        (
            "by key, descending, limited",
            limited(1, sorted(Key, true)),
            ("e", true, 4, 1),
        ),
        ("by version", sorted(Version, false), ("bcae", false, 4, 4)),
        (
            "by version, descending",
            sorted(Version, true),
            ("aebc", false, 4, 4),
        ),
        (
            "by create revision",
            sorted(CreateRevision, false),
            ("abce", false, 4, 4),
        ),
        (
            "by create revision, descending",
            sorted(CreateRevision, true),
            ("ecba", false, 4, 4),
        ),
        (
            "by mod revision",
            limited(3, sorted(ModRevision, false)),
            ("bca", true, 4, 3),
        ),
        ("by value", sorted(Value, false), ("cbea", false, 4, 4)),
        (
            "by value, descending",
            sorted(Value, true),
            ("abec", false, 4, 4),
        ),
        (
            "by value, limited",
            limited(2, sorted(Value, false)),
            ("cb", true, 4, 4),
        ),
        (
            "by value, keys only",
            Range {
                keys_only: true,
                ..sorted(Value, false)
            },
            ("cbea", false, 4, 4),
        ),
    ];
    for (case, range, (keys, more, count, fetched)) in cases {
        let expected = (keys.to_owned(), more, count, fetched);
        assert_eq!(answer(&range), expected, "{case}");
    }
}

#[test]
fn filters_come_before_the_limit_and_leave_the_count_alone() {
    let filtered = |filter| Range { filter, ..all() };
    let none = Filter::default();
    let cases = [
        (
            "mod min",
            Filter {
                mod_revision_min: Revision(7),
                ..none
            },
            0,
            ("ae", false, 4, 2),
        ),
        (
            "mod max",
            Filter {
                mod_revision_max: Revision(4),
                ..none
            },
            0,
            ("bc", false, 4, 2),
        ),
        (
            "create min",
            Filter {
                create_revision_min: Revision(4),
                ..none
            },
            0,
            ("ce", false, 4, 2),
        ),
        (
            "create max",
            Filter {
                create_revision_max: Revision(2),
                ..none
            },
            0,
            ("a", false, 4, 1),
        ),
        (
            "both ends are in",
            Filter {
                mod_revision_min: Revision(4),
                mod_revision_max: Revision(7),
                ..none
            },
            0,
            ("ac", false, 4, 2),
        ),
        (
            "limited",
            Filter {
                mod_revision_min: Revision(7),
                ..none
            },
            1,
            ("a", true, 4, 1),
        ),
        (
            "limited and enough",
            Filter {
                mod_revision_min: Revision(8),
                ..none
            },
            1,
            ("e", false, 4, 1),
        ),
    ];
    for (case, filter, limit, (keys, more, count, fetched)) in cases {
        let range = Range {
            limit,
            ..filtered(filter)
        };
        let expected = (keys.to_owned(), more, count, fetched);
        assert_eq!(answer(&range), expected, "{case}");
    }
    let one = Range {
        keys: KeyRange::One(Bytes::from_static(b"a")),
        ..filtered(Filter {
            mod_revision_min: Revision(8),
            ..none
        })
    };
    assert_eq!(answer(&one), (String::new(), false, 1, 0));
}

#[test]
fn revisions_outside_the_history_are_refused() {
    let at = |revision| Range {
        revision: Revision(revision),
        ..all()
    };
    let compacted = Refusal::Compacted {
        compacted: COMPACTED,
    };
    let future = Refusal::FutureRevision {
        current: Revision(9),
    };
    assert_eq!(read(&at(3)).0, Err(compacted));
    assert_eq!(read(&at(10)).0, Err(future));
    assert!(read(&at(9)).0.is_ok());
}

#[test]
fn a_sorted_read_with_a_limit_chooses_among_more_than_it_keeps() {
    let mut view = MemoryView::new();
    let total = 5000_i64;
    for n in 0..total {
        // Versions repeat, so ties are there to keep their key order.
        view.append(Record {
            key: Bytes::from(format!("{n:05}")),
            value: Bytes::from(format!("{}", (n * 7) % 10)),
            meta: Meta {
                create_revision: Revision(2 + n),
                mod_revision: Revision(2 + n),
                version: 1 + (n * 7) % 10,
                ..Meta::default()
            },
        });
    }
    for target in [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::ModRevision,
        SortTarget::Value,
    ] {
        for descending in [false, true] {
            let everything = sorted(target, descending);
            let limited = Range {
                limit: 700,
                ..everything.clone()
            };
            let current = Revision(total + 1);
            let read = |range| {
                machine::read(&view, current, Revision(0), range)
                    .unwrap()
                    .unwrap()
            };
            let (everything, limited) = (read(&everything), read(&limited));
            assert_eq!(everything.records.len(), total as usize);
            assert!(
                limited.records == everything.records[..700],
                "{target:?} {descending}"
            );
            assert!(limited.more && limited.count == total as u64);
        }
    }
}
