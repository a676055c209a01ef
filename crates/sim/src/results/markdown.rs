//! Tables in Markdown.

use std::fmt::Write as _;

use crate::compare::Estimate;

/// A table.
#[derive(Debug)]
pub struct Table {
    text: String,
}

impl Table {
    /// A table with this header, all columns but the first right-aligned.
    pub fn new<S: AsRef<str>>(header: impl IntoIterator<Item = S>) -> Self {
        let mut table = Self { text: String::new() };
        table.row(header);
        let columns = table.text.matches(" |").count();
        let _ = writeln!(table.text, "| --- |{}", " ---: |".repeat(columns - 1));
        table
    }

    /// Adds a row.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.text.push('|');
        cells.into_iter().for_each(|cell| {
            let _ = write!(self.text, " {} |", cell.as_ref());
        });
        self.text.push('\n');
    }

    /// The table's text.
    pub fn text(self) -> String {
        self.text
    }
}

/// The longest line of text in a page.
const WIDTH: usize = 120;

/// A page whose paragraphs are broken into lines; rows of tables stay as they are.
pub fn wrapped(page: &str) -> String {
    let line = |line: &str| if line.starts_with('|') { line.to_owned() } else { broken(line) };
    page.lines().flat_map(|one| [line(one), "\n".to_owned()]).collect()
}

/// A line, broken between words where it is too long. One that is not stays as it is.
fn broken(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let (mut lines, mut width) = (String::new(), 0);
    for word in line.split(' ') {
        let length = word.chars().count();
        if width > 0 {
            let fits = width + 1 + length <= WIDTH;
            lines.push(if fits { ' ' } else { '\n' });
            width = if fits { width + 1 } else { 0 };
        }
        lines.push_str(word);
        width += length;
    }
    lines
}

/// What stands where a number is not known.
pub const UNKNOWN: &str = "–";

/// A number with its sign and a digit after the point.
pub fn signed(value: f64) -> String {
    // What rounds to nothing has no sign.
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == 0.0 {
        return "0.0".to_owned();
    }
    format!("{}{:.1}", if rounded < 0.0 { '−' } else { '+' }, rounded.abs())
}

/// A difference and its interval.
pub fn difference(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(Estimate { mean, interval: Some(interval) }) => format!("{} ±{interval:.1}", signed(mean)),
        Some(Estimate { mean, interval: None }) => signed(mean),
        None => UNKNOWN.to_owned(),
    }
}

/// A difference without its interval.
pub fn short(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(|| UNKNOWN.to_owned(), |estimate| signed(estimate.mean))
}

/// A number without its interval, with so many digits after the point.
pub fn number(estimate: Option<Estimate>, digits: usize) -> String {
    estimate.map_or_else(|| UNKNOWN.to_owned(), |estimate| format!("{:.digits$}", estimate.mean))
}

/// A policy's text as code.
pub fn code(policy: &str) -> String {
    format!("`{policy}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_rule_below_its_header() {
        let mut table = Table::new(["pool", "a", "b"]);
        table.row(["x", "1", "2"]);
        assert_eq!(table.text(), "| pool | a | b |\n| --- | ---: | ---: |\n| x | 1 | 2 |\n");
    }

    #[test]
    fn paragraphs_break_between_words_and_tables_do_not() {
        let text = "word ".repeat(50);
        let page = wrapped(&format!("# A page\n\n{}\n| {text} |\n", text.trim_end()));
        let widths: Vec<_> = page.lines().map(str::len).collect();
        assert_eq!(widths, [8, 0, 119, 119, 9, 254]);
        assert_eq!(page.replace('\n', " ").matches("word ").count(), 100);
    }

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        assert_eq!([-0.04, 0.04, -0.06, 12.34].map(signed), ["0.0", "0.0", "−0.1", "+12.3"]);
        let estimate = |interval| Some(Estimate { mean: -3.25, interval });
        assert_eq!(difference(estimate(Some(0.5))), "−3.3 ±0.5");
        assert_eq!(difference(estimate(None)), "−3.3");
        assert_eq!(difference(None), "–");
    }
}
