//! The requests of a run, drawn before it begins: the same for all policies of a seed.

use super::times::Times;
use crate::node::Nanos;
use crate::random::{Normal, Purpose, derive};
use crate::scenario::{Load, Requests, Scenario};
use crate::workload::{Length, Workload};

/// A request: what it is, and what nginx will see of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Asked {
    /// Its lengths in tokens.
    pub length: Length,
    /// The conversation that it belongs to.
    pub session: u64,
    /// The tokens of its prompt that were said before in its conversation.
    pub past: u32,
    /// Content-Length of its body.
    pub body: u64,
    /// Bytes of text that a token of its answer has on average.
    pub text: f64,
    /// Whether its answer comes token by token.
    pub streaming: bool,
    /// When it comes (only in an open loop, and before the load).
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
    /// The requests in the order in which they come, those before the load first.
    pub asked: Vec<Asked>,
    /// How many come before the load.
    pub warm: usize,
    /// When the load begins.
    pub begins: Nanos,
}

impl Plan {
    /// Draws so many requests.
    pub fn draw(scenario: &Scenario, load: Load, requests: usize, seed: u64) -> Self {
        let lengths = Workload::mixed(scenario.workload.lengths, derive(seed, Purpose::Lengths, 0));
        let mut talks = Talks::new(&scenario.workload, load, seed);
        let mut bytes = Bytes::new(&scenario.workload, seed);
        let mut times = Times::new(scenario, load, seed);
        let mut deal = fastrand::Rng::with_seed(derive(seed, Purpose::Deal, 0));
        let (mut asked, begins) = Self::warm(scenario, seed);
        let warm = asked.len();
        let load = lengths.take(requests).map(|length| {
            let asked = Asked {
                at: begins + times.arrival(),
                think: times.think(),
                instance: deal.usize(0..scenario.proxy.instances),
                worker: deal.usize(0..scenario.proxy.workers),
                ..talks.next(length)
            };
            bytes.of(asked)
        });
        asked.extend(load);
        Self { asked, warm, begins }
    }
}

/// The nodes, their direct requests and the polls are in their stride by then.
const LEAD: Nanos = 10 * SECOND;

/// What came before the load has been answered by then.
const REST: Nanos = 60 * SECOND;

const SECOND: Nanos = 1_000_000_000;

impl Plan {
    /// The requests that come before the load, and when that begins.
    fn warm(scenario: &Scenario, seed: u64) -> (Vec<Asked>, Nanos) {
        let nodes = scenario.each_node().count();
        let count = scenario.warmup * nodes;
        if count == 0 {
            return (Vec::new(), LEAD);
        }
        let mut bytes = Bytes::new(&scenario.workload, seed);
        bytes.begin_anew(derive(seed, Purpose::Warmup, 0));
        let lengths = Workload::mixed(scenario.workload.lengths, derive(seed, Purpose::Warmup, 1));
        let mut deal = fastrand::Rng::with_seed(derive(seed, Purpose::Warmup, 2));
        let asked = lengths.take(count).zip(0..).map(|(length, number)| {
            bytes.of(Asked {
                length,
                session: u64::MAX - number,
                at: LEAD + number * SECOND / nodes as Nanos,
                instance: deal.usize(0..scenario.proxy.instances),
                worker: deal.usize(0..scenario.proxy.workers),
                ..Asked::default()
            })
        });
        (asked.collect(), LEAD + scenario.warmup as Nanos * SECOND + REST)
    }
}

/// Conversations that are open at a time, at least.
const OPEN: usize = 64;

/// A conversation that has grown so long is followed by another, in tokens.
const LONGEST: u32 = 8192;

/// Conversations, each with what was said in it.
struct Talks {
    rng: fastrand::Rng,
    turns: f64,
    open: Vec<(u64, u32)>,
    next: u64,
}

impl Talks {
    /// So many that a client of a closed loop rarely asks before it was answered.
    fn new(requests: &Requests, load: Load, seed: u64) -> Self {
        let open = if let Load::Concurrency(clients) = load { OPEN.max(2 * clients) } else { OPEN };
        Self {
            rng: fastrand::Rng::with_seed(derive(seed, Purpose::Lengths, 1)),
            turns: requests.turns,
            open: (0..open as u64).map(|session| (session, 0)).collect(),
            next: open as u64,
        }
    }

    /// The next request, in which so much is new.
    fn next(&mut self, new: Length) -> Asked {
        let at = self.rng.usize(0..self.open.len());
        let (session, past) = self.open[at];
        let length = Length { input: past + new.input, ..new };
        let over = self.rng.f64() * self.turns < 1.0 || length.input + length.output > LONGEST;
        self.open[at] = if over { (self.next, 0) } else { (session, length.input + length.output) };
        self.next += u64::from(over);
        Asked { length, session, past, ..Asked::default() }
    }
}

