//! The requests of a run, drawn before it begins: the same for all policies of a seed.

use crate::node::Nanos;
use crate::random::{Normal, Purpose, derive, exponential};
use crate::scenario::{Load, Scenario};
use crate::workload::{Length, Lengths, Workload};

/// One second.
const SECOND: f64 = 1e9;

/// A request: what it is, and what nginx will see of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Its lengths in tokens.
    pub length: Length,
    /// Content-Length of its body.
    pub body: u64,
    /// Bytes of text that a token of its answer has on average.
    pub text: f64,
    /// When it comes, after the load began (only in an open loop).
    pub at: Nanos,
    /// How long its client thinks after its answer (only in a closed loop).
    pub think: Nanos,
    /// The nginx instance that it comes to.
    pub instance: usize,
    /// The worker of that instance.
    pub worker: usize,
}

/// All requests of a run and what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The requests in the order in which they come.
    pub asked: Vec<Asked>,
    /// Bytes of JSON and of framing around the text of an event of a stream.
    pub envelope: u64,
}

impl Plan {
    /// Draws so many requests.
    pub fn draw(scenario: &Scenario, load: Load, requests: usize, seed: u64) -> Self {
        let lengths = Workload::new(Lengths::SHAREGPT, derive(seed, Purpose::Lengths, 0));
        let mut bytes = Bytes::new(seed);
        let mut times = Times::new(scenario, load, seed);
        let mut deal = fastrand::Rng::with_seed(derive(seed, Purpose::Deal, 0));
        let envelope = bytes.envelope();
        let asked = lengths.take(requests).map(|length| Asked {
            length,
            body: bytes.body(length.input),
            text: bytes.text(),
            at: times.arrival(),
            think: times.think(),
            instance: deal.usize(0..scenario.proxy.instances),
            worker: deal.usize(0..scenario.proxy.workers),
        });
        Self { asked: asked.collect(), envelope }
    }
}

/// Sizes as they are seen on the wire.
struct Bytes {
    rng: fastrand::Rng,
    normal: Normal,
    /// Bytes of JSON around a prompt: names of the model and of parameters, fixed in a run but for a few.
    json: u64,
}

/// Bytes of text in a token on average; English in the tokenisers of today.
const TOKEN_TEXT: f64 = 4.0;

impl Bytes {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(derive(seed, Purpose::Bytes, 0));
        let json = rng.u64(150..=230);
        Self { rng, normal: Normal::new(derive(seed, Purpose::Bytes, 1)), json }
    }

    fn envelope(&mut self) -> u64 {
        self.rng.u64(180..=250)
    }

    /// Texts differ by their language and their matter: 20 % around the mean.
    fn text(&mut self) -> f64 {
        TOKEN_TEXT * (0.2 * self.normal.draw()).exp()
    }

    fn body(&mut self, input: u32) -> u64 {
        self.json + self.rng.u64(0..=20) + (f64::from(input) * self.text()) as u64
    }
}

/// When requests come.
struct Times {
    rng: fastrand::Rng,
    load: Load,
    think: f64,
    /// Seconds since the load began.
    now: f64,
}

impl Times {
    fn new(scenario: &Scenario, load: Load, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(derive(seed, Purpose::Times, 0));
        Self { rng, load, think: scenario.think, now: 0.0 }
    }

    fn arrival(&mut self) -> Nanos {
        match self.load {
            Load::Concurrency(_) => 0,
            Load::Rate(rate) => {
                self.now += exponential(&mut self.rng, 1.0 / rate);
                (self.now * SECOND) as Nanos
            }
        }
    }

    fn think(&mut self) -> Nanos {
        (exponential(&mut self.rng, self.think) * SECOND) as Nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(load: Load, requests: usize) -> Plan {
        Plan::draw(&Scenario::named("hetero").expect("a preset"), load, requests, 1)
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_scatter() {
        let asked = plan(Load::Rate(25.0), 20_000).asked;
        let gaps: Vec<f64> = asked.windows(2).map(|two| (two[1].at - two[0].at) as f64 / SECOND).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 25.0 - 1.0).abs() < 0.03, "{mean}");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.03,
            "an exponential gap scatters as much as its mean"
        );
    }

    #[test]
    fn a_longer_plan_begins_like_a_shorter_one_and_another_load_has_the_same_requests() {
        let short = plan(Load::Rate(5.0), 10);
        let long = plan(Load::Rate(5.0), 1000);
        assert_eq!(short.asked, long.asked[..10]);
        let lengths =
            |plan: &Plan| plan.asked.iter().map(|asked| (asked.length, asked.body)).collect::<Vec<_>>();
        assert_eq!(lengths(&short), lengths(&plan(Load::Concurrency(3), 10)));
    }

    #[test]
    fn a_body_is_a_little_json_and_four_bytes_a_token() {
        let asked = plan(Load::Concurrency(1), 20_000).asked;
        let tokens: f64 = asked.iter().map(|asked| f64::from(asked.length.input)).sum();
        let bytes: f64 = asked.iter().map(|asked| asked.body as f64 - 190.0).sum();
        assert!((bytes / tokens - TOKEN_TEXT).abs() < 0.4, "{}", bytes / tokens);
    }
}
