//! What `tblb_metrics_signal` says: a name under which a variant of an engine reports a signal.

use super::value::{one_of, positive};
use super::{Error, parameter};
use crate::engine::{Aggregate, Custom};
use crate::exposition::{Line, Sample};
use crate::load::Signal;

const PARAMETERS: [&str; 2] = ["aggregate", "scale"];

const SIGNALS: [(&str, Signal); 3] =
    [("waiting", Signal::Waiting), ("running", Signal::Running), ("cache", Signal::Cache)];

/// Parses the words after `tblb_metrics_signal`.
pub(super) fn parse(words: &[&str]) -> Result<Custom, Error> {
    let [signal, series, parameters @ ..] = words else {
        return Err(Error::number_of_parameters(
            "\"waiting\", \"running\" or \"cache\", and the name of a metric",
        ));
    };
    let signal = one_of(signal, signal, &SIGNALS)?;
    let (name, select) = selector(series).ok_or_else(|| {
        Error::invalid(
            series,
            "the name of a metric, with labels as in 'name{label=\"value\"}' if any, in quotes",
        )
    })?;
    let mut custom = Custom { signal, name, select, aggregate: None, scale: None };
    for word in parameters {
        match parameter(word, &PARAMETERS)? {
            ("aggregate", value) => custom.aggregate = Some(one_of(word, value, &Aggregate::ALL)?),
            (_, value) => custom.scale = Some(positive(word, value)?),
        }
    }
    Ok(custom)
}

/// Labels by name and value.
type Labels = Vec<(String, String)>;

/// A name and the labels that follow it, as the exposition format has them.
fn selector(series: &str) -> Option<(String, Labels)> {
    let line = format!("{series} 0");
    let Line::Series { name, rest } = Line::of(line.as_bytes()) else { return None };
    let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
    let labels = series.get(name.len()..).filter(|labels| labels.is_empty() || labels.ends_with('}'))?;
    let sample = Sample::read(rest).filter(|_| labels.is_empty() || labels.starts_with('{'))?;
    let select = sample.labels.map(|label| (String::from_utf8_lossy(label.name).into_owned(), label.value()));
    Some((name.to_owned(), select.collect()))
}

/// Whether a metric may have that name.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(allowed)
}
