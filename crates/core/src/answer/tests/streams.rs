use super::*;

/// Whether an answer of 40 tokens at 20 ms a token was read as such, from the moment at which its first token came.
fn assert_forty(name: &str, answer: &Answer, first_at: u64) {
    assert!(answer.is_known() && !answer.error(), "{name}: {answer:?}");
    assert_eq!(answer.delivery(0), Some(Delivery::Streamed), "{name}");
    assert_eq!(answer.first_at(), Some(first_at), "{name}");
    let per_token = answer.duration() as f64 / answer.steps_after_first();
    assert!((per_token / 20_000.0 - 1.0).abs() < 0.01, "{name}: {per_token} µs");
}

/// Events of 40 tokens with what stands before and after them; each comes 20 ms after the one before.
fn forty(before: &[&str], event: impl Fn(usize) -> String, after: &[&str]) -> Vec<String> {
    let events = (0..40).map(event);
    before
        .iter()
        .map(|text| (*text).to_owned())
        .chain(events)
        .chain(after.iter().map(|text| (*text).to_owned()))
        .collect()
}

/// The time of the first token where so many pieces come before it.
fn after(pieces: u64) -> u64 {
    (100 + 20 * pieces) * MS
}

fn chunk(choice: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{{\"index\":0,{choice},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

fn delta(key: &str, n: usize) -> String {
    chunk(&format!("\"delta\":{{\"{key}\":{}}}", token(n)))
}

const ROLE: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const STOP: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"total_tokens\":47,\"completion_tokens\":40}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn openai_completions() {
    let event = |n: usize, more: &str| {
        format!(
            "data: {{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"text\":{},{more}\"finish_reason\":null,\"stop_reason\":null}}],\"usage\":null}}\n\n",
            token(n)
        )
    };
    assert_forty("text", &read(forty(&[], |n| event(n, ""), &[DONE])), after(0));
    let logprobs = "\"logprobs\":{\"text_offset\":[0],\"token_logprobs\":[-0.1],\"tokens\":[\" a\"],\"top_logprobs\":[{\" a\":-0.1,\" the\":-2.0,\" b\":-3.0}]},";
    assert_forty("log probabilities", &read(forty(&[], |n| event(n, logprobs), &[DONE])), after(0));
    let ids = "\"token_ids\":[791],\"prompt_token_ids\":null,";
    assert_forty("token ids", &read(forty(&[], |n| event(n, ids), &[DONE])), after(0));
}

#[test]
fn openai_chats() {
    for key in ["content", "reasoning_content", "reasoning", "refusal"] {
        assert_forty(key, &read(forty(&[ROLE], |n| delta(key, n), &[STOP, DONE])), after(1));
        assert_forty(key, &read(forty(&[ROLE], |n| delta(key, n), &[STOP, USAGE, DONE])), after(1));
    }
    let both = |n: usize| {
        chunk(&format!("\"delta\":{{\"reasoning\":{},\"reasoning_content\":{}}}", token(n), token(n)))
    };
    assert_forty("both names", &read(forty(&[ROLE], both, &[STOP, DONE])), after(1));
    let null = |n: usize| {
        chunk(&format!("\"delta\":{{\"reasoning_content\":null,\"content\":{},\"tool_calls\":[]}}", token(n)))
    };
    assert_forty("null", &read(forty(&[ROLE], null, &[STOP, DONE])), after(1));
    let call = |n: usize| {
        chunk(&format!(
            "\"delta\":{{\"tool_calls\":[{{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{{\"arguments\":{}}}}}]}}",
            token(n)
        ))
    };
    assert_forty("a call", &read(forty(&[ROLE], call, &[STOP, DONE])), after(1));
    let logprobs = |n: usize| {
        chunk(&format!(
            "\"delta\":{{\"content\":{0}}},\"logprobs\":{{\"content\":[{{\"token\":{0},\"logprob\":-0.1,\"bytes\":[32,116],\"top_logprobs\":[{{\"token\":\" x\",\"logprob\":-1.0,\"bytes\":[1]}},{{\"token\":\" y\",\"logprob\":-2.0,\"bytes\":[2]}}]}}]}}",
            token(n)
        ))
    };
    // The chunk repeats the key with null, as no engine does; the list still counts.
    assert_forty("log probabilities", &read(forty(&[ROLE], logprobs, &[STOP, DONE])), after(1));
    let usage = |n: usize| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{}}}}}],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{}}}}}\n\n",
            token(n),
            n + 1
        )
    };
    assert_forty("continuous usage", &read(forty(&[ROLE], usage, &[STOP, USAGE, DONE])), after(1));
    let timings = "data: {\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}],\"timings\":{\"prompt_n\":7,\"predicted_n\":40,\"predicted_ms\":800.0}}\n\n";
    assert_forty("timings", &read(forty(&[ROLE], |n| delta("content", n), &[timings, DONE])), after(1));
}

