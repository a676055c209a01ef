//! What is looked for in a body: families by name.

use super::custom::{CUSTOM, Custom};
use super::{ALL, Aggregate, Engine, Family, Part, Scale};
use crate::model;
use std::sync::{Arc, LazyLock};

/// A family, and what it would carry.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// The name to the letter.
    pub name: Box<str>,
    /// See [`Family::select`].
    pub select: Box<[(Box<str>, Box<str>)]>,
    /// See [`Family::split`].
    pub split: Option<&'static str>,
    /// See [`Family::copies`].
    pub copies: &'static [&'static str],
    /// The unit.
    pub scale: Scale,
    /// How its series become one number.
    pub aggregate: Aggregate,
    /// Whose it is; None for the user's, which is tried for every engine.
    pub engine: Option<&'static Engine>,
    /// What of that.
    pub part: Part,
    /// Its place among the families that may carry the same.
    pub rank: usize,
    /// See [`Engine::model_labels`].
    pub model_labels: &'static [&'static str],
}

impl Wanted {
    fn of_engine(engine: &'static Engine, part: Part, rank: usize, family: &Family) -> Wanted {
        let select = family.select.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let Family { name, split, copies, scale, .. } = *family;
        let aggregate = engine.part(part).aggregate;
        Wanted {
            name: name.into(),
            select,
            split,
            copies,
            scale,
            aggregate,
            engine: Some(engine),
            part,
            rank,
            model_labels: engine.model_labels,
        }
    }

    fn of_user(custom: &Custom, rank: usize) -> Wanted {
        let select = custom.select.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        let Family { split, copies, scale, .. } = custom.known();
        Wanted {
            name: custom.name.as_str().into(),
            select: select.collect(),
            split,
            copies,
            scale,
            aggregate: custom.aggregate(),
            engine: None,
            part: Part::Signal(custom.signal),
            rank,
            model_labels: model::LABELS,
        }
    }

    /// Whether it may carry that part of what the engine reports.
    pub fn carries(&self, engine: &Engine, part: Part) -> bool {
        self.part == part && self.engine.is_none_or(|whose| whose == engine)
    }

    /// Whether it tells that a body is of this engine. A name that the user gave tells that of none in particular.
    pub fn tells(&self, engine: &Engine) -> bool {
        self.engine.unwrap_or(&CUSTOM) == engine
    }
}

/// What is looked for in a body: the families of one engine or of all, and those that the user names. Nearly every
/// line of a page is of none of them, and most of those show it at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// None for all.
    engine: Option<&'static Engine>,
    /// Sorted by [`order`].
    families: Vec<Wanted>,
    /// Bit [`trait_of`] a name is set.
    traits: [u64; 4],
}

/// What is looked for where nothing is said.
static EVERYTHING: LazyLock<Arc<Lookup>> = LazyLock::new(|| Arc::new(Lookup::make(None, &[])));

impl Lookup {
    /// The families of an engine, None for whichever it is, and what the user names, in order of preference.
    pub fn new(engine: Option<&'static Engine>, customs: &[Custom]) -> Arc<Lookup> {
        match (engine, customs) {
            (None, []) => Arc::clone(&EVERYTHING),
            _ => Arc::new(Lookup::make(engine, customs)),
        }
    }

    fn make(engine: Option<&'static Engine>, customs: &[Custom]) -> Lookup {
        let users =
            |part| customs.iter().filter(move |custom| Part::Signal(custom.signal) == part).enumerate();
        let mut families = Vec::new();
        for part in Part::ALL {
            families.extend(users(part).map(|(rank, custom)| Wanted::of_user(custom, rank)));
            for engine in engine.map_or(ALL.to_vec(), |engine| vec![engine]) {
                let ranked = engine.part(part).families.iter().zip(users(part).count()..);
                families.extend(ranked.map(|(family, rank)| Wanted::of_engine(engine, part, rank, family)));
            }
        }
        families.sort_by(|one, other| order(one.name.as_bytes()).cmp(&order(other.name.as_bytes())));
        let mut traits = [0; 4];
        for wanted in &families {
            let (word, bit) = trait_of(wanted.name.as_bytes());
            traits[word] |= bit;
        }
        Lookup { engine, families, traits }
    }

    /// The engine whose families they are, None for all.
    pub fn engine(&self) -> Option<&'static Engine> {
        self.engine
    }

    /// Where the families of that name are.
    pub(super) fn find(&self, name: &[u8]) -> std::ops::Range<usize> {
        let (word, bit) = trait_of(name);
        if self.traits[word] & bit == 0 {
            return 0..0;
        }
        let compare = |wanted: &Wanted| order(wanted.name.as_bytes()).cmp(&order(name));
        let start = self.families.partition_point(|wanted| compare(wanted).is_lt());
        let length = self.families[start..].partition_point(|wanted| compare(wanted).is_eq());
        start..start + length
    }

    /// The family at a place, which [`Lookup::find`] gave.
    pub(super) fn at(&self, place: usize) -> &Wanted {
        &self.families[place]
    }

    /// Whether any family carries that part of what an engine reports.
    pub(super) fn has(&self, engine: &Engine, part: Part) -> bool {
        self.families.iter().any(|wanted| wanted.carries(engine, part))
    }
}

fn order(name: &[u8]) -> (usize, &[u8]) {
    (name.len(), name)
}

/// One of 256 traits of a name, as a bit of one of four words: its length and its last byte. They differ between
/// families where prefixes do not.
fn trait_of(name: &[u8]) -> (usize, u64) {
    let mixed = name.len().wrapping_mul(37) ^ usize::from(name.last().copied().unwrap_or(0));
    (mixed >> 6 & 3, 1 << (mixed & 63))
}
