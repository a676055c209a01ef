//! The median.

/// The median, None of nothing. Of two it is the larger one: a load that is thought too large does less harm. Moves the
/// values about.
pub fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (middle < values.len()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_two_is_the_larger_one() {
        let of = |values: &[f64]| median(&mut values.to_vec());
        assert_eq!([of(&[]), of(&[3.0]), of(&[9.0, 1.0])], [None, Some(3.0), Some(9.0)]);
        assert_eq!([of(&[5.0, 1.0, 3.0]), of(&[4.0, 2.0, 8.0, 6.0])], [Some(3.0), Some(6.0)]);
    }
}
