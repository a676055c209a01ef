//! The cases that are counted.

use crate::Failure;

/// A method of an upstream.
#[derive(Debug)]
pub struct Method {
    /// Its name in the table.
    pub name: &'static str,
    /// The directives that choose it, without metrics: a thread reads them, not a request.
    pub directives: &'static str,
    /// Whether the module is loaded.
    pub loaded: bool,
    /// What it may cost at each of [`SIZES`], as a ratio to the first method; `None` for that one.
    targets: Option<[f64; 2]>,
}

/// The methods that are compared, the yardstick first: nginx without the module.
pub const METHODS: [Method; 3] = [
    Method { name: "nginx_least_conn", directives: "least_conn;", loaded: false, targets: None },
    Method {
        name: "least_conn",
        directives: "tblb least_conn; tblb_metrics off;",
        loaded: true,
        targets: Some([1.05, 1.15]),
    },
    Method {
        name: "least_work",
        directives: "tblb; tblb_metrics off;",
        loaded: true,
        targets: Some([1.10, 1.35]),
    },
];

/// How many servers the upstream has.
const SIZES: [usize; 2] = [2, 64];

/// How engines answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// At once, with a Content-Length.
    Whole,
    /// In events.
    Streamed,
}

impl Answer {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Answer::Whole => "whole",
            Answer::Streamed => "streamed",
        }
    }

    /// How many requests the two runs of a case send. The fewer are enough to open a connection to each server and to
    /// learn from ten answers of each how fast it is.
    pub fn requests(self) -> [usize; 2] {
        match self {
            Answer::Whole => [700, 1500],
            Answer::Streamed => [700, 800],
        }
    }
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// How engines answer.
    pub answer: Answer,
    /// How many servers the upstream has.
    pub servers: usize,
    /// The method of the upstream.
    pub method: &'static Method,
}

/// All cases, those with the same yardstick in a row after it.
pub fn all() -> impl Iterator<Item = Case> {
    let answers = [Answer::Whole, Answer::Streamed].into_iter();
    let sized = answers.flat_map(|answer| SIZES.map(|servers| (answer, servers)));
    sized.flat_map(|(answer, servers)| METHODS.iter().map(move |method| Case { answer, servers, method }))
}

impl Case {
    /// The case of these names.
    pub fn named(answer: &str, method: &str, servers: &str) -> Result<Case, Failure> {
        let is = |case: &Case| {
            case.answer.name() == answer && case.method.name == method && case.servers.to_string() == servers
        };
        let methods = METHODS.map(|method| method.name).join("|");
        all().find(is).ok_or_else(|| format!("no such case: whole|streamed {methods} 2|64").into())
    }

    /// Whether others are compared with it.
    pub fn is_yardstick(&self) -> bool {
        self.method.targets.is_none()
    }

    /// What it may cost, as a ratio to the yardstick.
    pub fn target(&self) -> Option<f64> {
        let size = SIZES.iter().position(|size| *size == self.servers)?;
        self.method.targets.map(|targets| targets[size])
    }
}
