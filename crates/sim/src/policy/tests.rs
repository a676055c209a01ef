//! The policies, one pick at a time.

use super::*;
use std::sync::atomic::AtomicU64;
use tblb_core::board::Shape;

/// Peers with these connections, over which a policy picks.
pub(super) struct Bench {
    pub peers: Vec<Peer>,
    pub pages: Pages,
    pub eligible: Vec<usize>,
    pub now: Nanos,
    rng: fastrand::Rng,
    words: Vec<AtomicU64>,
    picks: u64,
}

impl Bench {
    pub fn new(conns: &[u64]) -> Self {
        let count = conns.len();
        let mut peers = vec![Peer::new(1); count];
        peers.iter_mut().zip(conns).for_each(|(peer, &conns)| peer.conns = conns);
        let shape = Shape { upstreams: 1, slots: count, rows: 1 };
        let words: Vec<_> = (0..shape.words().expect("few")).map(|_| AtomicU64::new(0)).collect();
        Board::format(&words, shape).expect("enough words");
        let rng = fastrand::Rng::with_seed(1);
        Self { peers, pages: vec![None; count], eligible: (0..count).collect(), now: 0, rng, words, picks: 0 }
    }

    pub fn policy(&self, text: &str) -> Box<dyn Policy + Send> {
        let speeds = vec![1.0; self.peers.len()];
        let context = Context { speeds: &speeds, workers: 1 };
        Rule::parse(text).expect("a policy").make(&context)
    }

    pub fn pick(&mut self, policy: &mut dyn Policy) -> Option<usize> {
        let slots = vec![None; self.pages.len()];
        let board = Board::open(&self.words).expect("a board");
        let view = View {
            scene: Scene { now: self.now, board, slots: &slots },
            peers: &mut self.peers,
            eligible: &self.eligible,
            pages: &self.pages,
            rng: &mut self.rng,
        };
        self.picks += 1;
        policy.pick(view, &Seen { number: self.picks - 1, body: 1000, worker: 0 })
    }

    /// What a peer's page says now: requests that run and wait, cache use, and how many of the requests are ours.
    pub fn page(&mut self, peer: usize, running: f64, waiting: f64, cache: f64, own: u64) {
        let load =
            Load { waiting: Some(waiting), running: Some(running), cache: Some(cache), ..Load::default() };
        self.pages[peer] = Some(Page { at: self.now, load, own });
    }

    /// A request that was picked now, if it was, has its first byte and its last from this peer after so many ms: an
    /// answer of 100 tokens.
    pub fn answer(&mut self, policy: &mut dyn Policy, peer: usize, first: u64, last: u64) {
        let slots = vec![None; self.pages.len()];
        let board = Board::open(&self.words).expect("a board");
        let at = |ms: u64| Scene { now: self.now + ms * 1_000_000, board, slots: &slots };
        let seen = Seen { number: 0, body: 1000, worker: 0 };
        let one = Try { seen, peer, begun: self.now, first_byte: Some(at(first).now) };
        policy.first_byte(at(first), &one);
        policy.part(at(first), &one, Part { events: 1, tokens: 1.0 });
        policy.part(at(last), &one, Part { events: 99, tokens: 99.0 });
        policy.end(at(last), &one, Ending::Completed);
    }

    /// How often each is picked, of a thousand picks; nothing changes between them.
    pub fn thousand(&mut self, text: &str) -> Vec<usize> {
        let mut policy = self.policy(text);
        let mut counts = vec![0; self.peers.len()];
        for _ in 0..1000 {
            counts[self.pick(policy.as_mut()).expect("a pick")] += 1;
        }
        counts
    }
}

#[test]
fn a_policy_that_there_is_not_is_refused_with_those_that_there_are() {
    for text in ["", "most_conn", "least_conn now"] {
        let error = Rule::parse(text).expect_err(text);
        assert!(error.contains("random_two_least_conn"), "{error}");
    }
    assert!(Rule::parse("tblb s9").expect_err("no such score").contains("s1_enhanced"));
    assert!(Rule::parse("tblb s1 waiting=0.3 cache=0.7;").is_ok());
}

#[test]
fn round_robin_takes_turns_and_least_conn_takes_the_idle_one() {
    assert_eq!(Bench::new(&[9, 0, 4, 5]).thousand("round_robin"), [250; 4]);
    for text in ["least_conn", "tblb least_conn", "weighted_least_conn", "tblb s1"] {
        assert_eq!(Bench::new(&[9, 0, 4]).thousand(text), [0, 1000, 0], "{text}");
    }
}

#[test]
fn random_two_prefers_the_idle_and_never_takes_the_busiest() {
    let counts = Bench::new(&[9, 0, 4]).thousand("random_two_least_conn");
    assert_eq!(counts[0], 0);
    assert!((600..734).contains(&counts[1]), "{counts:?}");
    let counts = Bench::new(&[9, 0, 4]).thousand("random");
    assert!(counts.iter().all(|count| (270..400).contains(count)), "{counts:?}");
}

#[test]
fn only_the_eligible_are_picked() {
    for method in METHODS {
        let text = method.name;
        let mut bench = Bench::new(&[0, 5, 5]);
        bench.eligible = vec![1, 2];
        assert_eq!(bench.thousand(text)[0], 0, "{text}");
        bench.eligible.clear();
        let mut policy = bench.policy(text);
        assert_eq!(bench.pick(policy.as_mut()), None, "{text}");
    }
}

#[test]
fn polls_come_as_the_directive_says_or_else_as_the_scenario_does() {
    let interval = |text| Rule::parse(text).expect("a policy").interval(0.7);
    assert_eq!(interval("tblb s1"), 0.7);
    assert_eq!(interval("least_conn"), 0.7);
    assert_eq!(interval("tblb s1; tblb_metrics interval=5s"), 5.0);
    assert_eq!(interval("tblb s1; tblb_metrics off;"), 0.0);
}
