//! The keys of JSON objects that matter in an answer, as numbers of one byte.

/// The number of every key that does not matter.
pub(super) const OTHER: u8 = 255;

/// Defines the keys: a constant for each, and the number of a key by its text.
macro_rules! keys {
    ($($name:ident $text:literal $number:literal),* $(,)?) => {
        $(pub(super) const $name: u8 = $number;)*

        /// The number of a key.
        pub(super) fn id(key: &[u8]) -> u8 {
            match key {
                $($text => $name,)*
                _ => OTHER,
            }
        }
    };
}

keys! {
    ARGUMENTS b"arguments" 1,
    B64_JSON b"b64_json" 2,
    CHOICES b"choices" 3,
    COMPLETION_TOKENS b"completion_tokens" 4,
    COMPLETION_TOKENS_DETAILS b"completion_tokens_details" 5,
    CONTENT b"content" 6,
    CONTENT_BLOCK b"content_block" 7,
    DATA b"data" 8,
    DELTA b"delta" 9,
    DETAILS b"details" 10,
    DONE b"done" 11,
    EMBEDDING b"embedding" 12,
    EMBEDDINGS b"embeddings" 13,
    ERROR b"error" 14,
    EVAL_COUNT b"eval_count" 15,
    FINISH_REASON b"finish_reason" 16,
    FUNCTION b"function" 17,
    FUNCTION_CALL b"function_call" 18,
    GENERATED_TEXT b"generated_text" 19,
    GENERATED_TOKENS b"generated_tokens" 20,
    HISTORY_TOKENS b"history_tokens" 21,
    INDEX b"index" 22,
    INPUT b"input" 23,
    LOGPROBS b"logprobs" 24,
    MESSAGE b"message" 25,
    META_INFO b"meta_info" 26,
    NAME b"name" 27,
    NUM_OUTPUT_TOKENS b"num_output_tokens" 28,
    OBJECT b"object" 29,
    OUTPUT b"output" 30,
    OUTPUT_IDS b"output_ids" 31,
    OUTPUT_TOKENS b"output_tokens" 32,
    OUTPUT_TOKENS_DETAILS b"output_tokens_details" 33,
    PARTIAL_JSON b"partial_json" 34,
    PREDICTED_N b"predicted_n" 35,
    REASONING b"reasoning" 36,
    REASONING_CONTENT b"reasoning_content" 37,
    REASONING_TOKENS b"reasoning_tokens" 38,
    REFUSAL b"refusal" 39,
    RESPONSE b"response" 40,
    STATUS b"status" 41,
    STOP b"stop" 42,
    SUMMARY b"summary" 43,
    TEXT b"text" 44,
    TEXT_OUTPUT b"text_output" 45,
    THINKING b"thinking" 46,
    TIMINGS b"timings" 47,
    TOKEN b"token" 48,
    TOKEN_IDS b"token_ids" 49,
    TOKENS b"tokens" 50,
    TOKENS_PREDICTED b"tokens_predicted" 51,
    TOOL_CALLS b"tool_calls" 52,
    TYPE b"type" 53,
    USAGE b"usage" 54,
}
