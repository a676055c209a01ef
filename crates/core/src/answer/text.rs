//! How many tokens a piece of generated text has, where the engine does not report it.
//!
//! Tokenisers split a text into words before they merge bytes into tokens, so that a token never spans two words. One
//! event of one token is therefore one word here, however long it is; an event into which the engine merged several
//! tokens (under load, at a stream interval, by speculative decoding) has about as many words. The rules are those of the
//! pre-tokenisers of GPT-4, Llama 3 and Qwen 2, made simple: a word takes the blank before it, one mark before it, and
//! marks take the line ends after them.

/// Tokens of a word in a text of several words: rare words have two or three.
const TOKENS_PER_WORD: f64 = 1.1;

/// The longest word of one token, in bytes; a longer run of letters (base64, an identifier) has further tokens.
const LONGEST_WORD: u32 = 16;

/// The longest run of marks of one token, in bytes.
const LONGEST_MARKS: u32 = 4;

/// Bytes of each further token of a longer run.
const BYTES_PER_TOKEN: f64 = 4.0;

/// The longest run of one token in a script without blanks (Chinese, Japanese, Thai), in bytes: three characters.
const LONGEST_WIDE: u32 = 9;

/// Bytes of a token in such a script, on average.
const WIDE_BYTES_PER_TOKEN: f64 = 4.5;

/// What a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Class {
    #[default]
    Nothing,
    Blank,
    LineEnd,
    Letter,
    Mark,
    /// A character of three or four bytes.
    Wide,
}

/// What each byte belongs to where it begins a character, None where it goes on with one.
const CLASSES: [Option<Class>; 256] = {
    let mut classes = [None; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' => Some(Class::Blank),
            b'\n' | b'\r' => Some(Class::LineEnd),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0xC0..=0xDF => Some(Class::Letter),
            0xE0.. => Some(Class::Wide),
            0x80..=0xBF => None,
            _ => Some(Class::Mark),
        };
        byte += 1;
    }
    classes
};

/// The count of a text, which comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Text {
    /// Tokens of the words that have ended.
    tokens: f64,
    words: u32,
    /// What the word that has not ended consists of, and its bytes of that class.
    class: Class,
    run: u32,
}

impl Text {
    /// Reads more of the text: UTF-8, which may be cut anywhere.
    pub fn read(&mut self, text: &[u8]) {
        for &byte in text {
            // The rest of a character belongs to what its first byte began.
            let class = CLASSES[usize::from(byte)].unwrap_or(self.class);
            // Most bytes go on with a word.
            if class == self.class {
                self.run = self.run.saturating_add(1);
            } else {
                self.add(class, 1);
            }
        }
    }

    /// Reads a character that was written as an escape, by its UTF-16 code unit.
    pub fn read_unit(&mut self, unit: u16) {
        match unit {
            0..0x80 => self.read(&[unit as u8]),
            0x80..0x800 => self.add(Class::Letter, 2),
            // Two units make up one character of four bytes.
            0xD800..0xE000 => self.add(Class::Wide, 2),
            _ => self.add(Class::Wide, 3),
        }
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.class == Class::Nothing
    }

    /// Its tokens: none if it is empty, else at least one.
    pub fn tokens(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let tokens = self.tokens + run_tokens(self.class, self.run);
        if self.words > 0 { tokens * TOKENS_PER_WORD } else { tokens }
    }

    fn add(&mut self, class: Class, bytes: u32) {
        use Class::{Blank, Letter, LineEnd, Mark, Nothing, Wide};
        match (self.class, class) {
            (before, class) if before == class => self.run = self.run.saturating_add(bytes),
            (Mark, LineEnd) => self.run = self.run.saturating_add(bytes),
            (Nothing, _) | (LineEnd, Blank) | (Blank, LineEnd) => (self.class, self.run) = (class, bytes),
            (Blank, Letter | Mark | Wide) | (Mark, Letter) if self.run == 1 => {
                (self.class, self.run) = (class, bytes);
            }
            _ => {
                self.tokens += run_tokens(self.class, self.run);
                self.words = self.words.saturating_add(1);
                (self.class, self.run) = (class, bytes);
            }
        }
    }
}

fn run_tokens(class: Class, run: u32) -> f64 {
    let longer = |longest: u32| 1.0 + f64::from(run.saturating_sub(longest)) / BYTES_PER_TOKEN;
    match class {
        Class::Nothing => 0.0,
        Class::Blank | Class::LineEnd => 1.0,
        Class::Letter => longer(LONGEST_WORD),
        Class::Mark => longer(LONGEST_MARKS),
        Class::Wide if run <= LONGEST_WIDE => 1.0,
        Class::Wide => f64::from(run) / WIDE_BYTES_PER_TOKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> f64 {
        let mut at_once = Text::default();
        at_once.read(text.as_bytes());
        let mut by_bytes = Text::default();
        text.as_bytes().iter().for_each(|byte| by_bytes.read(&[*byte]));
        assert_eq!(at_once, by_bytes);
        at_once.tokens()
    }

    #[test]
    fn a_token_is_one_word() {
        // Each is one token of GPT-4o's vocabulary (o200k_base).
        for token in [
            " the",
            ".",
            ",",
            " information",
            " responsibilities",
            "\n",
            "\n\n",
            ".\n",
            "    ",
            " (",
            "(self",
            ".append",
            "_id",
            "();\n",
            "\");\n",
            "é",
            "的",
            "我们",
            "😀",
            " été",
            "://",
            " \n",
        ] {
            assert_eq!(tokens(token), 1.0, "{token:?}");
        }
        assert_eq!(tokens(""), 0.0);
    }

    #[test]
    fn a_text_has_about_as_many_tokens_as_a_tokeniser_finds() {
        // Counted with the tokeniser of GPT-4o (o200k_base).
        for (text, counted) in [
            (" the quick brown fox jumps over the lazy dog.", 10.0),
            (" tok tok tok tok tok tok tok tok tok tok", 10.0),
            (
                "Large language models are trained on a great deal of text, and they predict the next token.",
                19.0,
            ),
            ("def add(self, other):\n    return self.value + other.value\n", 14.0),
            ("{\"location\": \"San Francisco, CA\", \"unit\": \"celsius\"}", 16.0),
            (
                "for (let i = 0; i < items.length; i++) {\n        console.log(`Item ${i}: ${items[i].name}`);\n    }",
                32.0,
            ),
        ] {
            let off = tokens(text) / counted;
            assert!((0.8..1.2).contains(&off), "{text}: {} against {counted}", tokens(text));
        }
        // 12 characters: 12 tokens of GPT-4's vocabulary, 6 of GPT-4o's.
        assert!((6.0..12.0).contains(&tokens("人工智能正在改变我们的世")));
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        let mut text = Text::default();
        "的".encode_utf16().for_each(|unit| text.read_unit(unit));
        assert_eq!(text.tokens(), 1.0);
        let mut text = Text::default();
        "人工智能正在改变我们的世".encode_utf16().for_each(|unit| text.read_unit(unit));
        assert_eq!(text.tokens(), tokens("人工智能正在改变我们的世"));
        let mut text = Text::default();
        "😀".encode_utf16().for_each(|unit| text.read_unit(unit));
        assert_eq!(text.tokens(), 1.0);
    }
}
