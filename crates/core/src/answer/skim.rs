//! Finds errors in pieces of an answer that are not read.

use memchr::memmem::Finder;
use std::sync::LazyLock;

/// The member that reports an error in all forms of answer. Within a text its quotes would be escaped.
static MEMBER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"error\""));

/// The line that names an event of the kind `error`.
static EVENT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("event: error\n"));

/// Whether a piece of an answer has a member `error` that is not null, or is an object or an event of the kind `error`, or ends
/// for the reason `error`. What is cut by the end of the piece is not found.
pub(super) fn shows_error(bytes: &[u8]) -> bool {
    let member = MEMBER.find_iter(bytes).any(|at| {
        let before = bytes.get(..at).unwrap_or_default().trim_ascii_end();
        let after = bytes.get(at + MEMBER.needle().len()..).unwrap_or_default().trim_ascii_start();
        let names =
            |name: &[u8]| before.strip_suffix(b":").is_some_and(|b| b.trim_ascii_end().ends_with(name));
        match after.strip_prefix(b":") {
            Some(value) => {
                let value = value.trim_ascii_start();
                matches!(before.last(), Some(b'{' | b',')) && matches!(value.first(), Some(b'{' | b'"'))
            }
            None => [&b"\"object\""[..], b"\"type\"", b"\"finish_reason\""].iter().any(|name| names(name)),
        }
    });
    member || EVENT.find(bytes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_and_texts_are_none() {
        let errors = [
            r#"{"error":{"message":"x"}}"#,
            r#"data: {"error": "out of memory"}"#,
            r#"{"id":1, "error" : {"code":500}}"#,
            r#"{"object":"error","message":"x"}"#,
            r#"{"type": "error", "error": null}"#,
            r#"data: {"choices":[{"delta":{},"finish_reason":"error"}]}"#,
            "event: error\ndata: {\"message\":\"x\"}\n\n",
        ];
        assert!(errors.iter().all(|text| shows_error(text.as_bytes())));
        let texts = [
            "",
            r#"{"choices":[{"text":"no error"}],"error":null}"#,
            r#"{"text":"{\"error\":{\"a\":1}}"}"#,
            r#"{"text":"error"}"#,
            r#"{"error"#,
            r#"{"finish_reason":"stop"}"#,
        ];
        assert!(texts.iter().all(|text| !shows_error(text.as_bytes())), "{texts:?}");
    }
}
