//! What is looked for in a body: families by name.

use super::{Aggregate, Engine, Family, Part, Scale};

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
    /// Whose it is.
    pub engine: &'static Engine,
    /// What of that.
    pub part: Part,
    /// Its place among the families that may carry the same.
    pub rank: usize,
}

impl Wanted {
    fn of(engine: &'static Engine, part: Part, rank: usize, family: &'static Family) -> Wanted {
        Wanted {
            name: family.name.into(),
            select: family.select.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
            split: family.split,
            copies: family.copies,
            scale: family.scale,
            aggregate: engine.part(part).aggregate,
            engine,
            part,
            rank,
        }
    }

    /// Whether it carries that part of what the engine reports.
    pub fn carries(&self, engine: &Engine, part: Part) -> bool {
        self.part == part && self.engine == engine
    }
}

/// Families by name. Nearly every line of a page is of none of them, and most of those show it at a glance.
#[derive(Debug, Clone, PartialEq)]
pub struct Lookup {
    /// Sorted by [`order`].
    families: Vec<Wanted>,
    /// Bit [`trait_of`] a name is set.
    traits: [u64; 4],
}

impl Lookup {
    /// The families of these engines.
    pub(super) fn of(engines: &[&'static Engine]) -> Lookup {
        let mut families = Vec::new();
        for &engine in engines {
            for part in Part::ALL {
                let ranked = engine.part(part).families.iter().enumerate();
                families.extend(ranked.map(|(rank, family)| Wanted::of(engine, part, rank, family)));
            }
        }
        families.sort_by(|one, other| order(one.name.as_bytes()).cmp(&order(other.name.as_bytes())));
        let mut traits = [0; 4];
        for wanted in &families {
            let (word, bit) = trait_of(wanted.name.as_bytes());
            traits[word] |= bit;
        }
        Lookup { families, traits }
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
