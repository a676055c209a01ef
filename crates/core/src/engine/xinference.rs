//! XInference, which reports by model, in JSON.

use super::Engine;
use crate::fault::Fault;
use crate::model::Models;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use std::fmt;

/// XInference, of which a server may be a cluster. The path is that of the published scheduler's documentation.
pub(super) static XINFERENCE: Engine = Engine {
    path: "/v1/cluster/load-statistics",
    by_model: true,
    ..Engine::new("xinference", "XInference: the use of each model")
};

/// The largest answer that is kept to be read; one model takes some 200 bytes.
pub(super) const LIMIT: usize = 4 * 1024 * 1024;

/// The answer, with what of it is read. Members that are of another type say nothing.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    model_metrics: Served,
}

/// One model: requests may ask for it by its id or by its name.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    model_id: Value,
    #[serde(default)]
    model_name: Value,
    #[serde(default)]
    throughput_utilization: Value,
}

/// The list of models, of which no more is kept than counts.
struct Served(Models);

impl<'de> Deserialize<'de> for Served {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Served, D::Error> {
        from.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Served;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of models")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Served, A::Error> {
        let mut models = Models::default();
        while let Some(item) = list.next_element::<Item>()? {
            let names = [item.model_id.as_str(), item.model_name.as_str()];
            for name in names.into_iter().flatten().filter(|name| !name.is_empty()) {
                models.add(name, item.throughput_utilization.as_f64());
            }
        }
        Ok(Served(models))
    }
}

