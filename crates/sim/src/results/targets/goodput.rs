//! Targets of goodput.

use super::{Target, single};
use crate::results::Results;
use crate::results::goodput::{self, SHARES};

/// By how many per cent goodput has to be higher, by pool.
const HIGHER: [(&str, f64); 2] = [("homogeneous", 12.0), ("hetero", 1.5)];

/// The targets.
pub fn targets(results: &Results) -> Vec<Target> {
    let of_pool = |(name, least): (&'static str, f64)| {
        SHARES.map(|share| {
            let asked = format!("{name}, {:.0} % of the requests: at least +{least} %", share * 100.0);
            let (subject, base) = (results.plan.subject(), results.plan.base());
            let pool = results.pool(name);
            let difference = pool.and_then(|pool| goodput::per_cent(&pool.open, subject, base, share));
            single(&asked, difference, |difference| difference.mean >= least)
        })
    };
    HIGHER.into_iter().flat_map(of_pool).collect()
}
