//! Judges on made up histories: the good ones pass, each planted violation is found.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use hstore_check::generate::{self, Calls, Log, Plan, Planted};
use hstore_check::history::History;
use hstore_check::search::{self, Limits};
use hstore_check::witness;

const LOGS: [Log; 3] = [Log::None, Log::Nameless, Log::Named];

fn plan(seed: u64) -> Plan {
    Plan {
        clients: 1 + seed % 7,
        operations: 40 + seed % 120,
        keys: 1 + seed % 5,
        unknown_percent: [0, 2, 10, 30][(seed / 3 % 4) as usize],
        refused_percent: seed % 9,
        calls: if seed.is_multiple_of(4) {
            Calls::OneKey
        } else {
            Calls::All
        },
        unique_values: !seed.is_multiple_of(5),
        log: LOGS[(seed % 3) as usize],
    }
}

/// How many seeds to try: `HSTORE_CHECK_SEEDS` times as many as usual.
fn seeds(usual: u64) -> u64 {
    let times = std::env::var("HSTORE_CHECK_SEEDS").ok();
    usual * times.map_or(1, |times| times.parse().unwrap())
}

#[test]
fn the_witness_accepts_good_histories() {
    let (mut answered, mut unchecked) = (0, 0);
    for seed in 0..seeds(2000) {
        let history = generate::good(seed, &plan(seed));
        let testimony = witness::judge(&history);
        let found = testimony.violations.kept();
        assert!(found.is_empty(), "seed {seed} {:?}: {found:#?}", plan(seed));
        answered += testimony.answered;
        unchecked += testimony.unchecked;
    }
    assert!(unchecked * 10 < answered);
}

#[test]
fn the_witness_finds_each_planted_violation() {
    for planted in Planted::ALL {
        for seed in 0..seeds(30) {
            for log in LOGS {
                // Without a log an unknown write may be whatever is missing, and without names in
                // it an unknown delete is like another one.
                let excuses = log == Log::None
                    || log == Log::Nameless && matches!(planted, Planted::WrongDeleted);
                let plan = Plan {
                    unknown_percent: if excuses { 0 } else { 4 },
                    keys: 1 + seed % 4,
                    operations: 60,
                    log,
                    ..Plan::default()
                };
                let needs_log = matches!(planted, Planted::LogLostWrite);
                if needs_log && log == Log::None {
                    continue;
                }
                let history = generate::bad(seed, &plan, *planted);
                let testimony = witness::judge(&history);
                assert!(
                    !testimony.violations.is_empty(),
                    "{planted:?} with seed {seed} and log {log:?} is not found"
                );
            }
        }
    }
}

#[test]
fn made_up_histories_survive_the_file() {
    for seed in 0..40 {
        let history = generate::good(seed, &plan(seed));
        let mut written = Vec::new();
        history.write(&mut written).unwrap();
        assert_eq!(History::read(&written[..]).unwrap(), history);
    }
}

#[test]
fn the_same_seed_makes_the_same_history() {
    assert_eq!(generate::good(7, &plan(7)), generate::good(7, &plan(7)));
    assert_ne!(generate::good(7, &plan(7)), generate::good(8, &plan(7)));
}

#[test]
fn the_search_accepts_good_histories() {
    let (mut windows, mut undecided) = (0, 0);
    let limits = Limits {
        steps_max: 4000,
        states_max: 1000,
        ..Limits::default()
    };
    for seed in 0..seeds(1000) {
        let history = generate::good(seed, &plan(seed));
        let findings = search::judge(&history, &limits);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed} {:?}: {found:#?}", plan(seed));
        windows += findings.windows;
        undecided += findings.undecided;
    }
    assert!(undecided * 20 < windows, "{undecided} of {windows}");
}

#[test]
fn the_search_finds_what_shows_in_times_and_values() {
    for planted in Planted::ALL {
        if !planted.shows_in_values() {
            continue;
        }
        for seed in 0..seeds(60) {
            let plan = Plan {
                unknown_percent: 0,
                keys: 1 + seed % 4,
                operations: 60,
                ..Plan::default()
            };
            let history = generate::bad(seed, &plan, *planted);
            let findings = search::judge(&history, &Limits::default());
            assert!(
                !findings.violations.is_empty(),
                "{planted:?} with seed {seed} is not found"
            );
        }
    }
}

#[test]
fn a_search_that_is_too_much_is_undecided_goes_on_and_refuses_nothing_good() {
    let (mut windows, mut undecided) = (0, 0);
    for seed in 0..seeds(150) {
        let plan = Plan {
            clients: 2 + seed % 30,
            operations: 500,
            keys: 1,
            unknown_percent: [0, 5, 20][(seed % 3) as usize],
            calls: Calls::OneKey,
            unique_values: seed.is_multiple_of(2),
            ..Plan::default()
        };
        let limits = Limits {
            window_operations: 5 + seed % 40,
            steps_max: 20 + seed % 200,
            states_max: 10 + seed as usize % 30,
        };
        let findings = search::judge(&generate::good(seed, &plan), &limits);
        let found = findings.violations.kept();
        assert!(
            found.is_empty(),
            "seed {seed} {plan:?} {limits:?}: {found:#?}"
        );
        windows += findings.windows;
        undecided += findings.undecided;
    }
    assert!(
        undecided > 100 && undecided < windows,
        "{undecided} of {windows}"
    );
}

#[test]
fn what_happens_after_a_window_was_given_up_is_judged() {
    for seed in 0..seeds(40) {
        let mut plan = Plan {
            clients: 25,
            operations: 300,
            keys: 1,
            unknown_percent: 0,
            calls: Calls::OneKey,
            ..Plan::default()
        };
        let limits = Limits {
            // Each operation may cost so much: the next one is judged again.
            window_operations: 1,
            steps_max: 60,
            states_max: 30,
        };
        let given_up = search::judge(&generate::good(seed, &plan), &limits).undecided;
        assert!(given_up > 0);
        // The script is sequential, so that it is decided whatever was before.
        plan.operations = 301;
        let bad = generate::bad(seed, &plan, Planted::Phantom);
        let found = search::judge(&bad, &limits).violations;
        assert!(!found.is_empty(), "seed {seed}");
    }
}
