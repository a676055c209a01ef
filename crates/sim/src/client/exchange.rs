//! One request and its streamed answer.

use std::time::Instant;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::Deserialize;

use super::connection::Target;
use super::{Job, Record};

/// The longest piece of an answer that is kept while it waits for the end of its line.
const MAX_LINE: usize = 1 << 20;

impl Target {
    /// Sends a request and reads its answer to the end; whatever goes wrong stands in the record.
    pub(super) async fn send(&self, job: Job) -> Record {
        let mut record = Record::new(job);
        let since = Instant::now();
        let ended = tokio::time::timeout(self.timeout, self.exchange(job, since, &mut record)).await;
        record.e2e = since.elapsed();
        record.error = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some("timeout".to_owned()),
        };
        record
    }

    async fn exchange(&self, job: Job, since: Instant, record: &mut Record) -> Result<(), String> {
        let request = self.request(job).map_err(|error| format!("request: {error}"))?;
        let mut connection = self.connect().await.map_err(|error| format!("connect: {}", error.kind()))?;
        let response =
            connection.send_request(request).await.map_err(|_| "closed before the header".to_owned())?;
        record.upstream = self.upstream(response.headers());
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
            while let Some(Ok(_)) = body.frame().await {}
            self.keep(connection);
            return Err(format!("status {}", status.as_u16()));
        }
        let ended = read(&mut body, since, record).await;
        if ended.is_ok() {
            self.keep(connection);
        }
        ended
    }
}

/// Reads the events of a stream, noting when the first and the last bytes of tokens came.
async fn read(body: &mut Incoming, since: Instant, record: &mut Record) -> Result<(), String> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "broken off".to_owned())?;
        let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { continue };
        let now = since.elapsed();
        record.ttft.get_or_insert(now);
        let before = events.chunks;
        events.read(data)?;
        if events.chunks > before {
            record.last_token = Some(now);
        }
    }
    if !events.done {
        return Err("ended without [DONE]".to_owned());
    }
    record.tokens = events.tokens.unwrap_or(events.chunks);
    Ok(())
}

/// What the events of a stream said so far.
#[derive(Default)]
struct Events {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// Chunks with a choice, which stand for tokens where the engine tells no usage.
    chunks: u32,
    /// The tokens that the engine says it generated; it may have merged several into one chunk.
    tokens: Option<u32>,
    done: bool,
}

#[derive(Deserialize)]
struct LastEvent {
    usage: Option<Usage>,
    #[serde(default)]
    choices: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Usage {
    completion_tokens: u32,
}

impl Events {
    fn read(&mut self, mut data: &[u8]) -> Result<(), String> {
        while let Some(end) = data.iter().position(|&byte| byte == b'\n') {
            if self.partial.is_empty() {
                self.line(&data[..end])?;
            } else {
                self.partial.extend_from_slice(&data[..end]);
                let line = std::mem::take(&mut self.partial);
                self.line(&line)?;
            }
            data = &data[end + 1..];
        }
        self.partial.extend_from_slice(data);
        if self.partial.len() > MAX_LINE { Err("a line without end".to_owned()) } else { Ok(()) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(event) = line.strip_prefix(b"data: ") else { return Ok(()) };
        let event = std::str::from_utf8(event).map_err(|_| "no text".to_owned())?.trim_end();
        if event == "[DONE]" {
            self.done = true;
        } else if event.starts_with("{\"error\"") {
            return Err("error in the stream".to_owned());
        } else if event.contains("\"usage\":{") || event.contains("\"usage\": {") {
            let last: LastEvent = serde_json::from_str(event).map_err(|_| "no JSON".to_owned())?;
            self.tokens = last.usage.map(|usage| usage.completion_tokens);
            self.chunks += u32::from(!last.choices.is_empty());
        } else {
            self.chunks += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"text\":\"b c\"}],\"usage\":null}\n\n: ping\n\n\
        data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";

    #[test]
    fn events_are_read_wherever_frames_end() {
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            for piece in STREAM.as_bytes().chunks(size) {
                events.read(piece).expect("good events");
            }
            assert_eq!((events.chunks, events.tokens, events.done), (2, Some(3), true), "pieces of {size}");
        }
    }

    #[test]
    fn errors_in_the_stream_are_errors() {
        assert!(Events::default().read(b"data: {\"error\":{\"code\":500}}\n").is_err());
        assert!(Events::default().read(&vec![b'x'; MAX_LINE + 1]).is_err());
    }
}
