//! What a pick, a rescoring and the reading of a metrics page take. Ratios within one run are what counts: least_conn is
//! the yardstick of a pick.

mod cases;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::time::Duration;

fn times(c: &mut Criterion) {
    for case in cases::all() {
        let mut step = (case.step)(&case);
        let mut group = c.benchmark_group(case.group);
        group.bench_function(BenchmarkId::new(case.name, case.size), |b| b.iter(&mut step));
        group.finish();
    }
}

criterion_group! {
    name = benches;
    // There are many cases, each of which varies little.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50);
    targets = times
}
criterion_main!(benches);
