//! The contract of engines, held against each of them: random operations beside a model, ends of
//! the process at any moment, large values, and the keeping of several engines side by side.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::memory::MemorySource;
use super::{Engine, EngineNumber, EngineSource, WriteBatch};

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A source that can be looked at as a killed process would leave it.
trait World {
    type Source: EngineSource;

    fn new() -> Self;
    fn source(&self) -> &Self::Source;
    /// What is found when the process that uses the source is killed now. The engines of this
    /// world stay as they are.
    fn killed(&self) -> Self;
}

struct MemoryWorld(MemorySource);

impl World for MemoryWorld {
    type Source = MemorySource;

    fn new() -> MemoryWorld {
        MemoryWorld(MemorySource::new())
    }

    fn source(&self) -> &MemorySource {
        &self.0
    }

    fn killed(&self) -> MemoryWorld {
        let copy = MemorySource::new();
        for number in self.0.list().unwrap() {
            let (made, engine) = copy.create().unwrap();
            assert_eq!(
                made, number,
                "the worlds of these tests do not remove engines"
            );
            let mut batch = WriteBatch::default();
            self.0
                .open(number, &mut |key, value| {
                    batch.put(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                    ControlFlow::Continue(())
                })
                .unwrap();
            engine.write(batch).unwrap();
        }
        MemoryWorld(copy)
    }
}

#[cfg(feature = "os")]
struct SledWorld {
    folder: tempfile::TempDir,
    source: super::folders::FolderSource,
}

#[cfg(feature = "os")]
impl World for SledWorld {
    type Source = super::folders::FolderSource;

    fn new() -> SledWorld {
        let folder = tempfile::tempdir().unwrap();
        let source = Self::Source::open(folder.path(), || "boot".to_owned()).unwrap();
        SledWorld { folder, source }
    }

    fn source(&self) -> &Self::Source {
        &self.source
    }

