//! Where the forms of answers hold what matters: generated text, counts of tokens, and words that name the form.
//!
//! A path is the keys above a value; arrays add nothing to a path. Sources, as read in the documentation and code of
//! the engines: OpenAI's API reference (completions, chat, responses) with vLLM's, SGLang's, llama.cpp's, LMDeploy's and
//! trtllm-serve's additions; Anthropic's Messages API; Ollama's API; llama.cpp's server README (`/completion`); the OpenAPI
//! document of text-generation-inference; SGLang's native API (`/generate`); Triton's generate extension; vLLM's
//! api_server.

use super::keys::*;

/// What to do with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// Skip it.
    Nothing,
    /// Its text is generated, if the document has the form.
    Text(Source),
    /// It is the number of tokens generated up to now.
    Count(Count),
    /// It is the number of these tokens that were reasoning.
    Reasoning,
    /// It is the number of tokens of this document.
    News,
    /// It is the number of a choice, of those that are generated side by side.
    Choice,
    /// It is a word that matters.
    Word(Word),
    /// It is an error, unless it is null, false or empty.
    Error,
    /// Its elements are tokens of a choice.
    Tokens(List),
    /// That it is there shows the form.
    Mark(Mark),
    /// It belongs to an answer that is not text.
    Foreign,
}

/// Where generated text stands. One document has one of these; of two the later in this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Source {
    /// The whole text of text-generation-inference, which its last event repeats, and of MindIE.
    Generated,
    /// The text of SGLang and LMDeploy.
    Text,
    /// The text of Triton.
    TextOutput,
    /// The content of llama.cpp, or a part of an Anthropic message.
    Content,
    /// The response or the message of Ollama.
    Ollama,
    /// An item of a whole OpenAI response.
    Output,
    /// The delta of an event of an OpenAI response.
    Delta,
    /// The delta of an Anthropic event.
    Block,
    /// The token of text-generation-inference.
    Token,
    /// A choice of OpenAI's completions and chats.
    Choice,
    /// The reasoning of a choice. vLLM sends the same text under both names.
    Reasoning,
    /// The reasoning of a choice by its older name.
    ReasoningContent,
}

impl Source {
    /// The source with which its texts are counted together.
    pub fn family(self) -> Source {
        match self {
            Source::Reasoning | Source::ReasoningContent => Source::Choice,
            other => other,
        }
    }
}

/// Counts that can stand in one document side by side and mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// In the usage of OpenAI's and Anthropic's API.
    Usage,
    /// In llama.cpp's timings.
    Timings,
    /// The engine's own.
    Own,
}

/// Words that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Type,
    Object,
    Status,
    Finish,
}

/// Lists that have an element for each token of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Logprobs,
    Ids,
}

/// Values that show a form by being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// `choices` of OpenAI's API.
    Choices,
    /// `done` of Ollama.
    Done,
    /// `stop` of llama.cpp.
    Stop,
    /// `meta_info` of SGLang.
    Meta,
    /// `history_tokens` of LMDeploy.
    History,
    /// A call of a tool that is an object, or tokens that are not decoded: generated, but no text.
    Generated,
}

/// The path of these keys.
const fn path(keys: &[u8]) -> u64 {
    let (mut path, mut at) = (0, 0);
    while at < keys.len() {
        path = path << 8 | keys[at] as u64;
        at += 1;
    }
    path
}

