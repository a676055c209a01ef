//! The configurations of the documentation: nginx takes them, and a request reaches an engine that is well.

use std::thread;
use std::time::Duration;
use tblb_tests::config::{Config, check_text};
use tblb_tests::failures::complete_all;
use tblb_tests::nginx::Nginx;
use tblb_tests::node::{Failure, Mood, Node};

const README: &str = include_str!("../../README.md");
const STREAMING: &str = include_str!("../../docs/streaming.md");
const DOCKER: &str = include_str!("../../nginx/docker.conf");

/// The example of a page.
fn example(page: &str) -> &str {
    let blocks = page.split("```nginx\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("http {")).last().expect("a whole configuration")
}

/// A block of a configuration, from the line that begins so to its brace.
fn block<'a>(text: &'a str, begins: &str) -> &'a str {
    let text = &text[text.find(begins).unwrap_or_else(|| panic!("no {begins}"))..];
    let mut depth = 0;
    for (place, character) in text.char_indices() {
        depth += i32::from(character == '{') - i32::from(character == '}');
        if depth == 0 && character == '}' {
            return &text[..=place];
        }
    }
    panic!("{begins} has no end")
}

/// The whole configurations, and where each stands.
fn examples() -> [(&'static str, &'static str); 3] {
    [("README.md", example(README)), ("streaming.md", example(STREAMING)), ("docker.conf", DOCKER)]
}

/// nginx takes each whole configuration.
#[test]
fn examples_are_right() {
    for (page, text) in examples() {
        let checked = check_text(text);
        assert!(checked.right, "{page}: {}", checked.said);
    }
}

/// nginx with the upstream and the location of an example, before engines of which the first fails so, or all close idle
/// connections.
fn start(text: &str, mood: Mood) -> (Nginx, Vec<Node>) {
    let servers: Vec<_> = block(text, "upstream llm").lines().filter(|line| line.contains(":800")).collect();
    let nodes = Node::several(servers.len());
    // Engines are alike in when they close connections.
    let ill = if mood == Mood::ClosesIdle { nodes.len() } else { 1 };
    nodes[..ill].iter().for_each(|node| node.set_mood(mood));
    let mut upstream = block(text, "upstream llm").to_owned();
    for (server, node) in servers.iter().zip(&nodes) {
        let address = server.split_whitespace().nth(1).expect("an address").trim_end_matches(';');
        upstream = upstream.replace(address, &node.name());
    }
    (Config::new(upstream).server(block(text, "location /v1/")).start(), nodes)
}

/// Sends 60 POSTs, a third of them after another third has ended and connections were idle for long, and counts the good
/// answers.
fn good_answers(text: &str, mood: Mood) -> usize {
    let (nginx, _nodes) = start(text, mood);
    let good = (0..3).map(|round| {
        if round > 0 && mood == Mood::ClosesIdle {
            thread::sleep(Duration::from_millis(4700));
        }
        complete_all(nginx.address(), "/v1/completions", 20, 4)
    });
    good.sum()
}

/// Promise 11: with the lines that the documentation recommends, no POST fails where one engine fails before the first byte,
/// or where engines close connections that are idle for 5 s.
#[test]
fn requests_go_elsewhere_before_the_first_byte() {
    let moods = [
        Mood::Fails(Failure::Refuses(502, 0)),
        Mood::Fails(Failure::Refuses(503, 0)),
        Mood::Fails(Failure::Refuses(429, 0)),
        Mood::Fails(Failure::Resets),
        Mood::Close,
        Mood::ClosesIdle,
    ];
    let good = |page, text, mood| {
        let good = good_answers(text, mood);
        println!("{page}, {mood:?}: {good} of 60");
        (good < 60).then(|| format!("{page}, {mood:?}: {good} of 60"))
    };
    let wrong: Vec<_> = thread::scope(|scope| {
        let cases = examples().into_iter().flat_map(|(page, text)| moods.map(|mood| (page, text, mood)));
        let start = |(page, text, mood)| scope.spawn(move || good(page, text, mood));
        let threads: Vec<_> = cases.map(start).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
