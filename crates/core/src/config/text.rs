//! The text of nginx's configuration, as far as an error needs it that nginx gives only when the text has been read.

/// Directives of an upstream block that are no load balancing method.
const NO_METHODS: [&str; 13] = [
    "include",
    "keepalive",
    "keepalive_requests",
    "keepalive_time",
    "keepalive_timeout",
    "ntlm",
    "queue",
    "resolver",
    "resolver_timeout",
    "server",
    "state",
    "sticky",
    "zone",
];

/// The directive that took the place of `tblb` as the method of an upstream block. `text` is a file of the
/// configuration, in which the first `tblb` directive of the block ends in line number `line` (from 1 on). None where
/// the file has no such directive after that: it may stand in an included file.
pub fn method_after(text: &str, line: usize) -> Option<&str> {
    let mut directives = Directives { text, at: 0, line: 1, depth: 0 };
    let first = directives.find(|found| found.line == line && found.name.starts_with("tblb"))?;
    let block = directives.take_while(|found| found.depth >= first.depth);
    // The last one counts, as for nginx.
    block.filter(|found| found.depth == first.depth && is_method(found.name)).map(|found| found.name).last()
}

fn is_method(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("tblb") && !NO_METHODS.contains(&name)
}

/// A directive: the first of its words, and where it ends.
struct Directive<'a> {
    name: &'a str,
    line: usize,
    /// The number of blocks around it.
    depth: usize,
}

/// The directives of a text in their order. A block ends with a directive without a name.
struct Directives<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    depth: usize,
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut name = None;
        loop {
            let (start, depth) = (self.at, self.depth);
            let first = self.advance()?;
            match first {
                ';' => break,
                '{' => {
                    self.depth += 1;
                    return Some(Directive { name: name.unwrap_or_default(), line: self.line, depth });
                }
                '}' => {
                    self.depth = depth.saturating_sub(1);
                    return Some(Directive { name: "", line: self.line, depth: self.depth });
                }
                '#' => while self.peek().is_some_and(|char| char != '\n') && self.advance().is_some() {},
                blank if blank.is_ascii_whitespace() => {}
                _ => {
                    let word = self.word(first, start);
                    name = name.or(Some(word));
                }
            }
        }
        Some(Directive { name: name.unwrap_or_default(), line: self.line, depth: self.depth })
    }
}

impl<'a> Directives<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        self.line += usize::from(char == '\n');
        Some(char)
    }

    /// A word from its first character at `start` on, without its quotes.
    fn word(&mut self, first: char, start: usize) -> &'a str {
        let quote = Some(first).filter(|first| ['"', '\''].contains(first));
        let ends = |char: char| match quote {
            Some(quote) => char == quote,
            None => char.is_ascii_whitespace() || [';', '{'].contains(&char),
        };
        let mut before = first;
        while let Some(char) = self.peek() {
            // What follows a backslash ends no word, and `${name}` is a variable.
            let literal = before == '\\' || (quote.is_none() && before == '$' && char == '{');
            if ends(char) && !literal {
                break;
            }
            before = if before == '\\' { ' ' } else { char };
            self.advance();
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        if quote.is_some() {
            self.advance();
            return word.get(1..).unwrap_or_default();
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::method_after;

    #[test]
    fn the_method_that_comes_last_in_the_block_is_found() {
        let text = "# upstream\nhttp {\n upstream a { least_conn; tblb; server x; }\n upstream b {\n  zone b 64k;\n  tblb\n   s1;\n\
                    # random;\n  tblb_metrics off; hash \"$a;}\" consistent;\n  server 'a;b'; keepalive 8;\n }\n\
                    server { random; }\n upstream c { tblb; random; ip_hash; }\n}\n";
        assert_eq!(method_after(text, 3), None);
        assert_eq!(method_after(text, 7), Some("hash"), "in the line of its semicolon");
        assert_eq!(method_after(text, 13), Some("ip_hash"));
        assert_eq!(method_after(text, 5), None, "no tblb directive");
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for text in
            ["tblb", "tblb;", "tblb; }", "}}tblb;\\", "\"tblb; x;", "tblb; a${b};x\\", "tblb; é {", "tblb;'"]
        {
            for line in 0..3 {
                let found = method_after(text, line);
                assert!(found.is_none_or(|found| ["é", "a${b}"].contains(&found)), "{text}: {found:?}");
            }
        }
        assert_eq!(method_after("tblb; a_${b}_c;", 1), Some("a_${b}_c"));
    }
}