/// The paths that matter.
const PATHS: &[(u64, Want)] = &sorted([
    (path(&[CHOICES]), Want::Mark(Mark::Choices)),
    (path(&[CHOICES, INDEX]), Want::Choice),
    (path(&[CHOICES, FINISH_REASON]), Want::Word(Word::Finish)),
    (path(&[CHOICES, TEXT]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, CONTENT]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, CONTENT, TEXT]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, REASONING]), Want::Text(Source::Reasoning)),
    (path(&[CHOICES, DELTA, REASONING_CONTENT]), Want::Text(Source::ReasoningContent)),
    (path(&[CHOICES, DELTA, REFUSAL]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, TOOL_CALLS, FUNCTION, NAME]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, TOOL_CALLS, FUNCTION, ARGUMENTS]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, FUNCTION_CALL, NAME]), Want::Text(Source::Choice)),
    (path(&[CHOICES, DELTA, FUNCTION_CALL, ARGUMENTS]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, CONTENT]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, CONTENT, TEXT]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, REASONING]), Want::Text(Source::Reasoning)),
    (path(&[CHOICES, MESSAGE, REASONING_CONTENT]), Want::Text(Source::ReasoningContent)),
    (path(&[CHOICES, MESSAGE, REFUSAL]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, TOOL_CALLS, FUNCTION, NAME]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, TOOL_CALLS, FUNCTION, ARGUMENTS]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, FUNCTION_CALL, NAME]), Want::Text(Source::Choice)),
    (path(&[CHOICES, MESSAGE, FUNCTION_CALL, ARGUMENTS]), Want::Text(Source::Choice)),
    (path(&[CHOICES, LOGPROBS, CONTENT]), Want::Tokens(List::Logprobs)),
    (path(&[CHOICES, LOGPROBS, TOKENS]), Want::Tokens(List::Logprobs)),
    (path(&[CHOICES, TOKEN_IDS]), Want::Tokens(List::Ids)),
    (path(&[USAGE, COMPLETION_TOKENS]), Want::Count(Count::Usage)),
    (path(&[USAGE, OUTPUT_TOKENS]), Want::Count(Count::Usage)),
    (path(&[USAGE, REASONING_TOKENS]), Want::Reasoning),
    (path(&[USAGE, COMPLETION_TOKENS_DETAILS, REASONING_TOKENS]), Want::Reasoning),
    (path(&[USAGE, OUTPUT_TOKENS_DETAILS, REASONING_TOKENS]), Want::Reasoning),
    (path(&[TIMINGS, PREDICTED_N]), Want::Count(Count::Timings)),
    (path(&[DELTA]), Want::Text(Source::Delta)),
    (path(&[OUTPUT, CONTENT, TEXT]), Want::Text(Source::Output)),
    (path(&[OUTPUT, CONTENT, REFUSAL]), Want::Text(Source::Output)),
    (path(&[OUTPUT, ARGUMENTS]), Want::Text(Source::Output)),
    (path(&[OUTPUT, SUMMARY, TEXT]), Want::Text(Source::Output)),
    (path(&[RESPONSE, USAGE, OUTPUT_TOKENS]), Want::Count(Count::Usage)),
    (path(&[RESPONSE, USAGE, OUTPUT_TOKENS_DETAILS, REASONING_TOKENS]), Want::Reasoning),
    (path(&[DELTA, TEXT]), Want::Text(Source::Block)),
    (path(&[DELTA, THINKING]), Want::Text(Source::Block)),
    (path(&[DELTA, PARTIAL_JSON]), Want::Text(Source::Block)),
    (path(&[CONTENT, TEXT]), Want::Text(Source::Content)),
    (path(&[CONTENT, THINKING]), Want::Text(Source::Content)),
    (path(&[CONTENT, INPUT]), Want::Mark(Mark::Generated)),
    (path(&[MESSAGE, USAGE, OUTPUT_TOKENS]), Want::Count(Count::Usage)),
    (path(&[RESPONSE]), Want::Text(Source::Ollama)),
    (path(&[THINKING]), Want::Text(Source::Ollama)),
    (path(&[MESSAGE, CONTENT]), Want::Text(Source::Ollama)),
    (path(&[MESSAGE, THINKING]), Want::Text(Source::Ollama)),
    (path(&[MESSAGE, TOOL_CALLS, FUNCTION, ARGUMENTS]), Want::Mark(Mark::Generated)),
    (path(&[DONE]), Want::Mark(Mark::Done)),
    (path(&[EVAL_COUNT]), Want::Count(Count::Own)),
    (path(&[CONTENT]), Want::Text(Source::Content)),
    (path(&[STOP]), Want::Mark(Mark::Stop)),
    (path(&[TOKENS_PREDICTED]), Want::Count(Count::Own)),
    (path(&[TOKEN, TEXT]), Want::Text(Source::Token)),
    (path(&[GENERATED_TEXT]), Want::Text(Source::Generated)),
    (path(&[DETAILS, GENERATED_TOKENS]), Want::Count(Count::Own)),
    (path(&[TEXT]), Want::Text(Source::Text)),
    (path(&[META_INFO]), Want::Mark(Mark::Meta)),
    (path(&[META_INFO, COMPLETION_TOKENS]), Want::Count(Count::Own)),
    (path(&[META_INFO, FINISH_REASON, TYPE]), Want::Word(Word::Finish)),
    (path(&[OUTPUT_IDS]), Want::Mark(Mark::Generated)),
    (path(&[HISTORY_TOKENS]), Want::Mark(Mark::History)),
    (path(&[TOKENS]), Want::Count(Count::Own)),
    (path(&[TEXT_OUTPUT]), Want::Text(Source::TextOutput)),
    (path(&[NUM_OUTPUT_TOKENS]), Want::News),
    (path(&[TYPE]), Want::Word(Word::Type)),
    (path(&[OBJECT]), Want::Word(Word::Object)),
    (path(&[STATUS]), Want::Word(Word::Status)),
    (path(&[ERROR]), Want::Error),
    (path(&[EMBEDDING]), Want::Foreign),
    (path(&[EMBEDDINGS]), Want::Foreign),
    (path(&[DATA, EMBEDDING]), Want::Foreign),
    (path(&[DATA, B64_JSON]), Want::Foreign),
]);

/// What to do with the value under a path.
pub(super) fn want(path: u64) -> Want {
    // Most values stand under a key that does not matter.
    if path & 0xFF == u64::from(OTHER) {
        return Want::Nothing;
    }
    let found = PATHS.binary_search_by_key(&path, |(path, _)| *path);
    found.ok().and_then(|at| PATHS.get(at)).map_or(Want::Nothing, |(_, want)| *want)
}

/// The rows in the order of their paths.
const fn sorted<const N: usize>(mut rows: [(u64, Want); N]) -> [(u64, Want); N] {
    let mut end = 1;
    while end < N {
        let mut at = end;
        while at > 0 && rows[at - 1].0 > rows[at].0 {
            (rows[at - 1], rows[at]) = (rows[at], rows[at - 1]);
            at -= 1;
        }
        end += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_stands_there_once_and_is_found() {
        assert!(PATHS.windows(2).all(|rows| rows[0].0 < rows[1].0));
        assert!(PATHS.iter().all(|(path, expected)| want(*path) == *expected));
        assert_eq!(want(path(&[CHOICES, OTHER, TEXT])), Want::Nothing);
        assert_eq!(want(path(&[OTHER, TEXT])), Want::Nothing);
    }
}
