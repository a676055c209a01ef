//! What clients ask, as OpenAI's API has it.

use serde::Deserialize;

/// Bytes of text in a token, about what tokenizers reach on English.
const BYTES_PER_TOKEN: usize = 4;

/// Tokens that a part of a message takes which is no text: an image of 24 × 24 patches, as in LLaVA 1.5, however many
/// bytes its base64 has.
const IMAGE_TOKENS: usize = 576;

/// What both endpoints need.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub model: Option<String>,
    pub prompt_tokens: u32,
    pub max_tokens: Option<u32>,
    pub ignore_eos: bool,
    pub stream: bool,
    pub include_usage: bool,
}

/// vLLM's default of `max_tokens` for plain completions.
const COMPLETION_MAX_TOKENS: u32 = 16;

#[derive(Deserialize)]
struct Options {
    model: Option<String>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Deserialize)]
struct Completion {
    prompt: Prompt,
    #[serde(flatten)]
    options: Options,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
    #[serde(flatten)]
    options: Options,
}

#[derive(Deserialize)]
struct Message {
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

/// Reads the body of `/v1/completions`. The error says what is wrong with it.
pub(super) fn completion(body: &[u8]) -> Result<Ask, String> {
    let Completion { prompt, options } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let tokens = match prompt {
        Prompt::Text(text) => text_tokens(&text),
        Prompt::Tokens(tokens) => tokens.len(),
        Prompt::Texts(texts) => text_tokens(only(&texts)?),
        Prompt::TokenLists(lists) => only(&lists)?.len(),
    };
    let default = options.max_tokens.unwrap_or(COMPLETION_MAX_TOKENS);
    ask(tokens, Options { max_tokens: Some(default), ..options })
}

/// Reads the body of `/v1/chat/completions`. The error says what is wrong with it.
pub(super) fn chat(body: &[u8]) -> Result<Ask, String> {
    let Chat { messages, options } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let tokens = messages.iter().filter_map(|message| message.content.as_ref()).map(content_tokens).sum();
    ask(tokens, options)
}

fn only<T>(prompts: &[T]) -> Result<&T, String> {
    match prompts {
        [prompt] => Ok(prompt),
        _ => Err(format!("{} prompts in one request; this engine takes one", prompts.len())),
    }
}

fn content_tokens(content: &Content) -> usize {
    match content {
        Content::Text(text) => text_tokens(text),
        Content::Parts(parts) => {
            parts.iter().map(|part| part.text.as_deref().map_or(IMAGE_TOKENS, text_tokens)).sum()
        }
    }
}

fn text_tokens(text: &str) -> usize {
    text.len().div_ceil(BYTES_PER_TOKEN)
}

fn ask(prompt_tokens: usize, options: Options) -> Result<Ask, String> {
    let max_tokens = options.max_completion_tokens.or(options.max_tokens);
    if max_tokens == Some(0) {
        return Err("max_tokens must be at least 1".to_owned());
    }
    Ok(Ask {
        model: options.model,
        prompt_tokens: u32::try_from(prompt_tokens).map_err(|error| error.to_string())?,
        max_tokens,
        ignore_eos: options.ignore_eos,
        stream: options.stream,
        include_usage: options.stream_options.is_some_and(|options| options.include_usage),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt_tokens(body: &str) -> u32 {
        completion(body.as_bytes()).expect("a good body").prompt_tokens
    }

    #[test]
    fn a_prompt_is_text_or_tokens() {
        assert_eq!(prompt_tokens(r#"{"prompt":"12345"}"#), 2);
        assert_eq!(prompt_tokens(r#"{"prompt":["12345678"]}"#), 2);
        assert_eq!(prompt_tokens(r#"{"prompt":[1,2,3,4,5]}"#), 5);
        assert_eq!(prompt_tokens(r#"{"prompt":[[1,2,3]]}"#), 3);
        assert_eq!(prompt_tokens(r#"{"prompt":""}"#), 0);
    }

    #[test]
    fn an_image_has_a_fixed_size() {
        let body = r#"{"messages":[{"role":"system","content":"12345678"},{"role":"user","content":
            [{"type":"text","text":"1234"},{"type":"image_url","image_url":{"url":"data:…"}}]}]}"#;
        assert_eq!(chat(body.as_bytes()).expect("a good body").prompt_tokens, 2 + 1 + 576);
    }

    #[test]
    fn options_are_read() {
        let body = r#"{"model":"m","prompt":"a","max_tokens":7,"ignore_eos":true,"stream":true,"temperature":0.5,
            "stream_options":{"include_usage":true}}"#;
        let expected = Ask {
            model: Some("m".to_owned()),
            prompt_tokens: 1,
            max_tokens: Some(7),
            ignore_eos: true,
            stream: true,
            include_usage: true,
        };
        assert_eq!(completion(body.as_bytes()), Ok(expected));
        assert_eq!(completion(br#"{"prompt":"a"}"#).expect("a good body").max_tokens, Some(16));
        let chat = chat(br#"{"messages":[],"max_tokens":5,"max_completion_tokens":6}"#).expect("a good body");
        assert_eq!(chat.max_tokens, Some(6));
    }

    #[test]
    fn bad_bodies_are_refused_with_a_reason() {
        for (body, reason) in [
            ("", "EOF"),
            ("{}", "prompt"),
            (r#"{"prompt":["a","b"]}"#, "2 prompts"),
            (r#"{"prompt":"a","max_tokens":0}"#, "at least 1"),
            (r#"{"prompt":"a","max_tokens":-1}"#, "-1"),
        ] {
            let error = completion(body.as_bytes()).expect_err(body);
            assert!(error.contains(reason), "{error}");
        }
    }
}
