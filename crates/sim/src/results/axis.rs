//! The axes of plots.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// Ticks on a logarithmic axis at most.
const MOST_TICKS: f64 = 18.0;

/// An axis with ticks at given numbers.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it is, with its unit.
    pub label: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    ticks: Vec<f64>,
    logarithmic: bool,
}

impl Axis {
    /// From one number to another with a tick at every `step`.
    pub fn even(label: &str, from: f64, to: f64, step: f64) -> Self {
        let ticks = (0..=((to - from) / step) as u32).map(|tick| from + step * f64::from(tick));
        Self { label: label.to_owned(), from, to, ticks: ticks.collect(), logarithmic: false }
    }

    /// Over ascending numbers above 0, even in their logarithms, with ticks at those that leave room for their digits.
    pub fn logarithmic(label: &str, numbers: &[f64]) -> Self {
        let ends = numbers.first().zip(numbers.last()).filter(|(from, to)| from < to);
        let (from, to) = ends.map_or((1.0, 2.0), |(from, to)| (*from, *to));
        let mut axis = Self { label: label.to_owned(), from, to, ticks: Vec::new(), logarithmic: true };
        // From the end, where the numbers are closest in logarithms.
        for &number in numbers.iter().rev() {
            if axis.ticks.last().is_none_or(|last| axis.part(*last) - axis.part(number) > 1.0 / MOST_TICKS) {
                axis.ticks.push(number);
            }
        }
        axis
    }

    /// Which part of the axis lies before a number.
    fn part(&self, number: f64) -> f64 {
        let place = if self.logarithmic { f64::ln } else { |number| number };
        (place(number) - place(self.from)) / (place(self.to) - place(self.from))
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, number: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.part(*number)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(number: &f64) -> String {
        number.to_string().replace('-', "−")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_is_even_in_factors_and_leaves_out_ticks_that_have_no_room() {
        let axis = Axis::logarithmic("clients", &[10.0, 99.0, 100.0, 1000.0]);
        assert_eq!(axis.ticks, [1000.0, 100.0, 10.0]);
        assert_eq!([10.0, 100.0, 1000.0].map(|number| axis.map(&number, (0, 200))), [0, 100, 200]);
    }

    #[test]
    fn an_even_axis_has_a_tick_at_every_step() {
        let axis = Axis::even("share", -10.0, 10.0, 5.0);
        assert_eq!(axis.ticks, [-10.0, -5.0, 0.0, 5.0, 10.0]);
        assert_eq!(axis.map(&0.0, (300, 100)), 200, "upwards as SVG counts");
        assert_eq!(Axis::format(&-5.0), "−5");
    }
}
