//! Lines that leave a plot end at its edge.

/// A place in a plot.
type Place = (f64, f64);

/// The pieces of a line that lie between two heights.
pub fn pieces(line: &[Place], low: f64, high: f64) -> Vec<Vec<Place>> {
    let mut pieces: Vec<Vec<Place>> = Vec::new();
    for pair in line.windows(2) {
        let Some((from, to)) = segment(pair[0], pair[1], low, high) else { continue };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&from) => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
    }
    pieces
}

/// The part of a straight line that lies between two heights.
fn segment(from: Place, to: Place, low: f64, high: f64) -> Option<(Place, Place)> {
    let gone = (from.1 < low && to.1 < low) || (from.1 > high && to.1 > high);
    let end = |place: Place, other: Place| {
        let height = place.1.clamp(low, high);
        if height == place.1 {
            return place;
        }
        (place.0 + (other.0 - place.0) * (height - place.1) / (other.1 - place.1), height)
    };
    (!gone).then(|| (end(from, to), end(to, from)))
}

/// The outline of the intervals around a line, of which half the widths are given, between two heights.
pub fn band(line: &[Place], halves: &[f64], low: f64, high: f64) -> Vec<Place> {
    let wide = || line.iter().zip(halves);
    let upper = wide().map(|((at, height), half)| (*at, (height + half).clamp(low, high)));
    let lower = wide().rev().map(|((at, height), half)| (*at, (height - half).clamp(low, high)));
    upper.chain(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_leaves_and_comes_back_is_in_two_pieces() {
        let line = [(0.0, 0.0), (1.0, 20.0), (2.0, 0.0), (3.0, 5.0)];
        let expected = vec![vec![(0.0, 0.0), (0.5, 10.0)], vec![(1.5, 10.0), (2.0, 0.0), (3.0, 5.0)]];
        assert_eq!(pieces(&line, -10.0, 10.0), expected);
    }

    #[test]
    fn a_line_may_cross_a_plot_or_miss_it() {
        assert_eq!(pieces(&[(0.0, -20.0), (4.0, 20.0)], -10.0, 10.0), [[(1.0, -10.0), (3.0, 10.0)]]);
        assert!(pieces(&[(0.0, 20.0), (4.0, 30.0)], -10.0, 10.0).is_empty());
    }

    #[test]
    fn a_band_goes_there_above_and_back_below() {
        let outline = band(&[(0.0, 1.0), (1.0, 2.0)], &[0.5, 3.0], 0.0, 4.0);
        assert_eq!(outline, [(0.0, 1.5), (1.0, 4.0), (1.0, 0.0), (0.0, 0.5)]);
    }
}