#[test]
fn openai_responses() {
    let created = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":null,\"output\":[],\"tools\":[{\"type\":\"function\",\"parameters\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"},\"a\":{\"items\":{\"items\":{\"items\":{\"properties\":{\"delta\":{\"text\":\"x\"}}}}}}}}}],\"usage\":null}}\n\n";
    let done = "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"item_id\":\"msg_1\",\"text\":\" the of large\"}\n\n";
    let completed = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\" the of large\"}]}],\"usage\":{\"input_tokens\":7,\"output_tokens\":40,\"output_tokens_details\":{\"reasoning_tokens\":0}}}}\n\n";
    for kind in [
        "output_text",
        "reasoning_text",
        "reasoning_summary_text",
        "function_call_arguments",
        "refusal",
        "custom_tool_call_input",
    ] {
        let event = |n: usize| {
            format!(
                "event: response.{kind}.delta\ndata: {{\"content_index\":0,\"delta\":{},\"item_id\":\"msg_1\",\"logprobs\":[],\"output_index\":0,\"sequence_number\":{n},\"type\":\"response.{kind}.delta\"}}\n\n",
                token(n)
            )
        };
        assert_forty(kind, &read(forty(&[created], event, &[done])), after(1));
        assert_forty(kind, &read(forty(&[created], event, &[done, completed])), after(1));
    }
}

#[test]
fn anthropic_messages() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":40}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    for (kind, key) in
        [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
    {
        let event = |n: usize| {
            format!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"{kind}\",\"{key}\":{}}}}}\n\n",
                token(n)
            )
        };
        assert_forty(kind, &read(forty(&[start, block, ping], event, &[ping, end])), after(3));
        assert_forty(kind, &read(forty(&[], event, &[])), after(0));
        // In the order of the alphabet, as serialisers of maps have it.
        let sorted = |n: usize| {
            format!(
                "data: {{\"delta\":{{\"{key}\":{},\"type\":\"{kind}\"}},\"index\":0,\"type\":\"content_block_delta\"}}\n\n",
                token(n)
            )
        };
        assert_forty(kind, &read(forty(&[start], sorted, &[end])), after(1));
    }
}

#[test]
fn ollama() {
    let end = "{\"model\":\"m\",\"created_at\":\"2026-01-01T00:00:00Z\",\"response\":\"\",\"done\":true,\"done_reason\":\"stop\",\"context\":[1,2,3],\"total_duration\":5000000,\"eval_count\":40,\"eval_duration\":800000000}\n";
    for key in ["response", "thinking"] {
        let event = |n: usize| {
            format!(
                "{{\"model\":\"m\",\"created_at\":\"2026-01-01T00:00:00Z\",\"{key}\":{},\"done\":false}}\n",
                token(n)
            )
        };
        assert_forty(key, &read(forty(&[], event, &[end])), after(0));
    }
    let end = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"eval_count\":40}\n";
    for key in ["content", "thinking"] {
        let event = |n: usize| {
            format!(
                "{{\"model\":\"m\",\"message\":{{\"role\":\"assistant\",\"{key}\":{}}},\"done\":false}}\n",
                token(n)
            )
        };
        assert_forty(key, &read(forty(&[], event, &[end])), after(0));
        assert_forty(key, &read(forty(&[], event, &[])), after(0));
    }
}

