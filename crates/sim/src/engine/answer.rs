//! Answers as OpenAI's API has them, in vLLM's words: one JSON object, or a stream of server-sent events.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::live::Ticket;
use crate::node::Request;

/// Every token's text: four bytes, as many as the prompt's tokens are counted with.
const TOKEN: &str = " tok";

/// Which endpoint was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Completions,
    Chat,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn usage(request: Request) -> Value {
    json!({
        "prompt_tokens": request.prompt,
        "total_tokens": request.prompt + request.output,
        "completion_tokens": request.output,
    })
}

/// What all chunks of an answer begin with, and the parts that change.
pub(super) struct Writer {
    endpoint: Endpoint,
    /// `"id":…,"object":…,"created":…,"model":…`
    head: String,
    include_usage: bool,
}

impl Writer {
    pub fn new(endpoint: Endpoint, id: u64, model: &str, stream: bool, include_usage: bool) -> Self {
        let (prefix, object) = match (endpoint, stream) {
            (Endpoint::Completions, _) => ("cmpl", "text_completion"),
            (Endpoint::Chat, true) => ("chatcmpl", "chat.completion.chunk"),
            (Endpoint::Chat, false) => ("chatcmpl", "chat.completion"),
        };
        let model = Value::from(model);
        let head = format!(r#""id":"{prefix}-{id}","object":"{object}","created":{},"model":{model}"#, now());
        Self { endpoint, head, include_usage }
    }

    /// The whole answer of a request that does not stream.
    pub fn whole(&self, request: Request, finish_reason: &str) -> String {
        let text = TOKEN.repeat(request.output as usize);
        let choice = match self.endpoint {
            Endpoint::Completions => json!({"index": 0, "text": text, "logprobs": null,
                "finish_reason": finish_reason, "stop_reason": null}),
            Endpoint::Chat => json!({"index": 0, "message": {"role": "assistant", "content": text},
                "logprobs": null, "finish_reason": finish_reason, "stop_reason": null}),
        };
        format!(r#"{{{},"choices":[{choice}],"usage":{}}}"#, self.head, usage(request))
    }

    fn event(&self, to: &mut String, choices: &str, usage: Option<&Value>) {
        to.push_str("data: {");
        to.push_str(&self.head);
        to.push_str(r#","choices":["#);
        to.push_str(choices);
        to.push(']');
        if self.include_usage {
            to.push_str(r#","usage":"#);
            to.push_str(&usage.unwrap_or(&Value::Null).to_string());
        }
        to.push_str("}\n\n");
    }

    /// What opens a stream: in a chat, the speaker's role.
    fn opening(&self, to: &mut String) {
        if self.endpoint == Endpoint::Chat {
            let choice = r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"#;
            self.event(to, choice, None);
        }
    }

    fn tokens(&self, to: &mut String, tokens: u32, finish_reason: Option<&str>) {
        let text = TOKEN.repeat(tokens as usize);
        let reason = finish_reason.map_or_else(|| "null".to_owned(), |reason| format!("\"{reason}\""));
        let choice = match self.endpoint {
            Endpoint::Completions => format!(
                r#"{{"index":0,"text":"{text}","logprobs":null,"finish_reason":{reason},"stop_reason":null}}"#
            ),
            Endpoint::Chat => format!(
                r#"{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":{reason},"stop_reason":null}}"#
            ),
        };
        self.event(to, &choice, None);
    }

    fn closing(&self, to: &mut String, request: Request) {
        if self.include_usage {
            self.event(to, "", Some(&usage(request)));
        }
        to.push_str("data: [DONE]\n\n");
    }
}

struct Streaming {
    ticket: Ticket,
    writer: Writer,
    sent: u32,
    ended: bool,
    /// Break off after this many tokens.
    cut: Option<u32>,
}

impl Streaming {
    /// The next piece of the body: all tokens since the last one, merged, as an engine under load does.
    async fn piece(mut self) -> Option<(Result<Frame<Bytes>, io::Error>, Self)> {
        if self.ended {
            return None;
        }
        if self.cut.is_some_and(|cut| self.sent >= cut) {
            // hyper sends what it has when the body pauses, and throws it away when the body fails.
            tokio::task::yield_now().await;
            return self.broken("cut by a fault");
        }
        let sent = self.sent;
        let progress =
            self.ticket.progress.wait_for(|progress| progress.tokens > sent || progress.done).await;
        let Ok(progress) = progress.map(|progress| *progress) else {
            return self.broken("the engine ended");
        };
        let mut text = String::with_capacity(512);
        if sent == 0 {
            self.writer.opening(&mut text);
        }
        let tokens = self.cut.map_or(progress.tokens, |cut| progress.tokens.min(cut));
        let done = progress.done && tokens == progress.tokens;
        self.writer.tokens(&mut text, tokens - sent, done.then_some(self.ticket.finish_reason));
        self.sent = tokens;
        if done {
            self.writer.closing(&mut text, self.ticket.request);
            self.ended = true;
        }
        Some((Ok(Frame::data(Bytes::from(text))), self))
    }

    fn broken(mut self, why: &str) -> Option<(Result<Frame<Bytes>, io::Error>, Self)> {
        self.ended = true;
        Some((Err(io::Error::other(why)), self))
    }
}

/// The body of a stream. `cut` breaks it off after so many tokens.
pub(super) fn streamed(
    ticket: Ticket,
    writer: Writer,
    cut: Option<u32>,
) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, io::Error>>> {
    let streaming = Streaming { ticket, writer, sent: 0, ended: false, cut };
    StreamBody::new(stream::unfold(streaming, Streaming::piece))
}

/// Waits until the model has made all tokens. `false` if it ended before.
pub(super) async fn finished(ticket: &mut Ticket) -> bool {
    ticket.progress.wait_for(|progress| progress.done).await.is_ok()
}

/// `/v1/models`.
pub(super) fn models(model: &str, max_tokens: u64) -> Value {
    json!({"object": "list", "data": [{"id": model, "object": "model", "created": now(), "owned_by": "vllm",
        "root": model, "parent": null, "max_model_len": max_tokens}]})
}

/// An error as vLLM words it.
pub(super) fn error(status: u16, kind: &str, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": status}})
}
