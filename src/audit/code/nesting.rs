//! How deep the syntax of a file is nested, by its tokens alone.
//!
//! Parsing and walking a tree take stack for each level, and a process whose stack is used up is gone. So a file is looked
//! at from left to right first, and is read on a thread whose stack is as large as [`DEEPEST`] levels need.

/// So many levels a file may have. A level takes at least one token, but for a bracket, which counts for many.
const DEEPEST: usize = 50_000;
/// Tokens for which a bracket counts: a parser has a dozen functions between two of them.
const BRACKET: usize = 50;
/// Of the thread that reads code, in bytes. The system gives what is used of it.
pub(super) const STACK: usize = 512 << 20;

/// Behind these words an expression or a statement goes on, whatever begins the next line.
const OPEN_ENDS: [&str; 17] = [
    "await",
    "typeof",
    "void",
    "delete",
    "new",
    "yield",
    "else",
    "do",
    "in",
    "of",
    "instanceof",
    "as",
    "satisfies",
    "extends",
    "return",
    "case",
    "throw",
];
/// These go on with the line above.
const GO_ON: [&str; 7] = ["else", "in", "of", "instanceof", "as", "satisfies", "extends"];

/// The line on which a file is nested too deep, if it is anywhere.
///
/// What makes a level is not known here. All tokens count that may belong to what is not finished yet, so a file with fewer
/// levels may be refused.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut scan = Scan::new(text);
    while let Some(rest) = text.get(scan.at..).filter(|rest| !rest.is_empty()) {
        scan.token(rest);
        if scan.open > DEEPEST {
            return Some(scan.line);
        }
    }
    None
}

/// What stands in one pair of brackets, up to here.
#[derive(Debug, Default)]
struct Level {
    /// Since the last end of a statement or of an element.
    tokens: usize,
    /// Each goes on with a statement that seemed to be at its end.
    elses: usize,
    /// Whether a template string goes on behind it.
    in_template: bool,
}

/// The last token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// A name, a value, or the end of a list or a block: a line break may end the statement.
    End,
    /// `)`, behind which a statement may belong to an `if`.
    Parenthesis,
    /// Something that goes on.
    Sign,
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    levels: Vec<Level>,
    /// What all levels count together.
    open: usize,
    last: Last,
    after_break: bool,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        let levels = vec![Level::default()];
        Self { text, at: 0, line: 1, levels, open: 0, last: Last::Sign, after_break: false }
    }

    fn token(&mut self, rest: &str) {
        let Some(first) = rest.chars().next() else { return };
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first.is_whitespace() {
            self.after_break |= first == '\n';
            first.len_utf8()
        } else {
            self.meaning(rest, first)
        };
        self.skip(length);
        if first == '`' || first == '}' && self.last == Last::Sign {
            self.template();
        }
    }

    fn skip(&mut self, length: usize) {
        let skipped = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.line += skipped.matches('\n').count();
        self.at += length;
    }

    /// Counts a token that means something, and returns its length.
    fn meaning(&mut self, rest: &str, first: char) -> usize {
        let after_break = std::mem::take(&mut self.after_break);
        let mut length = first.len_utf8();
        if is_word(first) || matches!(first, '"' | '\'') {
            length = match first {
                '"' | '\'' => until(rest, first),
                _ => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            };
            let word = rest.get(..length).unwrap_or_default();
            if after_break && self.last == Last::End && !GO_ON.contains(&word) {
                self.finish();
            }
            self.count();
            if let Some(level) = self.levels.last_mut().filter(|_| word == "else") {
                level.elses += 1;
                self.open += 1;
            }
            self.last = if OPEN_ENDS.contains(&word) { Last::Sign } else { Last::End };
        } else if first == '/' && self.last == Last::Sign && !self.closes_element() {
            length = until(rest, '/');
            self.count();
            self.last = Last::End;
        } else if matches!(first, '(' | '[' | '{') {
            self.push(false);
        } else if matches!(first, ')' | ']' | '}') {
            self.pop(first);
        } else if matches!(first, ';' | ',') {
            self.finish();
            self.last = Last::Sign;
        } else {
            self.count();
            self.last = Last::Sign;
        }
        length
    }

    /// `</`
    fn closes_element(&self) -> bool {
        self.text.get(..self.at).is_some_and(|before| before.ends_with('<'))
    }

    fn count(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.tokens += 1;
            self.open += 1;
        }
    }

    /// A statement or an element is at its end.
    fn finish(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            self.open -= level.tokens;
            level.tokens = 0;
        }
    }

    fn push(&mut self, in_template: bool) {
        self.count();
        self.levels.push(Level { in_template, ..Level::default() });
        self.open += BRACKET;
        self.last = Last::Sign;
    }

    /// `Sign` says that a template string goes on.
    fn pop(&mut self, bracket: char) {
        self.last = if bracket == ')' { Last::Parenthesis } else { Last::End };
        let Some(level) = self.levels.pop() else { return };
        if self.levels.is_empty() {
            self.levels.push(level);
            return;
        }
        self.open -= BRACKET + level.tokens + level.elses;
        if level.in_template && bracket == '}' {
            self.last = Last::Sign;
        }
    }

    /// The text of a template string up to its next gap, or its end.
    fn template(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            let gap = c == '$' && rest.get(at..).is_some_and(|rest| rest.starts_with("${"));
            if c == '`' || gap {
                self.skip(at + if gap { 2 } else { 1 });
                if gap {
                    self.push(true);
                } else {
                    self.last = Last::End;
                }
                return;
            }
            if c == '\\' {
                chars.next();
            }
        }
        self.skip(rest.len());
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

