use super::*;

#[track_caller]
fn assert_steps(body: &str, steps: f64) {
    let answer = whole(body);
    assert!(answer.is_known() && !answer.error(), "{answer:?}");
    assert_eq!((answer.delivery(0), answer.steps()), (Some(Delivery::Whole), steps));
    assert_eq!((answer.first_at(), answer.last_at()), (Some(100 * MS), 100 * MS));
}

#[test]
fn the_engines_count_is_the_truth() {
    for body in [
        r#"{"id":"cmpl-1","object":"text_completion","choices":[{"index":0,"text":" the of","finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":40}}"#,
        r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":" the","tool_calls":[]},"finish_reason":"stop"}],"usage":{"completion_tokens":40,"prompt_tokens":7,"completion_tokens_details":{"reasoning_tokens":20}},"timings":{"predicted_n":40}}"#,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}}],"usage":{"completion_tokens":40}}"#,
        r#"{"id":"resp_1","object":"response","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":" the"}]}],"text":{"format":{"type":"text"}},"usage":{"input_tokens":7,"output_tokens":40}}"#,
        r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":" the"}],"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":40}}"#,
        r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}],"usage":{"output_tokens":40}}"#,
        r#"{"model":"m","response":" the of","done":true,"done_reason":"stop","context":[1,2],"eval_count":40}"#,
        r#"{"model":"m","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":true,"eval_count":40}"#,
        r#"{"index":0,"content":" the of","tokens":[1,2,3],"stop":true,"tokens_predicted":40,"tokens_evaluated":7,"timings":{"predicted_n":40}}"#,
        r#"{"generated_text":" the of","details":{"finish_reason":"length","generated_tokens":40,"prefill":[],"tokens":[{"id":1,"text":" the"}]}}"#,
        r#"[{"generated_text":" the of","details":{"generated_tokens":40}}]"#,
        r#"{"text":" the of","output_ids":[1,2],"meta_info":{"finish_reason":{"type":"length","length":40},"prompt_tokens":7,"completion_tokens":40}}"#,
        r#"{"text":"","output_ids":[1,2],"meta_info":{"completion_tokens":40}}"#,
        r#"{"model_name":"m","text_output":"A prompt. the","num_output_tokens":40}"#,
    ] {
        assert_steps(body, 40.0);
        assert_steps(&format!("\n  {}\n", body.replace(",\"", ", \"").replace("\":", "\" : ")), 40.0);
    }
}

#[test]
fn choices_side_by_side_take_a_step_together() {
    assert_steps(
        r#"{"choices":[{"index":0,"message":{"content":" the of a"}},{"index":1,"message":{"content":" the of a"}}],"usage":{"completion_tokens":80}}"#,
        40.0,
    );
    assert_steps(
        r#"{"choices":[{"text":" a a a a a a","index":0},{"text":" a a","index":1}],"usage":{"completion_tokens":80}}"#,
        60.0,
    );
}

#[test]
fn without_a_count_the_words_tell() {
    let text = " the of a model in it".repeat(20);
    for body in [
        format!("{{\"generated_text\":\"{text}\"}}"),
        format!("{{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}"),
    ] {
        let steps = whole(&body).steps();
        assert!((steps / 120.0 - 1.0).abs() < 0.15, "{steps}");
    }
}

#[test]
fn a_text_that_can_begin_with_the_prompt_tells_no_length() {
    for body in [r#"{"text":["A prompt. the of"]}"#, r#"{"model_name":"m","text_output":"A prompt. the of"}"#]
    {
        let answer = whole(body);
        assert!(answer.is_known());
        assert_eq!(answer.steps(), 0.0);
    }
}

#[test]
fn what_is_not_generated_text_is_not_known() {
    let embeddings = format!(
        r#"{{"object":"list","data":[{{"object":"embedding","embedding":[{}0.5],"index":0}}],"usage":{{"prompt_tokens":7,"completion_tokens":0}}}}"#,
        "-0.0123,".repeat(2000)
    );
    for body in [
        &embeddings,
        r#"{"embeddings":[[0.1,0.2]],"prompt_eval_count":7}"#,
        r#"[{"embedding":[0.1],"index":0}]"#,
        r#"{"embedding":[0.1],"meta_info":{"prompt_tokens":7}}"#,
        r#"{"results":[{"index":0,"relevance_score":0.9,"document":{"text":"a text that was given"}}],"usage":{"total_tokens":9}}"#,
        r#"{"created":1,"data":[{"b64_json":"aGVsbG8gd29ybGQ="}],"usage":{"output_tokens":1056}}"#,
        r#"{"text":"a transcription of some length"}"#,
        r#"{"text":"a transcription","usage":{"type":"duration","seconds":3}}"#,
        r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#,
        r#"{"tokens":[1,2,3],"content":"detokenised"}"#,
        r#"{"content":"detokenised"}"#,
        r#"{"delta":"of a file"}"#,
        r#"{"response":"pong"}"#,
        r#"{"detail":"Not Found"}"#,
        r#"{"ok":1}"#,
        r#"{"data":{"text":"x"},"output":[{"content":"x"}]}"#,
        "{}",
        "[]",
        "[[1,2],[3]]",
        "<html><body>busy</body></html>",
        "plain text",
        "\x1f\u{8b}\x08\0gzip",
        "RIFF$\0\0\0WAVEfmt ",
        "",
        "{\"choices\":[{\"text\":\" the",
        "{\"choices\":[{\"text\":\" the\"}]",
        "{\"choices\":}",
        "data: hello\n\ndata: world\n\n",
        "event: x\n\n",
        "data: {\"object\":\"list\",\"data\":[]}\n\n",
    ] {
        let answer = whole(body);
        assert!(!answer.is_known(), "{body}: {answer:?}");
        assert_eq!((answer.delivery(0), answer.first_at()), (None, None), "{body}");
    }
}

#[test]
fn an_answer_has_begun_with_text_or_with_anything_that_is_not_known() {
    for body in [
        r#"{"ok":1}"#,
        "<html>",
        "data: hello\n\n",
        "data: {\"ok\":1}\n\n",
        "RIFF",
        "{\"choices\":[{\"text\":\"a\"}]}",
    ] {
        assert!(whole(body).has_begun(), "{body}");
    }
    for body in [
        "",
        "\n",
        ": keep-alive\n\n",
        "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        "event: message_start\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"output_tokens\":1}}}\n\n",
        "data: {\"type\":\"response.created\",\"response\":{\"output\":[]}}\n\n",
        "retry: 1000\n\n",
        "data: [DONE]\n\n",
        "data:\n\n",
    ] {
        assert!(!whole(body).has_begun(), "{body}");
    }
}

#[test]
fn what_is_given_up_is_not_known() {
    let mut answer = whole(r#"{"choices":[{"text":" the"}]}"#);
    answer.give_up();
    assert!(!answer.is_known());
    let mut answer = Answer::default();
    answer.give_up();
    assert!(!answer.has_begun());
    answer.read(b"\x1f\x8b", 7);
    assert!(answer.has_begun() && !answer.is_known());
}