/// Bytes of text in a token on average; English in the tokenisers of today.
const TOKEN_TEXT: f64 = 4.0;

/// Texts differ by their language and their matter: so much around the mean, in the logarithm.
const TEXT_SPREAD: f64 = 0.2;

/// Sizes as they are seen on the wire.
struct Bytes {
    rng: fastrand::Rng,
    normal: Normal,
    requests: Requests,
    /// Bytes of JSON around a prompt: names of the model and of parameters, fixed in a run but for a few.
    json: u64,
}

impl Bytes {
    fn new(requests: &Requests, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(derive(seed, Purpose::Bytes, 0));
        let json = rng.u64(150..=230);
        let normal = Normal::new(derive(seed, Purpose::Bytes, 1));
        Self { rng, normal, requests: *requests, json }
    }

    /// Draws from other streams, with the same JSON around all.
    fn begin_anew(&mut self, seed: u64) {
        self.rng = fastrand::Rng::with_seed(seed);
        self.normal = Normal::new(seed);
    }

    fn text(&mut self) -> f64 {
        TOKEN_TEXT * (TEXT_SPREAD * self.normal.draw()).exp()
    }

    /// The request with what is seen of it.
    fn of(&mut self, mut asked: Asked) -> Asked {
        asked.body = self.json + self.rng.u64(0..=20) + (f64::from(asked.length.input) * self.text()) as u64;
        asked.text = self.text();
        asked.streaming = self.rng.f64() >= self.requests.non_streaming;
        if self.rng.f64() < self.requests.images {
            // 100 KB to 2 MB, evenly in the logarithm.
            asked.body += (1e5 * 20f64.powf(self.rng.f64())) as u64;
            asked.length.input += self.rng.u32(300..=1200);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(workload: Requests, load: Load, requests: usize) -> Vec<Asked> {
        let scenario = Scenario { workload, ..Scenario::named("hetero").expect("a preset") };
        let plan = Plan::draw(&scenario, load, requests, 1);
        plan.asked[plan.warm..].to_vec()
    }

    fn share(asked: &[Asked], of: impl Fn(&Asked) -> bool) -> f64 {
        asked.iter().filter(|asked| of(asked)).count() as f64 / asked.len() as f64
    }

    #[test]
    fn a_longer_plan_begins_like_a_shorter_one_and_another_load_has_the_same_requests() {
        let plan = |load, requests| plan(Requests::default(), load, requests);
        let short = plan(Load::Rate(5.0), 10);
        assert_eq!(short, plan(Load::Rate(5.0), 1000)[..10]);
        let what = |asked: &[Asked]| asked.iter().map(|asked| (asked.length, asked.body)).collect::<Vec<_>>();
        assert_eq!(what(&short), what(&plan(Load::Concurrency(3), 10)));
    }

    #[test]
    fn a_body_is_a_little_json_and_four_bytes_a_token() {
        let asked = plan(Requests::default(), Load::Concurrency(1), 20_000);
        let tokens: f64 = asked.iter().map(|asked| f64::from(asked.length.input)).sum();
        let bytes: f64 = asked.iter().map(|asked| asked.body as f64 - 200.0).sum();
        assert!((bytes / tokens - TOKEN_TEXT).abs() < 0.3, "{}", bytes / tokens);
        assert!(asked.iter().all(|asked| asked.streaming && asked.past == 0));
    }

    #[test]
    fn images_are_huge_and_some_answers_come_in_one_piece() {
        let workload = Requests { images: 0.05, non_streaming: 0.3, ..Requests::default() };
        let asked = plan(workload, Load::Concurrency(1), 20_000);
        assert!((share(&asked, |asked| asked.body > 100_000) - 0.05).abs() < 0.01);
        assert!((share(&asked, |asked| !asked.streaming) - 0.3).abs() < 0.01);
        assert!(asked.iter().all(|asked| asked.length.input < 2300 && asked.body < 2_100_000));
    }

    #[test]
    fn conversations_have_their_turns_and_a_prompt_holds_what_was_said() {
        let asked = plan(Requests { turns: 6.0, ..Requests::default() }, Load::Rate(1.0), 20_000);
        let first = share(&asked, |asked| asked.past == 0);
        assert!((first * 6.0 - 1.0).abs() < 0.1, "{first}");
        let mut said = std::collections::HashMap::new();
        for one in &asked {
            assert_eq!(one.past, said.get(&one.session).copied().unwrap_or(0));
            assert!(one.past < one.length.input);
            said.insert(one.session, one.length.input + one.length.output);
        }
    }
}