/// The length of a string or of a regular expression, at most to the end of the line.
fn until(rest: &str, quote: char) -> usize {
    let mut in_class = false;
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return at,
            '\\' => drop(chars.next()),
            '[' | ']' if quote == '/' => in_class = c == '[',
            c if c == quote && !in_class => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::thread;

    use super::super::module::Module;
    use super::*;

    fn depth(text: &str) -> usize {
        let mut scan = Scan::new(text);
        let mut most = 0;
        while let Some(rest) = text.get(scan.at..).filter(|rest| !rest.is_empty()) {
            scan.token(rest);
            most = most.max(scan.open);
        }
        assert_eq!(scan.levels.len(), 1, "{text}");
        most
    }

    #[test]
    fn what_is_side_by_side_is_not_deep() {
        for line in [
            "f(a, [b], { c });",
            "const a = `x ${b} ( ${`(`} [`",
            "const r = /[(\"/]\\/(/; // (((",
            "if (a) { b() } /* {{{ */",
            "const s = '(\\'(' + \"{\"",
            "x = a / b / c",
            "const e = <a>{b}</a>;",
        ] {
            let most = depth(&format!("{line}\n").repeat(1000));
            assert!(most < 500, "{most} {line}");
        }
    }

    const FORMS: [(&str, &str); 19] = [
        ("(", ")"),
        ("[", "]"),
        ("f({a:", "})"),
        ("`${", "}`"),
        ("()=>{", "}"),
        ("!", ""),
        ("a=>", ""),
        ("a?b:", ""),
        ("if(a)\n", ""),
        ("if(a)b;else ", ""),
        ("a+\n", ""),
        ("a=", ""),
        ("a.b.", ""),
        ("new\n", ""),
        ("", "()"),
        ("", "[0]"),
        ("<a>", "</a>"),
        ("await\n", ""),
        ("x:\n", ""),
    ];

    #[test]
    fn what_is_within_each_other_is_deep_in_any_form() {
        for (head, tail) in FORMS {
            let text = format!("{}a{}", head.repeat(60_000), tail.repeat(60_000));
            assert!(too_deep(&text).is_some(), "{head} {tail}");
            let text = format!("\n{}a{}", head.repeat(20), tail.repeat(20));
            assert_eq!(too_deep(&text), None, "{head} {tail}");
        }
    }

    /// Otherwise this process would be gone.
    #[test]
    fn the_stack_is_large_enough_for_what_is_not_too_deep() {
        for (head, tail, times) in [
            ("(", ")", 970),
            ("f({a:", "})", 470),
            ("()=>{", "}", 480),
            ("<a>", "</a>", 7000),
            ("!", "", 49_000),
            ("a?b:", "", 12_000),
            ("if(a)b;else ", "", 49_000),
            ("", "()", 49_000),
        ] {
            let text = format!("{}a{}", head.repeat(times), tail.repeat(times));
            let read =
                move || Module::read(Path::new("a.tsx"), &text, |_| ()).map_err(|it| it.message);
            let thread = thread::Builder::new().stack_size(STACK).spawn(read).unwrap();
            assert_eq!(thread.join().unwrap(), Ok(()), "{head} {tail}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_scanned_to_its_end(text in r#"[a(){}\[\]`$'"/\\*;, \né]{0,40}"#) {
            too_deep(&text);
        }
    }
}