/// Reads a whole answer.
///
/// # Errors
/// [`Fault::Cut`], [`Fault::Malformed`], [`Fault::Status`] where the code in it is not 200, and [`Fault::Json`] for
/// JSON that is something else.
pub(super) fn read(body: &[u8]) -> Result<Models, Fault> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Eof => Fault::Cut,
        Category::Data => Fault::Json,
        Category::Syntax | Category::Io => Fault::Malformed,
    })?;
    if answer.code.as_i64().is_some_and(|code| code != 200) {
        return Err(Fault::Status);
    }
    answer.data.map(|data| data.model_metrics.0).ok_or(Fault::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{AUTO, read_as};
    use crate::engine::{Choice, Progress, Reading, Scrape};
    use crate::model::{CAPACITY, Model};
    use proptest::prelude::*;

    /// Written by hand after the answers in the published scheduler's documentation of XInference, with its members and
    /// their types. (XInference 3.2 as it is published has no such endpoint.)
    const DOCUMENTED: &str = include_str!("../../corpus/xinference-documented.json");

    fn models(body: &str) -> Result<Vec<(String, Option<f64>)>, Fault> {
        let plain = |model: Model| (model.name, model.utilization);
        read_as(AUTO, body).map(|reading| {
            assert_eq!((reading.engine, reading.flaw), (&XINFERENCE, None));
            assert!(reading.load.is_unknown());
            reading.models.unwrap().list.into_iter().map(plain).collect()
        })
    }

    fn list(items: &str) -> String {
        format!(r#"{{"code":200,"data":{{"model_metrics":[{items}]}}}}"#)
    }

    #[test]
    fn each_model_is_known_by_its_id_and_its_name() {
        let expected = [
            ("qwen2.5-instruct-0", 0.6),
            ("qwen2.5-instruct", 0.6),
            ("whisper-large-v3-0", 0.2),
            ("whisper-large-v3", 0.2),
            ("bge-m3", 0.0),
        ];
        let expected = expected.map(|(name, utilization)| (name.to_owned(), Some(utilization)));
        assert_eq!(models(DOCUMENTED).unwrap(), expected);
        assert_eq!(read_as(Choice::Named(&XINFERENCE), DOCUMENTED), read_as(AUTO, DOCUMENTED));
    }

    #[test]
    fn what_is_not_known_of_a_model_is_not_0() {
        let of = |value: &str| {
            let item = format!(r#"{{"model_id":"m","throughput_utilization":{value}}}"#);
            models(&list(&item)).map(|models| models[0].1)
        };
        assert_eq!(of("0.5"), Ok(Some(0.5)));
        assert_eq!(of("1"), Ok(Some(1.0)));
        for value in ["null", "-0.5", "\"0.5\"", "[]", "{}"] {
            assert_eq!(of(value), Ok(None), "{value}");
        }
        assert_eq!(
            models(&list(r#"{"model_id":"m"}, {"model_id":7}, {}, {"model_name":""}"#)).unwrap(),
            [("m".to_owned(), None)]
        );
        assert_eq!(models(&list("")).unwrap(), [], "it serves none");
    }

    #[test]
    fn bodies_that_say_nothing_say_why() {
        let same = |body: &str, fault| {
            for choice in [AUTO, Choice::Named(&XINFERENCE)] {
                assert_eq!(read_as(choice, body), Err(fault), "{body}");
            }
        };
        same(&DOCUMENTED[..DOCUMENTED.len() / 2], Fault::Cut);
        same("{\"detail\":\"Not Found\"}", Fault::Json);
        same("[]", Fault::Json);
        same("<!doctype html>", Fault::Html);
        same("{\"data\":{\"model_metrics\":{}}}", Fault::Json);
        same("{\"data\":{\"model_metrics\":[1]}}", Fault::Json);
        same("{\"code\":500,\"data\":null}", Fault::Status);
        same("{data}", Fault::Malformed);
        same(&format!("{}x", list("")), Fault::Malformed);
        same("{\"a\":\"\0\"}", Fault::Binary);
        same(&format!("{{\"a\":\"{}\"}}", "x".repeat(LIMIT)), Fault::TooLarge);
        same("", Fault::Empty);
        assert_eq!(
            read_as(Choice::Named(&XINFERENCE), "vllm:num_requests_waiting 1\n"),
            Err(Fault::NoSeries)
        );
        assert_eq!(read_as(Choice::Named(&crate::engine::vllm::VLLM), "{}\n"), Err(Fault::Json));
        let deep = format!("{{\"data\":{}", "[".repeat(100_000));
        assert!(read_as(AUTO, &deep).is_err());
    }

    /// Found by fuzzing: with a form feed before it, a body was JSON in two pieces and none in one.
    #[test]
    fn blanks_before_json_are_those_of_json_whichever_pieces_they_come_in() {
        let read = |pieces: &[&str]| {
            let mut scrape = Scrape::new(AUTO);
            pieces.iter().try_for_each(|piece| scrape.feed(piece.as_bytes()).map(drop))?;
            scrape.finish()
        };
        for pieces in [&["\n\u{c}{}\n"][..], &["\n\u{c}", "{}\n"], &["\n", "\u{c}{}\n"]] {
            assert_eq!(read(pieces), Err(Fault::NoSeries), "{pieces:?}");
        }
        // A byte-order mark counts as blank.
        let (blanks, body) = ("\u{feff} \t\r\n", list(""));
        assert!(read(&[blanks, &body]).is_ok());
        assert_eq!(read(&[blanks, &body]), read(&[&format!("{blanks}{body}")]));
    }

    #[test]
    fn of_very_many_models_the_first_are_known() {
        let item = |n: usize| format!(r#"{{"model_id":"m{n}","throughput_utilization":0.5}}"#);
        let read = |n: usize| {
            let items: Vec<_> = (0..n).map(item).collect();
            read_as(AUTO, &list(&items.join(","))).unwrap().models.unwrap()
        };
        assert!(!read(CAPACITY).more);
        assert_eq!((read(CAPACITY + 1).list.len(), read(CAPACITY + 1).more), (CAPACITY, true));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(ends in proptest::collection::vec(0..=DOCUMENTED.len(), 0..9), cut in 0..=DOCUMENTED.len()) {
            let body = &DOCUMENTED.as_bytes()[..cut];
            let read = |ends: &[usize]| -> Result<Reading, Fault> {
                let mut scrape = Scrape::new(AUTO);
                for end in ends.windows(2) {
                    assert_eq!(scrape.feed(&body[end[0]..end[1]]), Ok(Progress::More));
                }
                scrape.finish()
            };
            let mut ends: Vec<_> = ends.into_iter().map(|end| end.min(cut)).chain([0, cut]).collect();
            ends.sort_unstable();
            prop_assert_eq!(read(&ends), read(&[0, cut]));
        }
    }
}
