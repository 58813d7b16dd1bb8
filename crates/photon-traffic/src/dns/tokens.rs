//! Takes the text of zone files apart: entries of tokens, quotes, parentheses and comments
//! (RFC 1035, 5.1). Must not know what a token means.

/// The longest token; longer ones are refused.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// The most tokens of one entry; more are refused.
const TOKENS_MAX: usize = 4_096;

/// One entry of a zone file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    /// Whether it begins with a blank: its owner is that of the entry before.
    pub(super) is_indented: bool,
    /// Its tokens, as they are written, without the quotes around them.
    pub(super) tokens: Vec<String>,
}

/// Why a text cannot be taken apart, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(super) struct TokenError {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// Takes a text apart, entry by entry.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text.chars().peekable(), line: 1 }
    }

    /// Returns the next entry, which has at least one token.
    fn entry(&mut self) -> Result<Option<Entry>, TokenError> {
        let mut entry = Entry { line: self.line, ..Entry::default() };
        let mut depth = 0_u32;
        entry.is_indented = self.rest.peek().is_some_and(|it| [' ', '\t'].contains(it));
        while let Some(next) = self.rest.next() {
            match next {
                '\n' => {
                    self.line += 1;
                    if depth == 0 && !entry.tokens.is_empty() {
                        return Ok(Some(entry));
                    }
                    if entry.tokens.is_empty() && depth == 0 {
                        entry.line = self.line;
                        entry.is_indented =
                            self.rest.peek().is_some_and(|it| [' ', '\t'].contains(it));
                    }
                }
                ' ' | '\t' | '\r' => {}
                ';' => while self.rest.next_if(|it| *it != '\n').is_some() {},
                '(' => depth += 1,
                ')' => {
                    let less = depth.checked_sub(1);
                    depth = less.ok_or_else(|| self.failed("a `)` closes nothing"))?;
                }
                '"' => {
                    let token = self.quoted()?;
                    self.push(&mut entry, token)?;
                }
                first => {
                    let token = self.plain(first)?;
                    self.push(&mut entry, token)?;
                }
            }
        }
        if depth != 0 {
            return Err(TokenError { line: entry.line, why: "a `(` is not closed" });
        }
        Ok((!entry.tokens.is_empty()).then_some(entry))
    }

    fn push(&self, entry: &mut Entry, token: String) -> Result<(), TokenError> {
        if TOKENS_MAX <= entry.tokens.len() {
            return Err(self.failed("there are more than 4,096 words in one entry"));
        }
        entry.tokens.push(token);
        Ok(())
    }

    fn quoted(&mut self) -> Result<String, TokenError> {
        let mut token = String::new();
        loop {
            match self.rest.next() {
                Some('"') => return Ok(token),
                None | Some('\n') => return Err(self.failed("a `\"` is not closed")),
                Some(next) => self.take(&mut token, next)?,
            }
        }
    }

    fn plain(&mut self, first: char) -> Result<String, TokenError> {
        let mut token = String::new();
        self.take(&mut token, first)?;
        let is_end = |it: &char| [' ', '\t', '\r', '\n', ';', '(', ')', '"'].contains(it);
        while let Some(next) = self.rest.next_if(|it| !is_end(it)) {
            self.take(&mut token, next)?;
        }
        // The value of a parameter may be in quotes (RFC 9460, 2.1).
        if token.ends_with('=') && self.rest.next_if_eq(&'"').is_some() {
            token += &self.quoted()?;
        }
        Ok(token)
    }

    /// Takes a character into a token; with a backslash the one that it escapes too.
    fn take(&mut self, token: &mut String, next: char) -> Result<(), TokenError> {
        token.push(next);
        if next == '\\' {
            let escaped = self.rest.next_if(|it| *it != '\n');
            token.push(escaped.ok_or_else(|| self.failed("a `\\` has nothing to escape"))?);
        }
        if TOKEN_BYTES_MAX < token.len() {
            return Err(self.failed("a word is longer than 65,536 bytes"));
        }
        Ok(())
    }

    fn failed(&self, why: &'static str) -> TokenError {
        TokenError { line: self.line, why }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, TokenError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entry();
        if entry.is_err() {
            // What follows an error means nothing.
            self.rest = "".chars().peekable();
        }
        entry.transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let shown = Entries::new(text).map(|it| match it {
            Ok(entry) => {
                let indent = if entry.is_indented { ">" } else { "" };
                format!("{}{indent} {}", entry.line, entry.tokens.join("|"))
            }
            Err(err) => err.to_string(),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_text_is_taken_apart_into_entries() {
        check("", &[]);
        check("; nothing\n\n  \n", &[]);
        check("a A 1.2.3.4 ; b\n  TXT \"x ;y\" z\n", &["1 a|A|1.2.3.4", "2> TXT|x ;y|z"]);
        check("@ SOA a b (\n 1 ; serial\n 2\n )\nb A 1", &["1 @|SOA|a|b|1|2", "5 b|A|1"]);
        check("a TXT \\\"x\\;y \"q\\\"r\"\"s\"", &["1 a|TXT|\\\"x\\;y|q\\\"r|s"]);
        check("a HTTPS 1 . alpn=\"h2,h3\" port=8443", &["1 a|HTTPS|1|.|alpn=h2,h3|port=8443"]);
        check("a A 1\r\nb A 2\r\n", &["1 a|A|1", "2 b|A|2"]);
    }

    #[test]
    fn a_text_that_is_broken_is_refused_with_its_line() {
        check("a A 1\nb (\nc", &["1 a|A|1", "line 2: a `(` is not closed"]);
        check("a )\nb", &["line 1: a `)` closes nothing"]);
        check("a \"b\nc\"", &["line 1: a `\"` is not closed"]);
        check("a \\", &["line 1: a `\\` has nothing to escape"]);
        check(&"x".repeat(70_000), &["line 1: a word is longer than 65,536 bytes"]);
        check(&"x ".repeat(5_000), &["line 1: there are more than 4,096 words in one entry"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n\t]{0,200}") {
            let _ = Entries::new(&text).count();
        }
    }
}
