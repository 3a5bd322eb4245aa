//! The laws of rights on made up runs: good ones pass, each planted violation is found as what it is.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use hstore_check::generate::{self, PlantedRight};
use hstore_check::rights::{Change, Rights, judge};
use hstore_check::violation::Kind;
use hstore_core::error::ErrorCode;

#[test]
fn good_runs_pass() {
    let (mut judged, mut denied, mut dead, mut unknown, mut undecided) = (0, 0, 0, 0, 0);
    for seed in 0..250 {
        let rights = generate::good_rights(seed, 10 + seed % 40);
        let findings = judge(&rights);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        judged += findings.judged;
        denied += findings.denied;
        dead += findings.dead;
        unknown += findings.unknown;
        undecided += findings.undecided;
    }
    let told = format!("{judged} judged, {denied} denied, {dead} dead, {unknown} unknown");
    assert!(
        judged > 10_000 && denied > 2_000 && dead > 200 && unknown > 300,
        "{told}"
    );
    assert!(undecided < judged / 10, "{undecided} undecided of {told}");
}

#[test]
fn each_planted_violation_is_found_as_what_it_is_and_alone() {
    for planted in PlantedRight::ALL {
        for seed in 0..25 {
            let findings = judge(&generate::bad_rights(seed, 12, *planted));
            let kinds: Vec<_> = findings
                .violations
                .kept()
                .iter()
                .map(|one| one.kind)
                .collect();
            assert_eq!(kinds, [planted.kind()], "{planted:?} with seed {seed}");
        }
    }
}

/// Nobody knows whether it happened, so whether it did explains the answer.
#[test]
fn a_change_without_an_answer_excuses_both_answers_and_for_ever() {
    for planted in [
        PlantedRight::DoneAfterRevoke,
        PlantedRight::DoneWithoutRole,
        PlantedRight::TokenOutlivesPassword,
    ] {
        let mut rights = generate::bad_rights(3, 12, planted);
        let last = rights.changes.last_mut().unwrap();
        last.learned = None;
        let findings = judge(&rights);
        assert!(findings.violations.is_empty(), "{planted:?}");
        // It was not decided by users and roles that it did not happen.
        rights.changes.last_mut().unwrap().learned = Some(Err(ErrorCode::Overloaded));
        let denied = |rights: &mut Rights| {
            let last = rights.requests.last_mut().unwrap();
            last.learned = Some(Err(ErrorCode::PermissionDenied));
            judge(rights).violations
        };
        assert!(judge(&rights).violations.is_empty(), "{planted:?}");
        assert!(denied(&mut rights).has(Kind::LockedOut), "{planted:?}");
    }
}

/// Of good runs nothing that was lost happens later than 300 after somebody asked for it.
#[test]
fn what_cannot_be_on_its_way_any_more_has_happened_or_never_does() {
    let (mut for_ever, mut settled, mut too_early) = (0, 0, 0);
    for seed in 0..60 {
        let mut rights = generate::good_rights(seed, 150);
        for_ever += judge(&rights).undecided;
        rights.lingers = Some(300);
        let findings = judge(&rights);
        let found = findings.violations.kept();
        assert!(found.is_empty(), "seed {seed}: {found:#?}");
        settled += findings.undecided;
        rights.lingers = Some(0);
        too_early += findings_of(&rights);
    }
    let told = format!("{for_ever} undecided, {settled} when settled, {too_early} accused");
    assert!(settled * 2 < for_ever && too_early > 0, "{told}");
}

fn findings_of(rights: &Rights) -> u64 {
    judge(rights).violations.count()
}

/// While a change is under way it may have happened or not.
#[test]
fn an_answer_within_the_time_of_a_change_may_be_either() {
    let mut rights = generate::bad_rights(3, 12, PlantedRight::DoneAfterRevoke);
    let Change { asked, .. } = *rights.changes.last().unwrap();
    let last = rights.requests.last_mut().unwrap();
    (last.asked, last.told) = (asked, asked);
    assert!(judge(&rights).violations.is_empty());
}

#[test]
fn what_may_have_happened_in_too_many_ways_is_not_judged_and_counted() {
    let mut rights = generate::bad_rights(3, 12, PlantedRight::DoneAfterRevoke);
    let asked = rights.changes.last().unwrap().told;
    for nth in 0..12 {
        let name = format!("new{nth}").into();
        rights.changes.push(Change {
            asked,
            told: asked,
            command: hstore_core::auth::AuthCommand::RoleAdd { name },
            learned: None,
        });
    }
    let findings = judge(&rights);
    assert!(findings.undecided > 0);
    assert!(findings.violations.is_empty());
}
