//! Reading a statement from left to right.

use super::lexer::{Kind, Token, Tokens, tokens};

/// What is left of a statement. Whatever is not found is not taken.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a>(Tokens<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn new(sql: &'a str) -> Self {
        Self(tokens(sql))
    }

    /// The next token but for white space and comments.
    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.clone().next()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.peek().is_none()
    }

    pub(crate) fn next_is(&self, mark: char) -> bool {
        self.peek().is_some_and(|next| next.is_mark(mark))
    }

    pub(crate) fn mark(&mut self, mark: char) -> bool {
        self.next_is(mark) && self.next().is_some()
    }

    /// Takes all of these words, or nothing.
    pub(crate) fn words(&mut self, words: &str) -> bool {
        let mut ahead = self.clone();
        let found = words.split(' ').all(|word| ahead.next().is_some_and(|next| next.is(word)));
        if found {
            *self = ahead;
        }
        found
    }

    /// A name as the catalog has it. `None` where that cannot be told from the token alone.
    pub(crate) fn name(&mut self) -> Option<String> {
        let name = self.peek().and_then(|token| name(&token))?;
        self.next();
        Some(name)
    }

    /// The parts of a name.
    pub(crate) fn qualified(&mut self) -> Option<Vec<String>> {
        let mut parts = vec![self.name()?];
        while self.mark('.') {
            parts.push(self.name()?);
        }
        Some(parts)
    }

    /// `(a, b)`.
    pub(crate) fn list(&mut self) -> Option<Vec<String>> {
        if !self.mark('(') {
            return None;
        }
        let mut names = vec![self.name()?];
        while self.mark(',') {
            names.push(self.name()?);
        }
        self.mark(')').then_some(names)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.0.find(|token| !token.is_blank())
    }
}

/// The name that a token is, as the catalog has it. `None` for what is none, and for one with escapes.
pub(crate) fn name(token: &Token<'_>) -> Option<String> {
    match token.kind {
        Kind::Word => Some(token.text.to_ascii_lowercase()),
        Kind::Quoted => {
            let name = token.text.strip_prefix('"')?.strip_suffix('"')?;
            token.closed.then(|| name.replace("\"\"", "\""))
        }
        Kind::Space | Kind::Comment | Kind::Text | Kind::Number | Kind::Mark => None,
    }
}