#[test]
fn llama_cpp() {
    let end = "data: {\"index\":0,\"content\":\"\",\"tokens\":[],\"stop\":true,\"model\":\"m\",\"tokens_predicted\":40,\"tokens_evaluated\":7,\"generation_settings\":{\"stop\":[],\"n_predict\":40},\"prompt\":\"p\",\"timings\":{\"predicted_n\":40}}\n\n";
    let now = |n: usize| {
        format!(
            "data: {{\"index\":0,\"content\":{},\"tokens\":[791,{n}],\"stop\":false,\"id_slot\":-1,\"tokens_predicted\":{},\"tokens_evaluated\":7}}\n\n",
            token(n),
            n + 1
        )
    };
    assert_forty("now", &read(forty(&[], now, &[end])), after(0));
    let old = |n: usize| {
        format!("data: {{\"content\":{},\"multimodal\":false,\"slot_id\":0,\"stop\":false}}\n\n", token(n))
    };
    assert_forty("before 2024", &read(forty(&[], old, &[end])), after(0));
    let probabilities = |n: usize| {
        format!(
            "data: {{\"index\":0,\"content\":{0},\"stop\":false,\"completion_probabilities\":[{{\"content\":{0},\"token\":{0},\"text\":\"x\",\"probs\":[{{\"tok_str\":\" a\",\"prob\":0.5}}]}}]}}\n\n",
            token(n)
        )
    };
    assert_forty("n_probs", &read(forty(&[], probabilities, &[])), after(0));
}

#[test]
fn text_generation_inference() {
    let event = |n: usize| {
        format!(
            "data:{{\"index\":{n},\"token\":{{\"id\":5,\"text\":{},\"logprob\":-0.3,\"special\":false}},\"top_tokens\":[{{\"id\":5,\"text\":\" many words here\",\"logprob\":-0.3,\"special\":false}}],\"generated_text\":null,\"details\":null}}\n\n",
            token(n)
        )
    };
    let last = |n: usize| {
        match n {
        39 => "data:{\"index\":40,\"token\":{\"id\":2,\"text\":\"</s>\",\"logprob\":-0.1,\"special\":true},\"generated_text\":\" the of . large\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":40,\"input_length\":7}}\n\n".to_owned(),
        n => event(n),
    }
    };
    assert_forty("a token", &read(forty(&[":\n\n"], event, &[])), after(1));
    assert_forty("details", &read(forty(&[":keep-alive\n\n"], last, &[])), after(1));
    let mindie = |n: usize| {
        format!(
            "data: {{\"prefill_time\":45.54,\"decode_time\":null,\"token\":{{\"id\":[626],\"text\":{}}}}}\n\n",
            token(n)
        )
    };
    assert_forty("MindIE", &read(forty(&[], mindie, &[])), after(0));
}

#[test]
fn sglang_whether_events_repeat_the_text_or_not() {
    let text = |from: usize, n: usize| -> String { (from..=n).map(|n| TOKENS[n % 10]).collect() };
    let event = |text: String, n: usize| {
        format!(
            "data: {{\"text\": \"{text}\", \"output_ids\": [791, 3], \"meta_info\": {{\"id\": \"1\", \"finish_reason\": null, \"prompt_tokens\": 7, \"completion_tokens\": {}, \"cached_tokens\": 0}}}}\n\n",
            n + 1
        )
    };
    assert_forty("repeats", &read(forty(&[], |n| event(text(0, n), n), &[DONE])), after(0));
    assert_forty("does not", &read(forty(&[], |n| event(text(n, n), n), &[DONE])), after(0));
    let lmdeploy = |n: usize| {
        format!(
            "data: {{\"text\":{},\"tokens\":{},\"input_tokens\":7,\"history_tokens\":0,\"finish_reason\":null}}\n\n",
            token(n),
            n + 1
        )
    };
    assert_forty("LMDeploy", &read(forty(&[], lmdeploy, &[])), after(0));
}

#[test]
fn triton() {
    let event = |n: usize| {
        format!(
            "data: {{\"cum_log_probs\":0.0,\"model_name\":\"ensemble\",\"model_version\":\"1\",\"output_log_probs\":[0.0],\"sequence_end\":false,\"text_output\":{}}}\n\n",
            token(n)
        )
    };
    assert_forty("text", &read(forty(&[], event, &[])), after(0));
    let counted = |n: usize| {
        format!("data: {{\"model_name\":\"m\",\"num_output_tokens\":1,\"text_output\":{}}}\n\n", token(n))
    };
    assert_forty("counted", &read(forty(&[], counted, &[])), after(0));
}

#[test]
fn vllm_of_old_repeats_the_prompt_and_the_text() {
    for end in ["\0", "\n"] {
        let event = |n: usize| {
            let text: String = (0..=n).map(|n| TOKENS[n % 10]).collect();
            format!("{{\"text\": [\"A prompt of several words.{text}\"]}}{end}")
        };
        let answer = read(forty(&[], event, &[]));
        assert_eq!(answer.delivery(0), Some(Delivery::Streamed));
        let per_token = answer.duration() as f64 / answer.steps_after_first();
        // The words of the text tell, not exactly, how many tokens came.
        assert!((per_token / 20_000.0 - 1.0).abs() < 0.15, "{per_token}");
    }
}

