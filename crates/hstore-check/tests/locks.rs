//! The laws of locks on made up runs: good ones pass, each planted violation is found as what it is.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use hstore_check::generate::{self, PlantedLock};
use hstore_check::history::History;
use hstore_check::judge::judge;
use hstore_check::lock::{Life, Lock};
use hstore_core::id::Revision;

#[test]
fn good_locks_pass() {
    let (mut grants, mut fenced) = (0, 0);
    for seed in 0..500 {
        let report = judge(&generate::good_lock(seed, 20 + seed % 200));
        let found = &report.violations;
        assert!(found.is_empty(), "seed {seed}: {:#?}", found.kept());
        assert_eq!((report.locks, report.lock_unchecked), (1, 0));
        grants += report.lock_grants;
        fenced += report.lock_writes;
    }
    assert!(
        grants > 10_000 && fenced > 5_000,
        "{grants} grants, {fenced} writes"
    );
}

#[test]
fn each_planted_violation_is_found_as_what_it_is_and_alone() {
    for planted in PlantedLock::ALL {
        for seed in 0..100 {
            let found = judge(&generate::bad_lock(seed, 60, *planted)).violations;
            let kinds: Vec<_> = found.kept().iter().map(|one| one.kind).collect();
            assert!(
                kinds.contains(&planted.kind()),
                "{planted:?} with seed {seed}: {kinds:?}"
            );
            // Who wrote with a token that was lost may have written after a newer one, too.
            assert!(kinds.len() <= 2, "{planted:?} with seed {seed}: {kinds:?}");
        }
    }
}

#[test]
fn a_key_lives_from_its_creation_to_its_deletion() {
    let mut lock = Lock::default();
    let history = [(2, true), (3, true), (5, false), (6, false), (8, true)];
    let history = history.map(|(at, is_there)| (Revision(at), is_there));
    lock.key("a".into(), history);
    let life = |from, until| Life {
        from: Revision(from),
        until: Revision(until),
    };
    assert_eq!(lock.lives[&b"a"[..]], [life(2, 5), life(8, i64::MAX)]);
}

#[test]
fn locks_survive_the_file() {
    for seed in 0..20 {
        let history = generate::good_lock(seed, 60);
        let mut written = Vec::new();
        history.write(&mut written).unwrap();
        assert_eq!(History::read(&written[..]).unwrap(), history);
    }
}

#[test]
fn what_no_log_covers_is_counted() {
    let mut history = generate::bad_lock(1, 60, PlantedLock::SecondHolds);
    assert!(!judge(&history).is_good());
    let grants = history.locks[0].grants.len() as u64;
    let entry = history.log.remove(0);
    let report = judge(&history);
    assert_eq!(
        (report.lock_grants, report.lock_unchecked),
        (grants, grants)
    );
    assert!(
        report
            .to_string()
            .contains(&format!("{grants} grants not compared"))
    );
    // Beyond the end of the log, too.
    history.log.insert(0, entry);
    history.locks[0].grants[0].at = Revision(1_000_000);
    assert_eq!(judge(&history).lock_unchecked, 1);
    history.log.clear();
    assert_eq!(judge(&history).lock_unchecked, grants);
}
