//! The times of the small pieces of work that every request is made of: `cargo bench -p hstore-storage
//! --features micro`. Times are noise; what is held is the count of instructions (`cargo xtask count`).
#![allow(
    clippy::disallowed_methods,
    reason = "times real work on the real clock"
)]

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use hstore_storage::micro::WORKLOADS;

fn micro(criterion: &mut Criterion) {
    for workload in WORKLOADS {
        criterion.bench_function(workload.name, |bencher| {
            let mut work = workload.begin();
            bencher.iter_custom(|operations| {
                let began = Instant::now();
                work(operations);
                began.elapsed()
            });
        });
    }
}

criterion_group!(benches, micro);
criterion_main!(benches);
