//! Values of parameters.

use super::Error;
use std::time::Duration;

/// A finite number ≥ 0.
pub(super) fn non_negative(word: &str, value: &str) -> Result<f64, Error> {
    number(value).filter(|n| *n >= 0.0).ok_or_else(|| Error::invalid(word, "a number that is not negative"))
}

/// A finite number > 0.
pub(super) fn positive(word: &str, value: &str) -> Result<f64, Error> {
    number(value).filter(|n| *n > 0.0).ok_or_else(|| Error::invalid(word, "a number above 0"))
}

fn number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|n: &f64| n.is_finite())
}

/// One of the words of a table.
pub(super) fn one_of<T: Copy>(word: &str, value: &str, table: &[(&str, T)]) -> Result<T, Error> {
    let found = table.iter().find(|(name, _)| *name == value).map(|(_, meaning)| *meaning);
    let names = || table.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    found.ok_or_else(|| Error::invalid(word, &names()))
}

/// A TCP port.
pub(super) fn port(word: &str, value: &str) -> Result<u16, Error> {
    value.parse().ok().filter(|port| *port > 0).ok_or_else(|| Error::invalid(word, "a port from 1 to 65535"))
}

/// A size as nginx writes it, in bytes: a number with the unit k, m or g, or without one.
pub(super) fn size(word: &str, value: &str) -> Result<u64, Error> {
    parse_size(value).ok_or_else(|| Error::invalid(word, "a size above 0, as in \"512k\" or \"16m\""))
}

fn parse_size(value: &str) -> Option<u64> {
    let (number, unit) = value.split_at(value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len()));
    let unit = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// A time as nginx writes it, between `least` and `most`.
pub(super) fn time(word: &str, value: &str, least: Duration, most: Duration) -> Result<Duration, Error> {
    let expected =
        || format!("a time from {}ms to {}s, as in \"500ms\" or \"2s\"", least.as_millis(), most.as_secs());
    parse_time(value).filter(|t| (least..=most).contains(t)).ok_or_else(|| Error::invalid(word, &expected()))
}

/// nginx's syntax of times: numbers with the units d, h, m, s and ms, the larger ones first, or a number of
/// seconds.
fn parse_time(value: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let mut units = UNITS.iter();
    let (mut rest, mut total) = (value, 0u64);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let (_, ms) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*ms)?)?;
        rest = after;
    }
    (!value.is_empty()).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_nginx_sizes() {
        let sizes = ["1", "512k", "16M", "2g"].map(parse_size);
        assert_eq!(sizes, [Some(1), Some(512 << 10), Some(16 << 20), Some(2 << 30)]);
        for wrong in ["", "k", "0", "-1", "1.5m", "1kb", "99999999999g", "99999999999999999999"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_nginx_times() {
        let ms = |value| parse_time(value).map(|t| t.as_millis());
        assert_eq!(ms("1"), Some(1000));
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(ms("1m30s"), Some(90_000));
        assert_eq!(ms("1s5ms"), Some(1005));
        for wrong in
            ["", "s", "1x", "-1", "1.5s", "1s1m", "1ms2", "99999999999999999999", "9999999999999999d"]
        {
            assert_eq!(ms(wrong), None, "{wrong}");
        }
    }
}
