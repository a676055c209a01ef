//! What an engine may answer when it is asked for its metrics, and what nginx calls that.

use crate::engines::{self, Engine, Fault, MetricsForm, Options};
use crate::listen;
use std::net::TcpListener;

/// A switch of the mock engine.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The switch.
    pub fault: Fault,
    /// The kind of fault in the status; None where the answer is odd, but right.
    pub kind: Option<&'static str>,
}

const fn case(fault: Fault, kind: &'static str) -> Case {
    Case { fault, kind: Some(kind) }
}

const fn well(fault: Fault) -> Case {
    Case { fault, kind: None }
}

/// All cases that need nothing but a switch.
pub const CASES: [Case; 27] = [
    case(Fault::HangMetrics, "timeout"),
    case(Fault::SlowMetrics { pause_ms: 50 }, "timeout"),
    case(Fault::SlowMetrics { pause_ms: 1000 }, "timeout"),
    case(Fault::HugeMetrics { megabytes: 5, page_first: false }, "too_large"),
    case(Fault::HugeMetrics { megabytes: 200, page_first: false }, "too_large"),
    case(Fault::EndlessMetrics, "too_large"),
    case(Fault::LongLineMetrics { kilobytes: 200 }, "line_too_long"),
    case(Fault::HeaderMetrics { megabytes: 10 }, "header_too_large"),
    case(Fault::EmptyMetrics, "empty"),
    case(Fault::BinaryMetrics, "binary"),
    case(Fault::MalformedMetrics, "malformed"),
    case(Fault::CutMetrics, "cut"),
    case(Fault::CutLineMetrics, "cut"),
    case(Fault::NanMetrics, "not_a_number"),
    case(Fault::InfiniteMetrics, "not_a_number"),
    case(Fault::NegativeMetrics, "not_a_number"),
    case(Fault::OverflowMetrics, "not_a_number"),
    case(Fault::OtherMetrics, "no_series"),
    case(Fault::GzipMetrics, "encoded"),
    case(Fault::RedirectMetrics { port: 0 }, "redirect"),
    case(Fault::MetricsStatus { status: 401 }, "status"),
    case(Fault::MetricsStatus { status: 404 }, "status"),
    case(Fault::MetricsStatus { status: 500 }, "status"),
    case(Fault::MetricsStatus { status: 204 }, "status"),
    well(Fault::HugeMetrics { megabytes: 5, page_first: true }),
    well(Fault::ChunkedMetrics),
    well(Fault::DuplicateMetrics),
];

/// An engine of a case, and where it would send who follows its redirect.
pub struct Patient {
    /// The case.
    pub case: Case,
    /// The engine.
    pub engine: Engine,
    elsewhere: TcpListener,
}

impl Patient {
    /// Starts an engine that is well until [`Patient::fall_ill`]. Half a page of vLLM's holds what is wanted, half a page
    /// of llama.cpp's does not.
    pub fn start(case: Case) -> Patient {
        let metrics = if case.fault == Fault::CutMetrics { MetricsForm::LlamaCpp } else { MetricsForm::Vllm };
        let engine = engines::start(&Options { metrics, ..engines::options() });
        let elsewhere = listen(([127, 0, 0, 1], 0).into());
        elsewhere.set_nonblocking(true).expect("a socket that does not wait");
        Patient { case, engine, elsewhere }
    }

    /// Switches the fault on.
    pub fn fall_ill(&self) {
        let port = self.elsewhere.local_addr().expect("an address").port();
        self.engine.set_fault(match self.case.fault {
            Fault::RedirectMetrics { .. } => Fault::RedirectMetrics { port },
            fault => fault,
        });
    }

    /// Switches it off.
    pub fn recover(&self) {
        self.engine.set_fault(Fault::None);
    }

    /// Its name in the status.
    pub fn name(&self) -> String {
        engines::name(&self.engine)
    }

    /// Whether anybody has followed its redirect.
    pub fn was_followed(&self) -> bool {
        self.elsewhere.accept().is_ok()
    }
}
