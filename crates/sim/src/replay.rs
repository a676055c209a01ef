//! Makes picks again that nginx made: the lines of `tblb_record`, by the picker that nginx runs.

use std::io::{self, BufRead};

use tblb_core::picker::{Picked, Record};

/// A pick that comes out otherwise than it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The line of the record.
    pub line: usize,
    /// What it was made of, and what it came to in nginx.
    pub record: Record<'static>,
    /// What it comes to here; None if nothing can be picked.
    pub here: Option<Picked>,
}

/// What comes of the records.
#[derive(Debug, Default)]
pub struct Replayed {
    /// All of them, in their order.
    pub records: Vec<Record<'static>>,
    /// Those that come out otherwise.
    pub differences: Vec<Difference>,
}

/// Makes the picks of these lines again.
///
/// # Errors
/// What cannot be read, and the first line that is no record, with its number.
pub fn replay(lines: impl BufRead) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    for (line, text) in (1..).zip(lines.lines()) {
        let place = |error: &dyn std::fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {error}"))
        };
        let record: Record<'static> = serde_json::from_str(&text?).map_err(|error| place(&error))?;
        let here = record.replay().map_err(|error| place(&error))?;
        if here != Some(record.picked) {
            replayed.differences.push(Difference { line, record: record.clone(), here });
        }
        replayed.records.push(record);
    }
    Ok(replayed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"upstream":"llm","backup":false,"pid":7,"directives":"tblb least_conn;","prompt":1,"seed":1,
        "candidates":[{"conns":2,"weight":1,"effective_weight":1,"current_weight":0,
                       "known":{"score":null,"fresh":false,"standing":"ready","work":null}},
                      {"conns":1,"weight":1,"effective_weight":1,"current_weight":0,
                       "known":{"score":0.30000000000000004,"fresh":true,"standing":"ready","work":null}}],
        "picked":{"index":1,"reason":"least_conn"}}"#;

    fn line() -> String {
        LINE.split('\n').map(str::trim).collect()
    }

    #[test]
    fn what_nginx_picked_is_picked_again() {
        let lines = format!("{}\n{}\n", line(), line());
        let replayed = replay(lines.as_bytes()).unwrap();
        assert_eq!((replayed.records.len(), replayed.differences.len()), (2, 0));
        assert_eq!(replayed.records[0].candidates[1].known.score, Some(0.30000000000000004));
    }

    #[test]
    fn another_view_or_another_pick_differs() {
        let changes = [
            (r#""conns":2"#, r#""conns":0"#),
            (r#""index":1"#, r#""index":0"#),
            ("least_conn\"}", "score\"}"),
        ];
        for (from, to) in changes {
            let changed = line().replacen(from, to, 1);
            assert_ne!(changed, line());
            let replayed = replay(format!("{}\n{changed}\n", line()).as_bytes()).unwrap();
            assert_eq!(replayed.differences.len(), 1, "{changed}");
            assert_eq!(replayed.differences[0].line, 2);
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let wrong = line().replace("tblb least_conn", "tblb nonsense");
        for (second, said) in
            [("{\"upstream\":", "line 2: EOF"), (wrong.as_str(), "line 2: unknown algorithm")]
        {
            let error = replay(format!("{}\n{second}", line()).as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
