//! hstore beside etcd itself: one table of cases, run against both over raw gRPC, every answer
//! compared field by field, every failure by code and text.
//!
//! The table is the folder `cases`, written in the small language of `script.rs`. Messages are
//! written and read by their descriptors, so a new method of the protos needs cases and no code. The
//! differences that remain are the table in `docs/etcd-compatibility.md`, which this test reads.
//!
//! Invariants: (1) every method of etcd's services that hstore serves has a case, and every field of
//! its request is said in one; (2) a difference
//! that is not listed fails, and so does a listed one that is no longer there; (3) without an etcd
//! nothing is counted as passed: the test says "not run", and in CI it fails.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test of processes runs on real clocks and threads, and a failing one panics"
)]

mod answer;
mod calls;
mod differences;
mod http;
mod run;
mod script;
mod servers;
mod wire;

use std::path::Path;

use answer::Transcript;
use differences::Listed;
use script::Case;
use servers::{Server, Servers};
use wire::Protos;

/// The fewest cases that the table may have.
const CASES_MIN: usize = 300;

#[test]
fn every_case_is_answered_as_etcd_answers_it() {
    let oracles = servers::oracles();
    if oracles.is_empty() {
        let why = "etcd is not installed (package etcd-server)";
        servers::not_run("every_case_is_answered_as_etcd_answers_it", why);
        assert!(std::env::var_os("CI").is_none(), "in CI there is an etcd");
        return;
    }
    let protos = Protos::load();
    let cases = script::all(&protos);
    protos.check_that_all_are_called(&cases);
    protos.check_that_all_is_said(&cases);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut listed = Listed::read(Path::new(differences::PAGE));
    let mut found = Vec::new();
    let mut answers = 0;
    for group in cases.chunk_by(Case::may_follow) {
        let servers = Servers::start(&oracles);
        let transcripts = runtime.block_on(run_everywhere(&protos, group, &servers));
        let (ours, theirs) = transcripts.split_first().expect("hstore is the first side");
        for (server, theirs) in servers.oracles().zip(theirs) {
            for ((case, ours), theirs) in group.iter().zip(ours).zip(theirs) {
                answers += ours.len();
                found.extend(differences::compare(case, &server.name, ours, theirs));
            }
        }
    }
    let names: Vec<_> = oracles.iter().map(|oracle| oracle.name.as_str()).collect();
    println!(
        "{} cases, {answers} answers compared with {}; {} differences, {} kinds of them listed",
        cases.len(),
        names.join(" and "),
        found.len(),
        listed.len()
    );
    let unknown = listed.sort_out(&found);
    for difference in &unknown {
        eprintln!("{difference}\n");
    }
    let gone = listed.unseen(&names, &cases);
    for line in &gone {
        eprintln!(
            "no longer different, so take it from {}: {line}",
            differences::PAGE
        );
    }
    assert!(
        unknown.is_empty(),
        "{} differences are not listed",
        unknown.len()
    );
    assert!(
        gone.is_empty(),
        "{} listed differences are gone",
        gone.len()
    );
    assert!(cases.len() >= CASES_MIN, "only {} cases", cases.len());
}

/// The transcripts of all servers, each of all cases, hstore's first.
async fn run_everywhere(
    protos: &Protos,
    cases: &[Case],
    servers: &Servers,
) -> Vec<Vec<Transcript>> {
    let all = servers.all().map(|server| run_on(protos, cases, server));
    futures::future::join_all(all).await
}

async fn run_on(protos: &Protos, cases: &[Case], server: &Server) -> Vec<Transcript> {
    let mut transcripts = Vec::new();
    for case in cases {
        transcripts.push(run::case(protos, case, server).await);
    }
    transcripts
}