    fn killed(&self) -> SledWorld {
        let copy = SledWorld::new();
        tests::copy_folder(self.folder.path(), copy.folder.path());
        copy
    }
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn content(engine: &dyn Engine, start: &[u8]) -> Pairs {
    let mut pairs = Vec::new();
    engine
        .scan(start, &mut |key, value| {
            pairs.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(
        pairs.is_sorted_by(|left, right| left.0 < right.0),
        "ascending, each key once"
    );
    pairs.into_iter().collect()
}

fn open(source: &dyn EngineSource, number: EngineNumber) -> (Arc<dyn Engine>, Pairs) {
    let mut visited = Pairs::new();
    let engine = source
        .open(number, &mut |key, value| {
            visited.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    (engine, visited)
}

/// One change: a key, and a value made of a byte and a length, or none to delete.
type Change = (u8, Option<(u8, usize)>);

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let value = prop_oneof![Just(0usize), 1usize..100, 4000usize..9000];
    let change = (0u8..40, prop::option::weighted(0.7, (any::<u8>(), value)));
    prop::collection::vec(prop::collection::vec(change, 0..12), 1..25)
}

fn batch_of(changes: &[Change], model: &mut Pairs) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for (name, value) in changes {
        let key = [&[1, 0, 0][..], &[*name]].concat();
        if let Some((byte, len)) = value {
            model.insert(key.clone(), vec![*byte; *len]);
            batch.put(key.into(), vec![*byte; *len].into());
        } else {
            model.remove(&key);
            batch.delete(key.into());
        }
    }
    batch
}

fn random_batches_are_those_of_a_map<W: World>(batches: &[Vec<Change>]) {
    let world = W::new();
    let (number, engine) = world.source().create().unwrap();
    let mut model = Pairs::new();
    let mut prefixes = vec![model.clone()];
    for (count, changes) in batches.iter().enumerate() {
        engine.write(batch_of(changes, &mut model)).unwrap();
        prefixes.push(model.clone());
        for name in 0..40 {
            let key = [1, 0, 0, name];
            let found = engine.get(&key).unwrap().map(|value| value.to_vec());
            assert_eq!(found.as_ref(), model.get(&key[..]));
        }
        if count % 7 == 3 {
            engine.sync().unwrap();
            // What was synced is there whatever happens to the process now.
            let after = world.killed();
            assert_eq!(open(after.source(), number).1, model);
        }
    }
    assert_eq!(content(engine.as_ref(), &[]), model);
    let half: Pairs = model.clone().split_off(&[1, 0, 0, 20][..]);
    assert_eq!(content(engine.as_ref(), &[1, 0, 0, 20]), half);

    let killed = world.killed();
    let (_, found) = open(killed.source(), number);
    assert!(
        prefixes.contains(&found),
        "a killed process leaves a prefix of its batches"
    );

    assert!(world.source().close(number, engine).unwrap());
    let (engine, visited) = open(world.source(), number);
    assert_eq!(visited, model);
    assert_eq!(content(engine.as_ref(), &[]), model);
}

fn values_of_a_megabyte_come_back<W: World>() {
    let world = W::new();
    let (number, engine) = world.source().create().unwrap();
    let value = |n: usize| -> Vec<u8> {
        let bytes = 1024 * 1024 + n * 60_000;
        (0..bytes)
            .map(|at| (at.wrapping_mul(n * 2 + 7) >> 3) as u8)
            .collect()
    };
    let mut model = Pairs::new();
    for n in 0..9 {
        let mut batch = WriteBatch::default();
        batch.put(bytes(&[n]), value(usize::from(n)).into());
        model.insert(vec![n], value(usize::from(n)));
        if let Some(old) = n.checked_sub(5) {
            batch.delete(bytes(&[old]));
            model.remove(&[old][..]);
        }
        engine.write(batch).unwrap();
        assert_eq!(engine.get(&[n]).unwrap().unwrap(), value(usize::from(n)));
    }
    engine.sync().unwrap();
    assert!(engine.size_on_disk().unwrap() >= 5 * 1024 * 1024);
    let killed = world.killed();
    assert_eq!(open(killed.source(), number).1, model);
    assert!(world.source().close(number, engine).unwrap());
    assert_eq!(open(world.source(), number).1, model);
}

fn a_scan_ends_when_its_visitor_says_so<W: World>() {
    let world = W::new();
    let (_, engine) = world.source().create().unwrap();
    let mut batch = WriteBatch::default();
    (0..200).for_each(|n| batch.put(bytes(&[n]), bytes(&[n])));
    engine.write(batch).unwrap();
    let mut seen = Vec::new();
    engine
        .scan(&[100], &mut |key, _| {
            seen.push(key[0]);
            if key[0] == 170 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert_eq!(seen, (100..=170).collect::<Vec<u8>>());
    engine
        .scan(&[250], &mut |_, _| unreachable!("nothing is there"))
        .unwrap();
}

fn a_source_keeps_engines_apart_and_points_at_one<W: World>() {
    let world = W::new();
    let source = world.source();
    assert_eq!(source.current().unwrap(), None);
    assert_eq!(source.list().unwrap(), []);

    let (first, engine) = source.create().unwrap();
    let mut batch = WriteBatch::default();
    batch.put(bytes(b"key"), bytes(b"first"));
    engine.write(batch).unwrap();
    let (second, other) = source.create().unwrap();
    assert!(second > first);
    assert_eq!(other.get(b"key").unwrap(), None);
    assert_eq!(
        source.current().unwrap(),
        None,
        "a new engine is not in use yet"
    );

    assert_eq!(source.marker(first).unwrap(), None);
    source.save_marker(first, b"old").unwrap();
    source.save_marker(first, b"new").unwrap();
    source.save_marker(second, b"second").unwrap();
    assert_eq!(source.marker(first).unwrap(), Some(bytes(b"new")));

    source.switch(first).unwrap();
    source.switch(second).unwrap();
    assert_eq!(source.current().unwrap(), Some(second));

    let reader = Arc::clone(&engine);
    assert!(
        !source.close(first, engine).unwrap(),
        "somebody still reads"
    );
    drop(reader);
    source.remove(first).unwrap();
    source.remove(first).unwrap();
    assert_eq!(source.list().unwrap(), [second]);
    assert_eq!(source.marker(first).unwrap(), None);
    assert_eq!(source.marker(second).unwrap(), Some(bytes(b"second")));

    let (third, _engine) = source.create().unwrap();
    assert!(third > second, "numbers are not used again");
    assert!(source.list().unwrap().contains(&third));
}

macro_rules! contract {
    ($name:ident, $world:ty, $cases:literal) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases($cases))]
                #[test]
                fn random_batches_are_those_of_a_map(batches in changes()) {
                    super::random_batches_are_those_of_a_map::<$world>(&batches);
                }
            }

            #[test]
            fn values_of_a_megabyte_come_back() {
                super::values_of_a_megabyte_come_back::<$world>();
            }

            #[test]
            fn a_scan_ends_when_its_visitor_says_so() {
                super::a_scan_ends_when_its_visitor_says_so::<$world>();
            }

            #[test]
            fn a_source_keeps_engines_apart_and_points_at_one() {
                super::a_source_keeps_engines_apart_and_points_at_one::<$world>();
            }
        }
    };
}

contract!(memory, MemoryWorld, 64);
#[cfg(feature = "os")]
contract!(sled, SledWorld, 12);

#[cfg(feature = "os")]
mod tests {
    //! What only files can do.

