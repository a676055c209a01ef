//! What several targets need.

/// Cuts an input into what it is about and the pieces in which that comes. The last bytes say where to cut, so that a
/// page as an engine sends it is an input as it stands.
pub fn pieces(input: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (body, cuts) = input.split_at(input.len() - input.len().min(3));
    let mut ends: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) * body.len() / 255).collect();
    ends.extend([0, body.len()]);
    ends.sort_unstable();
    (body, ends.windows(2).filter_map(|ends| body.get(ends[0]..ends[1])).collect())
}

/// Takes a byte off the end of an input, 0 where there is none.
pub fn last(input: &mut &[u8]) -> u8 {
    let (byte, rest) = input.split_last().map_or((0, &[][..]), |(byte, rest)| (*byte, rest));
    *input = rest;
    byte
}
