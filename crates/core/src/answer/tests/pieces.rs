use super::*;
use proptest::prelude::*;

/// Parts of answers, in order and out of order.
fn parts() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => prop::sample::select(vec![
            "data: ", "data:", "event: error", "event: ping", ": x", "\n", "\n\n", "\r\n", "\r", "{", "}", "[", "]", ",", ":", "\"",
            "\\u4e2d", "\\ud83d\\ude00", "\\n", "\\\"", "\"choices\":[", "\"delta\":{", "\"content\":", "\"text\":", "\"index\":1",
            "\"usage\":{", "\"completion_tokens\":7", "\"type\":\"content_block_delta\"", "\"error\":", "\"done\":true", "null",
            "\"response\":\" a\"", "\"token\":{\"text\":\" b\"}", "\"meta_info\":{}", "\0", " the quick", "人工", "[DONE]",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a\"}}]}\n\n", "\"token_ids\":[1,2]", "\"embedding\":[1]",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

fn in_pieces(body: &[u8], at: &[usize]) -> Answer {
    let mut at: Vec<_> = at.iter().map(|at| at % (body.len() + 1)).chain([0, body.len()]).collect();
    at.sort_unstable();
    let mut answer = Answer::default();
    at.windows(2).for_each(|ends| answer.read(&body[ends[0]..ends[1]], 1000));
    answer
}

/// What a reader makes of an answer. How many pieces of an unknown answer came depends on the pieces.
fn told(answer: &Answer) -> (bool, bool, bool, f64, f64, Option<u64>, Option<Delivery>) {
    let known = (answer.is_known(), answer.error(), answer.has_begun());
    (known.0, known.1, known.2, answer.tokens(), answer.steps(), answer.first_at(), answer.delivery(0))
}

proptest! {
    #[test]
    fn where_pieces_end_does_not_matter(body in parts(), at: Vec<usize>) {
        let at_once = in_pieces(&body, &[]);
        prop_assert_eq!(told(&in_pieces(&body, &at)), told(&at_once));
        let by_bytes: Vec<_> = (0..body.len()).collect();
        prop_assert_eq!(told(&in_pieces(&body, &by_bytes)), told(&at_once));
        prop_assert!(at_once.tokens().is_finite() && at_once.steps() >= 0.0 && at_once.steps_after_first() >= 0.0);
    }
}

/// The same of answers that are whole, cut at each place.
#[test]
fn real_answers_can_be_cut_anywhere() {
    for body in [
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \\u4e2d\\u6587 \\\"a\\\"\"}}]}\r\n\r\ndata: {\"choices\":[],\"usage\":{\"completion_tokens\":12}}\r\n\r\ndata: [DONE]\r\n\r\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\" a b\"}}\n\n",
        "{\"response\":\" a\",\"done\":false}\n{\"response\":\"\",\"done\":true,\"eval_count\":9}\n",
        "event: error\r\ndata: {\"error\":\"x\"}\r\n\r\n",
    ] {
        let at_once = in_pieces(body.as_bytes(), &[]);
        assert!(at_once.is_known() || at_once.error());
        (0..body.len())
            .for_each(|at| assert_eq!(told(&in_pieces(body.as_bytes(), &[at])), told(&at_once), "{at}"));
    }
}