    use std::fs;
    use std::path::Path;

    use super::super::EngineFault;
    use super::*;

    pub(super) fn copy_folder(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy_folder(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    /// A closed engine of some size, and the model of it.
    fn filled() -> (SledWorld, EngineNumber, Pairs) {
        let world = SledWorld::new();
        let (number, engine) = world.source().create().unwrap();
        let mut model = Pairs::new();
        for n in 0u32..60 {
            let value: Vec<u8> = (0..20_000u32)
                .map(|at| ((at * (n + 3)) >> 4) as u8)
                .collect();
            let mut batch = WriteBatch::default();
            batch.put(bytes(&n.to_be_bytes()), value.clone().into());
            model.insert(n.to_be_bytes().to_vec(), value);
            engine.write(batch).unwrap();
        }
        assert!(world.source().close(number, engine).unwrap());
        (world, number, model)
    }

    #[test]
    fn a_checkpoint_that_was_not_finished_does_not_keep_a_folder_from_opening() {
        let (world, number, model) = filled();
        let folder = world.folder.path().join(number.to_string());
        fs::write(folder.join("snap.00000000000000FF.generating"), b"half").unwrap();
        assert_eq!(open(world.source(), number).1, model);
    }

    #[test]
    fn a_damaged_folder_is_a_fault_or_shows_less_but_never_a_panic() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 4] = [
            ("db gone to zeros", |folder| {
                let len = fs::metadata(folder.join("db")).unwrap().len() as usize;
                fs::write(folder.join("db"), vec![0; len]).unwrap();
            }),
            ("db cut", |folder| {
                let bytes = fs::read(folder.join("db")).unwrap();
                fs::write(folder.join("db"), &bytes[..bytes.len() / 3]).unwrap();
            }),
            ("db flipped", |folder| {
                let mut bytes = fs::read(folder.join("db")).unwrap();
                (0..bytes.len())
                    .step_by(997)
                    .for_each(|at| bytes[at] ^= 0x40);
                fs::write(folder.join("db"), bytes).unwrap();
            }),
            ("a file where the folder was", |folder| {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, b"no folder").unwrap();
            }),
        ];
        for (name, damage) in damages {
            let (world, number, model) = filled();
            damage(&world.folder.path().join(number.to_string()));
            let mut visited = Pairs::new();
            let opened = world.source().open(number, &mut |key, value| {
                visited.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            });
            // sled cannot always tell; that is why blocks have checksums and a tally.
            assert!(opened.is_err() || visited != model, "{name}");
        }
    }

    #[test]
    fn a_pointer_that_names_nothing_is_damage_and_a_half_written_one_is_ignored() {
        let world = SledWorld::new();
        let (number, _engine) = world.source().create().unwrap();
        let current = world.folder.path().join("CURRENT");
        world.source().switch(number).unwrap();
        fs::write(world.folder.path().join("CURRENT.tmp"), b"engine-").unwrap();
        assert_eq!(world.source().current().unwrap(), Some(number));
        for text in ["", "engine-", "engine-x\n", "other"] {
            fs::write(&current, text).unwrap();
            assert!(
                matches!(world.source().current(), Err(EngineFault::Damaged { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_that_only_the_pointer_names_is_not_used_again() {
        let world = SledWorld::new();
        fs::write(world.folder.path().join("CURRENT"), b"engine-7\n").unwrap();
        assert_eq!(world.source().create().unwrap().0, EngineNumber(8));
    }
}
