//! The series of one family, on their way to one number.

use super::lookup::Wanted;
use super::{Aggregate, Part};
use crate::exposition::{Label, Sample};
use crate::fault::Fault;
use crate::load::{Signal, known};
use crate::model::Models;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// What was seen of one family.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By a hash of the labels that tell them apart. A series that stands there twice counts once, by the larger
    /// value: which of the two is right cannot be known, and a load that is thought too large does less harm.
    series: BTreeMap<u64, Seen>,
    /// Lines that counted.
    lines: usize,
    /// A line of it could not be read.
    malformed: bool,
    /// The models that its series name.
    models: Models,
}

/// What was seen of one series.
#[derive(Debug)]
struct Seen {
    /// How many lines came before its last.
    order: usize,
    /// It is not a part of another; see [`super::Family::split`].
    whole: bool,
    /// None if it says that it does not know.
    value: Option<f64>,
}

/// What the series of a family come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Total {
    /// In the unit of the signal.
    pub value: f64,
    /// It is the use of a cache, of an engine that reports per cent.
    pub per_cent: bool,
}

impl Tally {
    /// Takes down one line of the family: what follows the name.
    pub fn add(&mut self, wanted: &Wanted, rest: &[u8]) {
        let Some(sample) = Sample::read(rest) else {
            self.malformed = true;
            return;
        };
        let (mut key, mut whole, mut selected) = (0u64, true, 0);
        let mut named: Option<(usize, Label)> = None;
        // An empty label is as good as none.
        for label in sample.labels.filter(|label| !label.escaped.is_empty()) {
            let is = |name: &str| label.name == name.as_bytes();
            if let Some((_, value)) = wanted.select.iter().find(|(name, _)| is(name)) {
                if !label.is(value) {
                    return;
                }
                selected += 1;
            }
            if wanted.copies.iter().any(|name| is(name)) {
                continue;
            }
            if let Some(rank) = wanted.model_labels.iter().position(|name| is(name)) {
                named = named.filter(|(best, _)| *best <= rank).or(Some((rank, label)));
            }
            whole &= !wanted.split.is_some_and(is);
            // A sum, so that the order of labels does not matter.
            key = key.wrapping_add(hash(label.name, label.escaped));
        }
        if selected < wanted.select.iter().filter(|(_, value)| !value.is_empty()).count() {
            return;
        }
        if let Some((_, label)) = named {
            let known = self.models.list.iter().any(|model| label.is(&model.name));
            (!known).then(|| self.models.add(&label.value(), None));
        }
        let order = self.lines;
        self.lines += 1;
        let seen = self.series.entry(key).or_insert(Seen { order, whole, value: None });
        seen.order = order;
        seen.value = match (seen.value, known(sample.value)) {
            (Some(before), Some(now)) => Some(before.max(now)),
            (before, now) => before.or(now),
        };
    }

    /// The models that the series name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The number that the series come to, None if none counts. `per_cent` says that the engine is known to report the use of its
    /// cache so.
    ///
    /// # Errors
    /// [`Fault::Malformed`], [`Fault::NotANumber`] and [`Fault::NotARatio`] if a series that counts has no value that can be
    /// used.
    pub fn total(&self, wanted: &Wanted, per_cent: bool) -> Result<Option<Total>, Fault> {
        if self.malformed {
            return Err(Fault::Malformed);
        }
        let has_wholes = self.series.values().any(|seen| seen.whole);
        let counting = || self.series.values().filter(|seen| seen.whole == has_wholes);
        let count = counting().count();
        let Some(last) = counting().max_by_key(|seen| seen.order) else { return Ok(None) };
        let sum = || counting().map(|seen| seen.value).sum::<Option<f64>>();
        let total = match wanted.aggregate {
            Aggregate::Sum => sum(),
            Aggregate::Mean => sum().map(|sum| sum / count as f64),
            Aggregate::Max => {
                counting().map(|seen| seen.value).try_fold(0.0, |max, value| Some(value?.max(max)))
            }
            Aggregate::Last => last.value,
        };
        let total = total.and_then(known).ok_or(Fault::NotANumber)?;
        let is_cache = matches!(wanted.part, Part::Signal(Signal::Cache));
        let scaled = match is_cache {
            true => wanted.scale.ratio(total, per_cent).ok_or(Fault::NotARatio)?,
            false => wanted.scale.apply(total),
        };
        let value = known(scaled).ok_or(Fault::NotANumber)?;
        Ok(Some(Total { value, per_cent: is_cache && (per_cent || wanted.scale.is_per_cent(total)) }))
    }
}

/// A hash of a label that is the same in every process.
fn hash(name: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.write_u8(b'=');
    hasher.write(value);
    hasher.finish()
}
