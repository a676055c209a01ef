//! The page that holds what was to be shown against what was measured.

mod fleets;
mod goodput;
mod pools;
mod stress;

use super::Results;
use super::markdown::{self, Table};
use super::point::Point;
use crate::compare::Estimate;

/// Something that was to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// What, in words.
    pub asked: String,
    /// What was measured.
    pub measured: String,
    /// Whether it holds; None if it was not simulated.
    pub met: Option<bool>,
}

/// The page.
pub fn page(results: &Results) -> String {
    let (base, subject) = (results.plan.base(), results.plan.subject());
    let groups = [
        ("Goodput", goodput::targets(results)),
        ("Both pools at every published concurrency", pools::targets(results)),
        ("Equal nodes", stress::equal(results)),
        ("Stress", stress::stress(results)),
        ("Random fleets", fleets::targets(results)),
    ];
    let all = || groups.iter().flat_map(|(_, targets)| targets);
    let met = all().filter(|target| target.met == Some(true)).count();
    let mut text = format!(
        "# Targets\n\n\
         What `{subject}` was to show against `{base}`, and what was measured: {met} of {} are met. Differences in per cent, \
         less is better but for goodput, ± half the width of the 95 % interval over paired seeds. \"Beyond its interval\" \
         means that the whole interval lies there. What is to be shown through real nginx, and the replay of recorded picks, \
         is not simulated and not listed here.\n",
        all().count()
    );
    for (name, targets) in &groups {
        let mut table = Table::new(["to show", "", "measured"]);
        for target in targets {
            let met = match target.met {
                Some(true) => "met",
                Some(false) => "**not met**",
                None => "not simulated",
            };
            table.row([&*target.asked, met, &*target.measured]);
        }
        text += &format!("\n## {name}\n\n{}", left_aligned(&table.text()));
    }
    text
}

/// Words read better from the left.
fn left_aligned(table: &str) -> String {
    table.replacen("| --- | ---: | ---: |", "| --- | --- | --- |", 1)
}

/// A number of one place, and the place's name.
type Placed = (String, Option<Estimate>);

/// The difference of a policy from another one at each point.
fn at_points<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    difference: impl Fn(&Point) -> Option<Estimate>,
) -> Vec<Placed> {
    points.into_iter().map(|point| (point.name(), difference(point))).collect()
}

/// A target that has to hold in all places: which is the worst, and where it does not hold. Less is better.
fn everywhere(asked: &str, places: &[Placed], holds: impl Fn(Estimate) -> bool) -> Target {
    let asked = asked.to_owned();
    let known: Option<Vec<(&String, Estimate)>> =
        places.iter().map(|(name, estimate)| Some((name, (*estimate)?))).collect();
    let worst = known.as_ref().and_then(|known| known.iter().max_by(|a, b| a.1.mean.total_cmp(&b.1.mean)));
    let Some((known, (name, estimate))) = known.as_ref().zip(worst) else {
        return Target { asked, measured: markdown::UNKNOWN.to_owned(), met: None };
    };
    let mut measured = format!("worst: {name}: {}", markdown::difference(Some(*estimate)));
    let missed: Vec<String> = known
        .iter()
        .filter(|(_, estimate)| !holds(*estimate))
        .map(|(name, estimate)| format!("{name} ({})", markdown::difference(Some(*estimate))))
        .collect();
    if !missed.is_empty() {
        measured += &format!("; missed at {} of {}: {}", missed.len(), known.len(), missed.join(", "));
    }
    Target { asked, measured, met: Some(missed.is_empty()) }
}

/// A target of one number.
fn single(asked: &str, estimate: Option<Estimate>, holds: impl Fn(Estimate) -> bool) -> Target {
    Target { asked: asked.to_owned(), measured: markdown::difference(estimate), met: estimate.map(holds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(mean: f64) -> Option<Estimate> {
        Some(Estimate { mean, interval: Some(1.0) })
    }

    #[test]
    fn a_target_everywhere_names_the_worst_place_and_those_that_miss_it() {
        let places = [("a".to_owned(), estimate(-4.0)), ("b".to_owned(), estimate(-2.0))];
        let met = everywhere("x", &places, |difference| difference.mean < 0.0);
        assert_eq!((met.met, &*met.measured), (Some(true), "worst: b: −2.0 ±1.0"));
        let missed = everywhere("x", &places, |difference| difference.mean < -3.0);
        let expected = "worst: b: −2.0 ±1.0; missed at 1 of 2: b (−2.0 ±1.0)";
        assert_eq!((missed.met, &*missed.measured), (Some(false), expected));
    }

    #[test]
    fn what_was_not_simulated_is_neither_met_nor_missed() {
        assert_eq!(everywhere("x", &[], |_| true).met, None);
        assert_eq!(everywhere("x", &[("a".to_owned(), None)], |_| true).met, None);
        assert_eq!(single("x", None, |_| true).met, None);
    }
}