#[test]
fn choices_side_by_side_take_a_step_together() {
    let event = |choice: usize, n: usize| {
        format!("data: {{\"choices\":[{{\"index\":{choice},\"delta\":{{\"content\":{}}}}}]}}\n\n", token(n))
    };
    for choices in [2, 3, 12] {
        let step = |n: usize| (0..choices).map(|choice| event(choice, n)).collect::<String>();
        assert_forty("by events", &read(forty(&[ROLE], step, &[DONE])), after(1));
        let usage =
            format!("data: {{\"choices\":[],\"usage\":{{\"completion_tokens\":{}}}}}\n\n", 40 * choices);
        assert_forty("by usage", &read(forty(&[ROLE], step, &[&usage, DONE])), after(1));
    }
    // One ends early: the steps are those of the other.
    let uneven = |n: usize| if n < 10 { event(0, n) + &event(1, n) } else { event(1, n) };
    let answer = read(forty(&[ROLE], uneven, &[DONE]));
    assert_eq!(answer.steps(), 40.0);
    let per_token = answer.duration() as f64 / answer.steps_after_first();
    assert!((per_token / 20_000.0 - 1.0).abs() < 0.02, "{per_token} µs");
}

#[test]
fn tokens_that_come_together_count_each() {
    for together in [2, 3, 5] {
        let merged = |usage: &[&str]| {
            let event = |first: usize| {
                let text: String = (first..first + together).map(|n| TOKENS[n % 10]).collect();
                chunk(&format!("\"delta\":{{\"content\":\"{text}\"}}"))
            };
            read((0..60).step_by(together).map(event).chain(usage.iter().map(|text| (*text).to_owned())))
        };
        let tokens = merged(&[]).tokens();
        assert!((tokens / 60.0 - 1.0).abs() < 0.15, "{together}: {tokens}");
        assert_eq!(
            merged(&["data: {\"choices\":[],\"usage\":{\"completion_tokens\":60}}\n\n"]).tokens(),
            60.0
        );
    }
}

#[test]
fn lines_end_as_the_standard_allows() {
    for end in ["\n", "\r\n", "\r"] {
        let events = || forty(&[ROLE], |n| delta("content", n), &[STOP, DONE]);
        let told = events().into_iter().map(|event| event.replace('\n', end));
        assert_forty("line ends", &read(told), after(1));
        let bare = events().into_iter().map(|event| {
            format!(": keep-alive{end}{end}id: 7{end}{}", event.replace("data: ", "data:").replace('\n', end))
        });
        assert_forty("other fields", &read(bare), after(1));
        let lines = events().into_iter().map(|event| {
            event
                .replace("\"created\"", &format!("{end}data: \"created\""))
                .replace("\n\n", &format!("{end}{end}"))
        });
        assert_forty("several lines of data", &read(lines), after(1));
    }
}

#[test]
fn a_stream_that_was_held_back_is_known_for_it() {
    let events = forty(&[ROLE], |n| delta("content", n), &[STOP, USAGE, DONE]);
    let held = |gap: u64| {
        let mut answer = Answer::default();
        events.iter().zip(0..).for_each(|(event, n)| answer.read(event.as_bytes(), 900 * MS + n * gap));
        answer.delivery(100 * MS)
    };
    assert_eq!([0, 30, 100, 900].map(held), [Some(Delivery::Held); 4]);
    assert_eq!([4_000, 20_000].map(held), [Some(Delivery::Streamed); 2]);
}

#[test]
fn what_is_not_shown_is_not_taken_for_fast() {
    let usage = |details: &str| {
        format!("data: {{\"choices\":[],\"usage\":{{\"completion_tokens\":400{details}}}}}\n\n")
    };
    // 360 tokens of reasoning that nobody sees, and 40 that are shown.
    let told = usage(",\"completion_tokens_details\":{\"reasoning_tokens\":360}");
    assert_forty("told", &read(forty(&[ROLE], |n| delta("content", n), &[&told, DONE])), after(1));
    let untold = read(forty(&[ROLE], |n| delta("content", n), &[&usage(""), DONE]));
    assert_eq!(untold.delivery(0), Some(Delivery::Whole), "all of its time is that of all its tokens");
}
