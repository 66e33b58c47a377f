//! Names of tables as documents give them.

use super::markdown::Phrase;
use crate::audit::agent_tables::AgentTables;
use crate::audit::relations::{Name, PREFIX, Relations, Table};

/// What a document calls a table: with or without a schema, an agent's with [`PREFIX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// Words that stand beside a name in a heading.
const BESIDE: [&str; 6] = ["table", "tables", "view", "the", "table:", "view:"];
/// What stands around a placeholder, as in `{prefix}_orders` and `<prefix>_orders`.
const BRACKETS: [(&str, char); 4] = [("${", '}'), ("{", '}'), ("<", '>'), ("[", ']')];

impl Called {
    /// Of a text that is a name and nothing else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(plain(schema)?), name),
            None => (None, text),
        };
        let opened = BRACKETS.iter().find_map(|(open, close)| {
            let (inside, rest) = name.strip_prefix(open)?.split_once(*close)?;
            let is_placeholder =
                inside.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '));
            (is_placeholder && rest.starts_with('_')).then_some(rest)
        });
        let name = match opened {
            Some(rest) => format!("{PREFIX}{}", plain(rest)?),
            None => plain(name)?,
        };
        Some(Self { schema, name })
    }

    /// The table that a heading names: its only word in code, or its only word beside "table" and the like.
    pub(super) fn of_heading(heading: &Phrase) -> Option<Self> {
        let code: Vec<&str> = heading.code().collect();
        if let [only] = code.as_slice() {
            return Self::read(only);
        }
        let text = heading.text();
        let words = text.split_whitespace();
        let words: Vec<&str> =
            words.filter(|word| !BESIDE.contains(&word.to_lowercase().as_str())).collect();
        match words.as_slice() {
            [only] if code.is_empty() => Self::read(only),
            _ => None,
        }
    }

    /// The table that a point of a list or a cell begins with.
    pub(super) fn of_beginning(phrase: &Phrase) -> Option<Self> {
        let text = phrase.text();
        let first = phrase.code().next().filter(|code| text.starts_with(*code));
        Self::read(
            first.unwrap_or_else(|| text.split([':', ' ', '–', '—']).next().unwrap_or_default()),
        )
    }

    /// The table: in its schema, in `public`, or in the only other schema that has one.
    pub(super) fn table<'r>(
        &self,
        relations: &'r Relations,
        agents: &'r AgentTables,
    ) -> Option<&'r Table> {
        if let Some(suffix) = self.name.strip_prefix(PREFIX) {
            return agents.table(suffix);
        }
        if let Some(schema) = &self.schema {
            return relations.table(&Name::new(schema, &self.name));
        }
        relations.table(&Name::new("public", &self.name)).or_else(|| {
            let mut all = relations.tables().filter(|table| table.name.name == self.name);
            all.next().filter(|_| all.next().is_none())
        })
    }

    /// As a finding names it.
    pub(super) fn shown(&self) -> String {
        Name::new(self.schema.as_deref().unwrap_or("public"), &self.name).to_string()
    }
}

/// An identifier, with or without quotes.
fn plain(text: &str) -> Option<String> {
    let bare = text.trim_matches('"');
    let is_name = bare.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
        && !bare.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !bare.is_empty()).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::markdown::Piece;
    use super::*;

    #[test]
    fn names_are_read_in_every_usual_form() {
        let cases = [
            ("users", "- users"),
            ("public.users", "public users"),
            ("\"Odd\"", "- Odd"),
            ("{prefix}_orders", "- {prefix}_orders"),
            ("public.${agentPrefix}_orders", "public {prefix}_orders"),
            ("<agent prefix>_orders", "- {prefix}_orders"),
            ("[prefix]_orders", "- {prefix}_orders"),
        ];
        for (text, expected) in cases {
            let found = Called::read(text);
            let found =
                found.map(|it| format!("{} {}", it.schema.as_deref().unwrap_or("-"), it.name));
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in ["users (id)", "users;", "", "a.b.c", "1st"] {
            assert_eq!(Called::read(text), None, "{text}");
        }
    }

    #[test]
    fn headings_name_tables_by_code_or_by_their_only_word() {
        let text = |text: &str| Phrase(vec![Piece::Text(text.to_owned())]);
        let code = |before: &str, code: &str| {
            Phrase(vec![Piece::Text(before.to_owned()), Piece::Code(code.to_owned())])
        };
        let name = |phrase: &Phrase| Called::of_heading(phrase).map(|it| it.name);
        assert_eq!(name(&text("The users table")).as_deref(), Some("users"));
        assert_eq!(name(&text("Table: users")).as_deref(), Some("users"));
        assert_eq!(name(&code("3. People: ", "users")).as_deref(), Some("users"));
        assert_eq!(name(&text("Who may write")), None);
        assert_eq!(name(&text("Tables")), None);
    }
}
