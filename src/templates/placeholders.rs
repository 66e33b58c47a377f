//! What is filled in for each agent.

use super::refusal::Refusal;
use crate::agent::Prefix;
use crate::sql_text::{Kind, Token, tokens};

const PREFIX: &str = "{prefix}";
const AGENT_ID: &str = "{agent_id}";
const ESCAPED_PREFIX: &str = "{{prefix}}";
const ESCAPED_AGENT_ID: &str = "{{agent_id}}";

/// Fills in a prefix and an id. `{{prefix}}` and `{{agent_id}}` become `{prefix}` and `{agent_id}`; all other braces stay.
pub(crate) fn fill(text: &str, prefix: &str, id: &str) -> String {
    let replacements =
        [(ESCAPED_PREFIX, PREFIX), (ESCAPED_AGENT_ID, AGENT_ID), (PREFIX, prefix), (AGENT_ID, id)];
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        filled.push_str(before);
        let found = replacements
            .iter()
            .find_map(|(placeholder, text)| Some((*text, from.strip_prefix(placeholder)?)));
        let (text, after) = found.or_else(|| from.split_at_checked(1)).unwrap_or((from, ""));
        filled.push_str(text);
        rest = after;
    }
    filled + rest
}

/// A text as the agent with the longest names has it. Where tokens and lines are is the same for all agents.
pub(crate) fn sample(text: &str) -> String {
    fill(text, &sample_prefix(), &sample_id())
}

/// What [`sample`] was made from.
pub(crate) fn unsample(text: &str) -> String {
    text.replace(&sample_prefix(), PREFIX).replace(&sample_id(), AGENT_ID)
}

/// As long as a prefix may be.
pub(crate) fn sample_prefix() -> String {
    "p".repeat(Prefix::LONGEST)
}

fn sample_id() -> String {
    i64::MAX.to_string()
}

/// Refuses what looks like a placeholder, in a filled text. In strings and comments braces are free.
pub(crate) fn check(filled: &str) -> Result<(), Refusal> {
    let mut before: [Option<Token<'_>>; 2] = [None; 2];
    for token in tokens(filled) {
        let name = match (before, token.kind) {
            ([Some(open), Some(name)], Kind::Mark)
                if open.is_mark('{') && name.kind == Kind::Word && token.is_mark('}') =>
            {
                Some(name.text)
            }
            (_, Kind::Quoted) => in_braces(token.text),
            _ => None,
        };
        if let Some(name) = name {
            let placeholder = format!("{{{name}}}");
            let reason = if [PREFIX, AGENT_ID].contains(&&*placeholder) {
                format!(
                    "{{{placeholder}}} stands for the text {placeholder}, which is no SQL: write {placeholder}"
                )
            } else {
                format!("{placeholder} is no placeholder: {PREFIX} and {AGENT_ID} are")
            };
            return Err((token.line, reason));
        }
        before = [before[1], Some(token)];
    }
    Ok(())
}

fn in_braces(quoted: &str) -> Option<&str> {
    let names = quoted.split('{').skip(1).filter_map(|piece| Some(piece.split_once('}')?.0));
    let is_name = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let is_escaped = |name: &&str| matches!(*name, "prefix" | "agent_id");
    names.into_iter().find(|name| is_name(name) && !is_escaped(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_placeholders_are_filled_in() {
        let cases = [
            ("{prefix}_{agent_id}", "agt_a_7"),
            ("'{{prefix}}' {{agent_id}} {{prefix} {x} {", "'{prefix}' {agent_id} {agt_a {x} {"),
            ("'{\"a\": {agent_id}}' '{}' é{prefix}é", "'{\"a\": 7}' '{}' éagt_aé"),
        ];
        for (text, filled) in cases {
            assert_eq!(fill(text, "agt_a", "7"), filled);
        }
    }

    #[test]
    fn two_braces_outside_of_strings_are_a_mistake_that_says_how_to_write_it() {
        for (wrong, right) in [("{{prefix}}_x", PREFIX), ("{{agent_id}}", AGENT_ID)] {
            let (_, reason) = check(&sample(wrong)).unwrap_err();
            assert!(reason.ends_with(&format!("write {right}")), "{reason}");
        }
    }

    #[test]
    fn other_braces_are_free_in_strings_and_comments_only() {
        for fine in ["'{x}' -- {x}", "/* {x} */ $${x}$$ '{\"a\":1}'", "\"{}\" \"{{prefix}}\" [1]"] {
            assert_eq!(check(&sample(fine)), Ok(()), "{fine}");
        }
        for (wrong, name) in
            [("a\npublic.{prefx}_b", "prefx"), ("\n\"{x} y\"", "x"), ("\n{X}", "X")]
        {
            let (line, reason) = check(&sample(wrong)).unwrap_err();
            assert!(line == 2 && reason.starts_with(&format!("{{{name}}} is no")), "{reason}");
        }
    }
}
