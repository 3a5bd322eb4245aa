//! The laws of watches on made up histories: good watches pass, each planted violation is found.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use hstore_check::generate::{self, Log, Plan, PlantedWatch};
use hstore_check::history::{History, Word};
use hstore_check::judge;
use hstore_check::violation::Kind;
use hstore_check::watch;
use hstore_core::id::Revision;

fn plan(seed: u64) -> Plan {
    Plan {
        clients: 1 + seed % 6,
        operations: 60 + seed % 100,
        keys: 1 + seed % 4,
        unknown_percent: [0, 4, 15][(seed % 3) as usize],
        unique_values: !seed.is_multiple_of(5),
        log: if seed.is_multiple_of(2) {
            Log::Named
        } else {
            Log::Nameless
        },
        ..Plan::default()
    }
}

#[test]
fn good_watches_pass() {
    let (mut events, mut streams, mut marks) = (0, 0, 0);
    for seed in 0..1500 {
        let history = generate::good_with_watches(seed, &plan(seed), 5);
        let findings = watch::judge(&history);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed} {:?}: {found:#?}", plan(seed));
        assert_eq!(findings.unchecked, 0);
        events += findings.events;
        streams += findings.streams;
        marks += findings.marks;
    }
    assert!(
        events > 50_000 && streams > 8_000 && marks > 1_000,
        "{events} events, {streams} streams, {marks} reports of progress"
    );
}

#[test]
fn each_planted_violation_is_found_as_what_it_is() {
    for planted in PlantedWatch::ALL {
        let mut tried = 0;
        for seed in 0..80 {
            let plan = Plan {
                operations: 60,
                ..plan(seed)
            };
            let Some(history) = generate::bad_watch(seed, &plan, *planted) else {
                continue;
            };
            tried += 1;
            let findings = watch::judge(&history);
            assert!(
                findings.violations.has(planted.kind()),
                "{planted:?} with seed {seed}: {:#?}",
                findings.violations.kept()
            );
        }
        assert!(tried > 10, "{planted:?} had a place in {tried} runs only");
    }
}

#[test]
fn a_watch_of_everything_is_good_until_it_is_bent() {
    // The good twin of what the test above bends: dropping the report at its end changes nothing.
    for seed in 0..60 {
        let mut history = generate::bad_watch(seed, &plan(seed), PlantedWatch::MadeTwice).unwrap();
        let told = &mut history.watches[0].streams[0].told;
        let again = told
            .iter()
            .rposition(|word| matches!(word, Word::Created { .. }));
        told.remove(again.unwrap());
        let findings = watch::judge(&history);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        assert!(judge::judge(&history).is_good());
    }
}

#[test]
fn without_a_log_watches_are_held_against_themselves_and_the_rest_is_counted() {
    for (planted, is_found) in [
        (PlantedWatch::ToldTwice, true),
        (PlantedWatch::OutOfOrder, true),
        (PlantedWatch::BehindProgress, true),
        (PlantedWatch::BeforeStart, true),
        (PlantedWatch::UnwantedKey, true),
        (PlantedWatch::EndedUnasked, true),
        (PlantedWatch::Missed, false),
        (PlantedWatch::PhantomValue, false),
    ] {
        let mut history = generate::bad_watch(4, &plan(4), planted).unwrap();
        history.log.clear();
        let findings = watch::judge(&history);
        assert_eq!(
            findings.violations.has(planted.kind()),
            is_found,
            "{planted:?}"
        );
        assert_eq!(findings.unchecked, findings.events);
    }
}

#[test]
fn a_log_that_begins_late_judges_what_it_can() {
    for seed in 0..100 {
        let mut history = generate::good_with_watches(seed, &plan(seed), 5);
        history.log.drain(..10.min(history.log.len()));
        let findings = watch::judge(&history);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
    }
    let mut history = generate::bad_watch(4, &plan(4), PlantedWatch::Missed).unwrap();
    history.log.drain(..10);
    assert!(!watch::judge(&history).violations.is_empty());
}

#[test]
fn watches_survive_the_file() {
    for seed in 0..40 {
        let history = generate::good_with_watches(seed, &plan(seed), 4);
        let mut written = Vec::new();
        history.write(&mut written).unwrap();
        assert_eq!(History::read(&written[..]).unwrap(), history);
    }
}

#[test]
fn the_report_counts_watches() {
    let history = generate::good_with_watches(3, &plan(3), 4);
    let report = judge::judge(&history);
    assert_eq!(report.watches, 4);
    assert!(report.is_good());
    assert!(report.to_string().contains("watches     4 ("));
    let history = generate::good(3, &plan(3));
    assert!(!judge::judge(&history).to_string().contains("watches"));
}

#[test]
fn a_watch_that_was_denied_has_ended_for_that_alone_and_is_told_nothing_more() {
    let judged = |compacted: i64, more: bool| {
        let mut history = generate::bad_watch(1, &plan(1), PlantedWatch::MadeTwice).unwrap();
        let told = &mut history.watches[0].streams[0].told;
        let made = told[0].clone();
        let (at, revision) = (made.at(), made.revision());
        *told = vec![
            made.clone(),
            Word::Canceled {
                at,
                revision,
                compacted: Revision(compacted),
                denied: true,
            },
        ];
        if more {
            told.push(Word::Progress { at, revision });
        }
        history.watches.truncate(1);
        watch::judge(&history).violations
    };
    assert!(judged(0, false).is_empty());
    assert!(judged(1, false).has(Kind::WatchWrongEnd));
    assert!(judged(0, true).has(Kind::WatchPairing));
}
